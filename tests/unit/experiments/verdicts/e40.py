"""E40."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_RUNTIMES = ("Docker", "podman", "CNI alone")


def _data(*, last: str = "10.0.0.4", reached: bool = True) -> dict[str, Any]:
    pairs = [f"{one} to {other}" for one in _RUNTIMES for other in _RUNTIMES if one != other]
    return {
        "addresses": dict(zip(_RUNTIMES, ("10.0.0.2", "10.0.0.3", last), strict=True)),
        "reached": dict.fromkeys(pairs, True) | {"Docker to podman": reached},
        "leases": {"during": [], "after": []},
        "hash": "0123456789abcdef",
        "unchanged": True,
    }


CASES = [
    Case("E40", "all together", both(_data()), both("stands"), "fully", (True,)),
    Case("E40", "a pair apart", both(_data(reached=False)), both("weakened"), "partly", (False,)),
    Case("E40", "one address twice", both(_data(last="10.0.0.3")), both("refuted"), "partly", (False,)),
]
