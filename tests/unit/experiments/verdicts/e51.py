"""E51."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(*, socket: bool = False, status: int = 404) -> dict[str, Any]:
    return {
        "drivers": {"bridge": socket, "cni": True},
        "statuses": {"/NetworkDriver.Join": status},
        "container": "",
        "namespace": "no such container",
    }


CASES = [
    Case("E51", "closed", both(_data()), both("stands"), "not at all", (True,)),
    Case("E51", "a socket", both(_data(socket=True)), both("weakened"), "not at all", (False,)),
    Case("E51", "a call", both(_data(status=200)), both("refuted"), "not at all", (False,)),
]
