"""E61."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(*, mark: bool, error: str = "") -> dict[str, Any]:
    return {"error": error, "in_join": "1", "in_container": "" if error else "2", "mark": mark}


CASES = [
    Case(
        "E61",
        "lost and kept",
        {"20.10": _data(mark=False), "newest": _data(mark=True)},
        {"20.10": "stands", "newest": "fixed in 28.0"},
        "fully",
        (True, True),
    ),
    Case("E61", "no start", both(_data(mark=False, error="no")), both("weakened"), "fully", (True, False)),
]
