"""E74."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _data(*, answers: bool = True, shows: bool = False, ours: bool = True) -> dict[str, Any]:
    def network(shown: bool, in_cnm_cni: bool) -> dict[str, bool]:  # noqa: FBT001 - marks
        answered = dict.fromkeys(("answers on localhost", "answers another container"), answers)
        return {**answered, "docker port": shown, "docker ps": shown, "cnm-cni endpoint ls": in_cnm_cni}

    return {"CNI network": network(shows, ours), "Docker's bridge": network(True, False)}  # noqa: FBT003 - marks


CASES = [
    Case("E74", "answers, not shown", both(_data()), both("weakened"), "partly", (True, True)),
    Case("E74", "shown", both(_data(shows=True)), both("refuted"), "fully", (True, False)),
    Case(
        "E74", "nothing", both(_data(answers=False, ours=False)), both("stands"), "not at all", (False, False)
    ),
]
