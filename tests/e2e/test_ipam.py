"""The IPAM driver: the addresses that Docker knows are those that the IPAM plugin of a conflist gives."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from lab.engine import Engine

from tests.e2e.chains import (
    BOTH_SUBNETS,
    CNI,
    GATEWAY,
    GATEWAY_V6,
    SUBNET,
    SUBNET_V6,
    address_of,
    addresses_in,
    chain_plugins,
    config_of,
    create,
    leases_of,
    start,
)
from tests.e2e.containers import inspected, remove_containers

Conflist = Callable[..., str]
Eventually = Callable[..., None]
Make = Callable[[str, str], str]
Plugins = Callable[[str, str], Path]
Restart = Callable[..., None]

IPV4 = (*CNI, "--subnet", SUBNET)
DUAL = (*CNI, *BOTH_SUBNETS)

_GIVES = """#!/bin/sh
leases="$(dirname "$0")/leases"
mkdir -p "$leases"
case "$CNI_COMMAND" in
ADD)
    {wanted}
    for address in ${wanted:-$(seq -f 10.77.0.%g/24 20 250)}; do
        if (set -C; echo "$CNI_CONTAINERID" > "$leases/${address%/*}") 2> /dev/null; then
            echo '{"cniVersion": "1.0.0", "ips": [{"address": "'"$address"'", "gateway": "10.77.0.1"}]}'
            exit 0
        fi
    done
    echo '{"cniVersion": "1.0.0", "code": 100, "msg": "no address is free"}'
    exit 1
    ;;
