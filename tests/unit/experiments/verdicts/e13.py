"""E13."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_RIGHT = {"right": True, "error": ""}


def _data(statuses: list[int], made: int, *used: dict[str, Any]) -> dict[str, Any]:
    return {"statuses": statuses, "crowd": [201] * made + [409] * (20 - made), "used": list(used)}


_UNIQUE = _data([201, 409], 1, _RIGHT)

CASES = [
    Case(
        "E13",
        "as seen, told apart",
        {"20.10": _data([201, 201], 20, _RIGHT, _RIGHT), "newest": _UNIQUE},
        {"20.10": "stands", "newest": "fixed in 25.0"},
        "fully",
        (True, True),
    ),
    Case(
        "E13",
        "refused by the engine",
        {"20.10": _data([201, 201], 20, {"right": False, "error": "ambiguous"}), "newest": _UNIQUE},
        {"20.10": "stands", "newest": "fixed in 25.0"},
        "partly",
        (True, True),
    ),
    Case(
        "E13",
        "a race, and confusion",
        both(_data([201, 409], 2, {"right": False, "error": ""})),
        both("weakened"),
        "not at all",
        (False, False),
    ),
]
