"""E07."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(*, reached: bool = True, defaults: int = 1) -> dict[str, Any]:
    looked = {
        "reached": {"own": reached, "cni1": True},
        "links": ["lo", "eth0"],
        "default": ["default"] * defaults,
    }
    return {"networks": ["own", "cni1"], "started": looked, "restarted": looked}


CASES = [
    Case("E07", "in peace", both(_data()), both("refuted"), "fully", (True,)),
    Case("E07", "two default routes", both(_data(defaults=2)), both("weakened"), "partly", (False,)),
    Case("E07", "one is not reached", both(_data(reached=False)), both("stands"), "partly", (False,)),
]
