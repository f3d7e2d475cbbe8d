"""`cni.mode=inplace`: the chain runs in the container's own namespace, and its link is never moved."""

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from lab.engine import Engine

from tests.e2e.containers import (
    BRIDGE,
    BRIDGE_V4,
    BY_CNI,
    BY_DOCKER,
    BY_PLUGIN,
    FIREWALL,
    IPV6,
    NAME,
    ROUTER,
    ROUTER_V6,
    inside,
    inspected,
    is_newest,
    network,
    start,
)

Conflist = Callable[..., str]
Eventually = Callable[..., None]

IN_PLACE = ("-o", "cni.mode=inplace")
TUNING = {"type": "tuning", "sysctl": {"net.ipv4.conf.IFNAME.arp_notify": "1"}}
BAD_TUNING = {"type": "tuning", "sysctl": {"net.no.such": "1"}}
PORTMAP = {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}}
HANGS = """#!/bin/sh
[ "$CNI_COMMAND" = ADD ] || exit 0
touch "${0%/*}/here"
exec sleep 600
"""
TUN = """#!/bin/sh
in_sandbox() { nsenter --net="$CNI_NETNS" ip "$@"; }
case $CNI_COMMAND in
ADD) in_sandbox tuntap add "$CNI_IFNAME" mode tun || exit 1
     link='"name": "'$CNI_IFNAME'", "sandbox": "'$CNI_NETNS'"'
     echo "{\\"cniVersion\\": \\"1.0.0\\", \\"interfaces\\": [{$link}]}" ;;
DEL) in_sandbox link del "$CNI_IFNAME" || true ;;
esac
"""
"""A plugin whose link has no MAC address, and takes none."""
MASQUERADING = {**BRIDGE_V4, "ipMasq": True}


@pytest.fixture(autouse=True)
def chain(conflist: Conflist) -> str:
    return conflist(NAME, MASQUERADING, PORTMAP, FIREWALL, TUNING)


def attach(engine: Engine, *options: str) -> str:
    """Let a container have its link in place on network "net", on any engine; the link's name."""
    start(engine, "one")
    engine.docker("network", "connect", *options, "net", "one")
    return "net1"


def links(engine: Engine, container: str = "one") -> set[str]:
    return set(re.findall(r"^\d+: ([^:@]+)", inside(engine, container, "ip -o link"), re.MULTILINE)) - {"lo"}


def process(engine: Engine) -> str:
    """The ID of the container's process in the engine's room."""
    return engine.docker("inspect", "-f", "{{.State.Pid}}", "one").stdout.strip()


def shown(engine: Engine) -> dict[str, Any]:
    """The only endpoint of "net"."""
    items = json.loads(engine.run(engine.shim_command("endpoint", "ls", "--json")).stdout)
    (item,) = (item for item in items if item["network"]["name"] == "net")
    return dict(item)


def leases(engine: Engine) -> set[str]:
    folder = engine.path(f"/var/lib/cni/networks/{NAME}")
    return {path.name for path in folder.glob("*") if re.fullmatch(r"[0-9a-f.:]+", path.name)}


# Attached


def test_a_running_container_gets_all_that_the_chain_made_for_it(engine: Engine) -> None:
    network(engine, "net", *BY_PLUGIN, *IN_PLACE)

    name = attach(engine)

    assert links(engine) == {"eth0", name}
    assert inside(engine, "one", f"cat /proc/sys/net/ipv4/conf/{name}/arp_notify") == "1\n"
    assert "0% packet loss" in inside(engine, "one", f"ping -c 1 -W 2 {ROUTER}")
    item = shown(engine)
    assert (item["mode"], item["ifname"]) == ("inplace", name)
    assert item["result"]["interfaces"][-1]["sandbox"] == item["sandbox"]


def test_a_container_is_started_in_place_where_its_sandbox_is_there_at_join_and_else_by_handover(
    engine: Engine,
) -> None:
    network(engine, "net", *BY_PLUGIN, *IN_PLACE)

    start(engine, "one", "--network", "net")

    assert links(engine) == {"eth0"}
    assert f"default via {ROUTER} dev eth0" in inside(engine, "one", "ip route")
    item = shown(engine)
    text = engine.run(engine.shim_command("endpoint", "show", item["id"][:12])).stdout
    if is_newest(engine):
        assert item["mode"] == "inplace"
        assert re.search(r"^mode: +inplace$", text, re.MULTILINE)
        assert inside(engine, "one", "cat /proc/sys/net/ipv4/conf/eth0/arp_notify") == "1\n"
    else:
        assert item["mode"] == "handover"
        assert "handover (inplace was asked for, but the sandbox came after Join)" in text
        assert "not in place but by handover" in engine.shim_log.read_text()


