"""E62."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(docker: int, *, alone: int = 0, **inplace: list[str]) -> dict[str, Any]:
    found = {"Docker's bridge": ["veth"] * docker, "shim, handover": ["cni"], "CNI alone": ["x"] * alone}
    return found | {f"shim, {name}": left for name, left in inplace.items()}


CASES = [
    Case(
        "E62",
        "moved, then not",
        {"20.10": _data(1), "newest": _data(0)},
        {"20.10": "stands", "newest": "weakened"},
        "partly",
        (True, True),
    ),
    Case(
        "E62", "moved by all", both(_data(1, alone=1, inplace=[])), both("refuted"), "fully", (False, False)
    ),
]
