"""E70."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(*called: str, noticed: bool = False) -> dict[str, Any]:
    runs = {"ADD": 3, "DEL": 3, "VERSION": 0} | {
        verb: int(verb in called) for verb in ("CHECK", "GC", "STATUS")
    }
    return {"version": "1.1.0", "runs": runs, "noticed": noticed, "by_hand": noticed, "waited": 35.0}


CASES = [
    Case("E70", "none", both(_data()), both("stands"), "not at all", (False, True)),
    Case("E70", "STATUS", both(_data("STATUS")), both("weakened"), "partly", (True, True)),
    Case(
        "E70",
        "all",
        both(_data("CHECK", "GC", "STATUS", noticed=True)),
        both("refuted"),
        "fully",
        (False, False),
    ),
]
