"""The IPAM driver beside the network driver, with a real runtime and a scripted IPAM plugin."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from shim.cni.errors import ConfError, PluginError
from shim.cni.ipam import SETTLED
from shim.driver import Driver
from shim.errors import ConflictError, InvalidRequestError
from shim.ipam import IpamDriver
from shim.model import EndpointID, Ipam, NetworkID
from shim.net.snapshot import Route, Snapshot
from shim.pools import Pool
from shim.store import Store
from shim.wire import ipam as m
from shim.wire.messages import (
    AddressPool,
    CreateEndpointRequest,
    CreateNetworkRequest,
    EmptyRequest,
    EndpointRequest,
    GwAllocCheckRequest,
    NetworkRequest,
)
from tests.unit.cni.scripted import ScriptedPlugins
from tests.unit.leases import DUAL, HOST_LOCAL, Leases, conflist
from tests.unit.standins import (
    ENDPOINT_ID,
    NETWORK_ID,
    EngineStandIn,
    ScriptedHandover,
    SeenLinks,
    drivers_of,
)

ABOUT = EndpointRequest(NETWORK_ID, ENDPOINT_ID)
SUBNET, SUBNET_V6 = "10.1.0.0/24", "fd00:1::/64"
WEB = {"cni.network": "web"}


@pytest.fixture
def leases(plugins: ScriptedPlugins) -> Leases:
    return Leases(plugins)


@pytest.fixture
def conflists(tmp_path: Path) -> Path:
    """A folder with networks of one and of both families, one that routes each address, and bad ones."""
    folder = tmp_path / "net.d"
    folder.mkdir()
    for item in (
        conflist(HOST_LOCAL),
        conflist(DUAL, name="dual"),
        conflist(HOST_LOCAL, name="routed", kind="ptp"),
        conflist({"type": "whereabouts", "range": SUBNET}, name="without-gateway"),
        conflist({"type": "forgetful"}, name="unknown"),
        conflist({"type": "dhcp"}, name="dhcp"),
        conflist({}, name="none"),
    ):
        (folder / f"{item['name']}.conflist").write_text(json.dumps(item))
    return folder


@pytest.fixture
def links() -> SeenLinks:
    return SeenLinks()


@pytest.fixture
def pair(  # noqa: PLR0917 - fixtures
    store: Store,
    docker: EngineStandIn,
    conflists: Path,
    plugins: ScriptedPlugins,
    links: SeenLinks,
    leases: Leases,  # noqa: ARG001 - its plugin has to be there
) -> tuple[Driver, IpamDriver]:
    handover = ScriptedHandover(store)
    return drivers_of(store, docker.socket, conflists, handover, plugin_path=plugins.folder, links=links)


@pytest.fixture
def driver(pair: tuple[Driver, IpamDriver]) -> Driver:
    return pair[0]


@pytest.fixture
def ipam(pair: tuple[Driver, IpamDriver]) -> IpamDriver:
    return pair[1]


def pool_request(
    pool: str = "", sub_pool: str = "", options: dict[str, str] | None = None, *, v6: bool = False
) -> m.PoolRequest:
    return m.PoolRequest(pool, sub_pool, WEB if options is None else options, v6)


async def opened(ipam: IpamDriver, name: str = "web", *, v6: bool = False) -> str:
    """The ID of a pool of that CNI network."""
    return (await ipam.request_pool(pool_request(options={"cni.network": name}, v6=v6))).pool_id


async def address(ipam: IpamDriver, pool_id: str, wanted: str = "") -> str:
    """An address for an endpoint."""
    return (await ipam.request_address(m.AddressRequest(pool_id, wanted, for_gateway=False))).address


async def gateway(ipam: IpamDriver, pool_id: str, wanted: str = "") -> str:
    return (await ipam.request_address(m.AddressRequest(pool_id, wanted, for_gateway=True))).address


def network_request(
    *pools: AddressPool, options: dict[str, str] | None = None, network_id: NetworkID = NETWORK_ID
) -> CreateNetworkRequest:
    return CreateNetworkRequest(network_id, {} if options is None else options, internal=False, pools=pools)


def endpoint_request(
    v4: str = "", v6: str = "", endpoint_id: EndpointID = ENDPOINT_ID
) -> CreateEndpointRequest:
    return CreateEndpointRequest(NETWORK_ID, endpoint_id, v4, v6, "", (), {})


# Pools


async def test_the_engine_is_told_what_the_ipam_driver_is(ipam: IpamDriver) -> None:
    spaces = await ipam.get_default_address_spaces(EmptyRequest())

    assert spaces == m.AddressSpacesResponse("cni")
    assert not any((await ipam.get_capabilities(EmptyRequest())).to_json().values())


@pytest.mark.parametrize(
    ("name", "v6", "subnet", "gateway"),
    [
        ("web", False, SUBNET, "10.1.0.1/24"),
        ("dual", False, SUBNET, "10.1.0.1/24"),
        ("dual", True, SUBNET_V6, "fd00:1::1/64"),
        ("without-gateway", False, SUBNET, ""),
    ],
)
async def test_a_pool_is_the_subnet_of_the_network_that_is_named(
    ipam: IpamDriver,
    name: str,
    v6: bool,  # noqa: FBT001 - from a table
    subnet: str,
    gateway: str,
) -> None:
    reply = await ipam.request_pool(pool_request(options={"cni.network": name}, v6=v6))

    assert (reply.pool, reply.gateway) == (subnet, gateway)
    assert Pool.parse(reply.pool_id) == Pool(reply.pool_id, subnet, name)


async def test_an_engine_that_announces_its_network_need_not_name_it_twice(
    driver: Driver, ipam: IpamDriver
) -> None:
    await driver.gw_alloc_check(GwAllocCheckRequest(WEB))

    reply = await ipam.request_pool(pool_request(options={}))

    assert reply.pool == SUBNET
    await driver.create_network(network_request(AddressPool("cni", SUBNET), options=WEB))
    assert (await ipam.request_pool(pool_request(options={}))).pool == "0.0.0.0/0"


async def test_an_announced_network_that_was_refused_does_not_stand_in_the_way_of_the_next(
    driver: Driver, ipam: IpamDriver
) -> None:
    await driver.gw_alloc_check(GwAllocCheckRequest({"cni.network": "wbe"}))
    with pytest.raises(ConfError, match='no CNI network "wbe"'):
        await ipam.request_pool(pool_request(options={}))

    await driver.gw_alloc_check(GwAllocCheckRequest(WEB))

    assert (await ipam.request_pool(pool_request(options={}))).pool == SUBNET


async def test_a_network_of_another_ipam_driver_does_not_stand_in_the_way_of_the_next(
    driver: Driver, ipam: IpamDriver
) -> None:
    await driver.gw_alloc_check(GwAllocCheckRequest({"cni.network": "dual"}))
    await driver.create_network(
        network_request(AddressPool("null", "0.0.0.0/0"), options={"cni.network": "dual"})
    )
    await driver.gw_alloc_check(GwAllocCheckRequest(WEB))

    assert (await ipam.request_pool(pool_request(options={}))).pool == SUBNET


@pytest.mark.parametrize(
    ("wanted", "v6", "subnet"),
    [("", False, "0.0.0.0/0"), ("", True, "::/0"), ("192.0.2.0/24", False, "192.0.2.0/24")],
)
async def test_a_pool_without_name_is_what_the_user_says_or_everything(
    ipam: IpamDriver,
    wanted: str,
    v6: bool,  # noqa: FBT001 - from a table
    subnet: str,
) -> None:
    reply = await ipam.request_pool(pool_request(wanted, options={}, v6=v6))

    assert (reply.pool, reply.gateway) == (subnet, "")


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (pool_request(options={"cni.network": "wbe"}), ConfError, 'no CNI network "wbe"'),
        (pool_request(options={"colour": "blue"}), InvalidRequestError, "--ipam-opt colour: unknown"),
        (
            pool_request("10.2.0.0/24"),
            InvalidRequestError,
            r"--subnet 10\.2\.0\.0/24 differs .* 10\.1\.0\.0/24",
        ),
        (pool_request(SUBNET, "10.1.0.0/28"), InvalidRequestError, r"--ip-range 10\.1\.0\.0/28 differs"),
        (pool_request(v6=True), InvalidRequestError, "its conflist tells no IPv6 subnet"),
        (pool_request(options={"cni.network": "unknown"}), InvalidRequestError, "tells no IPv4 subnet"),
        (pool_request(options={"cni.network": "dhcp"}), InvalidRequestError, "dhcp needs the link"),
        (pool_request(options={"cni.network": "none"}), InvalidRequestError, "it has no IPAM plugin"),
    ],
)
async def test_a_pool_that_cannot_be_is_refused(
    ipam: IpamDriver, request_: m.PoolRequest, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await ipam.request_pool(request_)


async def test_a_subnet_that_is_in_use_is_refused_with_the_option_that_takes_it_all_the_same(
    ipam: IpamDriver, links: SeenLinks
) -> None:
    links.seen = Snapshot((), (Route("10.1.0.0/16", "", "docker0", by_kernel=True),))

    with pytest.raises(InvalidRequestError) as refusal:
        await ipam.request_pool(pool_request())

    assert str(refusal.value) == (
        "network web: its subnet 10.1.0.0/24 is in use on this host already, by docker0 "
        "(if that is as it should be, add --subnet 10.1.0.0/24)"
    )
    assert (await ipam.request_pool(pool_request(SUBNET))).pool == SUBNET


async def test_routes_that_lead_elsewhere_are_no_use_of_the_subnet(
    ipam: IpamDriver, links: SeenLinks
) -> None:
    links.seen = Snapshot(
        (),
        (
            Route("0.0.0.0/0", "192.0.2.1", "eth0", by_kernel=False),
            Route("0.0.0.0/0", "", "ppp0", by_kernel=False),
            Route("10.1.0.0/16", "192.0.2.1", "eth0", by_kernel=False),
            Route("10.2.0.0/16", "", "eth1", by_kernel=True),
            Route("fd00:1::/64", "", "eth1", by_kernel=True),
        ),
    )

    assert (await ipam.request_pool(pool_request())).pool == SUBNET


async def test_an_engine_that_asks_again_and_again_is_stopped(ipam: IpamDriver) -> None:
    for _ in range(4):
        await ipam.request_pool(pool_request())

    with pytest.raises(ConflictError, match="with --subnet"):
        await ipam.request_pool(pool_request())


async def test_pools_that_are_released_can_be_asked_for_again(ipam: IpamDriver) -> None:
    for _ in range(6):
        reply = await ipam.request_pool(pool_request())
        await ipam.release_pool(m.PoolReleaseRequest(reply.pool_id))

    await ipam.release_pool(m.PoolReleaseRequest("LocalDefault/10.1.0.0/16"))


# Gateways


async def test_the_gateway_is_that_of_the_conflist_and_runs_no_plugin(
    ipam: IpamDriver, plugins: ScriptedPlugins
) -> None:
    pool_id = await opened(ipam)

    assert await gateway(ipam, pool_id) == "10.1.0.1/24"
    assert await gateway(ipam, pool_id, "10.1.0.1") == "10.1.0.1/24"
    assert await gateway(ipam, await opened(ipam, "dual", v6=True)) == "fd00:1::1/64"
    assert plugins.calls == []


async def test_another_gateway_is_refused(ipam: IpamDriver) -> None:
    with pytest.raises(
        InvalidRequestError, match=r"gateway 10\.1\.0\.9 differs from that of CNI network web"
    ):
        await gateway(ipam, await opened(ipam), "10.1.0.9")


async def test_a_gateway_that_the_conflist_has_not_must_be_said(ipam: IpamDriver) -> None:
    pool_id = await opened(ipam, "without-gateway")

    with pytest.raises(InvalidRequestError, match="its conflist has no gateway, and this engine demands one"):
        await gateway(ipam, pool_id)
    assert await gateway(ipam, pool_id, "10.1.0.9") == "10.1.0.9/24"


@pytest.mark.parametrize(
    ("pool", "wanted", "expected"),
    [
        ("", "", "0.0.0.0/0"),
        ("192.0.2.0/24", "", "192.0.2.1/24"),
        ("192.0.2.0/24", "192.0.2.9", "192.0.2.9/24"),
    ],
)
async def test_a_gateway_of_a_pool_without_name_is_checked_later(
    ipam: IpamDriver, pool: str, wanted: str, expected: str
) -> None:
    reply = await ipam.request_pool(pool_request(pool, options={}))

    assert await gateway(ipam, reply.pool_id, wanted) == expected


# Addresses


async def test_an_address_is_what_the_ipam_plugin_gives(
    ipam: IpamDriver, plugins: ScriptedPlugins, leases: Leases
) -> None:
    pool_id = await opened(ipam)

    assert [await address(ipam, pool_id) for _ in range(2)] == ["10.1.0.2/24", "10.1.0.3/24"]
    assert await address(ipam, pool_id, "10.1.0.9") == "10.1.0.9/24"

    assert leases.addresses == {"10.1.0.2", "10.1.0.3", "10.1.0.9"}
    assert set(plugins.calls) == {"host-local ADD"}


async def test_an_address_has_no_subnet_where_the_chain_routes_each(ipam: IpamDriver) -> None:
    assert await address(ipam, await opened(ipam, "routed")) == "10.1.0.2/32"


async def test_an_address_outside_of_the_pool_is_refused_before_any_plugin_runs(
    ipam: IpamDriver, plugins: ScriptedPlugins
) -> None:
    with pytest.raises(
        InvalidRequestError, match=r"network web: 10\.2\.0\.9 is not in its subnet 10\.1\.0\.0/24"
    ):
        await address(ipam, await opened(ipam), "10.2.0.9")

    assert plugins.calls == []


async def test_an_address_that_is_taken_is_refused(ipam: IpamDriver, leases: Leases) -> None:
    leases.take("10.1.0.9")

    with pytest.raises(PluginError, match="is not available"):
        await address(ipam, await opened(ipam), "10.1.0.9")


async def test_an_address_that_the_plugin_gives_from_another_subnet_is_given_back(
    ipam: IpamDriver, store: Store, plugins: ScriptedPlugins
) -> None:
    plugins.write("forgetful")
    reply = await ipam.request_pool(pool_request("192.0.2.0/24", options={"cni.network": "unknown"}))

    with pytest.raises(
        InvalidRequestError, match=r"its IPAM plugin forgetful gives no address in 192\.0\.2\.0/24"
    ):
        await address(ipam, reply.pool_id)

    assert plugins.calls == ["forgetful ADD", "forgetful DEL"]
    assert await store.reservations() == []


@pytest.mark.parametrize("pool_id", ["", "LocalDefault/10.1.0.0/16"])
async def test_a_pool_of_another_ipam_driver_is_refused(ipam: IpamDriver, pool_id: str) -> None:
    with pytest.raises(InvalidRequestError, match="is no pool of the CNI driver"):
        await address(ipam, pool_id)


async def test_both_addresses_of_an_endpoint_are_of_one_reservation(
    ipam: IpamDriver, store: Store, plugins: ScriptedPlugins
) -> None:
    pool, pool_v6 = await opened(ipam, "dual"), await opened(ipam, "dual", v6=True)

    assert await address(ipam, pool) == "10.1.0.2/24"
    assert await address(ipam, pool_v6) == "fd00:1::2/64"

    assert plugins.calls == ["host-local ADD"]
    (reservation,) = await store.reservations()
    assert reservation.held == {"10.1.0.2": pool, "fd00:1::2": pool_v6}


async def test_an_ipv6_address_that_is_wanted_is_taken_beside_the_ipv4_address_given(
    ipam: IpamDriver, store: Store, leases: Leases
) -> None:
    pool, pool_v6 = await opened(ipam, "dual"), await opened(ipam, "dual", v6=True)
    assert await address(ipam, pool) == "10.1.0.2/24"

    assert await address(ipam, pool_v6, "fd00:1::9") == "fd00:1::9/64"

    (reservation,) = await store.reservations()
    assert reservation.held == {"10.1.0.2": pool, "fd00:1::9": pool_v6}
    assert leases.given == {"10.1.0.2": reservation.id, "fd00:1::9": reservation.id}


async def test_an_ipv6_address_alone_is_taken_by_itself(
    ipam: IpamDriver, store: Store, plugins: ScriptedPlugins
) -> None:
    pool_v6 = await opened(ipam, "dual", v6=True)

    assert await address(ipam, pool_v6, "fd00:1::9") == "fd00:1::9/64"
    assert await address(ipam, pool_v6) == "fd00:1::2/64"

    assert plugins.calls == ["host-local ADD"] * 2
    assert len(await store.reservations()) == 2


async def test_endpoints_that_come_at_once_get_addresses_of_their_own(
    ipam: IpamDriver, leases: Leases
) -> None:
    pool, pool_v6 = await opened(ipam, "dual"), await opened(ipam, "dual", v6=True)

    async def both() -> tuple[str, str]:
        return await address(ipam, pool), await address(ipam, pool_v6)

    given = await asyncio.gather(*(both() for _ in range(5)))

    assert len({item for addresses in given for item in addresses}) == 10
    assert len(leases.given) == 10
    for v4, v6 in given:
        await ipam.release_address(m.AddressReleaseRequest(pool, v4.partition("/")[0]))
        await ipam.release_address(m.AddressReleaseRequest(pool_v6, v6.partition("/")[0]))
    assert leases.given == {}


async def test_two_endpoints_that_ask_at_once_never_get_the_same_ipv6_address(ipam: IpamDriver) -> None:
    pool, pool_v6 = await opened(ipam, "dual"), await opened(ipam, "dual", v6=True)
    for _ in range(3):
        await address(ipam, pool)

    given = await asyncio.gather(*(address(ipam, pool_v6) for _ in range(3)))

    assert sorted(given) == ["fd00:1::2/64", "fd00:1::3/64", "fd00:1::4/64"]


async def test_a_pool_that_is_released_takes_all_its_addresses_along(
    ipam: IpamDriver, leases: Leases
) -> None:
    """Engines release no `--aux-address` when a later one could not be had."""
    pool_id, other = await opened(ipam), await opened(ipam)
    for _ in range(2):
        await address(ipam, pool_id)
    kept = await address(ipam, other)

    await ipam.release_pool(m.PoolReleaseRequest(pool_id))

    assert [kept] == [f"{address}/24" for address in leases.given]


# Which network an address is of


async def test_a_pool_without_name_is_of_no_network_before_it_is_made(ipam: IpamDriver) -> None:
    reply = await ipam.request_pool(pool_request(options={}))

    with pytest.raises(
        InvalidRequestError, match=r"before the engine said .*\(.*--ipam-opt cni\.network=NAME\)$"
    ):
        await address(ipam, reply.pool_id, "10.1.0.9")


async def test_a_pool_without_name_is_of_the_network_that_was_made_with_it(
    driver: Driver, ipam: IpamDriver, store: Store
) -> None:
    reply = await ipam.request_pool(pool_request(options={}))
    await driver.create_network(network_request(AddressPool("cni", "0.0.0.0/0", "0.0.0.0/0"), options=WEB))
    await ipam.release_pool(m.PoolReleaseRequest("unknown"))

    assert await address(ipam, reply.pool_id) == "10.1.0.2/24"
    (network,) = await store.networks()
    assert (network.ipam, network.cni_network, network.pool_ids) == (Ipam.CNI, "web", (reply.pool_id,))


async def test_a_pool_without_name_may_be_of_a_network_that_is_bound_by_its_own_name(
    driver: Driver, ipam: IpamDriver, docker: EngineStandIn
) -> None:
    reply = await ipam.request_pool(pool_request(SUBNET, options={}))
    await driver.create_network(network_request(AddressPool("cni", SUBNET)))
    docker.add(NETWORK_ID, "web")

    assert await address(ipam, reply.pool_id) == "10.1.0.2/24"


async def test_the_name_that_was_said_to_ipam_alone_is_that_of_the_network(
    driver: Driver, ipam: IpamDriver, store: Store
) -> None:
    await opened(ipam)

    await driver.create_network(network_request(AddressPool("cni", SUBNET, "10.1.0.1/24")))

    (network,) = await store.networks()
    assert (network.ipam, network.cni_network, network.pool_ids) == (Ipam.CNI, "web", ())


@pytest.mark.parametrize(
    ("pools", "options", "words"),
    [
        (
            [AddressPool("cni", SUBNET)],
            {"cni.network": "dual"},
            r"--ipam-opt cni\.network=web and -o .*=dual differ",
        ),
        ([AddressPool("cni", "10.2.0.0/24")], WEB, r"--subnet 10\.2\.0\.0/24 differs"),
        ([AddressPool("cni", SUBNET, "10.1.0.9/24")], WEB, r"gateway 10\.1\.0\.9 differs"),
    ],
)
async def test_a_network_that_does_not_fit_its_pools_is_refused_and_not_stored(  # noqa: PLR0917 - fixtures
    driver: Driver,
    ipam: IpamDriver,
    store: Store,
    pools: list[AddressPool],
    options: dict[str, str],
    words: str,
) -> None:
    await opened(ipam)

    with pytest.raises((InvalidRequestError, ConflictError), match=words):
        await driver.create_network(network_request(*pools, options=options))

    assert await store.networks() == []


# Giving back


async def test_a_released_address_is_free_again(ipam: IpamDriver, leases: Leases) -> None:
    pool_id = await opened(ipam)
    await address(ipam, pool_id)

    await ipam.release_address(m.AddressReleaseRequest(pool_id, "10.1.0.2"))

    assert leases.given == {}
    assert await address(ipam, pool_id) == "10.1.0.2/24"


async def test_what_was_never_reserved_is_released_in_vain(
    ipam: IpamDriver, plugins: ScriptedPlugins
) -> None:
    pool_id = await opened(ipam)

    for pool, released in ((pool_id, "10.1.0.1"), (pool_id, ""), ("", "10.1.0.2"), ("", "")):
        await ipam.release_address(m.AddressReleaseRequest(pool, released))

    assert plugins.calls == []


async def test_an_address_of_another_ipam_driver_is_not_released_here(ipam: IpamDriver) -> None:
    with pytest.raises(InvalidRequestError, match="is no pool of the CNI driver"):
        await ipam.release_address(m.AddressReleaseRequest("LocalDefault/10.1.0.0/16", "10.1.0.2"))


# A container


@pytest.fixture
async def pools(driver: Driver, ipam: IpamDriver) -> tuple[str, str]:
    """The pools of a Docker network that is bound to "dual"."""
    pools = await opened(ipam, "dual"), await opened(ipam, "dual", v6=True)
    await driver.create_network(
        network_request(
            AddressPool("cni", SUBNET, "10.1.0.1/24"),
            AddressPool("cni", SUBNET_V6, "fd00:1::1/64"),
            options={"cni.network": "dual"},
        )
    )
    return pools


async def test_a_container_gets_the_addresses_that_were_reserved_and_leaves_none(
    driver: Driver, ipam: IpamDriver, store: Store, leases: Leases, pools: tuple[str, str]
) -> None:
    v4, v6 = await address(ipam, pools[0]), await address(ipam, pools[1])
    reply = await driver.create_endpoint(endpoint_request(v4, v6))

    assert (reply.address, reply.address_ipv6) == ("", "")
    (record,) = await store.endpoints()
    (reservation,) = await store.reservations()
    assert record.reservations == (reservation.id,)
    assert record.conflist["plugins"][0]["ipam"] == {
        "type": SETTLED,
        "addresses": [
            {"address": "10.1.0.2/24", "gateway": "10.1.0.1"},
            {"address": "fd00:1::2/64", "gateway": "fd00:1::1"},
        ],
        "routes": [{"dst": "0.0.0.0/0"}],
    }

    await driver.delete_endpoint(ABOUT)
    assert leases.addresses == {"10.1.0.2", "fd00:1::2"}
    await ipam.release_address(m.AddressReleaseRequest(pools[0], "10.1.0.2"))
    await ipam.release_address(m.AddressReleaseRequest(pools[1], "fd00:1::2"))
    assert leases.given == {}
    assert await store.reservations() == []


async def test_an_ipv6_address_that_came_along_unasked_is_the_containers_where_docker_asks_for_none(
    driver: Driver, ipam: IpamDriver, store: Store
) -> None:
    pool_id = await opened(ipam, "dual")
    await driver.create_network(network_request(AddressPool("cni", SUBNET), options={"cni.network": "dual"}))
    v4 = await address(ipam, pool_id)

    await driver.create_endpoint(endpoint_request(v4))

    (record,) = await store.endpoints()
    given = [item["address"] for item in record.conflist["plugins"][0]["ipam"]["addresses"]]
    assert given == ["10.1.0.2/24", "fd00:1::2/64"]


async def test_a_container_without_ipv6_on_a_network_with_it_gets_none(
    driver: Driver, ipam: IpamDriver, store: Store, pools: tuple[str, str]
) -> None:
    v4 = await address(ipam, pools[0])

    await driver.create_endpoint(endpoint_request(v4))

    (record,) = await store.endpoints()
    given = [item["address"] for item in record.conflist["plugins"][0]["ipam"]["addresses"]]
    assert given == ["10.1.0.2/24"]


async def test_an_address_that_was_not_reserved_is_refused(
    driver: Driver, ipam: IpamDriver, store: Store, pools: tuple[str, str]
) -> None:
    await address(ipam, pools[0])

    with pytest.raises(
        InvalidRequestError, match=r"network dual: 10\.1\.0\.9 was not reserved by the CNI driver"
    ):
        await driver.create_endpoint(endpoint_request("10.1.0.9/24"))

    assert await store.endpoints() == []


async def test_an_address_is_given_back_only_when_the_endpoint_is_gone_as_well(
    driver: Driver, ipam: IpamDriver, leases: Leases, pools: tuple[str, str]
) -> None:
    v4 = await address(ipam, pools[0])
    await driver.create_endpoint(endpoint_request(v4))

    await ipam.release_address(m.AddressReleaseRequest(pools[0], "10.1.0.2"))
    assert leases.addresses == {"10.1.0.2", "fd00:1::2"}
    await driver.delete_endpoint(ABOUT)

    assert leases.given == {}


async def test_an_address_that_no_container_shall_get_is_kept_as_long_as_the_network(
    driver: Driver, ipam: IpamDriver, leases: Leases
) -> None:
    pool_id = await opened(ipam)
    assert await address(ipam, pool_id, "10.1.0.2") == "10.1.0.2/24"
    pool = AddressPool("cni", SUBNET, "10.1.0.1/24", ("10.1.0.2/24",))
    await driver.create_network(network_request(pool, options=WEB))

    assert await address(ipam, pool_id) == "10.1.0.3/24"

    left_over = await driver._reservations.left_over(time.time() + 1)
    assert [bare for item in left_over for bare in item.held] == ["10.1.0.3"]
    await driver.delete_network(NetworkRequest(NETWORK_ID))
    assert len(await driver._reservations.left_over(time.time() + 1)) == 2
    await ipam.release_address(m.AddressReleaseRequest(pool_id, "10.1.0.2"))
    assert leases.addresses == {"10.1.0.3"}


async def test_any_conflist_of_that_name_serves_before_the_network_is_made(
    ipam: IpamDriver, conflists: Path
) -> None:
    pool_id = await opened(ipam)
    changed: dict[str, Any] = conflist({"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/25"}]]})
    (conflists / "web.conflist").write_text(json.dumps(changed))

    assert await address(ipam, pool_id) == "10.1.0.2/25"
