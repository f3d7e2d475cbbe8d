"""E64."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_WAYS = ("host-local, null", "host-local, cni", "static, null")


def _data(right: int) -> dict[str, Any]:
    real = ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
    return {
        way: {"shown": real if number < right else ["", "", ""], "real": real, "asked": True, "error": ""}
        for number, way in enumerate(_WAYS)
    }


CASES = [
    Case("E64", "all", both(_data(3)), both("refuted"), "fully", (True, True)),
    Case("E64", "some", both(_data(2)), both("weakened"), "partly", (True, False)),
    Case("E64", "none", both(_data(0)), both("stands"), "partly", (False, False)),
]
