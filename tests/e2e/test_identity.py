"""`cni.identity=docker`: plugins are told whose link they make, as far as that can be known."""

import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from lab.engine import Engine

from tests.e2e.containers import (
    BRIDGE_V4,
    BY_CNI,
    BY_DOCKER,
    BY_PLUGIN,
    FIREWALL,
    NAME,
    ROUTER,
    inside,
    inspected,
    is_newest,
    network,
    once,
    start,
)
from tests.e2e.publishing import endpoints

Conflist = Callable[..., str]
Eventually = Callable[..., None]
Told = Callable[[str], list[dict[str, str]]]

_IDENTITY = ("-o", "cni.identity=docker")
_NOTHING = {"IgnoreUnknown": "1"}
"""What plugins are always told, and no more."""
_MAC = "02:00:00:00:00:77"

_NOTES = """#!/bin/sh
case $CNI_COMMAND in ADD | DEL) echo "$CNI_ARGS" >> "$(dirname "$0")/$CNI_COMMAND" ;; esac
[ "$CNI_COMMAND" = ADD ] && sed 's/.*"prevResult": *//; s/}$//'
exit 0
"""
_NOTES_IPAM = """#!/bin/sh
case $CNI_COMMAND in ADD | DEL) echo "$CNI_ARGS" >> "$(dirname "$0")/IPAM" ;; esac
exec PLUGINS/host-local
"""
_REFUSES = """#!/bin/sh
[ "$CNI_COMMAND" = ADD ] || exit 0
name=${CNI_ARGS#*K8S_POD_NAME=}
echo "{\\"code\\": 100, \\"msg\\": \\"no room for ${name%%;*}\\"}"
exit 1
"""
_HANGS = """#!/bin/sh
[ "$CNI_COMMAND" = ADD ] || exit 0
exec sleep 600
"""
_LISTEN = """
import signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(100)
open(sys.argv[2], "w").close()
signal.pause()
"""


@pytest.fixture
def restart(
    engine: Engine, plugins: Callable[[str, str], Path], start_shim: Callable[..., None]
) -> Iterator[Callable[..., None]]:
    """Ends the shim and starts it with other settings; it has the plugins of these tests in any case."""
    plugins("notes", _NOTES)
    plugins("notes-ipam", _NOTES_IPAM.replace("PLUGINS", str(engine.plugin_path)))
    plugins("refuses", _REFUSES)
    folder = plugins("hangs", _HANGS)

    def restart(end: Callable[[], None] = engine.stop_shim, **settings: Any) -> None:
        end()
        start_shim(plugin_path=[str(engine.plugin_path), str(folder)], **settings)

    restart()
    yield restart
    if not engine.is_dockerd_running:
        engine.start_dockerd()
    if containers := engine.docker("ps", "--all", "--quiet").stdout.split():
        engine.docker("rm", "--force", *containers)  # while the plugins can be found
    engine.docker("network", "prune", "--force")
    engine.stop_shim()
    start_shim()


@pytest.fixture
def silent(engine: Engine, tmp_path: Path) -> Iterator[str]:
    """A socket that is no engine's: who asks there waits."""
    socket, listens = "/run/silent.sock", tmp_path / "listens"
    engine.start("silent", [sys.executable, "-c", _LISTEN, socket, listens], listens.exists)
    yield socket
    engine.stop("silent")
    engine.run(["rm", socket])


@pytest.fixture(autouse=True)
def told(conflist: Conflist, restart: Callable[..., None], tmp_path: Path) -> Told:  # noqa: ARG001 - before it
    """What the plugins of the chain were told with a command, each time."""
    conflist(NAME, BRIDGE_V4, {"type": "notes"}, FIREWALL)

    def read(what: str) -> list[dict[str, str]]:
        file = tmp_path / "plugins" / what
        lines = file.read_text().splitlines() if file.exists() else []
        return [dict(pair.split("=") for pair in line.split(";")) for line in lines]

    return read


@pytest.fixture
def net(engine: Engine) -> str:
    """A Docker network whose plugins are told."""
    return network(engine, "net", *BY_PLUGIN, *_IDENTITY)


# Who is told what


def test_plugins_are_told_nothing_unless_it_is_asked_for(engine: Engine, told: Told) -> None:
    once(engine, "--network", network(engine, "net", *BY_PLUGIN))
    assert told("ADD") == told("DEL") == [_NOTHING]


@pytest.mark.parametrize("options", [BY_PLUGIN, BY_CNI, BY_DOCKER], ids=["null", "cni", "docker"])
def test_plugins_are_told_the_container_at_add_and_the_same_at_del(
    engine: Engine, told: Told, options: tuple[str, ...]
) -> None:
    net = network(engine, "net", *options, *_IDENTITY)
    start(engine, "one", "--network", net)
    whose = _whose(engine, "one")
    assert told("ADD") == [whose]
    engine.docker("rm", "-f", "one")
    assert told("DEL") == [whose]


