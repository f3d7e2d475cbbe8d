"""Many containers that come and go at once leave everything as it was."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from lab.engine import Engine
from lab.footprint import engine_footprint

_CYCLES = 50
_CONTAINERS = 10


@pytest.mark.timeout(1200)
def test_fifty_cycles_of_ten_containers_leave_links_namespaces_rules_leases_and_journal_as_before(
    engine: Engine, web: str
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
    before = None
    with ThreadPoolExecutor(_CONTAINERS) as pool:
        for _ in range(_CYCLES):
            list(pool.map(lambda name: engine.docker("start", name), names))
            list(pool.map(lambda name: engine.docker("stop", name), names))
            if before is None:  # what plugins make once, for all containers, is there now
                before = engine_footprint(engine)
    assert before is not None
    assert before.difference(engine_footprint(engine)) == []
