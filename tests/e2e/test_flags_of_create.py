"""Each flag of `docker network create`, and each option of the driver's for a network."""

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.engine import Engine

from tests.e2e.chains import (
    BOTH_SUBNETS,
    CNI,
    DOCKER,
    GATEWAY,
    GATEWAY_V6,
    NULL,
    SUBNET,
    SUBNET_V6,
    address_of,
    addresses_in,
    chain_plugins,
    config_of,
    create,
    families,
    ipam_of,
    leases_of,
    network_of,
    routes_in,
    start,
)
from tests.e2e.containers import inspected, remove_containers
from tests.e2e.flags import CREATE, Verdict, flag, honoured, impossible, refused

Conflist = Callable[..., str]
Eventually = Callable[..., None]
Plugins = Callable[[str, str], Path]
Restart = Callable[..., None]

NARROW = {"subnet": SUBNET, "rangeStart": "10.77.0.64", "rangeEnd": "10.77.0.127"}

_TELLS = """#!/bin/sh
echo "$CNI_COMMAND $CNI_ARGS" >> "$(dirname "$0")/told"
[ "$CNI_COMMAND" = ADD ] && sed 's/.*"prevResult": *//; s/}$//'
exit 0
"""
"""A plugin that writes down what it was told."""

_LISTENS = """
import socket, time
listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
listener.bind(("chain0", 0))
while True:
    frame = listener.recv(2048)
    mac_address, sender, target = frame[22:28], frame[28:32], frame[38:42]
    if sender == target:
        print(mac_address.hex(":"), time.time(), flush=True)
"""
"""Prints whose links announce themselves, and when."""

_IPV6_LEFT_OUT = (
    "Docker's null IPAM driver refuses it before 28; leave it out, containers get the conflist's IPv6 "
    "addresses all the same"
)
_NO_ADDRESS = "; 28.5 says 0.0.0.0 for IPv4 addresses that its own IPAM has not chosen"
_NO_PORTS = "the engine does not tell ports to drivers of internal networks; nothing is published"


@pytest.fixture(autouse=True)
def chain_of_both_families(engine: Engine, conflist: Conflist) -> Iterator[None]:
    """A CNI network of both families that can do everything, and whose bridge does not exist yet."""
    conflist("chain", *chain_plugins([{"subnet": SUBNET}], [{"subnet": SUBNET_V6}]))
    yield
    engine.run(["ip", "link", "del", "chain0"], check=False)


@pytest.fixture
def only_ipv4(conflist: Conflist) -> None:
    """The CNI network has IPv4 alone."""
    conflist("chain", *chain_plugins([{"subnet": SUBNET}]))


@pytest.fixture
def told(conflist: Conflist, plugins: Plugins, restart_shim: Restart, engine: Engine) -> Iterator[Path]:
    """The file in which a plugin of the chain writes what it is told."""
    folder = plugins("tells", _TELLS)
    conflist("chain", *chain_plugins([{"subnet": SUBNET}]), {"type": "tells"})
    restart_shim(plugin_path=[str(engine.plugin_path), str(folder)])
    yield folder / "told"
    remove_containers(engine)


@pytest.fixture
def announcements(engine: Engine) -> Iterator[Callable[[str], list[float]]]:
    """When the link with a MAC address announced itself on the chain's bridge."""
    engine.run(["ip", "link", "add", "chain0", "type", "bridge"])
    engine.run(["ip", "link", "set", "chain0", "up"])
    engine.start("listener", [sys.executable, "-c", _LISTENS], lambda: True)
    time.sleep(1)  # until it listens

    def announced(mac_address: str) -> list[float]:
        lines = [line.split() for line in engine.log("listener").read_text().splitlines()]
        return [float(when) for sender, when in lines if sender == mac_address]

    yield announced
    engine.stop("listener")


@pytest.fixture
def configure(engine: Engine) -> Iterator[Callable[..., None]]:
    """Makes a configuration of the name `base`, which `docker network prune` would leave."""
    made: list[str] = []

    def make(*flags: str) -> None:
        engine.docker("network", "create", "--config-only", *flags, "base")
        made.append("base")

    yield make
    engine.docker("network", "prune", "--force")  # what is made from it goes first
    for name in made:
        engine.docker("network", "rm", name)


# Flags that are the engine's own


@flag(
    CREATE,
    "--attachable",
    impossible("it is for swarm networks only; containers can be connected to a CNI network in any case"),
)
def test_containers_are_connected_with_and_without_attachable(engine: Engine) -> None:
    for name, flags in (("one", ["--attachable"]), ("two", [])):
        create(engine, *NULL, *flags, name=name)
        engine.docker("run", "-d", "--name", name, "busybox", "sleep", "600")
        engine.docker("network", "connect", name, name)
        assert "inet 10.77.0." in engine.docker("exec", name, "ip", "-4", "address").stdout
    assert [network_of(engine, name)["Attachable"] for name in ("one", "two")] == [True, False]


