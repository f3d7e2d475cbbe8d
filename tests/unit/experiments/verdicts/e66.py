"""E66."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(*endpoints: str, address: bool = True) -> dict[str, Any]:
    addresses = ["10.0.0.2"] * 4 if address else ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]
    life = {"endpoints": list(endpoints), "addresses": addresses}
    return {"Docker's bridge": life, "shim": life, "shim, cni.ips": life}


CASES = [
    Case("E66", "anew", both(_data("a", "b", "c", "d")), both("refuted"), "partly", (True, True)),
    Case(
        "E66",
        "at times",
        both(_data("a", "a", "b", "c", address=False)),
        both("weakened"),
        "not at all",
        (False, False),
    ),
    Case("E66", "kept", both(_data("a", "a", "a", "a")), both("stands"), "partly", (False, True)),
]
