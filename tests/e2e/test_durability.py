"""The shim and the engine may stop, or die, at any time."""

import json
from collections.abc import Callable

import pytest
from lab.engine import Engine

End = Callable[[], None]
Eventually = Callable[[Callable[[], bool]], None]
Start = Callable[[], None]


@pytest.fixture(params=["stop_shim", "kill_shim"])
def end_shim(engine: Engine, request: pytest.FixtureRequest) -> End:
    """Both ways in which the shim may end."""
    end: End = getattr(engine, request.param)
    return end


def test_running_containers_keep_their_network_without_the_shim(
    engine: Engine, web: str, end_shim: End
) -> None:
    for name in ("one", "two"):
        engine.docker("run", "-d", "--name", name, "--network", web, "busybox", "sleep", "600")
    end_shim()
    engine.docker("exec", "one", "ping", "-c", "1", "two")


def test_containers_are_stopped_and_cleaned_up_by_the_next_shim(
    engine: Engine, web: str, start_shim: Start, end_shim: End
) -> None:
    engine.docker("run", "-d", "--name", "one", "--network", web, "-p", "8080:80", "busybox", "sleep", "600")
    end_shim()
    start_shim()
    engine.docker("rm", "-f", "one")


def test_a_container_that_ends_while_the_shim_is_down_is_cleaned_up_when_it_is_back(
    engine: Engine, web: str, start_shim: Start, end_shim: End, eventually: Eventually
) -> None:
    engine.docker("run", "-d", "--name", "one", "--network", web, "busybox", "sleep", "600")
    end_shim()
    engine.docker("rm", "-f", "one")  # the engine asks for 15 s, then gives up
    start_shim()
    eventually(lambda: _states(engine) == [])


def test_networks_made_before_a_restart_work_after_it(
    engine: Engine, web: str, start_shim: Start, end_shim: End
) -> None:
    end_shim()
    start_shim()
    engine.docker("run", "--rm", "--network", web, "busybox", "true")


def test_a_lost_journal_costs_no_network(engine: Engine, web: str, start_shim: Start) -> None:
    engine.stop_shim()
    for file in engine.state_dir.iterdir():
        file.unlink()
    start_shim()
    engine.docker("run", "--rm", "--network", web, "busybox", "true")


def test_what_a_dead_engine_left_is_cleaned_up(
    engine: Engine, web: str, start_shim: Start, eventually: Eventually
) -> None:
    engine.docker("run", "-d", "--name", "one", "--network", web, "-p", "8080:80", "busybox", "sleep", "600")
    process = engine.docker("inspect", "-f", "{{.State.Pid}}", "one").stdout.strip()
    engine.kill_dockerd()
    engine.run(["pkill", "-KILL", "containerd"], check=False)
    engine.run(["kill", "-KILL", process])
    engine.start_dockerd()
    engine.docker("rm", "-f", "one")
    engine.stop_shim()
    start_shim()  # repairs at once
    eventually(lambda: _states(engine) == [])


def test_containers_live_through_a_restart_of_the_engine_with_live_restore(engine: Engine, web: str) -> None:
    engine.stop_dockerd()
    engine.start_dockerd(live_restore=True)
    for name in ("one", "two"):
        engine.docker("run", "-d", "--name", name, "--network", web, "busybox", "sleep", "600")
    engine.stop_dockerd()
    engine.start_dockerd(live_restore=True)
    engine.docker("exec", "one", "ping", "-c", "1", "two")
    engine.docker("rm", "-f", "one", "two")
    engine.stop_dockerd()
    engine.start_dockerd()


def _states(engine: Engine) -> list[str]:
    listed = json.loads(engine.run(engine.shim_command("endpoint", "ls", "--json")).stdout)
    return [endpoint["state"] for endpoint in listed]
