"""E75."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_FLAGS = (
    "--mac-address",
    "--ip",
    "--ip6",
    "--link-local-ip",
    "--sysctl",
    "--network-alias",
    "--hostname",
    "--add-host",
    "--dns",
    "--publish",
)


def _data(outcome: str, count: int) -> dict[str, Any]:
    flags = {
        flag: {
            "outcome": outcome if number < count else "honoured",
            "error": "no" if outcome == "refused" and number < count else "",
        }
        for number, flag in enumerate(_FLAGS)
    }
    return {"CNI, null": flags, "CNI, cni": flags, "Docker's bridge": flags}


CASES = [
    Case("E75", "all honoured", both(_data("honoured", 0)), both("refuted"), "fully", (True,)),
    Case("E75", "some refused", both(_data("refused", 2)), both("refuted"), "partly", (True,)),
    Case("E75", "some ignored", both(_data("ignored", 1)), both("weakened"), "partly", (False,)),
    Case("E75", "most ignored", both(_data("ignored", 9)), both("stands"), "partly", (False,)),
]
