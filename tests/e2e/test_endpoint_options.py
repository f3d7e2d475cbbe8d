"""The options of endpoints: by `docker run`, by `docker network connect`, and as defaults of a network."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from lab.engine import Engine

from tests.e2e.containers import (
    BRIDGE,
    BY_CNI,
    BY_DOCKER,
    BY_PLUGIN,
    FIREWALL,
    NAME,
    inside,
    inspected,
    network,
    once,
    start,
)
from tests.e2e.flags import CONNECT, CREATE, RUN, Verdict, flag, honoured, refused

Conflist = Callable[..., str]
Written = Callable[[], str]

_MAC, _OTHER_MAC = "02:00:00:00:00:77", "02:00:00:00:00:78"
_BANDWIDTH = {"type": "bandwidth", "capabilities": {"bandwidth": True}}
_SYSCTLS = "com.docker.network.endpoint.sysctls"
_IFNAME = "com.docker.network.endpoint.ifname"

_WRITES_ARGS = """#!/bin/sh
[ "$CNI_COMMAND" = ADD ] || exit 0
echo "$CNI_ARGS" > "$(dirname "$0")/args"
sed 's/.*"prevResult": *//; s/}$//'
"""


@pytest.fixture(autouse=True)
def chain(conflist: Conflist) -> None:
    """The CNI network that the Docker networks of these tests are."""
    conflist(NAME, BRIDGE, _BANDWIDTH, FIREWALL)


@pytest.fixture
def net(engine: Engine) -> str:
    """A Docker network on which the conflist's IPAM plugin chooses the addresses."""
    return network(engine, "net", *BY_PLUGIN)


@pytest.fixture
def args(
    engine: Engine,
    conflist: Conflist,
    plugins: Callable[[str, str], Path],
    restart_shim: Callable[..., None],
) -> Iterator[Written]:
    """The `CNI_ARGS` of the last ADD, which a plugin of the chain wrote down."""
    folder = plugins("writes-args", _WRITES_ARGS)
    conflist(NAME, BRIDGE, {"type": "writes-args"}, FIREWALL)
    restart_shim(plugin_path=[str(engine.plugin_path), str(folder)])
    yield (folder / "args").read_text
    if containers := engine.docker("ps", "--all", "--quiet").stdout.split():
        engine.docker("rm", "--force", *containers)  # while the plugin can be found


# Addresses


@flag(
    RUN, "--network driver-opt=cni.ips=ADDRESS", honoured("the chain's IPAM plugin is asked for that address")
)
def test_an_address_is_asked_of_the_chain_at_each_start(engine: Engine, net: str) -> None:
    start(engine, "one", "--network", f"name={net},driver-opt=cni.ips=10.77.0.50")
    _reached_at(engine, net, "10.77.0.50/24")
    engine.docker("restart", "-t", "0", "one")
    _reached_at(engine, net, "10.77.0.50/24")
    assert "inet6 fd00:77::" in inside(engine, "one", "ip address show eth0")


@flag(
    RUN, "--network driver-opt=cni.ips=ADDRESS ADDRESS", honoured("one of each family, a blank between them")
)
def test_an_address_of_each_family_is_asked_of_the_chain(engine: Engine, net: str) -> None:
    start(engine, "one", "--network", f"name={net},driver-opt=cni.ips=10.77.0.50 fd00:77::50")
    _reached_at(engine, net, "10.77.0.50/24")
    _reached_at(engine, net, "fd00:77::50/64")


@flag(
    RUN,
    "--network driver-opt=cni.ips=ADDRESS ADDRESS, of one family",
    refused("option cni.ips=10.77.0.50 10.77.0.51: expected an address, or one of each family with a blank"),
)
def test_two_addresses_of_one_family_are_refused(engine: Engine, net: str, verdict: Verdict) -> None:
    verdict.refuses(_attempt(engine, net, "cni.ips=10.77.0.50 10.77.0.51"))


@flag(
    RUN,
    "--network driver-opt=cni.ips=ADDRESS, a taken one",
    refused("requested IP address 10.77.0.50 is not available"),
)
def test_an_address_that_a_container_has_is_refused(engine: Engine, net: str, verdict: Verdict) -> None:
    start(engine, "one", "--network", f"name={net},driver-opt=cni.ips=10.77.0.50")
    verdict.refuses(_attempt(engine, net, "cni.ips=10.77.0.50"))
    _reached_at(engine, net, "10.77.0.50/24")


