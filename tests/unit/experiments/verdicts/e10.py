"""E10."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case

_SILENT: dict[str, list[str]] = {
    "name-of-network": [],
    "name-of-container": [],
    "label-of-network": [],
    "label-of-container": [],
    "name-of-host": [],
    "option-of-network": ["NetworkDriver.CreateNetwork"],
    "option-of-endpoint": ["NetworkDriver.CreateEndpoint"],
}


def _engine(*, by_name: bool = True, **found: list[str]) -> dict[str, Any]:
    words = {key.replace("_", "-"): calls for key, calls in found.items()}
    return {"version": "29.1", "bodies": 18, "found": _SILENT | words, "shim_by_own_name": by_name}


CASES = [
    Case(
        "E10",
        "no name, and a name in IPAM",
        {"20.10": _engine(), "newest": _engine(name_of_container=["IpamDriver.RequestAddress"])},
        {"20.10": "stands", "newest": "weakened"},
        "fully",
        (False, True),
    ),
    Case(
        "E10",
        "a name in CreateNetwork",
        {
            "20.10": _engine(by_name=False),
            "newest": _engine(name_of_network=["NetworkDriver.CreateNetwork"], option_of_endpoint=[]),
        },
        {"20.10": "stands", "newest": "fixed in 29.1"},
        "partly",
        (False, False),
    ),
]
