"""E68."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(second: int, *, localhost: bool = True) -> dict[str, Any]:
    calls = [["Join"] * 4, ["Join"] * second, ["Join"] * second]
    return {"calls": calls, "addresses": ["10.0.0.2/24"] * 3, "localhost": localhost}


CASES = [
    Case("E68", "one attachment", both(_data(0)), both("refuted"), "fully", (True,)),
    Case("E68", "half of the calls", both(_data(2, localhost=False)), both("weakened"), "partly", (False,)),
    Case("E68", "each its own", both(_data(4)), both("stands"), "fully", (False,)),
]
