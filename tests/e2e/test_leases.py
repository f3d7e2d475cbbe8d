"""Leases of a real DHCP server, kept by the plugin's real daemon, while engine and shim come and go."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from lab.engine import Engine

from tests.e2e.containers import BY_PLUGIN, NAME, inside, inspected, network, remove_containers, start
from tests.e2e.matrix.world import (
    DHCP_DAEMON,
    DHCP_SERVER,
    DHCP_SOCKET,
    LAN_LINK,
    RENEWAL,
    World,
    dhcp_server,
    other_machine,
)

Eventually = Callable[..., None]


@pytest.fixture
def lan(engine: Engine, conflist: Callable[..., str]) -> Iterator[str]:
    """A Docker network on a LAN with a DHCP server; of containers that are gone the daemon keeps nothing."""
    ipam = {"type": "dhcp", "daemonSocketPath": str(DHCP_SOCKET)}
    with other_machine(engine), dhcp_server(World(engine, engine.plugin_path)):
        conflist(NAME, {"type": "macvlan", "master": LAN_LINK, "ipam": ipam})
        try:
            yield network(engine, "lan", *BY_PLUGIN)
            remove_containers(engine)
            assert len(_namespaces_of_daemon(engine)) == 1
        finally:
            remove_containers(engine)
            engine.docker("network", "rm", "lan", check=False)


def test_a_lease_is_renewed_whatever_the_engine_calls_the_link(
    engine: Engine, lan: str, eventually: Eventually
) -> None:
    start(engine, "one")
    engine.docker("network", "connect", lan, "one")
    address = inspected(engine, "one", lan)["IPAddress"]

    _is_renewed(engine, eventually)

    assert f"inet {address}/24 " in inside(engine, "one", "ip address show eth1")
    assert set(_given(engine)) == {address}
    assert "renewal of the DHCP lease" in _endpoint(engine)["replayed"]
    links = engine.run(["nsenter", f"--net={_endpoint(engine)['sandbox']}", "ip", "link"]).stdout
    assert "altname" not in links


def test_a_network_that_is_connected_again_has_a_lease_again(
    engine: Engine, lan: str, eventually: Eventually
) -> None:
    start(engine, "one", "--network", lan)
    engine.docker("network", "disconnect", lan, "one")

    engine.docker("network", "connect", lan, "one")

    _is_renewed(engine, eventually)


def test_check_takes_no_second_lease(engine: Engine, lan: str, eventually: Eventually) -> None:
    start(engine, "one", "--network", lan)
    eventually(lambda: _endpoint(engine)["replayed"] != [])
    asked = _log(engine, DHCP_DAEMON).count("acquiring lease")
    command = engine.shim_command("endpoint", "check", "--all", "--plugin-path", str(engine.plugin_path))

    assert "as it was made" in engine.run(command).stdout

    assert _log(engine, DHCP_DAEMON).count("acquiring lease") == asked


def test_a_lease_that_a_killed_shim_has_not_moved_the_next_one_does(
    engine: Engine, lan: str, start_shim: Callable[..., None], eventually: Eventually
) -> None:
    start(engine, "one", "--network", lan)
    eventually(lambda: _endpoint(engine)["replayed"] != [])
    engine.kill_shim()
    asked = _log(engine, DHCP_DAEMON).count("acquiring lease")
    with closing(sqlite3.connect(engine.state_dir / "state.db")) as journal:
        journal.execute("UPDATE endpoints SET record = json_set(record, '$.replayed', NULL)")
        journal.commit()

    start_shim()

    eventually(lambda: _log(engine, DHCP_DAEMON).count("acquiring lease") > asked)
    eventually(lambda: "renewal of the DHCP lease" in _endpoint(engine)["replayed"])
    _is_renewed(engine, eventually)


def test_a_lease_outlives_the_engine_with_live_restore(
    engine: Engine, lan: str, eventually: Eventually
) -> None:
    engine.stop_dockerd()
    engine.start_dockerd(live_restore=True)
    start(engine, "one", "--network", lan)
    engine.stop_dockerd()
    _is_renewed(engine, eventually)
    engine.start_dockerd(live_restore=True)
    _is_renewed(engine, eventually)
    remove_containers(engine)
    engine.stop_dockerd()
    engine.start_dockerd()


def test_of_a_container_that_died_with_its_engine_no_lease_is_kept(
    engine: Engine, lan: str, start_shim: Callable[..., None], eventually: Eventually
) -> None:
    start(engine, "one", "--network", lan)
    eventually(lambda: _endpoint(engine)["replayed"] != [])
    process = engine.docker("inspect", "-f", "{{.State.Pid}}", "one").stdout.strip()
    engine.kill_dockerd()
    engine.run(["pkill", "-KILL", "containerd"], check=False)
    engine.run(["kill", "-KILL", process])
    engine.start_dockerd()
    engine.docker("rm", "-f", "one")
    engine.stop_shim()

    start_shim()  # repairs at once

    eventually(lambda: len(_namespaces_of_daemon(engine)) == 1)


def _is_renewed(engine: Engine, eventually: Eventually) -> None:
    """Wait until the server has been asked for the address once more, on the plugin's own account."""
    eventually(lambda: _endpoint(engine)["replayed"] != [])
    before = len(_given(engine))
    eventually(lambda: len(_given(engine)) > before, within=RENEWAL + 2)


def _given(engine: Engine) -> list[str]:
    """The addresses that the server has acknowledged."""
    return re.findall(r"sending ACK to (\S+)", _log(engine, DHCP_SERVER))


def _log(engine: Engine, name: str) -> str:
    return engine.log(name).read_text()


def _endpoint(engine: Engine) -> dict[str, Any]:
    (item,) = json.loads(engine.run(engine.shim_command("endpoint", "ls", "--json")).stdout)
    return dict(item)


def _namespaces_of_daemon(engine: Engine) -> set[str]:
    """The network namespaces in which the daemon has threads: its own, and one for each lease."""
    pid = engine.daemon(DHCP_DAEMON).pid
    return {str(thread.readlink()) for thread in Path(f"/proc/{pid}/task").glob("*/ns/net")}
