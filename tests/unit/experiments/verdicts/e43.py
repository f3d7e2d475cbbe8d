"""E43."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_VERSIONS = ("0.3.1", "0.4.0", "1.0.0", "1.1.0", "1.0.0 and 1.1.0")


def _data(*failing: str, alone: bool = True) -> dict[str, Any]:
    return {
        version: {
            "Docker": "no" if version in failing else "",
            "CNI alone": "no" if version in failing and alone else "",
        }
        for version in _VERSIONS
    }


CASES = [
    Case(
        "E43",
        "an old one",
        {"20.10": _data("1.1.0"), "newest": _data()},
        {"20.10": "weakened", "newest": "refuted"},
        "fully",
        (True, True),
    ),
    Case("E43", "few", both(_data(*_VERSIONS[2:], alone=False)), both("stands"), "partly", (False, False)),
]