@flag(
    RUN,
    "--network driver-opt=cni.ips=ADDRESS, of another subnet",
    refused("failed to allocate all requested IPs: 10.88.0.50"),
)
def test_an_address_of_another_subnet_is_refused(engine: Engine, net: str, verdict: Verdict) -> None:
    verdict.refuses(_attempt(engine, net, "cni.ips=10.88.0.50"))


@flag(
    RUN,
    "--network driver-opt=cni.ips=ADDRESS, where the chain has no IPAM plugin",
    refused(
        f'network {NAME}: it has no IPAM plugin that could give 10.77.0.50/32 (add "ipam" to its conflist)'
    ),
)
def test_an_address_of_a_chain_without_addresses_is_refused(
    engine: Engine, conflist: Conflist, net: str, verdict: Verdict
) -> None:
    conflist(NAME, {"type": "bridge", "bridge": "flagged0"})
    verdict.refuses(_attempt(engine, net, "cni.ips=10.77.0.50"))


@flag(
    RUN,
    "--network driver-opt=cni.ips=ADDRESS (--ipam-driver cni)",
    refused(
        "cni.ips has no say here, since the address is chosen beforehand (use docker run --ip, or --ip6)"
    ),
)
def test_an_address_beside_dockers_question_to_the_plugin_is_refused(
    engine: Engine, verdict: Verdict
) -> None:
    verdict.refuses(_attempt(engine, network(engine, "planned", *BY_CNI), "cni.ips=10.77.0.50"))


