"""The driver with real plugins and a real kernel; the tests play the engine, as libnetwork moves links."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from shim import attached, firewall
from shim.cni.errors import PluginError
from shim.cni.exec import Exec
from shim.cni.runtime import Runtime
from shim.driver import Driver
from shim.engine import Engine
from shim.handover import Handover
from shim.leases import Leases
from shim.logical import LogicalNetworks
from shim.model import EndpointID, EndpointState, NetworkID
from shim.net.links import Links
from shim.net.namespaces import Namespaces
from shim.net.replay import Replay
from shim.net.thread import NetlinkThread
from shim.parts import drivers
from shim.publish import HostPorts
from shim.replays import Replays
from shim.reservations import Reservations
from shim.resolve import Resolver
from shim.store import Store
from shim.wire import messages as m
from tests.integration.host import Footprint, addresses, footprint, links, run

NETWORK_ID = NetworkID("a" * 64)
ENDPOINT_ID = EndpointID("e" * 64)
ABOUT = m.EndpointRequest(NETWORK_ID, ENDPOINT_ID)
MAC = "02:00:00:00:00:09"
PORTMAP = {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}}
FIREWALL = {"type": "firewall", "backend": "iptables"}
BAD_SYSCTL = {"type": "tuning", "sysctl": {"net.no.such": "1"}}
PORT = m.PortBinding("tcp", 80, "", 18090, 18090)


def chain(kind: str, leases: Path) -> list[dict[str, Any]]:
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": "10.112.0.0/24"}], [{"subnet": "fd00:112::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        "dataDir": str(leases),
    }
    first: dict[str, Any] = {"type": kind, "ipMasq": True, "ipam": ipam}
    if kind == "bridge":
        first |= {"bridge": "cni-hand0", "isGateway": True}
    return [first, PORTMAP, FIREWALL]


def reach(sandbox: Path, address: str) -> None:
    """Connect from the sandbox to that address of the host."""
    with socket.create_server((address, 0)) as server:
        client = f"import socket; socket.create_connection({server.getsockname()!r}, 5)"
        run("ip", "netns", "exec", sandbox.name, sys.executable, "-c", client)


@dataclass
class Host:
    """A driver on this host, and the engine's part of an endpoint's life."""

    driver: Driver
    store: Store
    namespaces: Namespaces
    folder: Path

    def offer(self, plugins: list[dict[str, Any]]) -> None:
        """Put the conflist "web" where the driver finds it."""
        conflist = {"cniVersion": "1.0.0", "name": "web", "plugins": plugins}
        (self.folder / "net.d" / "web.conflist").write_text(json.dumps(conflist))

    async def create(self, mac_address: str = "") -> m.CreateEndpointResponse:
        """CreateEndpoint."""
        request = m.CreateEndpointRequest(NETWORK_ID, ENDPOINT_ID, "", "", mac_address, (PORT,), {})
        return await self.driver.create_endpoint(request)

    async def join(self, sandbox: Path, reply: m.CreateEndpointResponse, name: str = "eth0") -> None:
        """Join, then what libnetwork does: move the link, rename it, number it, bring it up, and route.

        Routes on the link itself come first, those through a next hop after them.
        """
        joined = await self.driver.join(m.JoinRequest(NETWORK_ID, ENDPOINT_ID, str(sandbox)))
        run("ip", "link", "set", joined.source_name, "netns", sandbox.name, "name", name)
        inside = ("ip", "-n", sandbox.name)
        if reply.mac_address:
            run(*inside, "link", "set", name, "address", reply.mac_address)
        for address in filter(None, (reply.address, reply.address_ipv6)):
            run(*inside, "address", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
        run(*inside, "link", "set", name, "up")
        for route in sorted(joined.static_routes, key=lambda route: bool(route.next_hop)):
            via = ["via", route.next_hop] if route.next_hop else []
            run(*inside, "route", "add", route.destination, *via, "dev", name)
        if joined.gateway:
            run(*inside, "route", "add", "default", "via", joined.gateway, "dev", name)

    async def leave(self) -> None:
        """Leave, then DeleteEndpoint."""
        await self.driver.leave(ABOUT)
        await self.driver.delete_endpoint(ABOUT)

    async def state(self) -> EndpointState | None:
        """The state of the endpoint in the journal."""
        record = await self.store.endpoint(ENDPOINT_ID)
        return record.state if record else None

    def footprint(self) -> Footprint:
        """What the host holds on account of containers."""
        return footprint(self.folder / "leases")

    async def holds_only(self, before: Footprint) -> bool:
        """Whether all is as it was: no link, rule, lease, namespace or record more than before."""
        assert self.footprint() == before
        assert await self.namespaces.names() == []
        assert await self.store.endpoints() == []
        return True


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    (tmp_path / "net.d").mkdir()
    store = Store(tmp_path / "state")
    await store.open()
    thread = NetlinkThread()
    namespaces = Namespaces(thread, tmp_path / "netns")
    runtime = Runtime(Exec(lambda *_: None), [Path("/usr/lib/cni")], add_deadline=60.0, delete_deadline=60.0)
    logical_networks = LogicalNetworks([tmp_path / "net.d"])
    engine = Engine(tmp_path / "docker.sock", 1.0)
    links = Links(thread)
    ports = HostPorts()
    handover = Handover(runtime, namespaces, links)
    leases = Leases(store, runtime, links)
    driver, _ = drivers(
        store=store,
        engine=engine,
        logical_networks=logical_networks,
        resolver=Resolver(engine, logical_networks),
        handover=handover,
        reservations=Reservations(store, runtime, namespaces),
        links=links,
        replays=Replays(store, handover, links, Replay(thread), leases),
        leases=leases,
        ports=ports,
        name="cni",
    )
    host = Host(driver, store, namespaces, tmp_path)
    host.offer(chain("bridge", tmp_path / "leases"))
    await driver.create_network(
        m.CreateNetworkRequest(NETWORK_ID, {"cni.network": "web"}, internal=False, pools=())
    )
    yield host
    await driver.delete_endpoint(ABOUT)
    ports.close()
    thread.close()
    await store.close()


@pytest.fixture
async def before(host: Host) -> Footprint:
    """The footprint before a container comes, with all that plugins make once and for all."""
    await host.create()
    await host.driver.delete_endpoint(ABOUT)
    return host.footprint()


@pytest.fixture
def uplink() -> Iterator[str]:
    """A link of the host to give away."""
    run("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "uplink-peer")
    yield "uplink"
    run("ip", "link", "delete", "uplink-peer")


async def test_del_in_the_live_sandbox_leaves_nothing(host: Host, sandbox: Path, before: Footprint) -> None:
    reply = await host.create()
    await host.join(sandbox, reply)
    assert addresses(links(sandbox)["eth0"]) == [reply.address, reply.address_ipv6]
    assert host.footprint() != before

    await host.driver.leave(ABOUT)

    assert "eth0" not in links(sandbox)
    assert await host.state() is EndpointState.LEFT
    await host.driver.delete_endpoint(ABOUT)
    assert await host.holds_only(before)


async def test_the_staging_namespace_ends_once_the_link_is_in_the_sandbox(host: Host, sandbox: Path) -> None:
    await host.join(sandbox, await host.create())
    assert await host.namespaces.names() == [ENDPOINT_ID]

    await host.driver.endpoint_oper_info(ABOUT)

    async with asyncio.timeout(10):
        while await host.namespaces.names():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


async def test_the_container_reaches_its_gateway(host: Host, sandbox: Path, before: Footprint) -> None:
    await host.join(sandbox, await host.create())

    reach(sandbox, "10.112.0.1")

    await host.leave()
    assert await host.holds_only(before)


@pytest.mark.parametrize("kind", ["bridge", "ptp"])
async def test_del_with_the_link_moved_back_to_the_host_leaves_nothing(
    host: Host, sandbox: Path, before: Footprint, kind: str
) -> None:
    host.offer(chain(kind, host.folder / "leases"))
    await host.join(sandbox, await host.create())
    run("ip", "-n", sandbox.name, "link", "set", "eth0", "down")
    run("ip", "-n", sandbox.name, "link", "set", "eth0", "netns", str(os.getpid()), "name", "cni" + "e" * 12)

    await host.leave()

    assert await host.holds_only(before)


@pytest.mark.parametrize("kind", ["bridge", "ptp"])
async def test_del_of_a_link_that_is_gone_leaves_no_masquerade_chain_and_no_lease(
    host: Host, sandbox: Path, before: Footprint, kind: str
) -> None:
    host.offer(chain(kind, host.folder / "leases"))
    await host.join(sandbox, await host.create())
    run("ip", "-n", sandbox.name, "link", "delete", "eth0")

    await host.leave()

    assert await host.holds_only(before)


async def test_del_of_a_link_that_never_joined_leaves_nothing(host: Host, before: Footprint) -> None:
    await host.create()

    await host.leave()

    assert await host.holds_only(before)


async def test_del_of_a_link_that_never_joined_and_is_gone_leaves_nothing(
    host: Host, before: Footprint
) -> None:
    await host.create()
    await host.namespaces.remove(ENDPOINT_ID)

    await host.leave()

    assert await host.holds_only(before)


@pytest.mark.parametrize("kind", ["bridge", "ptp"])
async def test_del_after_an_add_whose_end_nobody_noted_leaves_nothing(
    host: Host, before: Footprint, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handover, "begin_release", lambda *_: None)  # which comes after the noting
    host.offer(chain(kind, host.folder / "leases"))
    await host.create()
    record = await host.store.endpoint(ENDPOINT_ID)
    assert record
    await firewall.withdraw(ENDPOINT_ID, attached.addresses(record))  # ours, which comes after the noting
    unfinished = replace(record, state=EndpointState.ADDING, result=None, snapshot=None)
    await host.store.save_endpoint(unfinished)

    await host.driver.delete_endpoint(ABOUT)

    assert await host.holds_only(before)


async def test_del_between_join_and_the_move_into_the_sandbox_leaves_nothing(
    host: Host, sandbox: Path, before: Footprint
) -> None:
    await host.create()
    await host.driver.join(m.JoinRequest(NETWORK_ID, ENDPOINT_ID, str(sandbox)))
    assert "cni" + "e" * 12 in links()

    await host.leave()

    assert await host.holds_only(before)


async def test_del_under_another_name_in_the_sandbox_leaves_nothing(
    host: Host, sandbox: Path, before: Footprint
) -> None:
    run("ip", "-n", sandbox.name, "link", "add", "eth0", "type", "bridge")
    await host.join(sandbox, await host.create(), name="eth1")

    await host.leave()

    assert await host.holds_only(before)
    assert "eth0" in links(sandbox)
    assert "eth1" not in links(sandbox)


async def test_del_of_a_link_without_its_addresses_leaves_nothing(
    host: Host, sandbox: Path, before: Footprint
) -> None:
    await host.join(sandbox, await host.create())
    run("ip", "-n", sandbox.name, "address", "flush", "dev", "eth0")

    await host.leave()

    assert await host.holds_only(before)


@pytest.mark.parametrize("kind", ["bridge", "ptp"])
async def test_a_mac_address_asked_for_is_the_links_and_del_leaves_nothing(
    host: Host, sandbox: Path, before: Footprint, kind: str
) -> None:
    host.offer([*chain(kind, host.folder / "leases"), {"type": "tuning", "capabilities": {"mac": True}}])
    reply = await host.create(MAC)
    assert reply.mac_address == ""
    await host.join(sandbox, reply)
    assert links(sandbox)["eth0"]["address"] == MAC

    await host.leave()

    assert await host.holds_only(before)


async def test_a_mac_address_that_only_the_engine_sets_does_not_hide_the_link_from_del(
    host: Host, sandbox: Path, before: Footprint
) -> None:
    host.offer(chain("ptp", host.folder / "leases"))  # ptp takes no notice of it
    await host.join(sandbox, await host.create(MAC))
    run("ip", "-n", sandbox.name, "link", "set", "eth0", "address", MAC)

    await host.driver.leave(ABOUT)

    assert await host.state() is EndpointState.LEFT
    await host.driver.delete_endpoint(ABOUT)
    assert await host.holds_only(before)


@pytest.mark.parametrize("returned", ["", "cni" + "e" * 12], ids=["in the sandbox", "returned by the engine"])
async def test_a_device_of_the_host_comes_back_with_the_mac_address_that_it_had(
    host: Host, sandbox: Path, uplink: str, before: Footprint, returned: str
) -> None:
    ipam = {"type": "static", "addresses": [{"address": "10.114.0.2/24"}]}
    own = links(None)[uplink]["address"]
    host.offer([{"type": "host-device", "device": uplink, "ipam": ipam}, PORTMAP])
    await host.join(sandbox, await host.create(MAC))
    run("ip", "-n", sandbox.name, "link", "set", "eth0", "address", MAC)
    if returned:
        run("ip", "-n", sandbox.name, "link", "set", "eth0", "netns", str(os.getpid()), "name", returned)

    await host.leave()

    assert links(None)[uplink]["address"] == own
    assert await host.holds_only(before)


async def test_a_point_to_point_link_gets_a_host_address_and_routes_and_del_leaves_nothing(
    host: Host, sandbox: Path, before: Footprint
) -> None:
    host.offer(chain("ptp", host.folder / "leases"))
    reply = await host.create()
    assert reply.address.endswith("/32")
    await host.join(sandbox, reply)
    reach(sandbox, "10.112.0.1")

    await host.driver.leave(ABOUT)

    assert await host.state() is EndpointState.LEFT
    await host.driver.delete_endpoint(ABOUT)
    assert await host.holds_only(before)


async def test_a_failed_add_leaves_nothing(host: Host, before: Footprint) -> None:
    host.offer([*chain("bridge", host.folder / "leases"), BAD_SYSCTL])

    with pytest.raises(PluginError, match=r'plugin "tuning" \(network "web"\) ADD: '):
        await host.create()

    assert await host.holds_only(before)


async def test_deleting_the_network_removes_a_container_that_nobody_said_left(
    host: Host, sandbox: Path, before: Footprint
) -> None:
    await host.join(sandbox, await host.create())

    await host.driver.delete_network(m.NetworkRequest(NETWORK_ID))

    assert await host.holds_only(before)
    assert "eth0" not in links(sandbox)