@flag(
    CREATE,
    "--config-only",
    honoured("the engine keeps the options for --config-from; they are checked there"),
)
def test_a_configuration_alone_is_no_network(engine: Engine, configure: Callable[..., None]) -> None:
    configure(*NULL)
    assert "base" not in engine.run(engine.shim_command("network", "ls")).stdout.split()
    run = engine.docker("run", "--rm", "--network", "base", "busybox", "true", check=False)
    assert "cannot create endpoint on configuration-only network" in run.stderr


@flag(CREATE, "--config-from NETWORK", honoured("the options, subnet and IPAM driver of that configuration"))
def test_a_network_is_made_from_a_configuration(engine: Engine, configure: Callable[..., None]) -> None:
    configure(*CNI, "-o", "cni.mac=02:00:00:00:00:07", "--subnet", SUBNET)
    create(engine, "--config-from", "base")
    assert config_of(engine) == [{"Subnet": SUBNET}]
    shown = engine.docker("run", "--rm", "--network", "net", "--ip", "10.77.0.9", "busybox", "ip", "address")
    assert "inet 10.77.0.9/24 " in shown.stdout
    assert "link/ether 02:00:00:00:00:07 " in shown.stdout


@flag(CREATE, "--driver cni", honoured("the plugins of a conflist make the containers' links"))
def test_the_driver_is_the_cni_plugins(engine: Engine) -> None:
    create(engine, *NULL)
    start(engine, "one")
    assert network_of(engine)["Driver"] == "cni"
    assert "master chain0 " in engine.run(["ip", "-o", "link", "show", "type", "veth"]).stdout
    engine.docker("run", "--rm", "--network", "net", "busybox", "ping", "-c", "1", "one")


@flag(CREATE, "--ingress", refused("Ingress network can only be global scope network"))
def test_ingress_is_for_swarms(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *NULL, "--ingress", check=False))


@flag(CREATE, "--label KEY=VALUE", honoured("shown, and found by filters; no driver is told"))
def test_labels_are_kept(engine: Engine) -> None:
    create(engine, *NULL, "--label", "team=blue")
    create(engine, *NULL, "--label", "team=red", name="other")
    found = engine.docker("network", "ls", "--filter", "label=team=blue", "--format", "{{.Name}}").stdout
    assert found.split() == ["net"]
    assert network_of(engine)["Labels"] == {"team": "blue"}


@flag(CREATE, "--scope local", honoured("every CNI network is local to its engine"))
def test_the_scope_is_local(engine: Engine) -> None:
    create(engine, *NULL, "--scope", "local")
    assert network_of(engine)["Scope"] == "local"
    assert addresses_in(engine)


@flag(
    CREATE,
    "--scope swarm",
    refused("cannot create a swarm scoped network when swarm is not active"),
)
def test_the_scope_swarm_needs_a_swarm(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *NULL, "--scope", "swarm", check=False))


@flag(
    CREATE,
    "--scope swarm (in a swarm)",
    refused("legacy plugin cni of type NetworkDriver is not supported in swarm mode"),
)
def test_a_swarm_has_no_cni_networks(engine: Engine, verdict: Verdict) -> None:
    engine.docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    try:
        verdict.refuses(create(engine, *NULL, "--scope", "swarm", check=False))
        create(engine, *NULL)
        assert addresses_in(engine)
    finally:
        engine.docker("swarm", "leave", "--force")
        engine.docker("network", "rm", "docker_gwbridge", check=False)


# --internal


@flag(CREATE, "--internal", honoured("containers get no default route"))
def test_an_internal_network_leads_nowhere_else(engine: Engine) -> None:
    for ipam in (NULL, (*CNI, *BOTH_SUBNETS), (*DOCKER, *BOTH_SUBNETS)):
        create(engine, *ipam)
        assert "default" in routes_in(engine, "net")
        engine.docker("network", "rm", "net")
        create(engine, *ipam, "--internal")
        inner = routes_in(engine, "net")
        assert "default" not in inner
        assert f"{SUBNET} dev eth0 scope link" in inner
        assert f"{SUBNET_V6} dev eth0 " in inner
        engine.docker("network", "rm", "net")


@flag(CREATE, "--internal (masquerade)", honoured("nothing masquerades, whatever the conflist says"))
def test_an_internal_network_does_not_masquerade(engine: Engine) -> None:
    def rules() -> str:
        commands = (["iptables-save", "-t", "nat"], ["ip6tables-save", "-t", "nat"])
        return "".join(engine.run(command).stdout for command in commands)

    create(engine, *NULL)
    create(engine, *NULL, "--internal", name="inner")
    start(engine, "one", network="inner")
    assert "10.77.0." not in rules()
    assert "fd00:77::" not in rules()
    start(engine, "two")
    assert re.search(r"-s 10\.77\.0\.\d+/32 .*-j CNI-", rules())
    assert re.search(r"-s fd00:77::[0-9a-f]+/128 .*-j CNI-", rules())


