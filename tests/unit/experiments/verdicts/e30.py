"""E30."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(
    *,
    received: int = 40,
    run: int = 125,
    seconds: float = 15.0,
    collected: float | None = 0.5,
    without: float = 27.0,
    by_hand: bool = True,
) -> dict[str, Any]:
    return {
        "sent": 40,
        "received": received,
        "run": {"status": run, "error": "refused", "seconds": seconds},
        "ps": 0.1,
        "stop": {"status": 0, "error": "", "seconds": 45.0},
        "leases_away": 2,
        "collected": collected,
        "by_hand": by_hand,
        "starts": {"with the shim": 2.5, "without the shim": without},
    }


CASES = [
    Case("E30", "as seen", both(_data()), both("stands"), "partly", (True, False, True, True, True)),
    Case(
        "E30",
        "not so bad",
        both(_data(run=0, without=3.0, seconds=30.0)),
        both("weakened"),
        "partly",
        (True, False, True, False, True),
    ),
    Case(
        "E30",
        "CNI neither",
        both(_data(by_hand=False, collected=None)),
        both("refuted"),
        "not at all",
        (True, False, False, True, False),
    ),
    Case(
        "E30",
        "packets are lost",
        both(_data(received=30)),
        both("stands"),
        "not at all",
        (False, False, True, True, True),
    ),
]
