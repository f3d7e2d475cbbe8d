"""What a chain makes beyond the one link that an engine carries is in the container from the start."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from lab.engine import Engine

from tests.e2e.containers import (
    BRIDGE_V4,
    BY_PLUGIN,
    FIREWALL,
    NAME,
    ROUTER,
    inside,
    is_newest,
    network,
    once,
    remove_containers,
    start,
)

Conflist = Callable[..., str]
Eventually = Callable[..., None]

TUNING: dict[str, Any] = {
    "type": "tuning",
    "sysctl": {"net.core.somaxconn": "777", "net.ipv4.conf.IFNAME.arp_notify": "1"},
}
SBR: dict[str, Any] = {"type": "sbr"}
STATIC: dict[str, Any] = {
    "type": "bridge",
    "bridge": "flagged1",
    "ipam": {"type": "static", "addresses": [{"address": "10.77.0.7/24"}, {"address": "10.77.1.7/24"}]},
}
SETTLED = "sleep 1; "
"""Before a look: an old engine lets the first process start while the last is put back."""

HANDYMAN = """#!/bin/sh
[ "$CNI_COMMAND" = ADD ] || exit 0
within() { nsenter --net="$CNI_NETNS" "$@" >&2; }
within ip link add net7 type veth peer name net8
within ip link set net7 up
within ip link set net8 up
within ip address add 10.99.0.1/24 dev net7
within ip route add 10.98.0.0/16 via 10.99.0.2 dev net7 metric 5
within ip neighbour add 10.77.0.99 lladdr 02:00:00:00:00:99 dev "$CNI_IFNAME"
within ip link set "$CNI_IFNAME" alias "made by hand" txqueuelen 77
within iptables -A INPUT -p tcp --dport 4242 -j DROP
sed 's/.*"prevResult": *//; s/}$//'
"""
"""A plugin that leaves a trace of every kind; the runtime puts `prevResult` last."""


@pytest.fixture
def by_hand(
    engine: Engine, conflist: Conflist, plugins: Callable[[str, str], Path], restart_shim: Callable[..., None]
) -> Iterator[str]:
    """A Docker network whose chain ends with the handyman."""
    folder = plugins("handyman", HANDYMAN)
    restart_shim(plugin_path=[str(engine.plugin_path), str(folder)])
    conflist(NAME, BRIDGE_V4, FIREWALL, {"type": "handyman"})
    yield network(engine, "net", *BY_PLUGIN)
    remove_containers(engine)


def endpoint(engine: Engine) -> dict[str, Any]:
    (item,) = json.loads(engine.run(engine.shim_command("endpoint", "ls", "--json")).stdout)
    return dict(item)


def test_the_first_process_finds_the_sysctls_of_the_chain(engine: Engine, conflist: Conflist) -> None:
    conflist(NAME, BRIDGE_V4, FIREWALL, TUNING)
    network(engine, "net", *BY_PLUGIN)
    of_link = "/proc/sys/net/ipv4/conf/eth0/arp_notify"
    read = f"cat /proc/sys/net/core/somaxconn {of_link}"
    if not is_newest(engine):  # there, those of the link race with the process
        read = f"cat /proc/sys/net/core/somaxconn; {SETTLED} cat {of_link}"

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: once(engine, "--network", "net", command=read), range(12)))

    assert found == ["777\n1\n"] * 12


def test_source_based_routing_works_from_the_start(engine: Engine, conflist: Conflist) -> None:
    conflist(NAME, BRIDGE_V4, FIREWALL, SBR)
    network(engine, "net", *BY_PLUGIN)
    own = "$(ip -o -4 address show eth0 | sed 's/.*inet //; s:/.*::')"
    look = f"ip rule; ip route show table 100; ping -c 1 -W 2 -I {own} {ROUTER}"
    if not is_newest(engine):
        look = SETTLED + look

    found = once(engine, "--network", "net", command=look)

    assert re.search(r"from 10\.77\.0\.\d+ lookup 100", found)
    assert f"default via {ROUTER} dev eth0" in found
    assert "0% packet loss" in found


def test_every_address_of_the_chain_is_there(engine: Engine, conflist: Conflist) -> None:
    conflist(NAME, STATIC, FIREWALL)
    network(engine, "net", *BY_PLUGIN)

    look = "ip -o -4 address show dev eth0"
    found = once(engine, "--network", "net", command=look if is_newest(engine) else SETTLED + look)

    assert re.findall(r"inet (\S+)", found) == ["10.77.0.7/24", "10.77.1.7/24"]


@pytest.mark.parametrize("connected", [False, True], ids=["started", "connected"])
def test_everything_a_plugin_may_make_is_in_the_container(
    engine: Engine, by_hand: str, eventually: Eventually, *, connected: bool
) -> None:
    start(engine, "one", *(() if connected else ("--network", by_hand)))
    if connected:
        engine.docker("network", "connect", by_hand, "one")
    eventually(lambda: endpoint(engine)["replayed"] != [])
    name = "eth1" if connected else "eth0"
    pid = engine.docker("inspect", "-f", "{{.State.Pid}}", "one").stdout.strip()

    def seen(*command: str) -> str:
        return engine.run(["nsenter", "--target", pid, "--net", *command]).stdout

    assert "10.99.0.1/24" in seen("ip", "address", "show", "net7")
    assert "10.98.0.0/16 via 10.99.0.2 dev net7 metric 5" in seen("ip", "route")
    assert "10.77.0.99 lladdr 02:00:00:00:00:99" in seen("ip", "neighbour", "show", "dev", name)
    assert "alias made by hand" in seen("ip", "link", "show", name)
    assert "qlen 77" in seen("ip", "link", "show", name)
    assert "--dport 4242 -j DROP" in seen("iptables", "-S", "INPUT")
    item = endpoint(engine)
    assert item["lost"] == []
    text = engine.run(engine.shim_command("endpoint", "show", item["id"][:12])).stdout
    assert re.search(r"^replayed: .*\n(?: .*\n)* +route 10\.98\.0\.0/16 via 10\.99\.0\.2", text, re.MULTILINE)


def test_the_staging_ends_also_when_links_stayed_in_it_for_a_while(
    engine: Engine, by_hand: str, eventually: Eventually
) -> None:
    start(engine, "one", "--network", by_hand)

    eventually(lambda: endpoint(engine)["replayed"] != [])

    assert list(engine.path("/run/cnm-cni/netns").glob("*")) == []


def test_what_a_killed_shim_has_not_put_back_the_next_one_does(
    engine: Engine, conflist: Conflist, start_shim: Callable[..., None], eventually: Eventually
) -> None:
    conflist(NAME, BRIDGE_V4, FIREWALL, TUNING)
    network(engine, "net", *BY_PLUGIN)
    start(engine, "one", "--network", "net")
    eventually(lambda: endpoint(engine)["replayed"] != [])
    pid = engine.docker("inspect", "-f", "{{.State.Pid}}", "one").stdout.strip()
    engine.kill_shim()
    engine.run(["nsenter", "--target", pid, "--net", "sysctl", "-q", "-w", "net.core.somaxconn=4096"])
    forget = "UPDATE endpoints SET record = json_set(record, '$.replayed', NULL)"
    with closing(sqlite3.connect(engine.state_dir / "state.db")) as journal:
        journal.execute(forget)
        journal.commit()

    start_shim()

    eventually(lambda: inside(engine, "one", "cat /proc/sys/net/core/somaxconn") == "777\n")
