"""E73."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_ALL = ["10.73.0.5/24", "10.73.1.5/24", "fd00:73::5/64", "fd00:74::5/64"]
_TWO = [_ALL[0], _ALL[2]]


def _data(handover: list[str], shown: list[str], **inplace: list[str]) -> dict[str, Any]:
    found = {"CNI alone": _ALL, "handover": handover, "handover, shown": shown} | inplace
    return found | ({"inplace, shown": _TWO} if inplace else {})


CASES = [
    Case("E73", "one of each", both(_data(_TWO, _TWO)), both("stands"), "partly", (True, None)),
    Case(
        "E73",
        "all, not shown",
        both(_data(_ALL, _TWO, inplace=_ALL)),
        both("weakened"),
        "fully",
        (False, True),
    ),
    Case(
        "E73", "all, shown", both(_data(_ALL, _ALL, inplace=_TWO)), both("refuted"), "fully", (False, False)
    ),
]
