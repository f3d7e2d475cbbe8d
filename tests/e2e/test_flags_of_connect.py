"""The flags of `docker network connect`, on running containers and on stopped ones."""

from collections.abc import Callable
from subprocess import CompletedProcess

import pytest
from lab.engine import Engine

from tests.e2e.containers import (
    BRIDGE,
    BRIDGE_V4,
    BY_CNI,
    BY_PLUGIN,
    FIREWALL,
    IPV6,
    NAME,
    ROUTER,
    inside,
    inspected,
    network,
    once,
    start,
)
from tests.e2e.flags import CONNECT, Verdict, flag, honoured, impossible, refused

Conflist = Callable[..., str]
Eventually = Callable[..., None]

_MAC = "02:00:00:00:00:77"


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


@flag(CONNECT, "--alias NAME", honoured("a further name of the container on that network"))
def test_aliases_are_names_for_the_containers_of_the_network(engine: Engine, net: str) -> None:
    start(engine, "one")
    engine.docker("network", "connect", "--alias", "db", "--alias", "store", net, "one")
    address = inspected(engine, "one", net)["IPAddress"]
    for name in ("db", "store"):
        shown = once(engine, "--network", net, command=f"ping -4 -c 1 {name}")
        assert f"PING {name} ({address})" in shown
    engine.docker("network", "disconnect", net, "one")
    assert once(engine, "--network", net, command="ping -c 1 db", check=False) == ""


@flag(
    CONNECT, "--link CONTAINER:ALIAS", honoured("a name of that container, which this container alone knows")
)
def test_a_link_is_an_alias_that_nobody_else_knows(engine: Engine, net: str) -> None:
    start(engine, "one", "--network", net)
    start(engine, "two")
    engine.docker("network", "connect", "--link", "one:db", net, "two")
    address = inspected(engine, "one", net)["IPAddress"]
    assert f"PING db ({address})" in inside(engine, "two", "ping -4 -c 1 db")
    assert once(engine, "--network", net, command="ping -c 1 db", check=False) == ""


@flag(CONNECT, "--ip ADDRESS", honoured("as with docker run: needs --ipam-driver cni or -o cni.ipam=docker"))
def test_an_address_is_the_containers_at_once_and_after_a_restart(engine: Engine, planned: str) -> None:
    start(engine, "one")
    engine.docker("network", "connect", "--ip", "10.77.0.50", planned, "one")
    _reached_at(engine, planned, "10.77.0.50/24")
    engine.docker("restart", "-t", "0", "one")
    _reached_at(engine, planned, "10.77.0.50/24")


@flag(CONNECT, "--ip ADDRESS, to a stopped container", honoured("counts when it starts"))
def test_an_address_of_a_stopped_container_counts_at_its_start(engine: Engine, planned: str) -> None:
    engine.docker("create", "--name", "one", "busybox", "sleep", "600")
    engine.docker("network", "connect", "--ip", "10.77.0.50", planned, "one")
    engine.docker("start", "one")
    _reached_at(engine, planned, "10.77.0.50/24")


@flag(CONNECT, "--ip ADDRESS, a taken one", refused("requested IP address 10.77.0.50 is not available"))
def test_an_address_that_a_container_has_is_refused(engine: Engine, planned: str, verdict: Verdict) -> None:
    start(engine, "two", "--network", planned, "--ip", "10.77.0.50")
    start(engine, "one")
    verdict.refuses(_attempt(engine, "--ip", "10.77.0.50", planned, "one"))


@flag(
    CONNECT,
    "--ip ADDRESS, of another subnet",
    old=refused("Invalid address 10.88.0.50: It does not belong to any of this network's subnets"),
    new=refused("no configured subnet or ip-range contain the IP address 10.88.0.50"),
)
def test_an_address_of_another_subnet_is_refused(engine: Engine, planned: str, verdict: Verdict) -> None:
    start(engine, "one")
    verdict.refuses(_attempt(engine, "--ip", "10.88.0.50", planned, "one"))


@flag(
    CONNECT,
    "--ip ADDRESS (--ipam-driver null)",
    impossible(
        "the engine allows it only on networks with a --subnet, which null cannot have, and refuses it; "
        "--driver-opt cni.ips=ADDRESS does it"
    ),
)
def test_an_address_on_a_network_without_subnet_is_refused_by_the_engine(engine: Engine, net: str) -> None:
    start(engine, "one")
    _refused_without_subnet(_attempt(engine, "--ip", "10.77.0.50", net, "one"))
    engine.docker("network", "connect", "--driver-opt", "cni.ips=10.77.0.50", net, "one")
    _reached_at(engine, net, "10.77.0.50/24")


@flag(CONNECT, "--ip6 ADDRESS", honoured("as with docker run: needs --ipam-driver cni or -o cni.ipam=docker"))
def test_an_ipv6_address_is_the_containers_at_once_and_after_a_restart(engine: Engine, planned: str) -> None:
    start(engine, "one")
    engine.docker("network", "connect", "--ip6", "fd00:77::50", planned, "one")
    _reached_at(engine, planned, "fd00:77::50/64")
    engine.docker("restart", "-t", "0", "one")
    _reached_at(engine, planned, "fd00:77::50/64")


