"""E02."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case


def _data(default: str, null: str) -> dict[str, Any]:
    without = {
        name: {"status": int(bool(error)), "error": error}
        for name, error in (("default", default), ("null", null))
    }
    return {
        "without": without,
        "with": {"create": "", "run": "", "keys": ["/docker/network/v1.0/network/a"]},
        "shim_scope": "local",
    }


CASES = [
    Case(
        "E02", "both fail", _data("no datastore", "no datastore"), {"20.10": "stands"}, "fully", (True, True)
    ),
    Case("E02", "one fails", _data("swarm", ""), {"20.10": "weakened"}, "fully", (False, True)),
    Case("E02", "none fails", _data("", ""), {"20.10": "refuted"}, "fully", (False, True)),
]
