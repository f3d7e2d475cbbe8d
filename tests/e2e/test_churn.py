"""Many containers that come and go at once leave everything as it was."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from lab.engine import Engine
from lab.footprint import engine_footprint

_CYCLES = 50
_CONTAINERS = 10


@pytest.mark.timeout(1200)
def test_fifty_cycles_of_ten_containers_leave_links_namespaces_rules_leases_and_journal_as_before(
    engine: Engine, web: str, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    names = [f"one-{number}" for number in range(_CONTAINERS)]
    for number, name in enumerate(names):
        engine.docker(
            *(
                "create",
                "--name",
                name,
                "--network",
                web,
                "-p",
                f"{9000 + number}:80",
                "--stop-signal",
                "KILL",
            ),
            *("busybox", "sleep", "600"),
        )
    _cycle(engine, names)  # makes what plugins make once, for all containers
    eventually(lambda: not any("endpoint" in row for row in engine_footprint(engine).rows))
    before = engine_footprint(engine)
    for _ in range(_CYCLES):
        _cycle(engine, names)
    eventually(lambda: before.difference(engine_footprint(engine)) == [])


def _cycle(engine: Engine, names: list[str]) -> None:
    """Start all containers at once, and stop them all at once."""
    with ThreadPoolExecutor(_CONTAINERS) as pool:
        list(pool.map(lambda name: engine.docker("start", name), names))
        list(pool.map(lambda name: engine.docker("stop", name), names))
