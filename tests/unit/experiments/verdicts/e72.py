"""E72."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_ONE: dict[str, list[str]] = {"links": ["eth0"], "default": []}
_NONE: dict[str, list[str]] = {"links": [], "default": []}


def _data(given: dict[str, Any], shim: dict[str, Any]) -> dict[str, Any]:
    return {
        "no gateway": given,
        "no gateway, DisableGatewayService": _NONE,
        "shim, chain without default route": shim,
    }


CASES = [
    Case(
        "E72",
        "a way out",
        both(_data({"links": ["eth0"], "default": ["default via 172.18.0.1"]}, _ONE)),
        both("stands"),
        "fully",
        (True, True),
    ),
    Case(
        "E72",
        "a link",
        both(_data(_ONE, {"links": ["eth0", "eth1"], "default": []})),
        both("weakened"),
        "not at all",
        (False, False),
    ),
    Case("E72", "nothing", both(_data(_NONE, _ONE)), both("refuted"), "fully", (False, True)),
]
