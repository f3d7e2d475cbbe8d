"""E67."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(*, docker: bool = True, shim: bool = True, alone: bool = True) -> dict[str, Any]:
    def way(*, attached: bool, survived: bool | None) -> dict[str, Any]:
        return {"delivers": True, "before": "a", "after": "b", "attached": attached, "survived": survived}

    return {
        "Docker's bridge": way(attached=docker, survived=False),
        "shim": way(attached=shim, survived=False),
        "shim, fixed address": way(attached=shim, survived=True),
        "CNI alone": way(attached=alone, survived=None),
    }


CASES = [
    Case("E67", "all", both(_data()), both("refuted"), "fully", (True, True)),
    Case("E67", "not Docker's bridge", both(_data(docker=False)), both("weakened"), "fully", (False, True)),
    Case("E67", "not CNI", both(_data(alone=False, shim=False)), both("stands"), "partly", (False, True)),
]