DEL)
    grep -l "$CNI_CONTAINERID" "$leases"/* | xargs -r rm
    ;;
esac
"""
_HEEDS_IP = r"""wanted=$(echo "$CNI_ARGS" | tr ';' '\n' | sed -n 's/^IP=//p')"""
_HEEDS_NOTHING = "wanted="

_AS_SOON_AS_REPAIRED = 150.0
"""Seconds: what is new is left alone for a minute, and looked at every half."""


@pytest.fixture(autouse=True)
def chain_of_both_families(engine: Engine, conflist: Conflist) -> Iterator[None]:
    """A CNI network whose bridge does not exist yet."""
    conflist("chain", *chain_plugins([{"subnet": SUBNET}], [{"subnet": SUBNET_V6}]))
    yield
    engine.run(["ip", "link", "del", "chain0"], check=False)


@pytest.fixture
def lan(engine: Engine) -> Iterator[str]:
    """A link of the host's."""
    engine.run(["ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1"])
    for end in ("lan0", "lan1"):
        engine.run(["ip", "link", "set", end, "up"])
    yield "lan0"
    remove_containers(engine)
    engine.run(["ip", "link", "del", "lan0"])


@pytest.fixture
def own_ipam(
    engine: Engine, conflist: Conflist, plugins: Plugins, restart_shim: Restart
) -> Iterator[Callable[[str], Path]]:
    """Gives the chain an IPAM plugin whose section nobody else can read; the folder of its leases."""

    def use(wishes: str) -> Path:
        folder = plugins("own-ipam", _GIVES.replace("{wanted}", wishes))
        bridge, *others = chain_plugins([{"subnet": SUBNET}])
        conflist("chain", {**bridge, "ipam": {"type": "own-ipam", "area": 51}}, *others)
        restart_shim(plugin_path=[str(engine.plugin_path), str(folder)])
        return folder / "leases"

    yield use
    remove_containers(engine)
    engine.docker("network", "prune", "--force")


# Networks


def test_inspect_shows_the_subnet_and_the_gateway_of_the_conflist(engine: Engine) -> None:
    create(engine, *CNI, "--ipv6")
    assert config_of(engine) == [
        {"Subnet": SUBNET, "Gateway": GATEWAY},
        {"Subnet": SUBNET_V6, "Gateway": GATEWAY_V6},
    ]


def test_the_cni_network_may_be_named_to_both_drivers(engine: Engine) -> None:
    create(engine, *CNI, "-o", "cni.network=chain")
    assert config_of(engine) == [{"Subnet": SUBNET, "Gateway": GATEWAY}]
    assert addresses_in(engine)[0].startswith("10.77.0.")


def test_the_cni_network_may_be_named_to_the_network_driver_alone(engine: Engine) -> None:
    create(engine, "--ipam-driver", "cni", "-o", "cni.network=chain")
    knows = int(engine.docker("version", "--format", "{{.Server.Version}}").stdout.split(".")[0]) >= 28
    # Before 28 the engine tells an IPAM driver nothing of it.
    assert config_of(engine)[0]["Subnet"] == (SUBNET if knows else "0.0.0.0/0")
    start(engine, "one")
    assert address_of(engine, "one") in leases_of(engine)
    engine.docker("exec", "one", "ping", "-c", "1", GATEWAY)


def test_the_cni_network_named_to_the_network_driver_has_the_subnet_that_is_said(engine: Engine) -> None:
    create(engine, "--ipam-driver", "cni", "-o", "cni.network=chain", "--subnet", SUBNET)
    assert config_of(engine)[0]["Subnet"] == SUBNET
    assert addresses_in(engine, "--ip", "10.77.0.99")[0] == "10.77.0.99/24"
    wrong = ("--ipam-driver", "cni", "-o", "cni.network=chain", "--subnet", "10.78.0.0/24")
    refused = create(engine, *wrong, name="other", check=False)
    assert "--subnet 10.78.0.0/24 differs from the subnet of CNI network chain" in _line(refused)


def test_two_names_that_differ_are_refused(engine: Engine) -> None:
    refused = create(engine, *IPV4, "-o", "cni.network=cni-bridge", check=False)
    assert "--ipam-opt cni.network=chain and -o cni.network=cni-bridge differ" in _line(refused)


def test_networks_of_the_same_chain_are_made_at_once(engine: Engine) -> None:
    names = [f"net{number}" for number in range(10)]
    made = _at_once([partial(create, engine, *IPV4, name=name, check=False) for name in names])
    assert [run.stderr for run in made if run.returncode != 0] == []


@pytest.mark.parametrize("route", ["10.77.0.0/24", "10.77.0.128/25", "10.0.0.0/8"])
def test_a_subnet_that_is_in_use_is_asked_for_once(engine: Engine, lan: str, route: str) -> None:
    engine.run(["ip", "route", "add", route, "dev", lan])
    before = _calls(engine, "RequestPool")
    refused = create(engine, *CNI, check=False)
    assert f"its subnet {SUBNET} is in use on this host already, by {lan}" in _line(refused)
    assert _calls(engine, "RequestPool") == before + 1
    create(engine, *IPV4)
    assert _calls(engine, "RequestPool") == before + 2


def test_a_chain_whose_ipam_needs_the_link_is_refused_with_the_cure(
    engine: Engine, conflist: Conflist
) -> None:
    conflist("chain", {"type": "bridge", "bridge": "chain0", "ipam": {"type": "dhcp"}})
    refused = create(engine, *IPV4, check=False)
    assert "network chain: dhcp needs the link" in _line(refused)
    assert "create the Docker network with --ipam-driver null" in _line(refused)


def test_a_chain_without_ipam_is_refused_with_the_cure(engine: Engine, conflist: Conflist) -> None:
    conflist("chain", {"type": "bridge", "bridge": "chain0"})
    refused = create(engine, *IPV4, check=False)
    assert "network chain: it has no IPAM plugin (create the Docker network with --ipam-driver null" in _line(
        refused
    )


# Addresses


def test_the_addresses_of_containers_are_the_leases_of_the_plugin(engine: Engine) -> None:
    create(engine, *DUAL)
    for name in ("one", "two"):
        start(engine, name)
        shown = engine.docker("exec", name, "ip", "address", "show", "eth0").stdout
        settings = inspected(engine, name, "net")
        assert f"inet {settings['IPAddress']}/24 " in shown
        assert f"inet6 {settings['GlobalIPv6Address']}/64 " in shown
    assert leases_of(engine) == _given(engine, "one") | _given(engine, "two")
    engine.docker("exec", "one", "ping", "-c", "1", "two")
    engine.docker("exec", "one", "ping", "-c", "1", inspected(engine, "two", "net")["GlobalIPv6Address"])


def test_a_lease_lasts_as_long_as_the_container_runs(engine: Engine) -> None:
    create(engine, *DUAL)
    start(engine, "one", "--ip", "10.77.0.99")
    start(engine, "two")
    assert len(leases_of(engine)) == 4
    engine.docker("stop", "-t", "0", "one")
    assert leases_of(engine) == _given(engine, "two")
    engine.docker("start", "one")
    assert address_of(engine, "one") == "10.77.0.99"
    engine.docker("rm", "-f", "one", "two")
    assert leases_of(engine) == set()


def test_a_reservation_is_shown_with_the_endpoint_that_uses_it(engine: Engine) -> None:
    create(engine, *DUAL)
    start(engine, "one")
    endpoint = inspected(engine, "one", "net")["EndpointID"]

    shown = _reservations(engine)

    assert {address.partition("/")[0] for item in shown for address in item["addresses"]} == leases_of(engine)
    assert {(item["endpoint"], item["lastError"]) for item in shown} == {(endpoint, "")}
    engine.docker("rm", "-f", "one")
    assert _reservations(engine) == []


@pytest.mark.parametrize("flags", [["-p", "70:80", "-p", "70:81"], ["--sysctl", "net.ipv4.nonsense=1"]])
def test_a_start_that_fails_leaves_no_lease(engine: Engine, flags: list[str]) -> None:
    create(engine, *DUAL)
    start(engine, "one")
    before = leases_of(engine)
    failed = engine.docker("run", "--network", "net", *flags, "busybox", "true", check=False)
    assert failed.returncode != 0
    assert leases_of(engine) == before


def test_a_command_that_is_not_there_leaves_no_lease(engine: Engine) -> None:
    create(engine, *DUAL)
    failed = engine.docker("run", "--network", "net", "busybox", "no-such-command", check=False)
    assert "no-such-command" in failed.stderr
    assert leases_of(engine) == set()


def test_disconnecting_gives_the_lease_back(engine: Engine) -> None:
    create(engine, *DUAL)
    engine.docker("run", "-d", "--name", "one", "busybox", "sleep", "600")
    engine.docker("network", "connect", "--ip", "10.77.0.99", "net", "one")
    assert "10.77.0.99" in leases_of(engine)
    engine.docker("network", "disconnect", "net", "one")
    assert leases_of(engine) == set()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--ip", "10.77.0.99"], "10.77.0.99"),
        (["--ip6", "fd00:77::99"], "fd00:77::99"),
        (["--ip", GATEWAY], f"requested ip {GATEWAY} is subnet's gateway"),
    ],
    ids=["taken", "taken IPv6", "gateway"],
)
def test_an_address_that_cannot_be_had_is_refused(engine: Engine, flags: list[str], words: str) -> None:
    create(engine, *DUAL)
    start(engine, "one", "--ip", "10.77.0.99", "--ip6", "fd00:77::99")
    before = leases_of(engine)
    refused = engine.docker("run", "--network", "net", *flags, "busybox", "true", check=False)
    assert words in _line(refused)
    assert leases_of(engine) == before


def test_a_network_of_dockers_own_bridge_may_take_its_addresses_from_a_conflist(engine: Engine) -> None:
    engine.docker("network", "create", "-d", "bridge", *CNI, "--subnet", SUBNET, "net")
    start(engine, "one")
    assert address_of(engine, "one") in leases_of(engine)
    engine.docker("rm", "--force", "one")
    assert leases_of(engine) == set()


def test_an_exhausted_pool_is_refused_in_one_line(engine: Engine, conflist: Conflist) -> None:
    conflist(
        "chain", *chain_plugins([{"subnet": SUBNET, "rangeStart": "10.77.0.9", "rangeEnd": "10.77.0.9"}])
    )
    create(engine, *IPV4)
    start(engine, "one")
    refused = engine.docker("run", "--network", "net", "busybox", "true", check=False)
    assert 'plugin "host-local" (network "chain") ADD: ' in _line(refused)
    assert "no IP addresses available" in _line(refused)
    assert leases_of(engine) == {"10.77.0.9"}
    engine.docker("rm", "-f", "one")
    assert addresses_in(engine) == ["10.77.0.9/24"]


def test_containers_at_once_get_a_pair_of_addresses_each(engine: Engine) -> None:
    create(engine, *DUAL)
    names = [f"c{number}" for number in range(10)]
    _at_once([partial(start, engine, name) for name in names])
    pairs = [sorted(_given(engine, name)) for name in names]
    assert len({address for pair in pairs for address in pair}) == 20
    assert leases_of(engine) == {address for pair in pairs for address in pair}
    for ipv4, ipv6 in pairs:  # given by one run of the plugin
        assert _owner(engine, ipv4) == _owner(engine, ipv6)
    engine.docker("exec", "c0", "ping", "-c", "1", "c9")
    engine.docker("rm", "-f", *names)
    assert leases_of(engine) == set()


def test_ipv6_alone(engine: Engine, conflist: Conflist) -> None:
    conflist("chain", *chain_plugins([{"subnet": SUBNET_V6}]))
    if "--ipv4" in engine.docker("network", "create", "--help").stdout:
        create(engine, *CNI, "--ipv4=false", "--ipv6")
        assert config_of(engine) == [{"Subnet": SUBNET_V6, "Gateway": GATEWAY_V6}]
    else:
        refused = create(engine, *CNI, "--ipv6", check=False)
        assert "its conflist tells no IPv4 subnet (create the Docker network with --ipam-driver null)" in (
            _line(refused)
        )
        create(engine, "--ipam-driver", "null", "-o", "cni.network=chain")
    for name in ("one", "two"):
        start(engine, name)
    other = inspected(engine, "two", "net")["GlobalIPv6Address"]
    assert other in leases_of(engine)
    assert address_of(engine, "two") == ""
    engine.docker("exec", "one", "ping", "-c", "1", other)
    engine.docker("exec", "one", "ping", "-c", "1", GATEWAY_V6)


# Chains


def test_a_chain_that_routes_each_address(engine: Engine) -> None:
    create(engine, "--ipam-driver", "cni", "--ipam-opt", "cni.network=cni-ptp", "--subnet", "10.89.2.0/24")
    start(engine, "one", "--ip", "10.89.2.50")
    start(engine, "two")
    assert "inet 10.89.2.50/" in engine.docker("exec", "one", "ip", "address").stdout
    engine.docker("exec", "one", "ping", "-c", "1", "10.89.2.1")
    engine.docker("exec", "two", "ping", "-c", "1", "10.89.2.50")
    engine.docker("exec", "one", "ping", "-c", "1", "two")


def test_a_chain_on_a_link_of_the_host(engine: Engine, conflist: Conflist, lan: str) -> None:
    ipam = {"type": "host-local", "ranges": [[{"subnet": SUBNET}]]}
    conflist("chain", {"type": "macvlan", "master": lan, "mode": "bridge", "ipam": ipam})
    create(engine, *IPV4)
    start(engine, "one", "--ip", "10.77.0.50")
    start(engine, "two")
    process = engine.docker("inspect", "-f", "{{.State.Pid}}", "one").stdout.strip()
    link = engine.run(["nsenter", "-t", process, "-n", "ip", "-d", "address", "show", "eth0"]).stdout
    assert " macvlan mode bridge " in link
    assert "inet 10.77.0.50/24 " in link
    engine.docker("exec", "two", "ping", "-c", "1", "10.77.0.50")


def test_a_chain_with_addresses_of_its_own(engine: Engine, conflist: Conflist) -> None:
    bridge, *others = chain_plugins([{"subnet": SUBNET}])
    static = {
        "type": "static",
        "addresses": [{"address": "10.77.0.5/24", "gateway": GATEWAY}],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    conflist("chain", {**bridge, "ipam": static}, *others)
    create(engine, *IPV4)
    start(engine, "one")
    assert address_of(engine, "one") == "10.77.0.5"
    refused = engine.docker("run", "--network", "net", "busybox", "true", check=False)
    assert "network chain: 10.77.0.5 is taken by another container" in _line(refused)
    start(engine, "two", "--ip", "10.77.0.6")
    engine.docker("exec", "two", "ping", "-c", "1", "10.77.0.5")
    assert f"default via {GATEWAY} " in engine.docker("exec", "two", "ip", "route").stdout


# IPAM plugins of which nothing is known


def test_an_ipam_plugin_that_nobody_can_read_needs_the_subnet(
    engine: Engine, own_ipam: Callable[[str], Path]
) -> None:
    own_ipam(_HEEDS_IP)
    refused = create(engine, *CNI, check=False)
    assert "network chain: its conflist tells no IPv4 subnet" in _line(refused)
    assert "say the subnet with --subnet" in _line(refused)


def test_an_ipam_plugin_that_nobody_can_read_gives_what_it_is_asked_for_by_argument(
    engine: Engine, own_ipam: Callable[[str], Path]
) -> None:
    leases = own_ipam(_HEEDS_IP)
    create(engine, *IPV4, "--gateway", GATEWAY)
    start(engine, "one")
    start(engine, "two", "--ip", "10.77.0.99")
    assert [address_of(engine, name) for name in ("one", "two")] == ["10.77.0.20", "10.77.0.99"]
    assert {path.name for path in leases.iterdir()} == {"10.77.0.20", "10.77.0.99"}
    assert "inet 10.77.0.99/24 " in engine.docker("exec", "two", "ip", "address").stdout
    engine.docker("exec", "one", "ping", "-c", "1", "10.77.0.99")
    refused = engine.docker("run", "--network", "net", "--ip", "10.77.0.99", "busybox", "true", check=False)
    assert 'plugin "own-ipam" (network "chain") ADD: no address is free' in _line(refused)
    engine.docker("rm", "-f", "one", "two")
    assert list(leases.iterdir()) == []


def test_an_ipam_plugin_that_heeds_no_wish_is_refused_where_there_is_one(
    engine: Engine, own_ipam: Callable[[str], Path]
) -> None:
    leases = own_ipam(_HEEDS_NOTHING)
    create(engine, *IPV4, "--gateway", GATEWAY)
    refused = engine.docker("run", "--network", "net", "--ip", "10.77.0.99", "busybox", "true", check=False)
    assert "its IPAM plugin own-ipam gives 10.77.0.20 where 10.77.0.99 was asked for" in _line(refused)
    assert list(leases.iterdir()) == []
    assert addresses_in(engine) == ["10.77.0.20/24"]


def test_an_ipam_plugin_that_gives_addresses_elsewhere_is_refused(
    engine: Engine, own_ipam: Callable[[str], Path]
) -> None:
    leases = own_ipam(_HEEDS_NOTHING)
    create(engine, *CNI, "--subnet", "10.78.0.0/24", "--gateway", "10.78.0.1")
    refused = engine.docker("run", "--network", "net", "busybox", "true", check=False)
    assert "its IPAM plugin own-ipam gives no address in 10.78.0.0/24" in _line(refused)
    assert list(leases.iterdir()) == []


# Restarts and crashes


def test_leases_are_given_back_after_a_crash_of_the_shim(
    engine: Engine, start_shim: Callable[[], None]
) -> None:
    create(engine, *DUAL)
    start(engine, "one")
    engine.kill_shim()
    start_shim()
    assert leases_of(engine) == _given(engine, "one")
    start(engine, "two", "--ip", "10.77.0.99")
    engine.docker("exec", "two", "ping", "-c", "1", "one")
    engine.docker("rm", "-f", "one", "two")
    assert leases_of(engine) == set()


def test_leases_are_given_back_after_restarts_of_both(engine: Engine, start_shim: Callable[[], None]) -> None:
    create(engine, *DUAL)
    start(engine, "one", "--restart", "always")
    engine.stop_dockerd()
    engine.stop_shim()
    start_shim()
    engine.start_dockerd()
    assert leases_of(engine) == _given(engine, "one")
    engine.docker("rm", "-f", "one")
    assert leases_of(engine) == set()


def test_leases_are_kept_through_restarts_of_both_with_live_restore(
    engine: Engine, start_shim: Callable[[], None]
) -> None:
    engine.stop_dockerd()
    engine.start_dockerd(live_restore=True)
    create(engine, *DUAL)
    start(engine, "one")
    given = _given(engine, "one")
    engine.stop_dockerd()
    engine.kill_shim()
    start_shim()
    engine.start_dockerd(live_restore=True)
    assert leases_of(engine) == given
    start(engine, "two")
    engine.docker("exec", "two", "ping", "-c", "1", "one")
    engine.docker("rm", "-f", "one", "two")
    assert leases_of(engine) == set()
    engine.stop_dockerd()
    engine.start_dockerd()


def test_leases_are_given_back_after_a_crash_of_the_engine(engine: Engine, eventually: Eventually) -> None:
    create(engine, *DUAL)
    start(engine, "one")
    process = engine.docker("inspect", "-f", "{{.State.Pid}}", "one").stdout.strip()
    engine.kill_dockerd()
    engine.run(["pkill", "-KILL", "containerd"], check=False)
    engine.run(["kill", "-KILL", process])
    engine.start_dockerd()
    eventually(lambda: leases_of(engine) == set(), within=_AS_SOON_AS_REPAIRED)
    engine.docker("start", "one")
    assert leases_of(engine) == _given(engine, "one")


def test_a_lost_journal_costs_no_network(engine: Engine, start_shim: Callable[[], None]) -> None:
    create(engine, *DUAL)
    engine.stop_shim()
    for file in engine.state_dir.iterdir():
        file.unlink()
    start_shim()
    start(engine, "one", "--ip", "10.77.0.99")
    assert address_of(engine, "one") == "10.77.0.99"
    assert leases_of(engine) == _given(engine, "one")
    engine.docker("exec", "one", "ping", "-c", "1", GATEWAY)
    engine.docker("rm", "-f", "one")
    assert leases_of(engine) == set()


def _given(engine: Engine, container: str) -> set[str]:
    """The addresses that Docker knows of a container."""
    settings = inspected(engine, container, "net")
    return {settings["IPAddress"], settings["GlobalIPv6Address"]} - {""}


def _owner(engine: Engine, address: str) -> str:
    """The container ID by which the plugin knows who has an address."""
    return engine.path(f"/var/lib/cni/networks/chain/{address}").read_text().split()[0]


def _calls(engine: Engine, method: str) -> int:
    """How often the engine has made that call."""
    return len(re.findall(rf"^\S+ \S+ \w+ {method} ", engine.shim_log.read_text(), re.MULTILINE))


def _line(run: CompletedProcess[str]) -> str:
    """The one line by which docker says that it was refused."""
    assert run.returncode != 0
    (line,) = [line for line in run.stderr.splitlines() if "Error response from daemon: " in line]
    return line


def _at_once(works: list[Callable[[], Any]]) -> list[Any]:
    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result() for future in [pool.submit(work) for work in works]]


def _reservations(engine: Engine) -> list[dict[str, Any]]:
    """What `cnm-cni reservation ls` shows."""
    shown: list[dict[str, Any]] = json.loads(
        engine.run(engine.shim_command("reservation", "ls", "--json")).stdout
    )
    return shown
