"""The networking flags of `docker run`, but for those of ports."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

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
    network,
    once,
    start,
)
from tests.e2e.flags import RUN, Verdict, flag, honoured, impossible, refused

Conflist = Callable[..., str]
Eventually = Callable[..., None]

_MAC = "02:00:00:00:00:77"
_OUTSIDE = "192.0.2.1"
"""An address of the room, which is not on the container's network."""

_ANSWERS = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind((sys.argv[1], 53))
    open(sys.argv[2], "w").close()
    while True:
        query, client = server.recvfrom(512)
        end = query.index(0, 12) + 5
        known = query[12:end - 4] == b"\\x07outside\\x07example\\x00" and query[end - 4:end - 2] == b"\\0\\1"
        code = b"\\x81\\x80" if known else b"\\x81\\x83"
        head = query[:2] + code + b"\\0\\1" + bytes([0, known, 0, 0, 0, 0])
        answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\1\\0\\4" + socket.inet_aton(sys.argv[1])
        server.sendto(head + query[12:end] + (answer if known else b""), client)
"""
"""A DNS server that knows the address of `outside.example`, and no other name."""


@pytest.fixture(autouse=True)
def chain(conflist: Conflist) -> None:
    """The CNI network that the Docker networks of these tests are."""
    conflist(NAME, BRIDGE, FIREWALL)


@pytest.fixture
def net(engine: Engine) -> str:
    """A Docker network on which the conflist's IPAM plugin chooses the addresses."""
    return network(engine, "net", *BY_PLUGIN)


@pytest.fixture
def planned(engine: Engine) -> str:
    """A Docker network whose addresses Docker asks our IPAM driver for, in both families."""
    return network(engine, "planned", *BY_CNI, *IPV6)


@pytest.fixture
def dockers(engine: Engine) -> str:
    """A Docker network whose addresses Docker's own IPAM chooses, in both families."""
    return network(engine, "dockers", *BY_DOCKER, *IPV6)


@pytest.fixture
def name_server(engine: Engine, tmp_path: Path) -> Iterator[str]:
    """The address of a DNS server outside of the container's network."""
    engine.run(["ip", "address", "add", f"{_OUTSIDE}/32", "dev", "lo"])
    listens = tmp_path / "listens"
    try:
        engine.start("dns", [sys.executable, "-c", _ANSWERS, _OUTSIDE, listens], listens.exists)
        yield _OUTSIDE
        engine.stop("dns")
    finally:
        engine.run(["ip", "address", "del", f"{_OUTSIDE}/32", "dev", "lo"])


# Names


@flag(RUN, "--add-host NAME:ADDRESS", honoured("a line in the container's /etc/hosts"))
def test_an_added_host_is_reached_by_its_name(engine: Engine, net: str) -> None:
    once(engine, "--network", net, "--add-host", f"router:{ROUTER}", command="ping -c 1 router")


@flag(RUN, "--dns ADDRESS", honoured("Docker's DNS server asks that one for names that are not containers'"))
def test_a_dns_server_is_asked_for_names_outside(engine: Engine, net: str, name_server: str) -> None:
    shown = once(engine, "--network", net, "--dns", name_server, command="ping -c 1 outside.example")
    assert f"PING outside.example ({_OUTSIDE})" in shown


@flag(RUN, "--dns-search DOMAIN", honoured("names without a dot are looked for in it"))
def test_a_search_domain_completes_short_names(engine: Engine, net: str, name_server: str) -> None:
    options = ("--network", net, "--dns", name_server, "--dns-search", "example")
    assert f"PING outside ({_OUTSIDE})" in once(engine, *options, command="ping -c 1 outside")


