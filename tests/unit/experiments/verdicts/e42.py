"""E42."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both

_NAMES = ("blue", "Blue", "blue_1.2", "team-a/blue", ".blue", "blue net", "b" * 64, "b" * 254)


def _data(common: int, *, taken: int = 8, bound: bool = True) -> dict[str, Any]:
    world = {name: number < common for number, name in enumerate(_NAMES)}
    docker = {name: number < taken for number, name in enumerate(_NAMES)}
    engine = {"Docker": docker, "CNI": world, "bound": {"blue": bound}}
    return {"20.10": engine, "newest": engine, "Kubernetes": world}


CASES = [
    Case("E42", "some are common", _data(1), both("weakened"), "fully", (True, True)),
    Case("E42", "none is common", _data(0, bound=False), both("stands"), "partly", (True, False)),
    Case("E42", "all alike", _data(8), both("refuted"), "fully", (False, True)),
]
