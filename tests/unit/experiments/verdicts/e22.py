"""E22."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(own: int, alias: int) -> dict[str, Any]:
    return {
        "container's name": {"looks": 50, "failed": own, "addresses": 3},
        "alias": {"looks": 50, "failed": alias, "addresses": 4},
    }


CASES = [
    Case("E22", "but not aliases", both(_data(9, 0)), both("weakened"), "partly", (True, True)),
    Case("E22", "aliases as well", both(_data(9, 3)), both("stands"), "partly", (True, False)),
    Case("E22", "nothing fails", both(_data(0, 0)), both("refuted"), "partly", (False, True)),
]
