"""E60."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case

_STARTS = ("run", "restart", "start", "compose up")


def _data(found: int, *, address: bool = True) -> dict[str, Any]:
    actions = {name: {"joins": 1, "exists": 0, "namespace": 0, "links": []} for name in _STARTS}
    for name in _STARTS[:found]:
        actions[name] = actions[name] | {"namespace": 1}
    actions["connect, running"] = {"joins": 1, "exists": 1, "namespace": 1, "links": ["lo"]}
    actions["connect, stopped"] = {"joins": 0, "exists": 0, "namespace": 0, "links": []}
    return {"actions": actions, "shim_address": address}


CASES = [
    Case(
        "E60",
        "never and always",
        {"20.10": _data(0), "newest": _data(4)},
        {"20.10": "stands", "newest": "fixed in 28.0"},
        "fully",
        (True, True, True),
    ),
    Case(
        "E60",
        "at times",
        {"20.10": _data(2), "newest": _data(2, address=False)},
        {"20.10": "weakened", "newest": "weakened"},
        "partly",
        (False, False, True),
    ),
]