@flag(RUN, "--dns-option OPTION", honoured("in the container's resolv.conf, beside Docker's DNS server"))
def test_an_option_of_the_resolver_is_in_resolv_conf(engine: Engine, net: str) -> None:
    options = ("--network", net, "--dns-option", "ndots:3", "--dns-option", "timeout:7")
    shown = once(engine, *options, command="cat /etc/resolv.conf").splitlines()
    assert "nameserver 127.0.0.11" in shown
    (line,) = [line for line in shown if line.startswith("options ")]
    assert {"ndots:3", "timeout:7"} <= set(line.split())


@flag(RUN, "--hostname NAME", honoured("the container's own name for its address on the CNI network"))
def test_a_hostname_is_the_containers_own_name_for_its_address(engine: Engine, net: str) -> None:
    start(engine, "one", "--network", net, "--hostname", "shop")
    assert inside(engine, "one", "hostname") == "shop\n"
    address = inspected(engine, "one", net)["IPAddress"]
    assert f"PING shop ({address})" in inside(engine, "one", "ping -4 -c 1 shop")


@flag(RUN, "--domainname NAME", honoured("the domain of the container's own name"))
def test_a_domain_name_is_part_of_the_containers_own_name(engine: Engine, net: str) -> None:
    options = ("--network", net, "--hostname", "shop", "--domainname", "example")
    assert once(engine, *options, command="hostname -f; hostname -d").split() == ["shop.example", "example"]


@flag(RUN, "--link CONTAINER:ALIAS", honoured("a name of that container, which this container alone knows"))
def test_a_link_is_an_alias_that_nobody_else_knows(engine: Engine, net: str) -> None:
    start(engine, "one", "--network", net)
    linked = ("--network", net, "--link", "one:db")
    address = inspected(engine, "one", net)["IPAddress"]
    assert f"PING db ({address})" in once(engine, *linked, command="ping -4 -c 1 db")
    assert once(engine, "--network", net, command="ping -c 1 db", check=False) == ""


@flag(RUN, "--network-alias NAME", honoured("a further name of the container on that network"))
def test_network_aliases_are_names_for_the_containers_of_the_network(engine: Engine, net: str) -> None:
    start(engine, "one", "--network", net, "--network-alias", "db", "--network-alias", "store")
    address = inspected(engine, "one", net)["IPAddress"]
    for name in ("db", "store"):
        shown = once(engine, "--network", net, command=f"ping -4 -c 1 {name}")
        assert f"PING {name} ({address})" in shown
    engine.docker("restart", "-t", "0", "one")
    once(engine, "--network", net, command="ping -c 1 db")


# Addresses


@flag(RUN, "--ip ADDRESS (--ipam-driver cni)", honoured("the IPAM plugin is asked for that address"))
def test_an_address_is_asked_of_the_ipam_plugin_at_each_start(engine: Engine, planned: str) -> None:
    start(engine, "one", "--network", planned, "--ip", "10.77.0.50")
    _reached_at(engine, "one", planned, "10.77.0.50")
    engine.docker("restart", "-t", "0", "one")
    _reached_at(engine, "one", planned, "10.77.0.50")
    assert engine.run(["ls", f"/var/lib/cni/networks/{NAME}"]).stdout.split().count("10.77.0.50") == 1


@flag(RUN, "--ip ADDRESS (-o cni.ipam=docker)", honoured("Docker's IPAM gives it, and the chain sets it"))
def test_an_address_of_dockers_ipam_is_the_containers(engine: Engine, dockers: str) -> None:
    start(engine, "one", "--network", dockers, "--ip", "10.77.0.50")
    _reached_at(engine, "one", dockers, "10.77.0.50")
    engine.docker("restart", "-t", "0", "one")
    _reached_at(engine, "one", dockers, "10.77.0.50")


@flag(
    RUN,
    "--ip ADDRESS (--ipam-driver null)",
    impossible(
        "the engine allows it only on networks with a --subnet, which null cannot have, and refuses it; "
        "driver-opt=cni.ips=ADDRESS does it"
    ),
)
def test_an_address_on_a_network_without_subnet_is_refused_by_the_engine(engine: Engine, net: str) -> None:
    _refused_without_subnet(engine, net, "--ip", "10.77.0.50")
    shown = once(engine, "--network", f"name={net},driver-opt=cni.ips=10.77.0.50")
    assert "inet 10.77.0.50/24 " in shown


