"""E76."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(differing: int) -> dict[str, Any]:
    return {
        "CNI network": {f"outcome {number}": number >= differing for number in range(9)},
        "Docker's bridge": {f"outcome {number}": True for number in range(9)},
    }


CASES = [
    Case("E76", "all alike", both(_data(0)), both("refuted"), "fully", (True,)),
    Case("E76", "one differs", both(_data(1)), both("weakened"), "partly", (False,)),
    Case("E76", "most differ", both(_data(8)), both("stands"), "partly", (False,)),
]
