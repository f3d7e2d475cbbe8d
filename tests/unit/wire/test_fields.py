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
    (lambda fields: fields.address("key"), ""),
    (lambda fields: fields.interface("key"), ""),
    (lambda fields: fields.subnet("key"), ""),
    (lambda fields: fields.object("key").interfaces(), {}),
]


@pytest.mark.parametrize(("read", "empty"), EMPTY, ids=[str(index) for index in range(len(EMPTY))])
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


@pytest.mark.parametrize(("members", "expected"), [({}, True), ({"f": None}, True), ({"f": False}, False)])
def test_a_flag_that_is_not_said_is_what_it_is_by_default(
    members: dict[str, Any],
    expected: bool,  # noqa: FBT001 - from a table
) -> None:
    assert Fields(members, "Join").flag("f", default=True) is expected


@pytest.mark.parametrize("value", ["x" * 10_000, [[0] * 9] * 999, {"k": "v" * 10_000}])
def test_an_error_quotes_a_large_value_in_part(value: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"^Join\.key: expected an integer, found ") as caught:
        Fields({"key": value}, "Join").number("key")

    assert len(str(caught.value)) < 1000


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


def test_texts_must_all_be_strings_and_null_is_an_empty_one() -> None:
    assert Fields({"a": "1", "b": None}, "Options").texts() == {"a": "1", "b": ""}
    with pytest.raises(InvalidRequestError, match=r"^Options\.c: expected a string, found \[1\]$"):
        Fields({"a": "1", "c": [1]}, "Options").texts()


def test_strings_are_the_members_of_that_type_but_for_one() -> None:
    members: dict[str, Any] = {
        "a": "1",
        "b": None,
        "c": [1],
        "d": 5,
        "e": True,
        "f": {},
        "mac": "AkKsEQAC",
        "g": "",
    }

    assert Fields(members, "Options").strings(but="mac") == {"a": "1", "g": ""}


@pytest.mark.parametrize("read", [Fields.texts, Fields.interfaces, lambda fields: fields.strings(but="")])
def test_a_key_that_nothing_can_hold_is_refused(read: Callable[[Fields], Any]) -> None:
    with pytest.raises(
        InvalidRequestError, match=r"^Options: expected a key of valid text, found "
    ) as caught:
        read(Fields({"a\0\ud800": "10.1.0.5/16"}, "Options"))

    str(caught.value).encode()


def test_a_string_that_nothing_can_hold_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match=r"^Options\.a: expected valid text"):
        Fields({"a": "\0"}, "Options").strings(but="mac")


@pytest.mark.parametrize(
    ("read", "text", "canonical"),
    [
        (Fields.address, "10.1.0.5", "10.1.0.5"),
        (Fields.address, "FD00:0::5", "fd00::5"),
        (Fields.interface, "10.1.0.5/16", "10.1.0.5/16"),
        (Fields.interface, "10.1.0.5", "10.1.0.5/32"),
        (Fields.interface, "FD00:0::5/064", "fd00::5/64"),
        (Fields.subnet, "10.1.0.0/16", "10.1.0.0/16"),
        (Fields.subnet, "FD00:0::/64", "fd00::/64"),
        (Fields.subnet, "0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_an_address_comes_back_in_its_one_spelling(
    read: Callable[[Fields, str], str], text: str, canonical: str
) -> None:
    assert read(Fields({"key": text}, "Join"), "key") == canonical


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (Fields.address, "10.1.0.5/16", "an IP address"),
        (Fields.address, "localhost", "an IP address"),
        (Fields.address, "10.1", "an IP address"),
        (Fields.interface, "10.1.0.5/33", r"an address such as 10\.1\.0\.5/16"),
        (Fields.interface, " 10.1.0.5/16", r"an address such as 10\.1\.0\.5/16"),
        (Fields.subnet, "10.1.0.5/16", r"a subnet such as 10\.1\.0\.0/16"),
        (Fields.subnet, "10.1.0.0/" + "9" * 5000, r"a subnet such as 10\.1\.0\.0/16"),
    ],
    ids=["prefix", "name", "short", "long prefix", "blank", "host bits", "huge prefix"],
)
def test_what_is_no_address_is_refused_with_an_example(
    read: Callable[[Fields, str], str], text: str, expected: str
) -> None:
    with pytest.raises(InvalidRequestError, match=f"^Join.key: expected {expected}, found "):
        read(Fields({"key": text}, "Join"), "key")


def test_interfaces_are_all_members_in_their_one_spelling() -> None:
    fields = Fields({"router": "10.1.0.9/16", "other": "FD00::9/64"}, "AuxAddresses")

    assert fields.interfaces() == {"router": "10.1.0.9/16", "other": "fd00::9/64"}
    with pytest.raises(InvalidRequestError, match=r"^AuxAddresses\.router: expected an address"):
        Fields({"router": "nowhere"}, "AuxAddresses").interfaces()


def test_an_error_deep_inside_names_the_way_there() -> None:
    fields = Fields({"Options": {"ports": [{}, {"Proto": "tcp"}]}}, "CreateEndpoint")

    with pytest.raises(
        InvalidRequestError, match=r"^CreateEndpoint\.Options\.ports\[1\]\.Proto: expected an"
    ):
        fields.object("Options").objects("ports")[1].number("Proto")


def test_a_list_of_anything_else_than_objects_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match=r"^Join\.key\[1\]: expected a JSON object$"):
        Fields({"key": [{}, None]}, "Join").objects("key")