@flag(RUN, "--ip ADDRESS, a taken one", refused("requested IP address 10.77.0.50 is not available"))
def test_an_address_that_a_container_has_is_refused(engine: Engine, planned: str, verdict: Verdict) -> None:
    start(engine, "one", "--network", planned, "--ip", "10.77.0.50")
    verdict.refuses(_attempt(engine, "--network", planned, "--ip", "10.77.0.50"))
    _reached_at(engine, "one", planned, "10.77.0.50")


@flag(RUN, "--ip ADDRESS, that of the gateway", refused("requested ip 10.77.0.1 is subnet's gateway"))
def test_the_gateways_address_is_refused(engine: Engine, planned: str, verdict: Verdict) -> None:
    verdict.refuses(_attempt(engine, "--network", planned, "--ip", ROUTER))


@flag(
    RUN,
    "--ip ADDRESS, of another subnet",
    old=refused("Invalid address 10.88.0.50: It does not belong to any of this network's subnets"),
    new=refused("no configured subnet or ip-range contain the IP address 10.88.0.50"),
)
def test_an_address_of_another_subnet_is_refused(engine: Engine, planned: str, verdict: Verdict) -> None:
    verdict.refuses(_attempt(engine, "--network", planned, "--ip", "10.88.0.50"))


@flag(RUN, "--ip6 ADDRESS (--ipam-driver cni)", honoured("the IPAM plugin is asked for that address"))
def test_an_ipv6_address_is_asked_of_the_ipam_plugin_at_each_start(engine: Engine, planned: str) -> None:
    start(engine, "one", "--network", planned, "--ip6", "fd00:77::50")
    _reached_at_v6(engine, "one", planned, "fd00:77::50")
    engine.docker("restart", "-t", "0", "one")
    _reached_at_v6(engine, "one", planned, "fd00:77::50")


@flag(RUN, "--ip6 ADDRESS (-o cni.ipam=docker)", honoured("Docker's IPAM gives it, and the chain sets it"))
def test_an_ipv6_address_of_dockers_ipam_is_the_containers(engine: Engine, dockers: str) -> None:
    start(engine, "one", "--network", dockers, "--ip6", "fd00:77::50")
    _reached_at_v6(engine, "one", dockers, "fd00:77::50")
    engine.docker("restart", "-t", "0", "one")
    _reached_at_v6(engine, "one", dockers, "fd00:77::50")


@flag(RUN, "--ip ADDRESS --ip6 ADDRESS", honoured("both are asked for"))
def test_an_address_of_each_family_is_asked_for_together(engine: Engine, planned: str) -> None:
    start(engine, "one", "--network", planned, "--ip", "10.77.0.50", "--ip6", "fd00:77::50")
    _reached_at(engine, "one", planned, "10.77.0.50")
    _reached_at_v6(engine, "one", planned, "fd00:77::50")


@flag(
    RUN,
    "--ip6 ADDRESS (--ipam-driver null)",
    impossible(
        "the engine allows it only on networks with a --subnet, which null cannot have, and refuses it; "
        "driver-opt=cni.ips=ADDRESS does it"
    ),
)
def test_an_ipv6_address_on_a_network_without_subnet_is_refused_by_the_engine(
    engine: Engine, net: str
) -> None:
    _refused_without_subnet(engine, net, "--ip6", "fd00:77::50")
    shown = once(engine, "--network", f"name={net},driver-opt=cni.ips=fd00:77::50")
    assert "inet6 fd00:77::50/64 " in shown


