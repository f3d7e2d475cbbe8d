"""E24."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(*, others: int = 0, own: bool = True, kept: int = 100) -> dict[str, Any]:
    file = {"network": "cni", "lines": 7, "duplicates": 0, "others": others, "own": own}
    return {"files": {"box0": file}, "appended": 100, "kept": kept, "changes": 20}


CASES = [
    Case("E24", "clean", both(_data()), both("fixed in 1.10"), "fully", (True, True, False)),
    Case("E24", "lost lines", both(_data(kept=98)), both("weakened"), "partly", (True, True, True)),
    Case(
        "E24",
        "entries of others",
        both(_data(others=3, own=False)),
        both("stands"),
        "partly",
        (False, False, False),
    ),
]
