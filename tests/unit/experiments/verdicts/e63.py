"""E63."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(leaking: int, *, default: str = "type: --ipam-driver null") -> dict[str, Any]:
    steps = {
        f"step {number}": {"errors": ["no"], "left": {"leases": ["l"]} if number < leaking else {}}
        for number in range(3)
    }
    return {"steps": {"null": steps, "cni": steps}, "default": default}


CASES = [
    Case("E63", "nothing", both(_data(0)), both("refuted"), "fully", (True, True)),
    Case("E63", "something", both(_data(1)), both("weakened"), "partly", (False, True)),
    Case("E63", "always", both(_data(3, default="no")), both("stands"), "partly", (False, False)),
]
