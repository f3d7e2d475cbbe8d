"""E73."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_ALL = ["10.73.0.5/24", "10.73.1.5/24", "fd00:73::5/64", "fd00:74::5/64"]
_TWO = [_ALL[0], _ALL[2]]


def _data(handover: list[str], shown: list[str], inplace: list[str]) -> dict[str, Any]:
    return {
        "CNI alone": _ALL,
        "handover": handover,
        "handover, shown": shown,
        "inplace": inplace,
        "inplace, shown": _TWO,
        "fell back": False,
    }


CASES = [
    Case("E73", "one of each", both(_data(_TWO, _TWO, _ALL)), both("stands"), "partly", (True, True)),
    Case(
        "E73", "all there, two shown", both(_data(_ALL, _TWO, _ALL)), both("stands"), "fully", (False, True)
    ),
    Case("E73", "three shown", both(_data(_ALL, _ALL[:3], _ALL)), both("weakened"), "fully", (False, True)),
    Case("E73", "all shown", both(_data(_ALL, _ALL, _TWO)), both("refuted"), "fully", (False, False)),
]
