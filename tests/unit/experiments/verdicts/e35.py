"""E35."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(shim: float, pause: float = 0.9) -> dict[str, Any]:
    alone = {
        "no network": [0.2, 0.2],
        "Docker's bridge": [0.3, 0.3],
        "shim, handover": [shim, shim],
        "pause container and script": [pause, pause],
        "bare plugins, without a container": [0.1, 0.1],
    }
    return {"alone": alone, "wide": {"no network": [8.0]}, "left": {"no network": 0}}


CASES = [
    Case("E35", "cheap", both(_data(0.34)), both("stands"), "fully", (True, True)),
    Case("E35", "not so cheap", both(_data(0.45)), both("weakened"), "fully", (True, False)),
    Case("E35", "dear", both(_data(1.0)), both("refuted"), "partly", (False, False)),
]
