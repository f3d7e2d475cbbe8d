"""E34."""

from tests.unit.experiments.verdicts.case import Case, both

_JOBS = (
    "a bridge, cbr0",
    "an address of the node's range",
    "hairpin mode",
    "a promiscuous bridge",
    "masquerade",
    "host ports",
    "shaping",
)


def _data(missing: int) -> dict[str, bool]:
    return {job: number >= missing for number, job in enumerate(_JOBS)}


CASES = [
    Case("E34", "all", both(_data(0)), both("stands"), "fully", (True,)),
    Case("E34", "almost all", both(_data(1)), both("weakened"), "partly", (False,)),
    Case("E34", "few", both(_data(5)), both("refuted"), "partly", (False,)),
]
