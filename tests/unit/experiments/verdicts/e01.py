"""E01."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(**changed: Any) -> dict[str, Any]:
    pairs = [f"{here} of {there}" for here in ("20.10", "newest") for there in ("20.10", "newest")]
    return {
        "ids": {"20.10": "a", "newest": "b"},
        "calls": {"20.10": 6, "newest": 0},
        "logical_ids": {"20.10": "c", "newest": "d"},
        "resolved": dict.fromkeys(pairs, True),
        "containers": ["one", "two"],
    } | changed


_RESOLVED = _data()["resolved"]

CASES = [
    Case("E01", "nothing in common", _data(), both("stands"), "fully", (True, True)),
    Case(
        "E01",
        "calls on the other node",
        _data(calls=both(6), resolved=_RESOLVED | {"newest of 20.10": False}),
        both("weakened"),
        "partly",
        (False, False),
    ),
    Case(
        "E01",
        "one ID",
        _data(ids=both("a"), resolved=dict.fromkeys(_RESOLVED, False), containers=[]),
        both("refuted"),
        "not at all",
        (False, False),
    ),
]
