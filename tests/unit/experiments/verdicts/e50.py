"""E50."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(steps: int, *, answered: bool = True) -> dict[str, Any]:
    return {
        "calls": ["Join"] * 7,
        "steps": {f"step {number}": "ip link" for number in range(steps)},
        "answered": answered,
    }


CASES = [
    Case("E50", "with work left", both(_data(6)), both("weakened"), "no need", (True,)),
    Case("E50", "as it is", both(_data(0)), both("stands"), "no need", (False,)),
    Case("E50", "no answer", both(_data(6, answered=False)), both("refuted"), "no need", (False,)),
]