@flag(
    RUN,
    "--network driver-opt=cni.ips=ADDRESS (-o cni.ipam=docker)",
    refused(
        "cni.ips has no say here, since the address is chosen beforehand (use docker run --ip, or --ip6)"
    ),
)
def test_an_address_beside_dockers_own_is_refused(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(_attempt(engine, network(engine, "dockers", *BY_DOCKER), "cni.ips=10.77.0.50"))


# MAC addresses


@flag(RUN, "--network driver-opt=cni.mac=MAC", honoured("as --mac-address"))
def test_a_mac_address_is_the_links_at_each_start(engine: Engine, net: str) -> None:
    start(engine, "one", "--network", f"name={net},driver-opt=cni.mac={_MAC}")
    _has_mac(engine, net, _MAC)
    engine.docker("restart", "-t", "0", "one")
    _has_mac(engine, net, _MAC)


@flag(
    RUN,
    "--network driver-opt=cni.mac=MAC --mac-address MAC, another one",
    refused(f"--mac-address {_OTHER_MAC} and cni.mac={_MAC} differ (leave one out)"),
)
def test_two_mac_addresses_are_refused(engine: Engine, net: str, verdict: Verdict) -> None:
    verdict.refuses(_attempt(engine, net, f"cni.mac={_MAC}", "--mac-address", _OTHER_MAC))
    same = ("--network", f"name={net},driver-opt=cni.mac={_MAC}", "--mac-address", _MAC)
    assert f"link/ether {_MAC} " in once(engine, *same, command="ip link show eth0")


@flag(
    RUN,
    "--network driver-opt=cni.mac=MAC, of a group",
    refused("option cni.mac=03:00:00:00:00:77: not the MAC address of a link (as in 02:00:00:00:00:01)"),
)
def test_a_multicast_mac_address_is_refused(engine: Engine, net: str, verdict: Verdict) -> None:
    verdict.refuses(_attempt(engine, net, "cni.mac=03:00:00:00:00:77"))


# Bandwidth


@flag(
    RUN,
    "--network driver-opt=cni.bandwidth.ingress=RATE,driver-opt=cni.bandwidth.egress=RATE",
    honoured("a limit in bits per second to and from the container, by the plugin bandwidth"),
)
def test_bandwidth_is_limited_each_way_at_each_start(engine: Engine, net: str) -> None:
    limits = "driver-opt=cni.bandwidth.ingress=1.5Gbit,driver-opt=cni.bandwidth.egress=64Mi"
    start(engine, "one", "--network", f"name={net},{limits}")
    assert _limits(engine) == {"to": 1_500_000_000, "from": 64 * 1024**2}
    engine.docker("restart", "-t", "0", "one")
    assert _limits(engine) == {"to": 1_500_000_000, "from": 64 * 1024**2}
    inside(engine, "one", "ping -c 1 10.77.0.1")
    engine.docker("rm", "-f", "one")
    assert _limits(engine) == {}


@flag(
    CONNECT, "--driver-opt cni.bandwidth.ingress=RATE", honoured("bits per second: 500k, 10M, 1.5Gbit, 64Mi")
)
def test_rates_to_the_container_are_in_human_units(engine: Engine, net: str) -> None:
    start(engine, "one")
    rates = {"500k": 500_000, "10M": 10_000_000, "1.5Gbit": 1_500_000_000, "64Mi": 64 * 1024**2}
    for typed, rate in rates.items():
        engine.docker("network", "connect", "--driver-opt", f"cni.bandwidth.ingress={typed}", net, "one")
        assert _limits(engine) == {"to": rate}
        engine.docker("network", "disconnect", net, "one")


@flag(
    CONNECT, "--driver-opt cni.bandwidth.egress=RATE", honoured("bits per second: 500k, 10M, 1.5Gbit, 64Mi")
)
def test_rates_from_the_container_are_in_human_units(engine: Engine, net: str) -> None:
    start(engine, "one")
    rates = {"500k": 500_000, "10M": 10_000_000, "1.5Gbit": 1_500_000_000, "64Mi": 64 * 1024**2}
    for typed, rate in rates.items():
        engine.docker("network", "connect", "--driver-opt", f"cni.bandwidth.egress={typed}", net, "one")
        assert _limits(engine) == {"from": rate}
        engine.docker("network", "disconnect", net, "one")


@flag(
    RUN,
    "--network driver-opt=cni.bandwidth.ingress=RATE, not one",
    refused("option cni.bandwidth.ingress=fast: expected bits per second from 8k to 10T (as in 500k, 10M,"),
)
def test_a_rate_out_of_shape_is_refused(engine: Engine, net: str, verdict: Verdict) -> None:
    verdict.refuses(_attempt(engine, net, "cni.bandwidth.ingress=fast"))


@flag(
    RUN,
    "--network driver-opt=cni.bandwidth.egress=RATE, where the chain has no such plugin",
    refused(
        f"network {NAME}: no plugin of the chain can limit bandwidth (cni.bandwidth) (add "
        '{"type": "bandwidth", "capabilities": {"bandwidth": true}} to its conflist)'
    ),
)
def test_a_limit_without_the_plugin_is_refused_with_what_to_add(
    engine: Engine, conflist: Conflist, net: str, verdict: Verdict
) -> None:
    conflist(NAME, BRIDGE, FIREWALL)
    verdict.refuses(_attempt(engine, net, "cni.bandwidth.egress=10M"))


# Arguments of plugins


@flag(
    RUN,
    "--network driver-opt=cni.args.KEY=VALUE",
    honoured("KEY=value in CNI_ARGS: docker's client makes both small, the shim the key capital again"),
)
def test_arguments_of_docker_run_reach_the_plugins_by_capital_keys(
    engine: Engine, net: str, args: Written
) -> None:
    start(
        engine, "one", "--network", f"name={net},driver-opt=cni.args.COLOUR=blue,driver-opt=cni.args.size=9"
    )
    assert _pairs(args()) >= {"COLOUR=blue", "SIZE=9"}
    engine.docker("restart", "-t", "0", "one")
    assert _pairs(args()) >= {"COLOUR=blue", "SIZE=9"}


@flag(
    CONNECT,
    "--driver-opt cni.args.KEY=VALUE",
    honoured("KEY=VALUE in CNI_ARGS; a key in small letters as capital ones"),
)
def test_arguments_of_connect_reach_the_plugins_as_they_are(engine: Engine, net: str, args: Written) -> None:
    start(engine, "one")
    engine.docker("network", "connect", "--driver-opt", "cni.args.Colour=Light-Blue", net, "one")
    assert "Colour=Light-Blue" in _pairs(args())


@flag(
    RUN,
    "--network driver-opt=cni.args.KEY=VALUE, with ; = or blanks in it",
    refused("CNI_ARGS cannot carry ';', '=', blanks or controls in 'a;b'"),
)
def test_an_argument_that_cannot_be_carried_is_refused(engine: Engine, net: str, verdict: Verdict) -> None:
    verdict.refuses(_attempt(engine, net, "cni.args.colour=a;b"))


# Names of links


@flag(
    RUN,
    "--network driver-opt=cni.ifname=NAME",
    honoured("the link's name in the container; it ends in 0, and Docker numbers further links of that name"),
)
def test_a_link_bears_its_name_at_each_start(engine: Engine, net: str) -> None:
    start(engine, "one", "--network", f"name={net},driver-opt=cni.ifname=lan0")
    for _ in range(2):
        address = inspected(engine, "one", net)["IPAddress"]
        assert f"inet {address}/24 " in inside(engine, "one", "ip address show lan0")
        assert "dev lan0" in inside(engine, "one", "ip route | grep default")
        assert "eth0" not in inside(engine, "one", "ip link")
        once(engine, "--network", net, command=f"ping -c 1 {address}")
        engine.docker("restart", "-t", "0", "one")


@flag(RUN, "--network driver-opt=cni.ifname=eth0", honoured("the name that a first link has anyway"))
def test_a_link_may_be_named_as_it_would_be(engine: Engine, net: str) -> None:
    assert ": eth0@" in once(engine, "--network", f"name={net},driver-opt=cni.ifname=eth0")


@flag(
    CONNECT,
    "--driver-opt cni.ifname=NAME",
    honoured("as with docker run; links alike are numbered from 0 on"),
)
def test_links_of_one_name_are_numbered(engine: Engine, net: str) -> None:
    start(engine, "one", "--network", f"name={net},driver-opt=cni.ifname=lan0")
    web = network(engine, "web", "--ipam-driver", "null", "-o", "cni.network=cni-bridge")
    engine.docker("network", "connect", "--driver-opt", "cni.ifname=lan0", web, "one")
    ptp = network(engine, "other", "--ipam-driver", "null", "-o", "cni.network=cni-ptp")
    engine.docker("network", "connect", "--driver-opt", "cni.ifname=wan0", ptp, "one")
    for link, name in (("lan0", net), ("lan1", web), ("wan0", ptp)):
        address = inspected(engine, "one", name)["IPAddress"]
        assert f"inet {address}/" in inside(engine, "one", f"ip address show {link}")
    engine.docker("restart", "-t", "0", "one")
    assert {"lan0", "lan1", "wan0"} <= set(re.findall(r": (\w+)@", inside(engine, "one", "ip link")))


@flag(
    CONNECT,
    "--driver-opt cni.ifname=NAME, after a disconnect",
    honoured("the engine counts on from the number that the link had, until the container is restarted"),
)
def test_a_link_that_is_connected_once_more_has_the_next_number(engine: Engine, net: str) -> None:
    start(engine, "one")
    for number in range(2):
        engine.docker("network", "connect", "--driver-opt", "cni.ifname=lan0", net, "one")
        assert f": lan{number}@" in inside(engine, "one", "ip link")
        if not number:
            engine.docker("network", "disconnect", net, "one")
    engine.docker("restart", "-t", "0", "one")
    assert ": lan0@" in inside(engine, "one", "ip link")


@flag(
    RUN,
    "--network driver-opt=cni.ifname=NAME, without a 0",
    refused("option cni.ifname=lan: the engine numbers links from 0, so the name must end in 0"),
)
def test_a_name_without_number_is_refused(engine: Engine, net: str, verdict: Verdict) -> None:
    attempt = _attempt(engine, net, "cni.ifname=lan")
    verdict.refuses(attempt)
    assert "(as in lan0; or create the network with -o cni.mode=inplace)" in attempt.stderr


# The engine's own


@flag(
    RUN,
    f"--network driver-opt={_SYSCTLS}=SYSCTLS",
    old=refused(f"endpoint option {_SYSCTLS}: engine 20.10"),
    new=honoured("the engine sets them for the link, IFNAME standing for its name"),
)
def test_sysctls_of_the_link_are_set_by_engines_that_know_them(
    engine: Engine, net: str, verdict: Verdict
) -> None:
    option = f"{_SYSCTLS}=net.ipv4.conf.IFNAME.log_martians=1"
    if verdict.kind == "refused":
        attempt = _attempt(engine, net, option)
        verdict.refuses(attempt)
        assert "does not carry it out (engines from 27 do)" in attempt.stderr
        return
    start(engine, "one", "--network", f"name={net},driver-opt={option}")
    shown = "cat /proc/sys/net/ipv4/conf/eth0/log_martians /proc/sys/net/ipv4/conf/all/log_martians"
    assert inside(engine, "one", shown).split() == ["1", "0"]
    engine.docker("restart", "-t", "0", "one")
    assert inside(engine, "one", shown).split() == ["1", "0"]


@flag(
    CONNECT,
    f"--driver-opt {_SYSCTLS}=SYSCTLS, to a stopped container",
    old=refused(f"endpoint option {_SYSCTLS}: engine 20.10"),
    new=honoured("counts when it starts"),
)
def test_sysctls_of_a_stopped_containers_link_count_at_its_start(
    engine: Engine, net: str, verdict: Verdict
) -> None:
    engine.docker("create", "--name", "one", "--network", "none", "busybox", "sleep", "600")
    engine.docker("network", "disconnect", "none", "one")
    option = f"{_SYSCTLS}=net.ipv4.conf.IFNAME.log_martians=1"
    engine.docker("network", "connect", "--driver-opt", option, net, "one")
    started = engine.docker("start", "one", check=False)
    if verdict.kind == "refused":
        verdict.refuses(started)
        return
    assert inside(engine, "one", "cat /proc/sys/net/ipv4/conf/eth0/log_martians") == "1\n"


@flag(
    RUN,
    f"--network driver-opt={_IFNAME}=NAME",
    refused(
        f"endpoint option {_IFNAME}: engines carry it out only for drivers of their own (name the link by "
        "cni.ifname, as in cni.ifname=lan0)"
    ),
)
def test_the_engines_name_for_a_link_is_refused_with_ours(engine: Engine, net: str, verdict: Verdict) -> None:
    verdict.refuses(_attempt(engine, net, f"{_IFNAME}=wan"))


# What is not understood


@flag(
    RUN,
    "--network driver-opt=cni.KEY=VALUE, an unknown one",
    refused(
        "endpoint option cni.bandwidth.igress: unknown to the CNI driver (did you mean "
        "cni.bandwidth.ingress?)"
    ),
)
def test_an_unknown_option_is_refused_with_the_nearest_one(
    engine: Engine, net: str, verdict: Verdict
) -> None:
    verdict.refuses(_attempt(engine, net, "cni.bandwidth.igress=10M"))


@flag(
    RUN,
    "--network driver-opt=KEY=VALUE, of another driver",
    refused("endpoint option colour: unknown to the CNI driver (it knows cni.ips, cni.mac,"),
)
def test_an_option_of_another_driver_is_refused(engine: Engine, net: str, verdict: Verdict) -> None:
    verdict.refuses(_attempt(engine, net, "colour=blue"))


@flag(
    RUN,
    "--network driver-opt=com.docker.network.KEY=VALUE, for drivers of the engine",
    refused("endpoint option com.docker.network.driver.mtu: unknown to the CNI driver"),
)
def test_an_option_of_the_engines_own_drivers_is_refused(engine: Engine, net: str, verdict: Verdict) -> None:
    verdict.refuses(_attempt(engine, net, "com.docker.network.driver.mtu=1400"))


@flag(
    RUN,
    "--network driver-opt=cni.network=NAME",
    refused(
        "endpoint option cni.network: it belongs to the network (give it to the network: docker network "
        "create -o cni.network=...)"
    ),
)
def test_an_option_of_networks_is_refused_to_an_endpoint(engine: Engine, net: str, verdict: Verdict) -> None:
    verdict.refuses(_attempt(engine, net, "cni.network=cni-bridge"))


# Defaults


@flag(
    CREATE,
    "--opt cni.bandwidth.ingress=RATE, with another one for the endpoint",
    honoured("the endpoint's counts"),
)
def test_a_limit_of_an_endpoint_goes_before_the_networks(engine: Engine) -> None:
    options = ("-o", "cni.bandwidth.ingress=10M", "-o", "cni.bandwidth.egress=20M")
    net = network(engine, "net", *BY_PLUGIN, *options)
    start(engine, "one", "--network", net)
    assert _limits(engine) == {"to": 10_000_000, "from": 20_000_000}
    engine.docker("rm", "-f", "one")
    start(engine, "two", "--network", f"name={net},driver-opt=cni.bandwidth.ingress=5M")
    assert _limits(engine) == {"to": 5_000_000, "from": 20_000_000}


@flag(CREATE, "--opt cni.ifname=NAME0, with another one for the endpoint", honoured("the endpoint's counts"))
def test_a_link_name_of_an_endpoint_goes_before_the_networks(engine: Engine) -> None:
    net = network(engine, "net", *BY_PLUGIN, "-o", "cni.ifname=lan0")
    assert ": lan0@" in once(engine, "--network", net)
    assert ": wan0@" in once(engine, "--network", f"name={net},driver-opt=cni.ifname=wan0")


@flag(CREATE, "--opt cni.ips=ADDRESS, with another one for the endpoint", honoured("the endpoint's counts"))
def test_an_address_of_an_endpoint_goes_before_the_networks(engine: Engine) -> None:
    net = network(engine, "net", *BY_PLUGIN, "-o", "cni.ips=10.77.0.50")
    assert "inet 10.77.0.50/24 " in once(engine, "--network", net)
    assert "inet 10.77.0.51/24 " in once(engine, "--network", f"name={net},driver-opt=cni.ips=10.77.0.51")


@flag(CREATE, "--opt cni.mac=ADDRESS, with another one for the endpoint", honoured("the endpoint's counts"))
def test_a_mac_address_of_an_endpoint_goes_before_the_networks(engine: Engine) -> None:
    net = network(engine, "net", *BY_PLUGIN, "-o", f"cni.mac={_MAC}")
    assert f"link/ether {_MAC} " in once(engine, "--network", net)
    other = once(engine, "--network", f"name={net},driver-opt=cni.mac={_OTHER_MAC}")
    assert f"link/ether {_OTHER_MAC} " in other


@flag(
    CREATE, "--opt cni.args.KEY=VALUE, with another one for the endpoint", honoured("the endpoint's counts")
)
def test_an_argument_of_an_endpoint_goes_before_the_networks(engine: Engine, args: Written) -> None:
    net = network(engine, "net", *BY_PLUGIN, "-o", "cni.args.COLOUR=Blue", "-o", "cni.args.Size=9")
    once(engine, "--network", net)
    assert _pairs(args()) >= {"COLOUR=Blue", "Size=9"}
    once(engine, "--network", f"name={net},driver-opt=cni.args.colour=red")
    assert _pairs(args()) >= {"COLOUR=red", "Size=9"}


def _attempt(engine: Engine, net: str, option: str, *others: str) -> CompletedProcess[str]:
    endpoint = f"name={net},driver-opt={option}"
    return engine.docker("run", "--rm", "--network", endpoint, *others, "busybox", "true", check=False)


def _reached_at(engine: Engine, net: str, address: str) -> None:
    """The container `one` has the address on the network, and answers there."""
    bare, _, length = address.partition("/")
    key = "GlobalIPv6Address" if ":" in address else "IPAddress"
    assert inspected(engine, "one", net)[key] == bare
    assert f" {bare}/{length} " in inside(engine, "one", "ip address show eth0")
    once(engine, "--network", net, command=f"ping -c 1 {bare}")


def _has_mac(engine: Engine, net: str, mac: str) -> None:
    assert inspected(engine, "one", net)["MacAddress"] == mac
    assert f"link/ether {mac} " in inside(engine, "one", "ip link show eth0")


def _limits(engine: Engine) -> dict[str, int]:
    """The limits of the only container, in bits per second, each way.

    What the host sends into the container's link is shaped there; what comes out of it, on an `ifb` link.
    """
    listed = json.loads(engine.run(["tc", "-json", "qdisc"]).stdout)
    shapers = {item["dev"]: item["options"]["rate"] * 8 for item in listed if item["kind"] == "tbf"}
    return {"from" if link.startswith("bwp") else "to": rate for link, rate in shapers.items()}


def _pairs(args: str) -> set[str]:
    return set(args.strip().split(";"))
