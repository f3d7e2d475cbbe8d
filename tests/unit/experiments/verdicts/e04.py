"""E04."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case


def _data(nested: int, objects: int) -> dict[str, Any]:
    return {
        "keys": {"network": 10},
        "bytes": {"network": 900},
        "writes": 60,
        "nested": nested,
        "objects": objects,
        "example": "{}",
    }


CASES = [
    Case("E04", "JSON in JSON", _data(10, 30), {"20.10": "stands"}, "fully", (True,)),
    Case("E04", "plain JSON", _data(0, 30), {"20.10": "weakened"}, "fully", (False,)),
    Case("E04", "single values", _data(0, 0), {"20.10": "refuted"}, "fully", (False,)),
]
