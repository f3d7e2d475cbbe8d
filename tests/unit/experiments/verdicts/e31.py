"""E31."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(start: int, end: int, *, runs: int = 2) -> dict[str, Any]:
    def way(first: int, last: int, count: int) -> dict[str, Any]:
        return {
            "start": {"calls": ["c"] * first, "runs": ["bridge ADD"] * count},
            "end": {"calls": ["c"] * last, "runs": ["bridge DEL"] * count},
        }

    return {"null": way(start, end, runs), "cni": way(start, end, runs), "alone": way(1, 1, 2)}


CASES = [
    Case("E31", "many calls", both(_data(5, 3)), both("stands"), "fully", (True, True)),
    Case("E31", "few calls", both(_data(2, 1, runs=3)), both("weakened"), "partly", (False, False)),
    Case("E31", "as few", both(_data(1, 1)), both("refuted"), "fully", (False, True)),
]