@flag(RUN, "--ip6 ADDRESS, a taken one", refused("requested IP address fd00:77::50 is not available"))
def test_an_ipv6_address_that_a_container_has_is_refused(
    engine: Engine, planned: str, verdict: Verdict
) -> None:
    start(engine, "one", "--network", planned, "--ip6", "fd00:77::50")
    verdict.refuses(_attempt(engine, "--network", planned, "--ip6", "fd00:77::50"))
    _reached_at_v6(engine, "one", planned, "fd00:77::50")


@flag(
    RUN,
    "--ip6 ADDRESS, of another subnet",
    old=refused("Invalid address fd00:88::50: It does not belong to any of this network's subnets"),
    new=refused("no configured subnet or ip-range contain the IP address fd00:88::50"),
)
def test_an_ipv6_address_of_another_subnet_is_refused(
    engine: Engine, planned: str, verdict: Verdict, eventually: Eventually
) -> None:
    verdict.refuses(_attempt(engine, "--network", planned, "--ip6", "fd00:88::50"))
    # Engine 20.10 forgets the IPv4 address that it has asked for by then; the shim gives it back.
    leases = engine.path(f"/var/lib/cni/networks/{NAME}")
    eventually(lambda: not [*leases.glob("10.77.*"), *leases.glob("fd00:*")], within=150)


@flag(RUN, "--link-local-ip ADDRESS", honoured("a further address of the link"))
def test_a_link_local_address_is_added_to_the_link(engine: Engine, net: str) -> None:
    start(engine, "one", "--network", net, "--link-local-ip", "169.254.7.7")
    engine.docker("restart", "-t", "0", "one")
    shown = inside(engine, "one", "ip address show eth0")
    assert "inet 169.254.7.7/16 " in shown
    assert f"inet {inspected(engine, 'one', net)['IPAddress']}/24 " in shown


@flag(RUN, "--link-local-ip ADDRESS, of no link", refused("invalid link local IP address: 10.3.3.3"))
def test_a_link_local_address_that_is_none_is_refused(engine: Engine, net: str, verdict: Verdict) -> None:
    verdict.refuses(_attempt(engine, "--network", net, "--link-local-ip", "10.3.3.3"))


# MAC addresses


@flag(RUN, "--mac-address MAC (--ipam-driver null)", honoured("the chain is told it by MAC= in CNI_ARGS"))
def test_a_mac_address_is_the_links(engine: Engine, net: str) -> None:
    start(engine, "one", "--network", net, "--mac-address", _MAC)
    _has_mac(engine, "one", net)
    engine.docker("restart", "-t", "0", "one")
    _has_mac(engine, "one", net)
    assert f"MAC={_MAC}" in _shown_args(engine)


@flag(RUN, "--mac-address MAC (--ipam-driver cni)", honoured("the chain is told it by MAC= in CNI_ARGS"))
def test_a_mac_address_beside_a_chosen_address_is_the_links(engine: Engine, planned: str) -> None:
    start(engine, "one", "--network", planned, "--ip", "10.77.0.50", "--mac-address", _MAC)
    _has_mac(engine, "one", planned)
    _reached_at(engine, "one", planned, "10.77.0.50")


@flag(
    RUN,
    "--mac-address MAC, where a plugin declares the capability mac",
    honoured("that plugin is told it by its runtimeConfig"),
)
def test_a_mac_address_is_told_by_the_capability_where_there_is_one(
    engine: Engine, conflist: Conflist, net: str
) -> None:
    conflist(NAME, BRIDGE | {"capabilities": {"mac": True}}, FIREWALL)
    start(engine, "one", "--network", net, "--mac-address", _MAC)
    _has_mac(engine, "one", net)
    assert "MAC=" not in _shown_args(engine)


@flag(RUN, "--mac-address MAC, not one", refused("zz is not a valid mac address"))
def test_a_mac_address_out_of_shape_is_refused(engine: Engine, net: str, verdict: Verdict) -> None:
    verdict.refuses(_attempt(engine, "--network", net, "--mac-address", "zz"))


