"""E25."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_SERVER, _DOMAIN = "nameserver 192.0.2.53", "search corp.example"


def _data(plain: str, given: str) -> dict[str, Any]:
    return {"result": {"nameservers": ["192.0.2.53"]}, "plain": plain, "given": given, "warned": True}


CASES = [
    Case("E25", "lost", both(_data("", _DOMAIN)), both("stands"), "partly", (True, True)),
    Case("E25", "lost whatever is given", both(_data("", "")), both("stands"), "not at all", (True, False)),
    Case("E25", "half", both(_data(_SERVER, _DOMAIN)), both("weakened"), "partly", (False, True)),
    Case(
        "E25", "kept", both(_data(f"{_SERVER} {_DOMAIN}", _DOMAIN)), both("refuted"), "fully", (False, True)
    ),
]
