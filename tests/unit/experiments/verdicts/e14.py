"""E14."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(
    *, repeated: int = 0, with_option: int = 0, statuses: tuple[int, int] = (0, 0), leases: int = 0
) -> dict[str, Any]:
    runs = {
        how: {"status": status, "error": "unknown"}
        for how, status in zip(("by option", "by name"), statuses, strict=True)
    }
    left: dict[str, list[str]] = {"links": [], "rules": [], "leases": ["x"] * leases}
    return {
        "repeated": repeated,
        "endpoints": 1,
        "with_option": with_option,
        "shim": {"runs": runs, "left": left},
    }


CASES = [
    Case("E14", "nothing is said again", both(_data()), both("stands"), "fully", (True, True, False)),
    Case(
        "E14",
        "options in CreateEndpoint",
        both(_data(with_option=1, statuses=(0, 1), leases=1)),
        both("weakened"),
        "partly",
        (False, False, True),
    ),
    Case(
        "E14",
        "CreateNetwork again",
        both(_data(repeated=1, statuses=(1, 1))),
        both("refuted"),
        "not at all",
        (False, False, False),
    ),
]