@flag(
    RUN,
    "--mac-address MAC, of a group",
    refused("--mac-address 03:00:00:00:00:77: not the MAC address of a link (as in 02:00:00:00:00:01)"),
)
def test_a_multicast_mac_address_is_refused(engine: Engine, net: str, verdict: Verdict) -> None:
    verdict.refuses(_attempt(engine, "--network", net, "--mac-address", "03:00:00:00:00:77"))


@flag(
    RUN,
    "--mac-address MAC, a taken one",
    refused(f"network {NAME}: MAC address {_MAC} is taken by endpoint"),
)
def test_a_mac_address_that_another_container_of_the_network_has_is_refused(
    engine: Engine, net: str, verdict: Verdict
) -> None:
    start(engine, "one", "--network", net, "--mac-address", _MAC)
    verdict.refuses(_attempt(engine, "--network", net, "--mac-address", _MAC))
    engine.docker("rm", "-f", "one")
    once(engine, "--network", net, "--mac-address", _MAC)


# Networks


@flag(RUN, "--network NETWORK", honoured("the chain of its CNI network runs"))
def test_a_network_gives_address_and_routes_of_both_families(engine: Engine, net: str) -> None:
    shown = once(engine, "--network", net, command="ip address show eth0; ip route; ip -6 route")
    assert "inet 10.77.0." in shown
    assert "inet6 fd00:77::" in shown
    assert f"default via {ROUTER} dev eth0" in shown
    assert f"default via {ROUTER_V6} dev eth0" in shown


@flag(
    RUN,
    "--network name=NETWORK,ip=ADDRESS,ip6=ADDRESS,alias=NAME",
    honoured("as --ip, --ip6 and --network-alias"),
)
def test_a_networks_options_can_be_given_with_its_name(engine: Engine, planned: str) -> None:
    start(engine, "one", "--network", f"name={planned},ip=10.77.0.50,ip6=fd00:77::50,alias=db")
    _reached_at(engine, "one", planned, "10.77.0.50")
    _reached_at_v6(engine, "one", planned, "fd00:77::50")
    shown = once(engine, "--network", planned, command="ping -4 -c 1 db")
    assert "PING db (10.77.0.50)" in shown


@flag(
    RUN,
    "--network name=NETWORK,mac-address=MAC,link-local-ip=ADDRESS",
    old=refused("invalid field key mac-address"),
    new=honoured("as --mac-address and --link-local-ip"),
)
def test_a_networks_mac_address_can_be_given_with_its_name(
    engine: Engine, net: str, verdict: Verdict
) -> None:
    option = f"name={net},mac-address={_MAC},link-local-ip=169.254.7.7"
    if verdict.kind == "refused":
        verdict.refuses(_attempt(engine, "--network", option))
        return
    start(engine, "one", "--network", option)
    _has_mac(engine, "one", net)
    assert "inet 169.254.7.7/16 " in inside(engine, "one", "ip address show eth0")


@flag(
    RUN,
    "--network NETWORK --network NETWORK",
    old=impossible(
        "the engine takes one at docker run, and refuses; docker network connect adds the others, also "
        "between docker create and docker start"
    ),
    new=honoured("a link on each; the names of the networks decide which is the first"),
)
def test_several_networks_give_a_link_on_each(engine: Engine, net: str, verdict: Verdict) -> None:
    network(engine, "web", "--ipam-driver", "null", "-o", "cni.network=cni-bridge")
    if verdict.kind == "impossible":
        attempt = _attempt(engine, "--network", net, "--network", "web")
        assert attempt.returncode != 0
        assert "Container cannot be connected to network endpoints: " in attempt.stderr
        engine.docker("create", "--name", "one", "--network", net, "busybox", "sleep", "600")
        engine.docker("network", "connect", "web", "one")
        engine.docker("start", "one")
    else:
        start(engine, "one", "--network", net, "--network", "web")
    shown = inside(engine, "one", "ip address")
    for name in (net, "web"):
        assert f"inet {inspected(engine, 'one', name)['IPAddress']}/24 " in shown
    assert {"eth0@", "eth1@"} <= {word[:5] for word in shown.split()}


