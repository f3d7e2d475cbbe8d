"""E62."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(docker: int, *, alone: int = 0, inplace: int = 0) -> dict[str, Any]:
    return {
        "Docker's bridge": ["veth"] * docker,
        "shim, handover": ["cni"],
        "shim, inplace": ["x"] * inplace,
        "in place fell back to handover": inplace > 0,
        "CNI alone": ["x"] * alone,
    }


CASES = [
    Case(
        "E62",
        "moved, then not",
        {"20.10": _data(1), "newest": _data(0)},
        {"20.10": "stands", "newest": "weakened"},
        "fully",
        (True, True),
    ),
    Case(
        "E62", "moved by all", both(_data(1, alone=1, inplace=1)), both("refuted"), "partly", (False, False)
    ),
]
