"""E81."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_BOXES = ("bridge1", "bridge2", "cni1", "cni2", "pod1", "pod2", "podman1")


def _data(*, same: bool, across: bool) -> dict[str, Any]:
    def tries(one: str, other: str) -> dict[str, bool]:
        is_across = one.startswith("bridge") != other.startswith("bridge")
        return dict.fromkeys(("ping", "TCP"), across if is_across else same)

    return {f"{one} to {other}": tries(one, other) for one in _BOXES for other in _BOXES if one != other}


CASES = [
    Case(
        "E81", "by the network", both(_data(same=True, across=False)), both("weakened"), "fully", (True, True)
    ),
    Case("E81", "everywhere", both(_data(same=True, across=True)), both("refuted"), "fully", (True, False)),
    Case("E81", "nowhere", both(_data(same=False, across=False)), both("stands"), "partly", (False, True)),
]