@pytest.mark.parametrize(
    "addressed", [BY_PLUGIN, BY_CNI, BY_DOCKER], ids=["null IPAM", "CNI IPAM", "Docker's IPAM"]
)
def test_docker_shows_the_address_and_the_gateway(engine: Engine, addressed: tuple[str, ...]) -> None:
    network(engine, "net", *addressed, *IN_PLACE)

    attach(engine)

    found = inspected(engine, "one", "net")
    assert found["IPAddress"] in inside(engine, "one", "ip -o -4 address show net1")
    assert found["Gateway"] == ROUTER


def test_both_families_are_there(engine: Engine, conflist: Conflist) -> None:
    conflist(NAME, BRIDGE, FIREWALL)
    network(engine, "net", *BY_CNI, *IPV6, *IN_PLACE)

    attach(engine)

    assert "0% packet loss" in inside(engine, "one", f"ping -c 1 -W 2 {ROUTER}")
    inside(engine, "one", f"ping -c 8 -W 1 {ROUTER_V6}")  # the first ones may be lost: the bridge is new
    assert inspected(engine, "one", "net")["GlobalIPv6Address"] in inside(engine, "one", "ip -6 address")


def test_an_address_that_was_asked_for_is_given(engine: Engine) -> None:
    network(engine, "net", *BY_CNI, *IN_PLACE)

    attach(engine, "--ip", "10.77.0.99")

    assert "10.77.0.99/24" in inside(engine, "one", "ip -o -4 address show net1")


def test_containers_find_each_other_by_name(engine: Engine) -> None:
    network(engine, "net", *BY_PLUGIN, *IN_PLACE)
    start(engine, "two", "--network", "net")

    attach(engine)

    assert "0% packet loss" in inside(engine, "one", "ping -c 1 -W 2 two")
    assert "0% packet loss" in inside(engine, "two", "ping -c 1 -W 2 one")


def test_a_published_port_is_reached(engine: Engine) -> None:
    network(engine, "net", *BY_PLUGIN, *IN_PLACE)
    start(engine, "one", "--network", "net", "-p", "18091:80")

    inside(engine, "one", "echo hello > /tmp/index.html; busybox httpd -p 80 -h /tmp")

    address = inspected(engine, "one", "net")["Gateway"]
    assert engine.run(["busybox", "wget", "-q", "-O", "-", f"http://{address}:18091/"]).stdout == "hello\n"


def test_an_internal_network_gives_no_default_route(engine: Engine) -> None:
    network(engine, "net", *BY_PLUGIN, *IN_PLACE, "--internal")
    engine.docker("network", "create", "--internal", "other")
    start(engine, "one", "--network", "other")

    engine.docker("network", "connect", "net", "one")

    assert f"default via {ROUTER}" not in inside(engine, "one", "ip route")
    assert "0% packet loss" in inside(engine, "one", f"ping -c 1 -W 2 {ROUTER}")


# Beside networks of Docker's own


def test_networks_of_docker_come_before_and_after_it(engine: Engine) -> None:
    network(engine, "net", *BY_PLUGIN, *IN_PLACE)
    engine.docker("network", "create", "after")
    attach(engine)

    engine.docker("network", "connect", "after", "one")

    assert links(engine) == {"eth0", "net1", "eth1"}
    engine.docker("network", "disconnect", "net", "one")
    assert links(engine) == {"eth0", "eth1"}
    engine.docker("network", "connect", "net", "one")
    assert links(engine) == {"eth0", "net1", "eth1"}


def test_the_only_default_route_is_that_of_the_network_which_the_engine_chooses(engine: Engine) -> None:
    network(engine, "net", *BY_PLUGIN, *IN_PLACE)
    attach(engine)

    routes = inside(engine, "one", "ip route").splitlines()

    (default,) = (route for route in routes if route.startswith("default"))
    gateways = {name: inspected(engine, "one", name)["Gateway"] for name in ("bridge", "net")}
    assert default.split()[2] in gateways.values()
    if default.split()[2] == gateways["bridge"]:
        engine.docker("network", "disconnect", "bridge", "one")
        assert f"default via {ROUTER} dev net1" in inside(engine, "one", "ip route")