@flag(CREATE, "--internal (with -p)", impossible(_NO_PORTS))
def test_an_internal_network_publishes_no_ports(engine: Engine) -> None:
    create(engine, *NULL, "--internal")
    start(engine, "one", "-p", "8080:80")
    (endpoint,) = json.loads(engine.run(engine.shim_command("endpoint", "ls", "--json")).stdout)
    assert endpoint["portMappings"] == []
    nat = engine.run(["iptables-save", "-t", "nat"]).stdout
    assert "dport 8080" not in nat
    assert "10.77.0." not in nat


# --ipam-driver and --ipam-opt


@flag(CREATE, "--ipam-driver null", honoured("the conflist's IPAM plugin chooses, within the chain"))
def test_the_null_ipam_driver_leaves_the_addresses_to_the_chain(engine: Engine) -> None:
    create(engine, *NULL)
    start(engine, "one")
    assert config_of(engine)[0] == {"Subnet": "0.0.0.0/0"}
    assert leases_of(engine) >= {address_of(engine, "one")}


@flag(
    CREATE, "--ipam-driver cni", honoured("the conflist's IPAM plugin chooses, and inspect shows its subnet")
)
def test_the_cni_ipam_driver_gives_what_the_chains_plugin_gives(engine: Engine) -> None:
    create(engine, *CNI)
    start(engine, "one")
    assert config_of(engine) == [{"Subnet": SUBNET, "Gateway": GATEWAY}]
    assert leases_of(engine) >= {address_of(engine, "one")}


@flag(
    CREATE,
    "--ipam-driver default",
    refused("type: docker network create -d cni --ipam-driver null -o cni.network=chain NAME"),
)
def test_dockers_own_ipam_is_not_taken_by_accident(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, "-o", "cni.network=chain", check=False))
    verdict.refuses(create(engine, "-o", "cni.network=chain", "--ipam-driver", "default", check=False))


@flag(CREATE, "--ipam-driver OTHER", refused('plugin "nobody" not found'))
def test_an_ipam_driver_that_is_not_there_is_named(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, "--ipam-driver", "nobody", "-o", "cni.network=chain", check=False))


@flag(CREATE, "--ipam-opt cni.network=NAME", honoured("names the CNI network, as -o cni.network=NAME does"))
def test_the_cni_network_is_named_to_the_ipam_driver(engine: Engine) -> None:
    create(engine, "--ipam-driver", "cni", "--ipam-opt", "cni.network=chain")
    assert ipam_of(engine)["Options"] == {"cni.network": "chain"}
    assert addresses_in(engine)[0].startswith("10.77.0.")


@flag(
    CREATE,
    "--ipam-opt cni.network=NAME --ipam-driver null",
    honoured("names the CNI network, as -o cni.network=NAME does; it is looked up at the first container"),
)
def test_the_cni_network_is_named_to_the_null_ipam_driver(engine: Engine) -> None:
    create(engine, "--ipam-driver", "null", "--ipam-opt", "cni.network=chain")
    assert addresses_in(engine)[0].startswith("10.77.0.")


@flag(CREATE, "--ipam-opt OTHER=VALUE", refused("--ipam-opt cni.netwrk: unknown to the CNI driver"))
def test_an_unknown_ipam_option_is_refused(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, "--ipam-driver", "cni", "--ipam-opt", "cni.netwrk=chain", check=False))


# --subnet


@flag(CREATE, "--subnet SUBNET --ipam-driver cni", honoured("the conflist's own; then --ip works"))
def test_the_subnet_may_be_said(engine: Engine) -> None:
    create(engine, *CNI, "--subnet", SUBNET)
    assert config_of(engine) == [{"Subnet": SUBNET}]
    assert addresses_in(engine, "--ip", "10.77.0.200")[0] == "10.77.0.200/24"


@flag(
    CREATE,
    "--subnet OTHER --ipam-driver cni",
    refused(
        "--subnet 10.78.0.0/24 differs from the subnet of CNI network chain, 10.77.0.0/24 (create it with"
    ),
)
def test_another_subnet_is_refused(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *CNI, "--subnet", "10.78.0.0/24", check=False))
    assert not leases_of(engine)


@flag(
    CREATE,
    "--subnet (none, while it is in use) --ipam-driver cni",
    refused(
        "its subnet 10.77.0.0/24 is in use on this host already, by chain0 (if that is as it should be, "
        "add --subnet 10.77.0.0/24)"
    ),
)
def test_a_subnet_in_use_must_be_said(engine: Engine, verdict: Verdict) -> None:
    create(engine, *CNI, name="first")
    addresses_in(engine, network="first")  # after which the bridge stands
    verdict.refuses(create(engine, *CNI, check=False))
    create(engine, *CNI, "--subnet", SUBNET)
    assert addresses_in(engine)


@flag(
    CREATE, "--subnet IPV6 --ipam-driver cni", honoured("with --ipv6: the conflist's own; then --ip6 works")
)
def test_an_ipv6_subnet_may_be_said(engine: Engine) -> None:
    create(engine, *CNI, *BOTH_SUBNETS)
    assert config_of(engine) == [{"Subnet": SUBNET}, {"Subnet": SUBNET_V6}]
    given = addresses_in(engine, "--ip", "10.77.0.200", "--ip6", "fd00:77::200")
    assert given == ["10.77.0.200/24", "fd00:77::200/64"]


