"""E33."""

from typing import Any

from tests.unit.experiments.verdicts.case import TRACE, Case, both

_OUTSIDE = ("masquerade (bridge)", "MTU (tuning)")
_INSIDE = (
    "sysctl of the link (tuning)",
    "sysctl of the namespace (tuning)",
    "rule by source (sbr)",
    "default route in its table (sbr)",
)
_ALL = dict.fromkeys((*_OUTSIDE, *_INSIDE), True)


def _data(*lost: str, kept: bool = True, inplace: bool = True) -> dict[str, Any]:
    moved = _ALL | dict.fromkeys(lost, False)
    return {
        "CNI alone": _ALL,
        "moved by the engine": moved,
        "shim, handover": _ALL if kept else moved,
        "shim, inplace": _ALL | {"MTU (tuning)": inplace},
        "in place fell back to handover": False,
        "traces": {"chained": TRACE},
    }


CASES = [
    Case("E33", "lost, and put back", both(_data(*_INSIDE)), both("stands"), "fully", (True, False, True)),
    Case("E33", "lost", both(_data(*_INSIDE, kept=False)), both("stands"), "partly", (True, True, True)),
    Case("E33", "some lost", both(_data(*_INSIDE[2:])), both("weakened"), "fully", (True, False, True)),
    Case("E33", "none lost", both(_data(inplace=False)), both("refuted"), "fully", (True, False, False)),
]