def test_a_container_started_on_it_and_another_leaves_eth0_to_the_engine(engine: Engine) -> None:
    network(engine, "net", *BY_PLUGIN, *IN_PLACE)
    engine.docker("network", "create", "other")
    engine.docker("create", "--name", "one", "--network", "net", "busybox", "sleep", "600")
    engine.docker("network", "connect", "other", "one")

    engine.docker("start", "one")

    by_handover = {"eth0", "eth1"}
    assert links(engine) == ({"eth0", "net1"} if is_newest(engine) else by_handover)


def test_an_engine_that_counts_its_own_links_alone_wants_another_name_beside_an_eth0_in_place(
    engine: Engine,
) -> None:
    network(engine, "net", *BY_PLUGIN, *IN_PLACE)
    engine.docker("network", "create", "other")
    start(engine, "one", "--network", "net")

    by_name = ("--driver-opt", "com.docker.network.endpoint.ifname=eth1") if is_newest(engine) else ()
    engine.docker("network", "connect", *by_name, "other", "one")
    assert links(engine) == {"eth0", "eth1"}

    if is_newest(engine):  # older ones got it by handover, and have counted it
        engine.docker("network", "create", "more")
        start(engine, "two", "--network", "net")
        connected = engine.docker("network", "connect", "more", "two", check=False)
        assert 'to "eth0": file exists' in connected.stderr


def test_a_network_that_names_its_links_itself_lets_others_come_afterwards(engine: Engine) -> None:
    network(engine, "net", *BY_PLUGIN, *IN_PLACE, "-o", "cni.ifname=lan7")
    engine.docker("network", "create", "other")
    start(engine, "one", "--network", "net")

    engine.docker("network", "connect", "other", "one")

    assert links(engine) == ({"lan7", "eth0"} if is_newest(engine) else {"lan0", "eth0"})


def test_two_networks_in_place_stand_side_by_side(engine: Engine, conflist: Conflist) -> None:
    second = {
        **BRIDGE_V4,
        "bridge": "flagged1",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.78.0.0/24"}]]},
    }
    conflist("second", second, FIREWALL)
    network(engine, "net", *BY_PLUGIN, *IN_PLACE)
    network(engine, "more", "--ipam-driver", "null", "-o", "cni.network=second", *IN_PLACE)
    attach(engine)

    engine.docker("network", "connect", "more", "one")

    assert links(engine) == {"eth0", "net1", "net2"}
    assert "0% packet loss" in inside(engine, "one", f"ping -c 1 -W 2 {ROUTER}")
    assert "0% packet loss" in inside(engine, "one", "ping -c 1 -W 2 10.78.0.1")


# Refused


def test_a_name_that_a_link_has_already_is_refused_and_that_link_stays(engine: Engine) -> None:
    network(engine, "net", *BY_PLUGIN, *IN_PLACE)
    start(engine, "one")

    connected = engine.docker(
        "network", "connect", "--driver-opt", "cni.ifname=eth0", "net", "one", check=False
    )

    assert "network flagged: the container has a link eth0 already (choose another name" in connected.stderr
    assert links(engine) == {"eth0"}
    assert leases(engine) == set()


def test_a_chain_that_fails_leaves_the_container_as_it_was(engine: Engine, conflist: Conflist) -> None:
    conflist(NAME, MASQUERADING, FIREWALL, BAD_TUNING)
    network(engine, "net", *BY_PLUGIN, *IN_PLACE)
    start(engine, "one")

    connected = engine.docker("network", "connect", "net", "one", check=False)

    assert re.search(r'plugin "tuning" \(network "flagged"\) ADD: .*net/no/such', connected.stderr)
    assert links(engine) == {"eth0"}
    assert leases(engine) == set()


def test_an_ipam_plugin_that_needs_a_link_is_refused_when_the_network_is_made(
    engine: Engine, conflist: Conflist
) -> None:
    conflist(NAME, {**BRIDGE_V4, "ipam": {"type": "dhcp"}})

    made = engine.docker("network", "create", "-d", "cni", *BY_PLUGIN, *IN_PLACE, "net", check=False)

    assert "dhcp needs the link, which is not there yet when Docker asks for the address" in made.stderr


# Endings; that nothing is left behind is proved after each test


