"""E12."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(*, right: bool = True, change: float | None = 0.5, away: str = "") -> dict[str, Any]:
    return {
        "right": [right] * 6,
        "change": change,
        "away": [away] * 2,
        "unknown": {"error": "no such", "seconds": 0.1},
    }


CASES = [
    Case("E12", "works on without", both(_data()), both("refuted"), "fully", (True, True, True)),
    Case(
        "E12",
        "a change is lost",
        both(_data(change=None, away="no answer")),
        both("weakened"),
        "partly",
        (True, False, False),
    ),
    Case("E12", "confused", both(_data(right=False)), both("stands"), "partly", (False, True, True)),
]
