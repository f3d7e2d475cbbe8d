"""E09."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(local: str, other: str = "refused") -> dict[str, Any]:
    found = {
        name: {"error": other, "listed": "", "seconds": 0.1}
        for name in ("global", "empty", "capital", "other", "unknown")
    }
    return {"local": {"error": "" if local else "no", "listed": local, "seconds": 0.1}, **found}


CASES = [
    Case("E09", "taken at its word", both(_data("local")), both("fixed in 1.9"), "no need", (True, True)),
    Case(
        "E09", "global all the same", both(_data("global", "")), both("stands"), "not at all", (False, False)
    ),
    Case("E09", "refused", both(_data("")), both("weakened"), "not at all", (False, True)),
]
