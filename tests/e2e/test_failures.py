"""What goes wrong reaches the person who typed `docker run` as one line, and leaves nothing behind."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lab.engine import Engine

Conflist = Callable[..., str]
Eventually = Callable[[Callable[[], bool]], None]
Make = Callable[[str, str], str]
Restart = Callable[..., None]

_HANGS = """#!/bin/sh
[ "$CNI_COMMAND" = ADD ] || exit 0
sleep 600 &
wait
"""

_CRASHES = """#!/bin/sh
[ "$CNI_COMMAND" = ADD ] || exit 0
echo 'the licence has run out' >&2
kill -SEGV $$
"""

_DEL_FAILS_WHILE_TOLD = """#!/bin/sh
if [ "$CNI_COMMAND" = DEL ] && [ -e "$(dirname "$0")/broken" ]; then
    echo '{"code": 100, "msg": "not now"}'
    exit 1
fi
[ "$CNI_COMMAND" = ADD ] && sed 's/.*"prevResult": *//; s/}$//'
exit 0
"""


def test_a_missing_plugin_is_named_with_the_folders_searched(
    engine: Engine, conflist: Conflist, make: Make
) -> None:
    conflist("odd", _bridge())
    make("net", "odd")
    conflist("odd", _bridge(), {"type": "no-such-plugin"})
    error = _refused(engine, "net")
    assert 'plugin "no-such-plugin" (network "odd")' in error
    assert str(engine.plugin_path) in error


def test_a_network_of_a_missing_plugin_is_not_made(engine: Engine, conflist: Conflist) -> None:
    conflist("odd", _bridge(), {"type": "no-such-plugin"})
    network = ("network", "create", "-d", "cni", "--ipam-driver", "null", "-o", "cni.network=odd", "net")
    refused = engine.docker(*network, check=False)
    assert refused.returncode != 0
    assert 'plugin "no-such-plugin" (network "odd"): not found in' in refused.stderr


def test_a_plugin_that_refuses_is_quoted(engine: Engine, conflist: Conflist, make: Make) -> None:
    conflist("odd", _bridge("test1", {"subnet": "10.77.0.0/32"}))
    make("net", "odd")
    error = _refused(engine, "net")
    assert 'plugin "bridge" (network "odd") ADD: invalid range set' in error


def test_a_plugin_that_fails_in_the_midst_of_its_work_leaves_nothing(
    engine: Engine, conflist: Conflist, make: Make
) -> None:
    conflist("odd", _bridge("test2", {"subnet": "10.77.0.0/32"}))
    make("net", "odd")
    _refused(engine, "net")
    # The bridge has no MAC address now, at which plugins before 1.2 stumble: after they took an address.
    conflist("odd", _bridge("test2", {"subnet": "10.77.0.0/24"}))
    engine.docker("run", "--rm", "--network", "net", "busybox", "true", check=False)


def test_an_exhausted_pool_is_named_and_frees_nothing_that_is_in_use(
    engine: Engine, conflist: Conflist, make: Make
) -> None:
    narrow = {"subnet": "10.77.0.0/24", "rangeStart": "10.77.0.10", "rangeEnd": "10.77.0.10"}
    conflist("narrow", _bridge("test3", narrow))
    make("net", "narrow")
    engine.docker("run", "-d", "--name", "one", "--network", "net", "busybox", "sleep", "600")
    assert "no IP addresses available" in _refused(engine, "net")
    assert "10.77.0.10" in engine.docker("exec", "one", "ip", "-4", "address").stdout


def test_a_failure_late_in_the_chain_undoes_what_came_before(
    engine: Engine, conflist: Conflist, make: Make, plugins: Callable[[str, str], Path], restart_shim: Restart
) -> None:
    folder = plugins("crashes", _CRASHES)
    conflist("odd", _bridge(), {"type": "crashes"})
    restart_shim(plugin_path=[str(engine.plugin_path), str(folder)])
    make("net", "odd")
    error = _refused(engine, "net")
    assert 'plugin "crashes" (network "odd") ADD: ' in error
    assert "the licence has run out" in error
    assert "SIGSEGV" in error


def test_a_hanging_plugin_is_killed_at_its_deadline_with_its_children(
    engine: Engine, conflist: Conflist, make: Make, plugins: Callable[[str, str], Path], restart_shim: Restart
) -> None:
    folder = plugins("hangs", _HANGS)
    conflist("odd", _bridge(), {"type": "hangs"})
    restart_shim(plugin_path=[str(engine.plugin_path), str(folder)], deadlines={"add": 1})
    make("net", "odd")
    error = _refused(engine, "net")
    assert 'plugin "hangs" (network "odd") ADD: ' in error
    assert "within 1 s" in error
    assert "sleep 600" not in engine.run(["busybox", "ps"]).stdout


def test_a_del_that_fails_is_kept_with_its_reason_and_done_again(  # noqa: PLR0917 - fixtures
    engine: Engine,
    conflist: Conflist,
    make: Make,
    plugins: Callable[[str, str], Path],
    restart_shim: Restart,
    eventually: Eventually,
) -> None:
    folder = plugins("moody", _DEL_FAILS_WHILE_TOLD)
    conflist("odd", _bridge(), {"type": "moody"})
    restart_shim(plugin_path=[str(engine.plugin_path), str(folder)])
    make("net", "odd")
    engine.docker("run", "-d", "--name", "one", "--network", "net", "busybox", "sleep", "600")
    (folder / "broken").touch()
    engine.docker("rm", "-f", "one")
    listed = engine.run(engine.shim_command("endpoint", "ls")).stdout
    assert "leaving" in listed
    assert 'plugin "moody" (network "odd") DEL: not now' in listed
    (folder / "broken").unlink()
    restart_shim(plugin_path=[str(engine.plugin_path), str(folder)])
    eventually(lambda: "leaving" not in engine.run(engine.shim_command("endpoint", "ls")).stdout)


def test_a_shim_that_is_down_is_said_by_docker_and_nothing_is_left(engine: Engine, web: str) -> None:
    engine.stop_shim()
    error = _refused(engine, web)
    assert "cni.sock" in error


def _bridge(name: str = "test0", pool: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The configuration of a bridge plugin that has something to undo."""
    ipam = {"type": "host-local", "ranges": [[pool or {"subnet": "10.77.0.0/24"}]]}
    return {"type": "bridge", "bridge": name, "isGateway": True, "ipMasq": True, "ipam": ipam}


def _refused(engine: Engine, network: str) -> str:
    """The one line that `docker run` prints when it is refused."""
    run = engine.docker("run", "--rm", "--network", network, "busybox", "true", check=False)
    assert run.returncode != 0
    (line,) = [line for line in run.stderr.splitlines() if line.startswith("docker: ")]
    return line
