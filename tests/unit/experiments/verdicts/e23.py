"""E23."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_ANSWER = "198.51.100.23"


def _data(before: str, during: str) -> dict[str, Any]:
    found = {
        "before": before,
        "while it is there": during,
        "from another network": _ANSWER,
        "after it": _ANSWER,
    }
    return {"container": "10.0.0.2", "found": found}


CASES = [
    Case("E23", "hidden", both(_data(_ANSWER, "10.0.0.2")), both("stands"), "not at all", (True,)),
    Case("E23", "not known before", both(_data("", "10.0.0.2")), both("weakened"), "not at all", (False,)),
    Case("E23", "not hidden", both(_data(_ANSWER, _ANSWER)), both("refuted"), "not at all", (False,)),
]
