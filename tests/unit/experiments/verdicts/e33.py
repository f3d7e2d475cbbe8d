"""E33."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_OUTSIDE = ("masquerade (bridge)", "MTU (tuning)")
_INSIDE = (
    "sysctl of the link (tuning)",
    "sysctl of the namespace (tuning)",
    "rule by source (sbr)",
    "default route in its table (sbr)",
)
_ALL = dict.fromkeys((*_OUTSIDE, *_INSIDE), True)


def _data(*lost: str, inplace: dict[str, Any] | None = None) -> dict[str, Any]:
    handover = _ALL | dict.fromkeys(lost, False)
    return {"CNI alone": _ALL, "handover": handover, "inplace": inplace or {"not here": "unknown"}}


CASES = [
    Case("E33", "lost inside", both(_data(*_INSIDE)), both("stands"), "partly", (True, True, None)),
    Case(
        "E33",
        "some lost",
        both(_data(*_INSIDE[2:], inplace=_ALL)),
        both("weakened"),
        "partly",
        (True, False, True),
    ),
    Case(
        "E33",
        "none lost",
        both(_data(inplace=_ALL | {"MTU (tuning)": False})),
        both("refuted"),
        "fully",
        (True, False, False),
    ),
]
