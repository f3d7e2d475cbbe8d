"""E31."""

from typing import Any

from tests.unit.experiments.verdicts.case import TRACE, Case, both


def _data(start: int, end: int, *, runs: int = 2) -> dict[str, Any]:
    def part(calls: int, run: str, count: int) -> dict[str, Any]:
        spans = [["Join", 0.1, 0.2]] * calls
        return {
            "calls": ["Join"] * calls,
            "runs": [run] * count,
            "seconds": 0.4,
            "spans": spans,
            "trace": TRACE,
        }

    def way(first: int, last: int, count: int) -> dict[str, Any]:
        return {"start": part(first, "bridge ADD", count), "end": part(last, "bridge DEL", count)}

    return {"null": way(start, end, runs), "cni": way(start, end, runs), "alone": way(1, 1, 2)}


CASES = [
    Case("E31", "many calls", both(_data(5, 3)), both("stands"), "fully", (True, True)),
    Case("E31", "few calls", both(_data(2, 1, runs=3)), both("weakened"), "partly", (False, False)),
    Case("E31", "as few", both(_data(1, 1)), both("refuted"), "fully", (False, True)),
]