@pytest.mark.parametrize("options", [(), ("--network", "net")], ids=["connected", "started"])
@pytest.mark.parametrize(
    "ending", ["stop", "kill", "remove", "disconnect", "link deleted", "link renamed", "shim killed"]
)
def test_nothing_is_left_however_it_ends(
    engine: Engine, start_shim: Callable[..., None], ending: str, options: tuple[str, ...]
) -> None:
    network(engine, "net", *BY_PLUGIN, *IN_PLACE)
    start(engine, "one", *options)
    if not options:
        engine.docker("network", "connect", "net", "one")
    name = shown(engine)["ifname"]
    pid = process(engine)
    within = ["nsenter", "--target", pid, "--net", "ip", "link"]

    match ending:
        case "stop":
            engine.docker("stop", "--time", "0", "one")
        case "kill":
            engine.run(["kill", "-9", pid])
            engine.docker("wait", "one")
        case "remove":
            engine.docker("rm", "-f", "one")
        case "disconnect":
            engine.docker("network", "disconnect", "net", "one")
        case "link deleted":
            engine.run([*within, "del", name])
        case "link renamed":
            engine.run([*within, "set", name, "down"])
            engine.run([*within, "set", name, "name", "other7"])
        case "shim killed":
            engine.kill_shim()
            engine.docker("rm", "-f", "one")
            start_shim()
        case _:
            raise AssertionError(ending)
    engine.docker("rm", "-f", "one", check=False)


def test_a_container_keeps_its_link_through_a_restart_of_the_engine_with_live_restore(
    engine: Engine,
) -> None:
    engine.stop_dockerd()
    engine.start_dockerd(live_restore=True)
    network(engine, "net", *BY_PLUGIN, *IN_PLACE)
    attach(engine)

    engine.stop_dockerd()
    engine.start_dockerd(live_restore=True)

    assert "0% packet loss" in inside(engine, "one", f"ping -c 1 -W 2 {ROUTER}")
    engine.docker("rm", "-f", "one")
    engine.stop_dockerd()
    engine.start_dockerd()


def test_a_container_starts_again_in_place_with_a_new_link(engine: Engine) -> None:
    network(engine, "net", *BY_PLUGIN, *IN_PLACE)
    start(engine, "one", "--network", "net")

    engine.docker("restart", "--time", "0", "one")

    assert links(engine) == {"eth0"}
    assert len(leases(engine)) == 1


def test_a_mac_address_that_the_link_does_not_take_is_refused_and_the_link_is_gone(
    engine: Engine,
    restart_shim: Callable[..., None],
    conflist: Conflist,
    plugins: Callable[[str, str], Path],
) -> None:
    restart_shim(plugin_path=[str(plugins("tun", TUN))])
    conflist(NAME, {"type": "tun"})
    network(engine, "net", *BY_PLUGIN, *IN_PLACE)
    start(engine, "one")
    connect = ("network", "connect", "--driver-opt", "cni.mac=02:00:00:00:00:77", "net", "one")

    refused = engine.docker(*connect, check=False)

    assert f"network {NAME}: cannot give net1 in " in refused.stderr
    assert (
        "MAC address 02:00:00:00:00:77: Operation not supported (leave --mac-address, or cni.mac, out)"
        in refused.stderr
    )
    assert links(engine) == {"eth0"}


@pytest.mark.usefixtures("restart_shim")
def test_an_add_that_was_cut_off_in_the_sandbox_is_undone_there(
    engine: Engine,
    start_shim: Callable[..., None],
    conflist: Conflist,
    plugins: Callable[[str, str], Path],
    eventually: Eventually,
) -> None:
    folder = plugins("hangs", HANGS)
    plugin_path = [str(engine.plugin_path), str(folder)]
    conflist(NAME, MASQUERADING, FIREWALL, {"type": "hangs"})
    engine.stop_shim()
    start_shim(plugin_path=plugin_path)
    network(engine, "net", *BY_PLUGIN, *IN_PLACE)
    start(engine, "one")
    pid = process(engine)  # later on, the engine answers no more than the connecting itself
    with ThreadPoolExecutor(1) as pool:
        connecting = pool.submit(engine.docker, "network", "connect", "net", "one", check=False)
        eventually((folder / "here").exists)
        assert "net1" in engine.run(["nsenter", "--target", pid, "--net", "ip", "link"]).stdout
        engine.kill_shim()
        start_shim(plugin_path=plugin_path)
        assert connecting.result().returncode != 0

    eventually(lambda: links(engine) == {"eth0"}, within=20)
    eventually(lambda: leases(engine) == set(), within=20)