@flag(
    RUN,
    "--network name=NETWORK,gw-priority=NUMBER",
    old=refused("invalid field key gw-priority"),
    new=honoured("the gateway of the network with the highest number is the default route's"),
)
def test_the_network_of_the_highest_priority_has_the_default_route(
    engine: Engine, conflist: Conflist, net: str, verdict: Verdict
) -> None:
    conflist(NAME, BRIDGE_V4, FIREWALL)
    network(engine, "web", "--ipam-driver", "null", "-o", "cni.network=cni-bridge")
    if verdict.kind == "refused":
        verdict.refuses(_attempt(engine, "--network", f"name={net},gw-priority=1"))
        return
    for first, second, gateway in ((1, 2, "10.89.0.1"), (2, 1, ROUTER)):
        mine, web = f"name={net},gw-priority={first}", f"name=web,gw-priority={second}"
        shown = once(engine, "--network", mine, "--network", web, command="ip route")
        assert f"default via {gateway} " in shown


@flag(RUN, "--network container:NAME", honoured("the other container's links"))
def test_another_containers_network_is_shared(engine: Engine, net: str) -> None:
    start(engine, "one", "--network", net)
    address = inspected(engine, "one", net)["IPAddress"]
    assert f"inet {address}/24 " in once(engine, "--network", "container:one")


@flag(
    RUN,
    "--network NETWORK --network host",
    refused("conflicting options: cannot attach both user-defined and non-user-defined network-modes"),
)
def test_the_hosts_network_beside_another_is_refused(engine: Engine, net: str, verdict: Verdict) -> None:
    verdict.refuses(_attempt(engine, "--network", net, "--network", "host"))


@flag(
    RUN,
    "--network NETWORK --network none",
    refused("conflicting options: cannot attach both user-defined and non-user-defined network-modes"),
)
def test_no_network_beside_another_is_refused(engine: Engine, net: str, verdict: Verdict) -> None:
    verdict.refuses(_attempt(engine, "--network", net, "--network", "none"))


# Sysctls


@flag(RUN, "--sysctl net.KEY=VALUE", honoured("that of the container's network namespace"))
def test_a_sysctl_holds_in_the_containers_namespace(engine: Engine, net: str) -> None:
    options = (
        "--sysctl",
        "net.ipv4.ip_unprivileged_port_start=0",
        "--sysctl",
        "net.ipv4.ping_group_range=5 7",
    )
    keys = "cd /proc/sys/net/ipv4; cat ip_unprivileged_port_start ping_group_range"
    start(engine, "one", "--network", net, *options)
    assert inside(engine, "one", keys).split() == ["0", "5", "7"]
    engine.docker("restart", "-t", "0", "one")
    assert inside(engine, "one", keys).split() == ["0", "5", "7"]
    assert "inet 10.77.0." in inside(engine, "one", "ip address show eth0")


@flag(
    RUN,
    "--sysctl net.ipv4.conf.eth0.KEY=VALUE",
    old=honoured("that of the link"),
    new=refused("must be supplied using driver option 'com.docker.network.endpoint.sysctls'"),
)
def test_a_sysctl_of_a_link_holds_where_the_link_has_that_name(
    engine: Engine, net: str, verdict: Verdict
) -> None:
    options = ("--network", net, "--sysctl", "net.ipv4.conf.eth0.log_martians=1")
    if verdict.kind == "refused":
        verdict.refuses(_attempt(engine, *options))
        return
    assert once(engine, *options, command="cat /proc/sys/net/ipv4/conf/eth0/log_martians") == "1\n"


