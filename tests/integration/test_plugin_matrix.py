"""The plugins of this Debian and of the newest, alone and in chains, in the highest version they speak.

STATUS lets them be used, CHECK confirms what ADD brought, GC spares it, and DEL leaves nothing.
"""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from shim.cni.conf import NetworkConfigList
from shim.cni.errors import PluginError
from shim.cni.runtime import Attachment, Runtime
from tests import dhcp
from tests.integration.host import addresses, footprint, links, run

LEASES = "{leases}"
"""In a configuration: host-local's `dataDir`, a folder of the test."""
HOST_LOCAL: dict[str, Any] = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.112.0.0/24"}], [{"subnet": "fd00:112::/64"}]],
    "routes": [{"dst": "0.0.0.0/0"}],
    "dataDir": LEASES,
}
STATIC: dict[str, Any] = {"type": "static", "addresses": [{"address": "10.112.1.9/24"}]}
BRIDGE: dict[str, Any] = {"type": "bridge", "bridge": "cni-matrix0", "isGateway": True, "ipam": HOST_LOCAL}
PORTMAP: dict[str, Any] = {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}}
PORTS = [{"hostPort": 18080, "containerPort": 80, "protocol": "tcp"}]


@dataclass(frozen=True, slots=True)
class Case:
    """A chain, and what is asked of it."""

    plugins: tuple[dict[str, Any], ...]
    ifname: str = "eth0"
    capability_args: tuple[tuple[str, Any], ...] = ()
    is_check_spurious: bool = False
    """Whether a plugin of 1.1.1 finds fault with what is right, so that the operator disables CHECK.

    portmap looks for its rules in the tables of both families, whatever the addresses; and after sbr has
    moved the routes, bridge misses them.
    """


@dataclass(frozen=True, slots=True)
class DHCP:
    """The running daemon of the dhcp plugin."""

    socket: Path
    log: IO[str]


CASES = {
    "bridge": Case((BRIDGE,)),
    "bridge with masquerade": Case(({**BRIDGE, "ipMasq": True, "hairpinMode": True},)),
    "bridge with static": Case(({**BRIDGE, "bridge": "cni-matrix1", "ipam": STATIC},)),
    "bridge with static as the runtime says": Case(
        (
            {
                **BRIDGE,
                "bridge": "cni-matrix1",
                "capabilities": {"ips": True},
                "ipam": {"type": "static"},
            },
        ),
        capability_args=(("ips", ["10.112.1.7/24"]),),
    ),
    "ptp": Case(({"type": "ptp", "ipam": HOST_LOCAL},)),
    "macvlan": Case(({"type": "macvlan", "master": "uplink", "mode": "bridge", "ipam": HOST_LOCAL},)),
    "host-device": Case(({"type": "host-device", "device": "uplink", "ipam": STATIC},)),
    "loopback": Case(({"type": "loopback"},), ifname="lo"),
    "tuning": Case(
        (BRIDGE, {"type": "tuning", "sysctl": {"net.ipv4.conf.all.log_martians": "1"}, "mtu": 1400})
    ),
    "tuning of the mac": Case(
        (BRIDGE, {"type": "tuning", "capabilities": {"mac": True}}),
        capability_args=(("mac", "0a:00:00:00:00:01"),),
    ),
    "bandwidth": Case((BRIDGE, {"type": "bandwidth", "ingressRate": 1_000_000, "ingressBurst": 1_000_000})),
    "portmap": Case((BRIDGE, PORTMAP), capability_args=(("portMappings", PORTS),), is_check_spurious=True),
    "firewall": Case((BRIDGE, {"type": "firewall", "backend": "iptables"})),
    "sbr": Case((BRIDGE, {"type": "sbr"}), is_check_spurious=True),
    "all in one chain": Case(
        (
            {**BRIDGE, "ipMasq": True},
            {"type": "tuning", "capabilities": {"mac": True}},
            PORTMAP,
            {"type": "firewall", "backend": "iptables"},
            {"type": "bandwidth", "ingressRate": 1_000_000, "ingressBurst": 1_000_000},
        ),
        capability_args=(("mac", "0a:00:00:00:00:02"), ("portMappings", PORTS)),
        is_check_spurious=True,
    ),
}


