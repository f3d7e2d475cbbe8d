"""Lists read item by item are what they are read as a whole."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.kube.lists import ListReader

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=10,
)
_lists = st.fixed_dictionaries(
    {"items": st.lists(st.dictionaries(st.text(), _json, max_size=3), max_size=5)},
    optional={"kind": st.text(), "metadata": st.dictionaries(st.text(), _json, max_size=3)},
)


@given(
    _lists, st.fixed_dictionaries({"indent": st.sampled_from([None, 1, "\t"]), "sort_keys": st.booleans()})
)
def test_a_list_is_read_whatever_its_form(value: dict[str, Any], form: dict[str, Any]) -> None:
    reader = ListReader(json.dumps(value, **form) + "\n")

    assert {"items": list(reader), **reader.rest} == value


@pytest.mark.parametrize(("text", "rest"), [("{}", {}), ('{"items": null, "a": 1}', {"items": None, "a": 1})])
def test_a_list_without_items_is_empty(text: str, rest: dict[str, Any]) -> None:
    reader = ListReader(text)

    assert (list(reader), reader.rest) == ([], rest)


_BAD = (
    "",
    "[]",
    "null",
    "{",
    '{"items"',
    '{"items": [',
    '{"items": [{}',
    '{"items": [{} {}]}',
    '{"a": 1,}',
    '{"a" 1}',
)


@pytest.mark.parametrize("text", _BAD)
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|Expecting"):
        list(ListReader(text))
