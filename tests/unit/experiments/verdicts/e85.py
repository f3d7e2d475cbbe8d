"""E85."""

from typing import Any

from tests.unit.experiments.verdicts.case import TRACE, Case, both

_EFFECTS = {"MTU (tuning)": True, "rule by source (sbr)": True}
_NONE = dict.fromkeys(_EFFECTS, False)
_FEWER = _EFFECTS | {"MTU (tuning)": False}


def _arm(start: dict[str, bool], restart: dict[str, bool], *, inside: bool) -> dict[str, Any]:
    return {
        "start": start,
        "restart": restart,
        "inside": [inside],
        "shown": [True],
        "traces": [TRACE],
        "left": [{}],
    }


def _data(
    *,
    inplace: dict[str, bool] = _EFFECTS,
    handover: dict[str, bool] = _EFFECTS,
    inside: bool = True,
    after: dict[str, bool] = _NONE,
) -> dict[str, Any]:
    return {
        "shim, inplace": _arm(inplace, inplace, inside=inside),
        "shim, handover": _arm(handover, handover, inside=False),
        "cnm-cni cni, after the start": _arm(_EFFECTS, after, inside=True),
    }


_FELL_BACK = _data(inside=False)

CASES = [
    Case(
        "E85",
        "handover keeps all",
        {"20.10": _FELL_BACK, "newest": _data()},
        both("weakened"),
        "fully",
        (True, True, True),
    ),
    Case(
        "E85",
        "in place alone keeps all",
        both(_data(handover=_FEWER)),
        both("stands"),
        "fully",
        (False, False, True),
    ),
    Case(
        "E85",
        "nothing keeps all",
        both(_data(inplace=_FEWER, handover=_FEWER, after=_FEWER)),
        both("refuted"),
        "partly",
        (False, False, False),
    ),
]
