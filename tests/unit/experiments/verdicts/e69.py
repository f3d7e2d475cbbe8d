"""E69."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_INTERRUPTIONS = (
    "a plugin fails",
    "a plugin hangs",
    "the shim is killed",
    "the engine is killed",
    "both are killed",
)


def _data(*leaking: str, script: bool = True) -> dict[str, Any]:
    shim = {
        what: {"left": {"rules": ["r"]} if what in leaking else {}, "seconds": 1.0, "runs": ["ADD", "DEL"]}
        for what in _INTERRUPTIONS
    }
    return {"shim": shim, "script": {"leases": ["l"]} if script else {}}


CASES = [
    Case("E69", "only by the script", both(_data()), both("weakened"), "fully", (True, True)),
    Case("E69", "by both", both(_data("the shim is killed")), both("stands"), "partly", (False, True)),
    Case("E69", "by none", both(_data(script=False)), both("refuted"), "fully", (True, False)),
]