@flag(
    CREATE,
    "--subnet OTHER_IPV6 --ipam-driver cni",
    refused("--subnet fd00:78::/64 differs from the subnet of CNI network chain, fd00:77::/64"),
)
def test_another_ipv6_subnet_is_refused(engine: Engine, verdict: Verdict) -> None:
    subnets = ("--ipv6", "--subnet", SUBNET, "--subnet", "fd00:78::/64")
    verdict.refuses(create(engine, *CNI, *subnets, check=False))


@flag(
    CREATE,
    "--subnet SUBNET --ipam-driver null",
    refused("null ipam driver does not handle specific address pool requests"),
)
def test_the_null_ipam_driver_takes_no_subnet(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *NULL, "--subnet", SUBNET, check=False))


@flag(CREATE, "--subnet SUBNET --opt cni.ipam=docker", honoured("the conflist's own, and needed here"))
def test_docker_chooses_from_the_conflists_subnet(engine: Engine) -> None:
    create(engine, *DOCKER, "--subnet", SUBNET)
    assert addresses_in(engine, "--ip", "10.77.0.200") == ["10.77.0.200/24"]


@flag(
    CREATE,
    "--subnet OTHER --opt cni.ipam=docker",
    refused("--subnet 10.78.0.0/24 differs from the subnet of CNI network chain, 10.77.0.0/24"),
)
def test_docker_may_not_choose_from_another_subnet(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *DOCKER, "--subnet", "10.78.0.0/24", check=False))


@flag(
    CREATE,
    "--subnet (none) --opt cni.ipam=docker",
    refused("differs from the subnet of CNI network chain, 10.77.0.0/24 (create it with --subnet 10.77"),
)
def test_docker_does_not_know_the_conflists_subnet(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *DOCKER, check=False))


# --gateway


@flag(CREATE, "--gateway GATEWAY --ipam-driver cni", honoured("the conflist's own"))
def test_the_gateway_may_be_said(engine: Engine) -> None:
    create(engine, *CNI, *BOTH_SUBNETS, "--gateway", GATEWAY, "--gateway", GATEWAY_V6)
    assert config_of(engine) == [
        {"Subnet": SUBNET, "Gateway": GATEWAY},
        {"Subnet": SUBNET_V6, "Gateway": GATEWAY_V6},
    ]
    routes = routes_in(engine, "net")
    assert f"default via {GATEWAY} " in routes
    assert f"default via {GATEWAY_V6} " in routes


@flag(
    CREATE,
    "--gateway OTHER --ipam-driver cni",
    refused(
        "gateway 10.77.0.9 differs from that of CNI network chain, 10.77.0.1 (create it with --gateway 10"
    ),
)
def test_another_gateway_is_refused(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *CNI, "--subnet", SUBNET, "--gateway", "10.77.0.9", check=False))


@flag(
    CREATE,
    "--gateway OTHER_IPV6 --ipam-driver cni",
    refused("gateway fd00:77::9 differs from that of CNI network chain, fd00:77::1"),
)
def test_another_ipv6_gateway_is_refused(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *CNI, *BOTH_SUBNETS, "--gateway", "fd00:77::9", check=False))


@flag(
    CREATE,
    "--gateway ADDRESS --ipam-driver null",
    refused("every ip-range or gateway must have a corresponding subnet"),
)
def test_the_null_ipam_driver_takes_no_gateway(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *NULL, "--gateway", GATEWAY, check=False))


@flag(CREATE, "--gateway GATEWAY --opt cni.ipam=docker", honoured("the conflist's own"))
def test_the_gateway_may_be_said_to_docker(engine: Engine) -> None:
    create(engine, *DOCKER, "--subnet", SUBNET, "--gateway", GATEWAY)
    assert f"default via {GATEWAY} " in routes_in(engine, "net")


@flag(
    CREATE,
    "--gateway OTHER --opt cni.ipam=docker",
    refused("gateway 10.77.0.9 differs from that of CNI network chain, 10.77.0.1"),
)
def test_another_gateway_is_refused_to_docker(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *DOCKER, "--subnet", SUBNET, "--gateway", "10.77.0.9", check=False))


# --ip-range


@flag(
    CREATE,
    "--ip-range RANGE --ipam-driver cni",
    honoured("when the conflist gives no other addresses; it may be wider"),
)
def test_a_range_that_the_conflist_keeps_may_be_said(engine: Engine, conflist: Conflist) -> None:
    conflist("chain", *chain_plugins([NARROW]))
    for wanted in ("10.77.0.64/26", "10.77.0.0/25"):
        create(engine, *CNI, "--subnet", SUBNET, "--ip-range", wanted)
        last = int(addresses_in(engine)[0].removeprefix("10.77.0.").removesuffix("/24"))
        assert last in range(64, 128)
        engine.docker("network", "rm", "net")


@flag(
    CREATE,
    "--ip-range OTHER --ipam-driver cni",
    refused(
        "--ip-range 10.77.0.64/26 differs from what CNI network chain gives, 10.77.0.1 to 10.77.0.254 "
        "(leave it out, or change the range in the conflist)"
    ),
)
def test_a_range_that_the_conflist_would_leave_is_refused(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *CNI, "--subnet", SUBNET, "--ip-range", "10.77.0.64/26", check=False))


