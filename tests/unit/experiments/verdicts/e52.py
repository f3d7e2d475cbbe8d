"""E52."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_USER, _PORT = "the user's name for the link", "docker port"
_REMOTE = (
    "the driver's name for the link",
    "asked for the need of a gateway",
    "told the namespace before Join",
)


def _data(*, remote_port: bool = False, heard: int = 0) -> dict[str, Any]:
    rest = dict.fromkeys(_REMOTE, False)
    remote = {_USER: False, _PORT: remote_port} | {
        what: number < heard for number, what in enumerate(_REMOTE)
    }
    return {"built-in": {_USER: False, _PORT: True} | rest, "remote": remote}


CASES = [
    Case("E52", "a gap", both(_data()), both("stands"), "partly", (False, True, True, False)),
    Case("E52", "a small gap", both(_data(heard=2)), both("weakened"), "partly", (False, True, False, True)),
    Case(
        "E52",
        "none",
        both(_data(remote_port=True, heard=3)),
        both("refuted"),
        "partly",
        (False, False, False, True),
    ),
]
