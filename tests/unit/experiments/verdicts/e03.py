"""E03."""

from tests.unit.experiments.verdicts.case import Case

_REFUSED = {"status": 1, "error": "legacy plugin is not supported in swarm mode"}
_MADE = {"status": 0, "error": ""}

CASES = [
    Case(
        "E03",
        "global, and as local as any",
        {"option": "no such option", "alone": _MADE | {"scope": "global"}, "swarm": _REFUSED},
        {"newest": "refuted"},
        "not at all",
        (True, True, True),
    ),
    Case(
        "E03",
        "no store, and no network",
        {"option": "no such option", "alone": _REFUSED | {"scope": ""}, "swarm": _MADE},
        {"newest": "weakened"},
        "partly",
        (True, False, False),
    ),
    Case(
        "E03",
        "a store is needed",
        {"option": "", "alone": _REFUSED | {"scope": ""}, "swarm": _MADE},
        {"newest": "stands"},
        "partly",
        (False, False, False),
    ),
]
