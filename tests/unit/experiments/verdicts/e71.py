"""E71."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _way(error: str, routes: int = 0) -> dict[str, Any]:
    return {"error": error, "routes": ["route"] * routes}


def _data(docker: dict[str, Any], shim: dict[str, Any], alone: dict[str, Any]) -> dict[str, Any]:
    return {"drivers of our own": docker, "shim": shim, "CNI alone": alone}


CASES = [
    Case(
        "E71",
        "Docker says so",
        both(_data(_way("file exists"), _way("file exists"), _way("", 1))),
        both("stands"),
        "fully",
        (True, True),
    ),
    Case(
        "E71",
        "both say so",
        both(_data(_way("file exists"), _way("", 1), _way("file exists"))),
        both("weakened"),
        "partly",
        (True, True),
    ),
    Case(
        "E71",
        "Docker is silent",
        both(_data(_way("", 2), _way("", 2), _way("", 2))),
        both("refuted"),
        "partly",
        (False, False),
    ),
]
