"""E41."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(*, twice: int = 0, left: int = 0) -> dict[str, Any]:
    return {"attached": 80, "twice": twice, "failures": [], "left": left}


CASES = [
    Case("E41", "clean", both(_data()), both("stands"), "fully", (True,)),
    Case("E41", "a lease stays", both(_data(left=1)), both("weakened"), "partly", (False,)),
    Case("E41", "twice", both(_data(twice=1)), both("refuted"), "partly", (False,)),
]
