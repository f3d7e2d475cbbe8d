"""Objects in memory: found by name and by ID, replaced, dropped, and swept after a list."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.kube.index import Index


def item(name: str, colour: str = "blue", namespace: str = "team-a") -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": name}, "colour": colour}


def colour(value: Any) -> tuple[str, str]:
    if value["colour"] == "bad":
        raise ValueError("has no colour")
    return value["metadata"]["name"], value["colour"]


def index(*items: dict[str, Any]) -> Index[tuple[str, str]]:
    made = Index(colour, by=lambda found: found[1])
    for value in items:
        made.put(value)
    return made


def test_an_object_is_found_by_name_and_by_its_further_property() -> None:
    made = index(item("b"), item("a"), item("c", "red"))

    assert made.get("team-a", "a") == ("a", "blue")
    assert made.get("team-b", "a") is None
    assert made.by("blue") == [("a", "blue"), ("b", "blue")]
    assert made.by("green") == []


def test_an_object_that_changes_is_no_longer_found_by_what_it_was() -> None:
    made = index(item("a"), item("a", "red"))

    assert (made.by("blue"), made.by("red")) == ([], [("a", "red")])


def test_an_object_that_cannot_be_read_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    made = index(item("a"), item("a", "bad"))

    assert list(made) == []
    assert "team-a/a is left out: has no colour" in caplog.text


def test_dropping_what_is_not_there_is_harmless() -> None:
    made = index(item("a"))
    made.drop(("team-a", "b"))
    made.drop(("team-a", "a"))
    made.drop(("team-a", "a"))

    assert (list(made), made.by("blue")) == ([], [])


def test_after_a_list_of_all_namespaces_what_was_not_in_it_is_gone() -> None:
    made = index(item("a"), item("b"), item("c", namespace="team-b"))

    made.retain({("team-a", "a")}, "")

    assert list(made) == [("a", "blue")]


def test_after_a_list_of_one_namespace_the_others_stay() -> None:
    made = index(item("a"), item("b"), item("c", namespace="team-b"))

    made.retain({("team-a", "a")}, "team-a")

    assert sorted(made) == [("a", "blue"), ("c", "blue")]


_changes = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["blue", "red", "bad", ""])), max_size=30
)


@given(_changes)
def test_whatever_came_and_went_both_ways_find_the_same(changes: list[tuple[str, str]]) -> None:
    made = index()
    there: dict[str, str] = {}
    for name, shade in changes:
        if shade:
            made.put(item(name, shade))
            there[name] = shade
        else:
            made.drop(("team-a", name))
            there.pop(name, None)

    expected = sorted((name, shade) for name, shade in there.items() if shade != "bad")
    assert sorted(made) == expected
    assert sorted(made.by("blue") + made.by("red")) == expected
