"""E32."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(proxy: int, *, works: bool = True) -> dict[str, Any]:
    script = {"lines": 6, "docker": works, "alone": True, "noted": 1, "same_shim": True}
    return {
        "before": False,
        "script": script,
        "proxy": {"lines": proxy, "old_network": False, "new_network": True, "noted": 1},
    }


CASES = [
    Case("E32", "easy", both(_data(29)), both("stands"), "fully", (True, True)),
    Case("E32", "as easy", both(_data(10)), both("weakened"), "fully", (True, False)),
    Case("E32", "it fails", both(_data(29, works=False)), both("refuted"), "not at all", (False, True)),
]
