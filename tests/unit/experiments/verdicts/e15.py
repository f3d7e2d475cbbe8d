"""E15."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(*counts: int) -> dict[str, Any]:
    labels = ("label-network", "label-container", "label-compose-network", "label-compose-service")
    return {"version": "29.1", "calls": 13, "found": dict(zip(labels, counts, strict=True))}


CASES = [
    Case("E15", "none", both(_data(0, 0, 0, 0)), both("refuted"), "partly", (True,)),
    Case("E15", "some", both(_data(1, 0, 0, 0)), both("weakened"), "partly", (False,)),
    Case("E15", "all", both(_data(1, 1, 1, 1)), both("stands"), "partly", (False,)),
]
