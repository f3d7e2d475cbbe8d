"""E11."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_SILENT = {"status": 0, "seconds": 2.0}
_ANSWERED = {"status": 200, "seconds": 0.1}
_ALL = {"option, no API": True, "name, no API": False, "name, with API": True}


def _data(*, within: bool = False, later: bool = True, silent: bool = True, **shim: bool) -> dict[str, Any]:
    moments = {
        "within CreateNetwork": within,
        "after CreateNetwork": later,
        "within CreateEndpoint": later,
        "within Join": later,
    }
    asked = {moment: [{"found": found, "seconds": 0.001}] * 2 for moment, found in moments.items()}
    answer = _SILENT if silent else _ANSWERED
    named = {"option, no API": shim.get("option", True), "name, with API": shim.get("name", True)}
    return {"asked": asked, "container": answer, "starting": answer, "shim": _ALL | named}


CASES = [
    Case("E11", "later", both(_data()), both("weakened"), "fully", (True, True, True, True)),
    Case(
        "E11",
        "at once",
        both(_data(within=True, silent=False, name=False)),
        both("refuted"),
        "partly",
        (False, True, False, False),
    ),
    Case(
        "E11",
        "never",
        both(_data(later=False, option=False, name=False)),
        both("stands"),
        "not at all",
        (True, False, True, True),
    ),
]