@pytest.fixture
def leases(tmp_path: Path) -> Path:
    return tmp_path / "leases"


@pytest.fixture(autouse=True)
def uplink() -> Iterator[None]:
    """A link of the host to share or to give away."""
    run("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "uplink-peer")
    for name in ("uplink", "uplink-peer"):
        run("ip", "link", "set", name, "up")
    yield
    run("ip", "link", "delete", "uplink")


@pytest.fixture
def dhcp_daemon(tmp_path: Path, plugin_path: Path) -> Iterator[DHCP]:
    """The dhcp plugin's daemon, and a DHCP server on the bridge `cni-dhcp0`."""
    run("ip", "link", "add", "cni-dhcp0", "type", "bridge")
    run("ip", "address", "add", "10.113.0.1/24", "dev", "cni-dhcp0")
    run("ip", "link", "set", "cni-dhcp0", "up")
    socket = tmp_path / "dhcp.sock"
    with (
        subprocess.Popen(dhcp.daemon(plugin_path, socket), stderr=subprocess.PIPE, text=True) as leasing,
        subprocess.Popen(dhcp.server(tmp_path, "cni-dhcp0")) as serving,
    ):
        while not socket.exists():
            assert leasing.poll() is None
        assert leasing.stderr
        yield DHCP(socket, leasing.stderr)
        leasing.kill()
        serving.kill()
    run("ip", "link", "delete", "cni-dhcp0")


@pytest.fixture
def conf(leases: Path) -> Callable[[Case], NetworkConfigList]:
    """The chain of a case as a network, with the leases where the test looks."""

    def placed(plugin: dict[str, Any]) -> dict[str, Any]:
        if plugin.get("ipam", {}).get("dataDir") != LEASES:
            return plugin
        return {**plugin, "ipam": {**plugin["ipam"], "dataDir": str(leases)}}

    def network(case: Case) -> NetworkConfigList:
        listed = [placed(plugin) for plugin in case.plugins]
        value = {"cniVersions": ["1.0.0", "1.1.0"], "name": "matrix", "plugins": listed}
        return NetworkConfigList.from_json(value | {"disableCheck": case.is_check_spurious}, "matrix")

    return network


def _attachment(case: Case, sandbox: Path, container: str) -> Attachment:
    return Attachment(container, str(sandbox), case.ifname, capability_args=dict(case.capability_args))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_what_add_brings_is_confirmed_by_check_and_gone_after_del(
    runtime: Runtime, sandbox: Path, leases: Path, conf: Callable[[Case], NetworkConfigList], case: Case
) -> None:
    network, attachment = await runtime.negotiated(conf(case)), _attachment(case, sandbox, "second")
    await runtime.status(network)
    first = _attachment(case, sandbox, "first")  # makes what plugins make once and for all, such as chains
    await runtime.delete(network, first, await runtime.add(network, first))
    before, inside = footprint(leases), sorted(links(sandbox))

    result = await runtime.add(network, attachment)
    link = links(sandbox)[case.ifname]
    await runtime.gc(network, [attachment])
    await runtime.check(network, attachment, result)

    assert "UP" in link["flags"]
    assert set(addresses(link)) == {ip.address for ip in result.addresses(case.ifname) if case.ifname != "lo"}
    mac = dict(case.capability_args).get("mac", link["address"])
    assert link["address"] == mac

    await runtime.delete(network, attachment, result)

    assert footprint(leases) == before
    assert sorted(links(sandbox)) == inside


@pytest.mark.parametrize(
    "name", ["bridge", "ptp", "macvlan", "host-device", "tuning", "bandwidth", "firewall"]
)
async def test_check_finds_a_link_that_somebody_took_down_or_away(
    runtime: Runtime, sandbox: Path, conf: Callable[[Case], NetworkConfigList], name: str
) -> None:
    case = CASES[name]
    network, attachment = await runtime.negotiated(conf(case)), _attachment(case, sandbox, "container")
    result = await runtime.add(network, attachment)
    run("ip", "-n", sandbox.name, "address", "flush", "dev", "eth0")
    run("ip", "-n", sandbox.name, "link", "set", "eth0", "name", "elsewhere")

    with pytest.raises(PluginError, match=f'plugin "{case.plugins[0]["type"]}".* CHECK: ') as told:
        await runtime.check(network, attachment, result)

    assert told.value.command == "CHECK"
    run("ip", "-n", sandbox.name, "link", "set", "elsewhere", "name", "eth0")
    await runtime.delete(network, attachment, result)


async def test_a_lease_of_a_dhcp_server_is_taken_confirmed_and_given_back(
    runtime: Runtime, sandbox: Path, leases: Path, dhcp_daemon: DHCP
) -> None:
    ipam = {"type": "dhcp", "daemonSocketPath": str(dhcp_daemon.socket)}
    plugins = [{"type": "bridge", "bridge": "cni-dhcp0", "ipam": ipam}]
    value = {"cniVersion": "1.0.0", "name": "leased", "plugins": plugins}
    network = NetworkConfigList.from_json(value, "leased")
    attachment = Attachment("container", str(sandbox), "eth0")
    before = footprint(leases)

    result = await runtime.add(network, attachment)
    await runtime.check(network, attachment, result)

    assert addresses(links(sandbox)["eth0"]) == [ip.address for ip in result.addresses("eth0")]
    assert result.ips[0].address.startswith("10.113.0.")

    await runtime.delete(network, attachment, result)

    assert footprint(leases) == before
    assert "eth0" not in links(sandbox)
    assert any("container/leased/eth0: releasing lease" in line for line in dhcp_daemon.log)


@pytest.mark.parametrize("plugin_path", ["newest"], indirect=True)  # older sets do not have it
async def test_a_tap_device_is_made_confirmed_and_taken_away(
    runtime: Runtime, sandbox: Path, leases: Path, conf: Callable[[Case], NetworkConfigList]
) -> None:
    case = Case(({"type": "tap", "ipam": HOST_LOCAL},))
    network, attachment = await runtime.negotiated(conf(case)), _attachment(case, sandbox, "container")
    before = footprint(leases)

    result = await runtime.add(network, attachment)
    await runtime.check(network, attachment, result)

    assert addresses(links(sandbox)["eth0"]) == [ip.address for ip in result.addresses("eth0")]

    await runtime.delete(network, attachment, result)

    assert footprint(leases) == before
    assert "eth0" not in links(sandbox)


@pytest.fixture
def hundred_sandboxes() -> Iterator[list[Path]]:
    names = [f"hundred{number}" for number in range(100)]
    for name in names:
        run("ip", "netns", "add", name)
    yield [Path("/run/netns", name) for name in names]
    for name in names:
        run("ip", "netns", "delete", name)


async def test_a_hundred_attachments_at_a_time_get_addresses_of_their_own_and_leave_nothing(
    runtime: Runtime,
    hundred_sandboxes: list[Path],
    leases: Path,
    conf: Callable[[Case], NetworkConfigList],
) -> None:
    network = await runtime.negotiated(conf(CASES["bridge"]))
    attachments = [Attachment(sandbox.name, str(sandbox), "eth0") for sandbox in hundred_sandboxes]
    await runtime.delete(network, attachments[0], await runtime.add(network, attachments[0]))
    before = footprint(leases)

    results = await asyncio.gather(*(runtime.add(network, attachment) for attachment in attachments))

    assert len({ip.address for result in results for ip in result.ips}) == 200  # one of each family

    await asyncio.gather(*map(runtime.delete, [network] * 100, attachments, results))

    assert footprint(leases) == before


def test_the_matrix_knows_every_plugin_there_is(plugin_path: Path) -> None:
    """A plugin that Debian adds is to be added here."""
    chained = {plugin["type"] for case in CASES.values() for plugin in case.plugins}
    ipam = {plugin["ipam"]["type"] for case in CASES.values() for plugin in case.plugins if "ipam" in plugin}
    needs_a_kernel_module = {"vlan", "ipvlan", "vrf", "dummy"}
    with_a_server, of_the_newest_only = {"dhcp"}, {"tap"}
    made_to_fail = {"cni-bridge-fp"}  # containerd's, for its own tests

    assert {path.name for path in plugin_path.iterdir()} <= (
        chained | ipam | needs_a_kernel_module | with_a_server | of_the_newest_only | made_to_fail
    )