@flag(
    CREATE,
    "--ip-range RANGE --ipam-driver null",
    refused("every ip-range or gateway must have a corresponding subnet"),
)
def test_the_null_ipam_driver_takes_no_range(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *NULL, "--ip-range", "10.77.0.64/26", check=False))


@flag(
    CREATE,
    "--ip-range RANGE --opt cni.ipam=docker",
    honoured("Docker chooses from it; give the conflist's --gateway too"),
)
def test_docker_chooses_from_a_range(engine: Engine) -> None:
    flags = ("--subnet", SUBNET, "--ip-range", "10.77.0.64/26")
    # Docker would take the first address of the range for the gateway.
    without = create(engine, *DOCKER, *flags, check=False)
    assert "gateway 10.77.0.64 differs" in without.stderr
    assert "(create it with --gateway 10.77.0.1)" in without.stderr
    create(engine, *DOCKER, *flags, "--gateway", GATEWAY)
    assert addresses_in(engine) == ["10.77.0.64/24"]


# --aux-address


@flag(CREATE, "--aux-address NAME=ADDRESS --ipam-driver cni", honoured("no container gets it"))
def test_an_auxiliary_address_is_set_aside(engine: Engine, conflist: Conflist) -> None:
    three = {"subnet": SUBNET, "rangeStart": "10.77.0.5", "rangeEnd": "10.77.0.7"}
    conflist("chain", *chain_plugins([three]))
    flags = ("--subnet", SUBNET, "--aux-address", "a=10.77.0.5", "--aux-address", "b=10.77.0.6")
    create(engine, *CNI, *flags)
    assert leases_of(engine) == {"10.77.0.5", "10.77.0.6"}
    assert addresses_in(engine) == ["10.77.0.7/24"]
    taken = engine.docker(
        "run", "--rm", "--network", "net", "--ip", "10.77.0.5", "busybox", "true", check=False
    )
    assert "10.77.0.5" in taken.stderr
    assert taken.returncode != 0
    assert leases_of(engine) == {"10.77.0.5", "10.77.0.6"}
    engine.docker("network", "rm", "net")
    assert not leases_of(engine)


@flag(
    CREATE,
    "--aux-address NAME=FOREIGN --ipam-driver cni",
    refused("no matching subnet for aux-address 10.78.0.5"),
)
def test_an_auxiliary_address_elsewhere_is_refused(engine: Engine, verdict: Verdict) -> None:
    flags = ("--subnet", SUBNET, "--aux-address", "a=10.78.0.5")
    verdict.refuses(create(engine, *CNI, *flags, check=False))


@flag(
    CREATE,
    "--aux-address NAME=TAKEN --ipam-driver cni",
    refused(
        "failed to allocate secondary ip address (b:10.77.0.1): IpamDriver.RequestAddress: "
        'plugin "host-local" (network "chain") ADD: '
    ),
)
def test_an_auxiliary_address_that_is_not_free_is_refused(engine: Engine, verdict: Verdict) -> None:
    flags = ("--subnet", SUBNET, "--aux-address", "a=10.77.0.5", "--aux-address", f"b={GATEWAY}")
    verdict.refuses(create(engine, *CNI, *flags, check=False))
    assert not leases_of(engine)


@flag(
    CREATE,
    "--aux-address NAME=ADDRESS --ipam-driver null",
    refused("no matching subnet for aux-address 10.77.0.5"),
)
def test_the_null_ipam_driver_takes_no_auxiliary_address(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *NULL, "--aux-address", "a=10.77.0.5", check=False))


@flag(CREATE, "--aux-address NAME=ADDRESS --opt cni.ipam=docker", honoured("no container gets it"))
def test_docker_sets_an_auxiliary_address_aside(engine: Engine) -> None:
    create(engine, *DOCKER, "--subnet", SUBNET, "--aux-address", "a=10.77.0.2")
    assert addresses_in(engine) == ["10.77.0.3/24"]


# --ipv4 and --ipv6


@flag(
    CREATE,
    "--ipv4=false --ipam-driver cni",
    old=refused("unknown flag: --ipv4"),
    new=honoured("with --ipv6: containers get the conflist's IPv6 alone"),
)
def test_ipv4_is_left_out(engine: Engine, verdict: Verdict) -> None:
    made = create(engine, *CNI, "--ipv4=false", "--ipv6", check=verdict.kind == "honoured")
    if verdict.kind == "honoured":
        assert config_of(engine) == [{"Subnet": SUBNET_V6, "Gateway": GATEWAY_V6}]
        (address,) = addresses_in(engine)
        assert address.startswith("fd00:77::")
    else:
        verdict.refuses(made)