def test_plugins_are_told_at_each_start(engine: Engine, net: str, told: Told, eventually: Eventually) -> None:
    start(engine, "one", "--network", net)
    engine.docker("stop", "-t", "0", "one")
    eventually(lambda: endpoints(engine) == [])
    engine.docker("rename", "one", "two")
    engine.docker("start", "two")
    assert [args["K8S_POD_NAME"] for args in told("ADD")] == ["one", "two"]
    assert told("ADD")[1] == _whose(engine, "two")
    engine.docker("restart", "-t", "0", "two")
    assert told("ADD")[2:] == [_whose(engine, "two")]


def test_plugins_are_told_when_a_running_container_is_connected(engine: Engine, net: str, told: Told) -> None:
    start(engine, "one")
    engine.docker("network", "connect", net, "one")
    assert told("ADD") == [_whose(engine, "one")]
    assert f"inet {inspected(engine, 'one', net)['IPAddress']}/" in inside(engine, "one", "ip address")
    engine.docker("network", "disconnect", net, "one")
    assert told("DEL") == [_whose(engine, "one")]


def test_ten_containers_at_once_are_told_apart(engine: Engine, net: str, told: Told) -> None:
    names = [f"number-{number}" for number in range(10)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: start(engine, name, "--network", net), names))
    assert sorted(told("ADD"), key=lambda args: args["K8S_POD_NAME"]) == [
        _whose(engine, name) for name in names
    ]
    for name in names:
        assert f"inet {inspected(engine, name, net)['IPAddress']}/" in inside(engine, name, "ip address")


def test_a_label_does_not_choose_the_namespace(engine: Engine, net: str, told: Told) -> None:
    start(engine, "one", "--network", net, "--label", "io.kubernetes.pod.namespace=kube-system")
    assert told("ADD") == [_whose(engine, "one")]


@pytest.mark.parametrize("where", ["network", "endpoint"])
def test_an_argument_of_the_users_own_wins(engine: Engine, told: Told, where: str) -> None:
    given = ("cni.args.K8S_POD_NAME=mine", "cni.args.K8S_POD_NAMESPACE=ours")
    of_network = [word for option in given for word in ("-o", option)] if where == "network" else []
    net = network(engine, "net", *BY_PLUGIN, *_IDENTITY, *of_network)
    of_endpoint = [] if where == "network" else [f"driver-opt={option}" for option in given]
    start(engine, "one", "--network", ",".join([f"name={net}", *of_endpoint]))
    assert told("ADD") == [_whose(engine, "one") | {"K8S_POD_NAME": "mine", "K8S_POD_NAMESPACE": "ours"}]


# Its price


@pytest.mark.parametrize("options", [BY_PLUGIN, (*BY_CNI, "--gateway", ROUTER)], ids=["null", "cni"])
def test_the_ipam_plugin_runs_before_anything_is_known_and_is_not_told(
    engine: Engine, conflist: Conflist, told: Told, options: tuple[str, ...]
) -> None:
    section = BRIDGE_V4["ipam"] | {"type": "notes-ipam"}
    conflist(NAME, BRIDGE_V4 | {"ipam": section}, {"type": "notes"}, FIREWALL)
    net = network(engine, "net", *options, *_IDENTITY)
    start(engine, "one", "--network", net)
    assert f"inet {inspected(engine, 'one', net)['IPAddress']}/24 " in inside(engine, "one", "ip address")
    engine.docker("rm", "-f", "one")
    asked = told("IPAM")
    assert len(asked) >= 2  # ADD and DEL
    assert all(args == _NOTHING for args in asked)
    assert [args["K8S_POD_NAME"] for args in told("ADD")] == ["one"]


def test_inspect_shows_the_address_but_no_mac_unless_it_was_asked_for(engine: Engine, net: str) -> None:
    start(engine, "one", "--network", net)
    start(engine, "two", "--network", net, "--mac-address", _MAC)
    one, two = inspected(engine, "one", net), inspected(engine, "two", net)
    for name, shown in (("one", one), ("two", two)):
        assert f"inet {shown['IPAddress']}/24 " in inside(engine, name, "ip address")
        assert f"default via {shown['Gateway']} " in inside(engine, name, "ip route")
    assert (one["MacAddress"], two["MacAddress"]) == ("", _MAC)
    assert f"link/ether {_MAC} " in inside(engine, "two", "ip link")
    inside(engine, "one", "ping -c 1 two")


def test_a_chain_without_ipam_plugin_is_told_as_well(engine: Engine, conflist: Conflist, told: Told) -> None:
    conflist(NAME, {"type": "bridge", "bridge": "flagged0"}, {"type": "notes"})
    net = network(engine, "net", *BY_PLUGIN, *_IDENTITY)
    start(engine, "one", "--network", net)
    assert told("ADD") == [_whose(engine, "one")]
    assert inspected(engine, "one", net)["IPAddress"] == ""
    assert "eth0" in inside(engine, "one", "ip link")
    assert "inet " not in inside(engine, "one", "ip -4 address show eth0")


