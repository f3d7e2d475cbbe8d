"""E20."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_OWN = ("bridge of the user's", "CNI network", "CNI network, --dns")


def _data(server: str, mounted: str, *options: str) -> dict[str, Any]:
    cases = {case: {"servers": [server], "rules": 6} for case in _OWN}
    cases["CNI network, mounted resolv.conf"] = {"servers": [mounted], "rules": 6}
    cases |= {case: {"servers": ["192.0.2.1"], "rules": 0} for case in ("default bridge", "no network")}
    return {"cases": cases, "options": ["--dns", *options]}


CASES = [
    Case(
        "E20", "always", both(_data("127.0.0.11", "192.0.2.53")), both("stands"), "partly", (True, True, True)
    ),
    Case(
        "E20",
        "with a switch",
        both(_data("127.0.0.11", "127.0.0.11", "--no-dns")),
        both("weakened"),
        "not at all",
        (True, False, False),
    ),
    Case(
        "E20",
        "not there",
        both(_data("192.0.2.1", "192.0.2.53")),
        both("refuted"),
        "partly",
        (False, True, True),
    ),
]
