"""E16."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_CHANGES = ("masquerade off", "address store moved", "firewall dropped", "file deleted")


def _data(leaking: int, *, shim: bool = False) -> dict[str, Any]:
    clean: dict[str, dict[str, list[str]]] = {key: {} for key in ("nothing changed", *_CHANGES)}
    dirty = {change: {"rules": ["r"]} for change in _CHANGES[:leaking]}
    return {"script": clean | dirty, "shim": clean | ({"file deleted": {"leases": ["l"]}} if shim else {})}


CASES = [
    Case("E16", "always", both(_data(4)), both("stands"), "fully", (True, True)),
    Case("E16", "at times", both(_data(1)), both("weakened"), "fully", (False, True)),
    Case(
        "E16", "never, but by the shim", both(_data(0, shim=True)), both("refuted"), "partly", (False, False)
    ),
]