def test_an_add_that_fails_at_join_is_one_line_for_the_user_and_leaves_nothing(
    engine: Engine, conflist: Conflist, net: str, told: Told, eventually: Eventually
) -> None:
    conflist(NAME, BRIDGE_V4, {"type": "notes"}, {"type": "refuses"})
    run = ("run", "--name", "one", "--network", net, "busybox", "true")
    refused = engine.docker(*run, check=False)
    assert refused.returncode != 0
    (line,) = [line for line in refused.stderr.splitlines() if line.startswith("docker: ")]
    assert 'NetworkDriver.Join: plugin "refuses" (network "flagged") ADD: no room for one' in line
    eventually(lambda: endpoints(engine) == [])
    assert _leases(engine) == []
    assert told("DEL") == told("ADD") == [_whose(engine, "one")]


# What cannot be known


def test_while_the_engine_starts_containers_start_without_waiting_long(
    engine: Engine, net: str, told: Told, eventually: Eventually
) -> None:
    start(engine, "one", "--network", net, "--restart", "always")
    engine.stop_dockerd()
    engine.start_dockerd()
    eventually(lambda: _is_running(engine, "one"))
    whose = _whose(engine, "one")
    known = {"K8S_POD_INFRA_CONTAINER_ID": whose["K8S_POD_INFRA_CONTAINER_ID"]} if is_newest(engine) else {}
    assert told("ADD") == [whose, _NOTHING | known]
    took = re.findall(r"INFO Join flagged/\w+ ([0-9.]+) ms", engine.shim_log.read_text())
    assert float(took[-1]) < 8_000  # the engine has 2 s to answer
    assert f"inet {inspected(engine, 'one', net)['IPAddress']}/24 " in inside(engine, "one", "ip address")

    engine.docker("restart", "-t", "0", "one")
    assert told("ADD")[2:] == [whose]
    assert told("DEL") == [whose, _NOTHING | known]


def test_a_shim_that_dies_before_it_knows_leaves_nothing(
    engine: Engine, silent: str, told: Told, restart: Callable[..., None], eventually: Eventually
) -> None:
    net = network(engine, "net", *BY_PLUGIN, *_IDENTITY)
    restart(docker_socket=silent, deadlines={"engine": 60})
    with ThreadPoolExecutor(1) as pool:
        run = ("run", "--name", "one", "--network", net, "busybox", "true")
        running = pool.submit(engine.docker, *run, check=False)
        eventually(lambda: [item["state"] for item in endpoints(engine)] == ["planned"])
        restart(engine.kill_shim)
        refused = running.result()
    assert refused.returncode != 0
    assert "NetworkDriver.Join: " in refused.stderr
    eventually(lambda: endpoints(engine) == [])
    assert _leases(engine) == []
    assert told("ADD") == []

    engine.docker("start", "--attach", "one")
    assert told("ADD") == [_whose(engine, "one")]


def test_a_shim_that_dies_in_the_midst_of_add_at_join_leaves_nothing(
    engine: Engine, conflist: Conflist, told: Told, restart: Callable[..., None], eventually: Eventually
) -> None:
    conflist(NAME, BRIDGE_V4, {"type": "notes"}, {"type": "hangs"})
    net = network(engine, "net", *BY_PLUGIN, *_IDENTITY)
    with ThreadPoolExecutor(1) as pool:
        run = ("run", "--name", "one", "--network", net, "busybox", "true")
        running = pool.submit(engine.docker, *run, check=False)
        eventually(lambda: len(told("ADD")) == 1)
        restart(engine.kill_shim)
        refused = running.result()
    assert refused.returncode != 0
    eventually(lambda: endpoints(engine) == [])
    assert _leases(engine) == []
    assert told("ADD") == told("DEL") == [_whose(engine, "one")]


def _whose(engine: Engine, container: str) -> dict[str, str]:
    """What plugins are told of a container when all can be known."""
    return _NOTHING | {
        "K8S_POD_NAME": container,
        "K8S_POD_NAMESPACE": "default",
        "K8S_POD_INFRA_CONTAINER_ID": engine.docker("inspect", "-f", "{{.Id}}", container).stdout.strip(),
    }


def _leases(engine: Engine) -> list[str]:
    """The addresses that the chain's IPAM plugin has given."""
    files = engine.run(["ls", f"/var/lib/cni/networks/{NAME}"]).stdout.split()
    return [file for file in files if file[0].isdigit()]


def _is_running(engine: Engine, container: str) -> bool:
    return engine.docker("inspect", "-f", "{{.State.Running}}", container).stdout.strip() == "true"
