"""E86."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _arm(started: float, address: float, everything: float) -> dict[str, Any]:
    return {
        "started": [started] * 2,
        "address": [0.3, 0.2],
        "everything": [0.3, 0.4],
        "address, at once": [1.0, address],
        "everything, at once": [1.0, everything],
    }


def _after(found: float) -> dict[str, Any]:
    return _arm(0.3, found, found) | {"address, at once": [found, found]}


def _data(*, address: float = 1, everything: float = 1, after: float = 0) -> dict[str, Any]:
    return {
        "shim, inplace": _arm(0.5, 1, 1),
        "shim, handover": _arm(0.5, address, everything),
        "cnm-cni cni, after the start": _after(after),
    }


CASES = [
    Case("E86", "all before the start", both(_data()), both("stands"), "fully", (True, False, True)),
    Case(
        "E86",
        "something put back late",
        {"20.10": _data(everything=0), "newest": _data()},
        both("stands"),
        "partly",
        (True, True, True),
    ),
    Case(
        "E86",
        "an address late",
        both(_data(address=0, everything=0)),
        both("weakened"),
        "partly",
        (False, False, True),
    ),
    Case("E86", "never late", both(_data(after=1)), both("refuted"), "fully", (False, False, True)),
]