@flag(CONNECT, "--ip6 ADDRESS, a taken one", refused("requested IP address fd00:77::50 is not available"))
def test_an_ipv6_address_that_a_container_has_is_refused(
    engine: Engine, planned: str, verdict: Verdict
) -> None:
    start(engine, "two", "--network", planned, "--ip6", "fd00:77::50")
    start(engine, "one")
    verdict.refuses(_attempt(engine, "--ip6", "fd00:77::50", planned, "one"))


@flag(
    CONNECT,
    "--ip6 ADDRESS (--ipam-driver null)",
    impossible(
        "the engine allows it only on networks with a --subnet, which null cannot have, and refuses it; "
        "--driver-opt cni.ips=ADDRESS does it"
    ),
)
def test_an_ipv6_address_on_a_network_without_subnet_is_refused_by_the_engine(
    engine: Engine, net: str
) -> None:
    start(engine, "one")
    _refused_without_subnet(_attempt(engine, "--ip6", "fd00:77::50", net, "one"))
    engine.docker("network", "connect", "--driver-opt", "cni.ips=fd00:77::50", net, "one")
    _reached_at(engine, net, "fd00:77::50/64")


@flag(CONNECT, "--link-local-ip ADDRESS", honoured("a further address of the link"))
def test_a_link_local_address_is_added_to_the_link(engine: Engine, net: str) -> None:
    start(engine, "one")
    engine.docker("network", "connect", "--link-local-ip", "169.254.7.7", net, "one")
    shown = inside(engine, "one", "ip address show eth1")
    assert "inet 169.254.7.7/16 " in shown
    assert f"inet {inspected(engine, 'one', net)['IPAddress']}/24 " in shown


@flag(
    CONNECT, "--driver-opt KEY=VALUE", honoured("the options of docker run's driver-opt=, as they are typed")
)
def test_driver_options_count_at_once_and_after_a_restart(engine: Engine, net: str) -> None:
    start(engine, "one")
    options = ("--driver-opt", f"cni.mac={_MAC}", "--driver-opt", "cni.ips=10.77.0.50")
    engine.docker("network", "connect", *options, net, "one")
    for _ in range(2):
        assert inspected(engine, "one", net)["MacAddress"] == _MAC
        assert _MAC in inside(engine, "one", "ip link")
        _reached_at(engine, net, "10.77.0.50/24")
        engine.docker("restart", "-t", "0", "one")


@flag(CONNECT, "--driver-opt KEY=VALUE, to a stopped container", honoured("counts when it starts"))
def test_driver_options_of_a_stopped_container_count_at_its_start(engine: Engine, net: str) -> None:
    engine.docker("create", "--name", "one", "busybox", "sleep", "600")
    options = ("--driver-opt", f"cni.mac={_MAC}", "--driver-opt", "cni.ips=10.77.0.50")
    engine.docker("network", "connect", *options, net, "one")
    engine.docker("start", "one")
    assert inspected(engine, "one", net)["MacAddress"] == _MAC
    _reached_at(engine, net, "10.77.0.50/24")


@flag(
    CONNECT,
    "--driver-opt KEY=VALUE, an unknown one",
    refused("endpoint option cni.ip: unknown to the CNI driver (did you mean cni.ips?)"),
)
def test_an_unknown_driver_option_is_refused_with_the_nearest_one(
    engine: Engine, net: str, verdict: Verdict
) -> None:
    start(engine, "one")
    verdict.refuses(_attempt(engine, "--driver-opt", "cni.ip=10.77.0.50", net, "one"))
    engine.docker("network", "connect", net, "one")


@flag(
    CONNECT,
    "--gw-priority NUMBER",
    old=impossible("the client and the engine do not know it: unknown flag, and nothing is done"),
    new=honoured(
        "the gateway of the network with the highest number is the default route's, among networks with the "
        "same address families"
    ),
)
def test_the_network_of_the_highest_priority_has_the_default_route(
    engine: Engine, conflist: Conflist, net: str, verdict: Verdict
) -> None:
    conflist(NAME, BRIDGE_V4, FIREWALL)
    start(engine, "one")
    if verdict.kind == "impossible":
        attempt = _attempt(engine, "--gw-priority", "5", net, "one")
        assert attempt.returncode != 0
        assert "unknown flag: --gw-priority" in attempt.stderr
        return
    before = inside(engine, "one", "ip route | grep default")
    engine.docker("network", "connect", "--gw-priority", "-5", net, "one")
    assert inside(engine, "one", "ip route | grep default") == before
    engine.docker("network", "disconnect", net, "one")
    engine.docker("network", "connect", "--gw-priority", "5", net, "one")
    assert f"default via {ROUTER} " in inside(engine, "one", "ip route")
    engine.docker("restart", "-t", "0", "one")
    assert f"default via {ROUTER} " in inside(engine, "one", "ip route")


def _attempt(engine: Engine, *arguments: str) -> CompletedProcess[str]:
    return engine.docker("network", "connect", *arguments, check=False)


def _refused_without_subnet(attempt: CompletedProcess[str]) -> None:
    assert attempt.returncode != 0
    reason = "supported only when connecting to networks with user configured subnets"
    assert f"user specified IP address is {reason}" in attempt.stderr


def _reached_at(engine: Engine, net: str, address: str) -> None:
    """The container `one` has the address on the network, and answers there."""
    bare, _, length = address.partition("/")
    key = "GlobalIPv6Address" if ":" in address else "IPAddress"
    assert inspected(engine, "one", net)[key] == bare
    assert f" {bare}/{length} " in inside(engine, "one", "ip address")
    once(engine, "--network", net, command=f"ping -c 1 {bare}")