@flag(
    CREATE,
    "--ipv4=false --opt cni.ipam=docker",
    old=refused("unknown flag: --ipv4"),
    new=honoured("with --ipv6 and the conflist's IPv6 --subnet: containers get IPv6 alone"),
)
def test_ipv4_is_left_out_by_docker(engine: Engine, verdict: Verdict) -> None:
    flags = ("--ipv4=false", "--ipv6", "--subnet", SUBNET_V6)
    made = create(engine, *DOCKER, *flags, check=verdict.kind == "honoured")
    if verdict.kind == "honoured":
        (address,) = addresses_in(engine)
        assert address.startswith("fd00:77::")
    else:
        verdict.refuses(made)


@flag(
    CREATE,
    "--ipv4=false --ipam-driver null",
    old=refused("unknown flag: --ipv4"),
    new=refused("--ipv4=false needs --ipam-driver cni and --ipv6"),
)
def test_the_null_ipam_driver_cannot_leave_ipv4_out(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *NULL, "--ipv4=false", "--ipv6", check=False))
    verdict.refuses(create(engine, *NULL, "--ipv4=false", check=False))
    verdict.refuses(create(engine, *CNI, "--ipv4=false", check=False))


@flag(
    CREATE,
    "--ipv6 --ipam-driver null",
    old=impossible(_IPV6_LEFT_OUT),
    new=honoured("containers get the conflist's IPv6 addresses, also without it"),
)
def test_containers_of_the_null_ipam_driver_have_ipv6(engine: Engine, verdict: Verdict) -> None:
    made = create(engine, *NULL, "--ipv6", name="six", check=False)
    assert (made.returncode == 0) == (verdict.kind == "honoured")
    if verdict.kind == "impossible":
        assert "null ipam driver does not handle IPv6 address pool" in made.stderr
    else:
        assert network_of(engine, "six")["EnableIPv6"]
        assert families(addresses_in(engine, network="six")) == [4, 6]
    create(engine, *NULL)
    assert families(addresses_in(engine)) == [4, 6]


@flag(CREATE, "--ipv6 --ipam-driver cni", honoured("the conflist's IPv6 subnet"))
def test_containers_of_the_cni_ipam_driver_have_ipv6(engine: Engine) -> None:
    create(engine, *CNI, "--ipv6")
    assert [item["Subnet"] for item in config_of(engine)] == [SUBNET, SUBNET_V6]
    start(engine, "one")
    settings = inspected(engine, "one", "net")
    shown = engine.docker("exec", "one", "ip", "address", "show", "eth0").stdout
    assert f"inet6 {settings['GlobalIPv6Address']}/{settings['GlobalIPv6PrefixLen']} " in shown
    engine.docker("exec", "one", "ping", "-c", "1", GATEWAY_V6)


@flag(CREATE, "--ipv6 --opt cni.ipam=docker", honoured("with the conflist's IPv6 --subnet"))
def test_docker_chooses_ipv6(engine: Engine) -> None:
    create(engine, *DOCKER, *BOTH_SUBNETS)
    assert families(addresses_in(engine)) == [4, 6]


@flag(
    CREATE,
    "--ipv6 (conflist without IPv6) --ipam-driver null",
    old=refused("null ipam driver does not handle IPv6 address pool"),
    new=refused("its conflist tells no IPv6 subnet (leave --ipv6 out)"),
)
@pytest.mark.usefixtures("only_ipv4")
def test_ipv6_that_the_chain_cannot_give_is_refused(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *NULL, "--ipv6", check=False))


@flag(
    CREATE,
    "--ipv6 (conflist without IPv6) --ipam-driver cni",
    refused("its conflist tells no IPv6 subnet (leave --ipv6 out)"),
)
@pytest.mark.usefixtures("only_ipv4")
def test_ipv6_that_the_ipam_plugin_cannot_give_is_refused(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *CNI, "--ipv6", check=False))
    by_option = ("--ipam-driver", "cni", "-o", "cni.network=chain")
    verdict.refuses(create(engine, *by_option, "--ipv6", check=False))


@flag(
    CREATE,
    "--ipv6 (conflist without IPv6) --opt cni.ipam=docker",
    refused("its conflist tells no IPv6 subnet (leave --ipv6 out)"),
)
@pytest.mark.usefixtures("only_ipv4")
def test_ipv6_is_refused_to_docker_where_the_conflist_has_none(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *DOCKER, *BOTH_SUBNETS, check=False))


# --opt: options of the network


@flag(
    CREATE, "--opt cni.network=NAME", honoured("names the CNI network; else it is the Docker network's name")
)
def test_the_cni_network_is_named(engine: Engine) -> None:
    create(engine, "--ipam-driver", "null", "-o", "cni.network=chain")
    create(engine, "--ipam-driver", "null", name="chain")
    for network in ("net", "chain"):
        assert addresses_in(engine, network=network)[0].startswith("10.77.0.")


@flag(CREATE, "--opt cni.network=UNKNOWN", refused('no CNI network "nowhere"'))
def test_a_cni_network_that_is_not_there_is_refused(engine: Engine, verdict: Verdict) -> None:
    option = ("-o", "cni.network=nowhere")
    verdict.refuses(create(engine, "--ipam-driver", "null", *option, check=False))
    verdict.refuses(create(engine, "--ipam-driver", "cni", *option, check=False))


