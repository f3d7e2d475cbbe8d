"""Members of a JSON object: strict about types, lenient about what is missing, null or unknown."""

from collections.abc import Callable
from typing import Any

import pytest

from shim.errors import InvalidRequestError
from shim.wire.fields import Fields

EMPTY: list[tuple[Callable[[Fields], Any], Any]] = [
    (lambda fields: fields.text("key"), ""),
    (lambda fields: fields.number("key"), 0),
    (lambda fields: fields.flag("key"), False),
    (lambda fields: fields.object("key").texts(), {}),
    (lambda fields: fields.objects("key"), []),
]


@pytest.mark.parametrize(("read", "empty"), EMPTY)
@pytest.mark.parametrize("members", [{}, {"key": None}, {"other": 1}], ids=["missing", "null", "unknown"])
def test_missing_and_null_read_as_empty(
    members: dict[str, Any], read: Callable[[Fields], Any], empty: Any
) -> None:
    assert read(Fields(members, "Join")) == empty


@pytest.mark.parametrize("value", [None, [], "text", 5, 1.5, True])
def test_only_an_object_has_members(value: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"^Join: expected a JSON object$"):
        Fields(value, "Join")


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (Fields.text, 5, "a string"),
        (Fields.text, ["a"], "a string"),
        (Fields.text, False, "a string"),
        (Fields.number, "5", "an integer"),
        (Fields.number, 5.0, "an integer"),
        (Fields.number, True, "an integer"),
        (Fields.number, float("nan"), "an integer"),
        (Fields.number, float("inf"), "an integer"),
        (Fields.flag, "true", "true or false"),
        (Fields.flag, 1, "true or false"),
        (Fields.object, [], "an object"),
        (Fields.object, "", "an object"),
        (Fields.objects, {}, "a list"),
        (Fields.objects, "ab", "a list"),
    ],
)
def test_another_type_is_refused_with_the_member_and_what_was_expected(
    read: Callable[[Fields, str], Any], value: Any, expected: str
) -> None:
    with pytest.raises(InvalidRequestError, match=f"^Join.key: expected {expected}, found "):
        read(Fields({"key": value}, "Join"), "key")


def test_values_come_back_as_they_are() -> None:
    fields = Fields({"t": " a\nb ", "n": -5, "f": True, "o": {"k": "v"}, "l": [{"k": "v"}, {}]}, "Join")

    assert fields.text("t") == " a\nb "
    assert fields.number("n") == -5
    assert fields.flag("f") is True
    assert fields.object("o").text("k") == "v"
    assert [item.texts() for item in fields.objects("l")] == [{"k": "v"}, {}]


@pytest.mark.parametrize("value", ["\0", "a\0b", "\ud800", "a\udfff"])
def test_text_that_nothing_can_hold_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"^Join\.key: expected valid text, found ") as caught:
        Fields({"key": value}, "Join").text("key")

    str(caught.value).encode()


@pytest.mark.parametrize("value", ["Größe", "\U0001f433", "\ud7ff\ue000", "日本"])
def test_text_of_any_language_is_taken(value: str) -> None:
    assert Fields({"key": value}, "Join").text("key") == value


@pytest.mark.parametrize("value", ["a", "0", "A1b2", "f" * 64, "x" * 25])
def test_an_id_is_letters_and_digits(value: str) -> None:
    assert Fields({"key": value}, "Join").identifier("key") == value


@pytest.mark.parametrize(
    "value",
    ["", None, ".", "..", "../../etc/passwd", "/etc", "a/b", "a b", "a\n", "a-b", "é", "٣", "\0", "a\0",
     "f" * 65],
)  # fmt: skip
def test_an_id_cannot_be_a_path_or_longer_than_dockers(value: Any) -> None:
    with pytest.raises(InvalidRequestError):
        Fields({"key": value}, "Join").identifier("key")


def test_a_missing_id_is_named() -> None:
    with pytest.raises(
        InvalidRequestError, match=r"^Join: NetworkID must be an ID of 1 to 64 letters and digits"
    ):
        Fields({}, "Join").identifier("NetworkID")


def test_texts_are_those_of_a_prefix_and_must_be_strings() -> None:
    fields = Fields({"cni.a": "1", "cni.b": None, "com.docker": [1]}, "CreateEndpoint.Options")

    assert fields.texts("cni.") == {"cni.a": "1", "cni.b": ""}
    with pytest.raises(InvalidRequestError, match=r"com\.docker: expected a string, found"):
        fields.texts()


def test_an_error_deep_inside_names_the_way_there() -> None:
    fields = Fields({"Options": {"ports": [{}, {"Proto": "tcp"}]}}, "CreateEndpoint")

    with pytest.raises(
        InvalidRequestError, match=r"^CreateEndpoint\.Options\.ports\[1\]\.Proto: expected an"
    ):
        fields.object("Options").objects("ports")[1].number("Proto")


def test_a_list_of_anything_else_than_objects_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match=r"^Join\.key\[1\]: expected a JSON object$"):
        Fields({"key": [{}, None]}, "Join").objects("key")
