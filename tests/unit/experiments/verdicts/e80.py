"""E80."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_REAL = {"IPAddress": "10.0.0.2", "MacAddress": "02:00:00:00:00:01", "Gateway": "10.0.0.1"}
_OTHERS = ("pause container and script", "OCI hook", "cnm-cni cni, after the start")


def _way(*, shown: bool) -> dict[str, Any]:
    return {
        "shown": _REAL if shown else dict.fromkeys(_REAL, ""),
        "real": _REAL,
        "entry": shown,
        "name": shown,
    }


def _data(*, shim: bool, others: bool) -> dict[str, Any]:
    ours = dict.fromkeys(("Docker's bridge", "Docker's macvlan"), _way(shown=True))
    return ours | {"shim, handover": _way(shown=shim)} | dict.fromkeys(_OTHERS, _way(shown=others))


CASES = [
    Case(
        "E80",
        "by the shim alone",
        both(_data(shim=True, others=False)),
        both("weakened"),
        "fully",
        (True, True),
    ),
    Case("E80", "by all", both(_data(shim=True, others=True)), both("refuted"), "fully", (False, False)),
    Case("E80", "by none", both(_data(shim=False, others=False)), both("stands"), "partly", (False, False)),
]
