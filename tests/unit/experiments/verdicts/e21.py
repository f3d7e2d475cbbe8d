"""E21."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _way(service: bool, container: bool) -> dict[str, Any]:  # noqa: FBT001 - two marks
    return {"the service": service, "the service, short": service, "the container": container, "asked": 1}


def _data(dns: dict[str, Any], mounted: dict[str, Any]) -> dict[str, Any]:
    return {"no option": _way(False, True), "--dns, --dns-search": dns, "mounted resolv.conf": mounted}  # noqa: FBT003 - marks


_BOTH, _SERVICE, _CONTAINER = (_way(*marks) for marks in ((True, True), (True, False), (False, True)))

CASES = [
    Case("E21", "by --dns", both(_data(_BOTH, _SERVICE)), both("refuted"), "fully", (True, True, True)),
    Case(
        "E21",
        "by a mount",
        both(_data(_CONTAINER, _SERVICE)),
        both("weakened"),
        "partly",
        (True, False, True),
    ),
    Case(
        "E21",
        "in no way",
        both(_data(_CONTAINER, _CONTAINER)),
        both("stands"),
        "not at all",
        (True, False, False),
    ),
]
