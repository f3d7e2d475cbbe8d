"""E83."""

from tests.unit.experiments.verdicts.case import Case, both

_CHECKS = (
    "by name",
    "by the port",
    "the outside",
    "in inspect",
    "no link of Docker's",
    "no chain of Docker's",
)


def _data(missing: int) -> dict[str, bool]:
    return {check: number >= missing for number, check in enumerate(_CHECKS)}


CASES = [
    Case("E83", "all", both(_data(0)), both("stands"), "fully", (True,)),
    Case("E83", "some", both(_data(1)), both("weakened"), "partly", (False,)),
    Case("E83", "few", both(_data(5)), both("refuted"), "partly", (False,)),
]
