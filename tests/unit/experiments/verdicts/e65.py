"""E65."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(told: int, right: int) -> dict[str, Any]:
    return {
        "calls": 5,
        "with_id": told,
        "with_name": 0,
        "containers": 20,
        "names_right": right,
        "ids_right": right,
    }


CASES = [
    Case("E65", "to be found out", both(_data(0, 20)), both("weakened"), "fully", (True, True)),
    Case("E65", "not for sure", both(_data(0, 19)), both("stands"), "partly", (True, False)),
    Case("E65", "told", both(_data(1, 20)), both("refuted"), "fully", (False, True)),
]