@flag(
    RUN,
    "--sysctl net.ipv6.conf.all.disable_ipv6=1 (--ipam-driver cni)",
    honoured("no IPv6 address, though the conflist has some"),
)
def test_ipv6_can_be_disabled_where_docker_asks_for_addresses(engine: Engine, planned: str) -> None:
    _without_ipv6(engine, planned)


@flag(
    RUN,
    "--sysctl net.ipv6.conf.all.disable_ipv6=1 (-o cni.ipam=docker)",
    honoured("no IPv6 address, though the conflist has some"),
)
def test_ipv6_can_be_disabled_where_docker_chooses_addresses(engine: Engine, dockers: str) -> None:
    _without_ipv6(engine, dockers)


@flag(
    RUN,
    "--sysctl net.ipv6.conf.all.disable_ipv6=1 (--ipam-driver null)",
    old=honoured("no IPv6 address, though the conflist has some"),
    new=impossible(
        "the engine does not tell the driver, and enables IPv6 again on a link to which the conflist gave an "
        "IPv6 address; take --ipam-driver cni --ipv6, or a conflist without IPv6"
    ),
)
def test_ipv6_of_the_conflist_is_disabled_by_old_engines_only(
    engine: Engine, net: str, verdict: Verdict
) -> None:
    if verdict.kind == "honoured":
        _without_ipv6(engine, net)
        return
    shown = once(engine, "--network", net, "--sysctl", "net.ipv6.conf.all.disable_ipv6=1")
    assert "inet6 fd00:77::" in shown
    assert "inet6 ::1/128" not in shown


def _attempt(engine: Engine, *options: str) -> subprocess.CompletedProcess[str]:
    return engine.docker("run", "--rm", *options, "busybox", "true", check=False)


def _refused_without_subnet(engine: Engine, net: str, *options: str) -> None:
    attempt = _attempt(engine, "--network", net, *options)
    assert attempt.returncode != 0
    reason = (
        "user specified IP address is supported only when connecting to networks with user configured subnets"
    )
    assert reason in attempt.stderr


def _reached_at(engine: Engine, container: str, net: str, address: str) -> None:
    assert inspected(engine, container, net)["IPAddress"] == address
    assert f"inet {address}/24 " in inside(engine, container, "ip address show eth0")
    assert f"default via {ROUTER} dev eth0" in inside(engine, container, "ip route")
    once(engine, "--network", net, command=f"ping -c 1 {address}")


def _reached_at_v6(engine: Engine, container: str, net: str, address: str) -> None:
    assert inspected(engine, container, net)["GlobalIPv6Address"] == address
    assert f"inet6 {address}/64 " in inside(engine, container, "ip address show eth0")
    assert f"default via {ROUTER_V6} dev eth0" in inside(engine, container, "ip -6 route")
    once(engine, "--network", net, command=f"ping -c 1 {address}")


def _has_mac(engine: Engine, container: str, net: str) -> None:
    assert inspected(engine, container, net)["MacAddress"] == _MAC
    assert f"link/ether {_MAC} " in inside(engine, container, "ip link show eth0")


def _shown_args(engine: Engine) -> str:
    """The `CNI_ARGS` of the only endpoint, by `cnm-cni endpoint show`."""
    (endpoint,) = json.loads(engine.run(engine.shim_command("endpoint", "ls", "--json")).stdout)
    shown = engine.run(engine.shim_command("endpoint", "show", endpoint["id"])).stdout
    (line,) = [line for line in shown.splitlines() if line.startswith("CNI_ARGS:")]
    return line


def _without_ipv6(engine: Engine, net: str) -> None:
    start(engine, "one", "--network", net, "--sysctl", "net.ipv6.conf.all.disable_ipv6=1")
    shown = inside(engine, "one", "ip address")
    assert f"inet {inspected(engine, 'one', net)['IPAddress']}/24 " in shown
    assert "inet6" not in shown
    inside(engine, "one", f"ping -c 1 {ROUTER}")