@flag(
    CREATE,
    "--opt cni.mode=handover",
    honoured("the default: the engine moves a finished link into the container"),
)
def test_the_mode_may_be_said(engine: Engine) -> None:
    create(engine, *NULL, "-o", "cni.mode=handover")
    assert addresses_in(engine)


@flag(
    CREATE,
    "--opt cni.mode=inplace",
    old=honoured("for running containers; one that is started gets its link by handover, which is logged"),
    new=honoured("the chain runs in the container's own namespace, and no link is moved"),
)
def test_the_chain_can_run_in_place(engine: Engine) -> None:
    create(engine, *NULL, "-o", "cni.mode=inplace")
    engine.docker("run", "-d", "--name", "one", "busybox", "sleep", "600")
    engine.docker("network", "connect", "net", "one")
    shown = engine.docker("exec", "one", "ip", "address", "show", "net1").stdout
    assert address_of(engine, "one") in shown
    assert inspected(engine, "one", "net")["MacAddress"] in shown


@flag(CREATE, "--opt cni.mode=OTHER", refused("option cni.mode=fast: unknown (it can be handover, inplace)"))
def test_another_mode_is_refused(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *NULL, "-o", "cni.mode=fast", check=False))


@flag(
    CREATE,
    "--opt cni.ipam=docker",
    honoured("with the conflist's --subnet: Docker's IPAM chooses, the conflist's IPAM plugin does not run"),
)
def test_dockers_ipam_is_taken_on_demand(engine: Engine) -> None:
    create(engine, *DOCKER, "--subnet", SUBNET)
    start(engine, "one")
    assert address_of(engine, "one") == "10.77.0.2"
    assert f"inet {address_of(engine, 'one')}/24 " in engine.docker("exec", "one", "ip", "address").stdout
    assert not leases_of(engine)
    engine.docker("exec", "one", "ping", "-c", "1", GATEWAY)


@flag(CREATE, "--opt cni.ipam=null --ipam-driver null", honoured("says the same twice"))
def test_the_null_ipam_may_be_said_twice(engine: Engine) -> None:
    create(engine, *NULL, "-o", "cni.ipam=null")
    assert addresses_in(engine)


@flag(CREATE, "--opt cni.ipam=cni --ipam-driver cni", honoured("says the same twice"))
def test_the_cni_ipam_may_be_said_twice(engine: Engine) -> None:
    create(engine, *CNI, "-o", "cni.ipam=cni")
    assert addresses_in(engine)


@flag(
    CREATE,
    "--opt cni.ipam=OTHER --ipam-driver null",
    refused("-o cni.ipam=docker contradicts --ipam-driver null (leave one of them out)"),
)
def test_two_choices_that_differ_are_refused(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *NULL, "-o", "cni.ipam=docker", check=False))


@flag(
    CREATE,
    "--opt cni.ipam=UNKNOWN",
    refused("option cni.ipam=dhcp: unknown (it can be null, cni, docker)"),
)
def test_an_unknown_ipam_is_refused(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *NULL, "-o", "cni.ipam=dhcp", check=False))


@flag(
    CREATE,
    "--opt cni.identity=docker",
    honoured("plugins are told the container's name, its namespace and its ID in CNI_ARGS"),
)
def test_plugins_are_told_whose_link_it_is(engine: Engine, told: Path) -> None:
    create(engine, *NULL, "-o", "cni.identity=docker")
    container = start(engine, "one")
    (line,) = [line for line in told.read_text().splitlines() if line.startswith("ADD ")]
    arguments = dict(item.split("=") for item in line.removeprefix("ADD ").split(";"))
    assert (
        arguments.items()
        >= {
            "K8S_POD_NAME": "one",
            "K8S_POD_NAMESPACE": "default",
            "K8S_POD_INFRA_CONTAINER_ID": container,
        }.items()
    )


@flag(CREATE, "--opt cni.identity=OTHER", refused("option cni.identity=pod: unknown (it can be docker)"))
def test_another_identity_is_refused(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *NULL, "-o", "cni.identity=pod", check=False))


@flag(
    CREATE,
    "--opt cni.UNKNOWN=VALUE",
    refused("option cni.netwrk: unknown to the CNI driver (did you mean cni.network?)"),
)
def test_an_unknown_option_is_refused_with_the_nearest(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, "--ipam-driver", "null", "-o", "cni.netwrk=chain", check=False))


