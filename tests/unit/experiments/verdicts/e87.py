"""E87."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_CASES = ("killed in ADD", "removed, nobody watches", "engine killed")


def _data(*, shim: bool = False, after: bool = True) -> dict[str, Any]:
    nothing: dict[str, Any] = {what: {} for what in _CASES}
    something: dict[str, Any] = {what: {"leases": ["a lease"]} for what in _CASES}
    return {
        "shim, inplace": something if shim else nothing,
        "shim, handover": nothing,
        "cnm-cni cni, after the start": something if after else nothing,
    }


CASES = [
    Case("E87", "the script alone", both(_data()), both("stands"), "fully", (True, True)),
    Case("E87", "the shim as well", both(_data(shim=True)), both("weakened"), "partly", (True, False)),
    Case("E87", "nobody", both(_data(after=False)), both("refuted"), "fully", (False, True)),
]