@flag(
    CREATE,
    "--opt OTHER=VALUE",
    refused("option com.docker.network.driver.mtu: unknown to the CNI driver"),
)
def test_options_of_other_drivers_are_refused(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(create(engine, *NULL, "-o", "com.docker.network.driver.mtu=1400", check=False))


@flag(
    CREATE,
    "--opt com.docker.network.advertise_addr_nmsgs=N",
    old=refused("does not carry it out (engines from 28 do)"),
    new=honoured(f"the engine announces each link that often{_NO_ADDRESS}"),
)
def test_the_engine_announces_addresses_as_often_as_said(
    engine: Engine, verdict: Verdict, announcements: Callable[[str], list[float]]
) -> None:
    if verdict.kind == "refused":
        verdict.refuses(create(engine, *NULL, "-o", "com.docker.network.advertise_addr_nmsgs=2", check=False))
        return
    counts = []
    for messages in (0, 2):
        create(engine, *NULL, "-o", f"com.docker.network.advertise_addr_nmsgs={messages}")
        start(engine, "one")
        time.sleep(4)  # one a second, and none may come
        counts.append(len(announcements(inspected(engine, "one", "net")["MacAddress"])))
        engine.docker("rm", "-f", "one")
        engine.docker("network", "rm", "net")
    assert counts[1] == counts[0] + 2


@flag(
    CREATE,
    "--opt com.docker.network.advertise_addr_ms=N",
    old=refused("does not carry it out (engines from 28 do)"),
    new=honoured(f"the engine announces each link at that interval{_NO_ADDRESS}"),
)
def test_the_engine_announces_addresses_as_fast_as_said(
    engine: Engine, verdict: Verdict, announcements: Callable[[str], list[float]], eventually: Eventually
) -> None:
    made = create(
        engine, *NULL, "-o", "com.docker.network.advertise_addr_ms=100", check=verdict.kind == "honoured"
    )
    if verdict.kind == "refused":
        verdict.refuses(made)
        return
    start(engine, "one")
    mac_address = inspected(engine, "one", "net")["MacAddress"]
    eventually(lambda: len(announcements(mac_address)) >= 3)
    when = announcements(mac_address)[-3:]
    assert when[-1] - when[0] < 1  # it would be two seconds


# --opt: defaults for all endpoints


@flag(CREATE, "--opt cni.ips=ADDRESS", honoured("each container asks for it, so there is one at a time"))
def test_a_network_has_addresses_for_its_containers(engine: Engine) -> None:
    create(engine, *NULL, "-o", "cni.ips=10.77.0.99 fd00:77::99")
    start(engine, "one")
    assert inspected(engine, "one", "net")["IPAddress"] == "10.77.0.99"
    assert inspected(engine, "one", "net")["GlobalIPv6Address"] == "fd00:77::99"
    second = engine.docker("run", "--rm", "--network", "net", "busybox", "true", check=False)
    assert second.returncode != 0
    assert "10.77.0.99" in second.stderr
    engine.docker("rm", "-f", "one")
    assert addresses_in(engine) == ["10.77.0.99/24", "fd00:77::99/64"]


@flag(CREATE, "--opt cni.mac=ADDRESS", honoured("each container asks for it, so there is one at a time"))
def test_a_network_has_a_mac_address_for_its_containers(engine: Engine) -> None:
    create(engine, *NULL, "-o", "cni.mac=02:00:00:00:00:09")
    start(engine, "one")
    assert "link/ether 02:00:00:00:00:09 " in engine.docker("exec", "one", "ip", "link").stdout
    second = engine.docker("run", "--rm", "--network", "net", "busybox", "true", check=False)
    assert "MAC address 02:00:00:00:00:09 is taken" in second.stderr


@flag(CREATE, "--opt cni.bandwidth.ingress=RATE", honoured("the limit of each container"))
def test_a_network_limits_what_goes_to_each_container(engine: Engine) -> None:
    create(engine, *NULL, "-o", "cni.bandwidth.ingress=3M")
    for name in ("one", "two"):
        start(engine, name)
    assert len(re.findall("qdisc tbf .* rate 3Mbit", engine.run(["tc", "qdisc"]).stdout)) == 2


@flag(CREATE, "--opt cni.bandwidth.egress=RATE", honoured("the limit of each container"))
def test_a_network_limits_what_comes_from_each_container(engine: Engine) -> None:
    create(engine, *NULL, "-o", "cni.bandwidth.egress=5M")
    for name in ("one", "two"):
        start(engine, name)
    assert len(re.findall("qdisc tbf .* dev bwp.* rate 5Mbit", engine.run(["tc", "qdisc"]).stdout)) == 2


@flag(CREATE, "--opt cni.ifname=NAME0", honoured("the link's name in each container"))
def test_a_network_names_its_containers_links(engine: Engine) -> None:
    create(engine, *NULL, "-o", "cni.ifname=lan0")
    for _ in range(2):
        shown = engine.docker(
            "run", "--rm", "--network", "net", "busybox", "ip", "-o", "-4", "address"
        ).stdout
        assert re.search(r" lan0 +inet 10\.77\.0\.", shown)
        assert "eth0" not in shown


@flag(CREATE, "--opt cni.args.KEY=VALUE", honoured("KEY=VALUE in CNI_ARGS, for each container"))
def test_a_network_has_arguments_for_its_plugins(engine: Engine, told: Path) -> None:
    create(engine, *NULL, "-o", "cni.args.COLOUR=blue", "-o", "cni.args.Size=7")
    for _ in range(2):
        addresses_in(engine)
    added = [line for line in told.read_text().splitlines() if line.startswith("ADD ")]
    assert [set(line.removeprefix("ADD ").split(";")) >= {"COLOUR=blue", "Size=7"} for line in added] == [
        True,
        True,
    ]
