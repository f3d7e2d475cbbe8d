"""Reservations with a real runtime and a scripted IPAM plugin: taken, found, given back, and never lost."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from shim.cni.conf import NetworkConfigList
from shim.cni.errors import PluginError
from shim.errors import ConflictError, InvalidRequestError
from shim.model import EndpointState, Network, Reservation
from shim.net.thread import KernelError
from shim.reservations import Reservations, answer, bare, free
from shim.store import Store
from tests.unit.cni.scripted import ScriptedPlugins
from tests.unit.leases import DUAL, HOST_LOCAL, Leases, conflist, runtime
from tests.unit.standins import NETWORK_ID, NoNamespaces, SlowNamespaces, endpoint

POOL = "0123456789abcdef 10.1.0.0/24 web"
POOL_V6 = "0123456789abcdef fd00:1::/64 web"
WEB = NetworkConfigList.from_json(conflist(HOST_LOCAL, {"type": "portmap"}), "test")
WEB_DUAL = NetworkConfigList.from_json(conflist(DUAL), "test")


@pytest.fixture
def leases(plugins: ScriptedPlugins) -> Leases:
    return Leases(plugins)


@pytest.fixture
def reservations(store: Store, plugins: ScriptedPlugins) -> Reservations:
    return Reservations(store, runtime(plugins), NoNamespaces())


async def stored(store: Store) -> Reservation:
    """The journal's only reservation."""
    (reservation,) = await store.reservations()
    return reservation


async def held(reservations: Reservations, conf: NetworkConfigList = WEB) -> Reservation:
    """A reservation whose first address the engine was given."""
    reservation = await reservations.take(conf)
    await reservations.hold(reservation, answer(reservation).ips[0].address, POOL)
    return replace(reservation, held={bare(answer(reservation).ips[0].address): POOL})


def addresses(reservation: Reservation) -> list[str]:
    return [ip.address for ip in answer(reservation).ips]


# Taking


async def test_the_ipam_plugin_runs_alone_for_a_container_of_its_own(
    reservations: Reservations, store: Store, plugins: ScriptedPlugins, leases: Leases
) -> None:
    reservation = await reservations.take(WEB)

    assert plugins.calls == ["host-local ADD"]
    assert leases.given == {"10.1.0.2": reservation.id}
    environment = plugins.environment("host-local", "ADD")
    assert (environment["CNI_CONTAINERID"], environment["CNI_IFNAME"]) == (reservation.id, "eth0")
    assert environment["CNI_NETNS"]
    assert plugins.request("host-local", "ADD") == {
        "cniVersion": "1.0.0",
        "name": "web",
        "type": "host-local",
        "ipam": HOST_LOCAL,
    }
    assert await stored(store) == reservation
    assert addresses(reservation) == ["10.1.0.2/24"]


@pytest.mark.usefixtures("leases")
async def test_every_reservation_gets_addresses_of_its_own(reservations: Reservations) -> None:
    taken = await asyncio.gather(*(reservations.take(WEB) for _ in range(3)))

    assert len({item.id for item in taken}) == 3
    assert sorted(addresses(item)[0] for item in taken) == ["10.1.0.2/24", "10.1.0.3/24", "10.1.0.4/24"]


@pytest.mark.usefixtures("leases")
async def test_addresses_that_are_wanted_are_given_with_the_prefix_length_of_their_subnet(
    reservations: Reservations, plugins: ScriptedPlugins
) -> None:
    reservation = await reservations.take(WEB_DUAL, ["10.1.0.9", "fd00:1::9"])

    assert addresses(reservation) == ["10.1.0.9/24", "fd00:1::9/64"]
    ips = ["10.1.0.9/24", "fd00:1::9/64"]
    assert plugins.request("host-local", "ADD")["runtimeConfig"] == {"ips": ips}


async def test_an_address_that_somebody_has_is_refused_by_the_plugin_and_nothing_is_left(
    reservations: Reservations, store: Store, leases: Leases
) -> None:
    leases.take("10.1.0.9")

    with pytest.raises(PluginError, match=r"requested IP address 10\.1\.0\.9/24 is not available"):
        await reservations.take(WEB, ["10.1.0.9"])

    assert leases.addresses == {"10.1.0.9"}
    assert await store.reservations() == []


async def test_a_plugin_that_gives_another_address_than_was_wanted_gets_it_back(
    reservations: Reservations, store: Store, plugins: ScriptedPlugins
) -> None:
    plugins.write("deaf")

    with pytest.raises(InvalidRequestError) as refusal:
        await reservations.take(NetworkConfigList.from_json(conflist({"type": "deaf"}), "test"), ["10.1.0.9"])

    assert str(refusal.value) == (
        "network web: its IPAM plugin deaf gives 10.1.0.5 where 10.1.0.9 was asked for "
        "(leave the address out, or use an IPAM plugin that honours `ips`, as host-local)"
    )
    assert plugins.calls == ["deaf ADD", "deaf DEL"]
    assert await store.reservations() == []


async def test_an_address_that_a_plugin_gives_twice_is_given_to_the_first_alone(
    reservations: Reservations, store: Store, plugins: ScriptedPlugins
) -> None:
    plugins.write("forgetful")
    conf = NetworkConfigList.from_json(conflist({"type": "forgetful"}), "test")
    first = await reservations.take(conf)

    with pytest.raises(ConflictError, match=r"^network web: 10\.1\.0\.5 is taken by another container"):
        await reservations.take(conf)

    assert await store.reservations() == [first]


async def test_two_networks_may_have_the_same_address(
    reservations: Reservations, plugins: ScriptedPlugins
) -> None:
    plugins.write("forgetful")

    for name in ("web", "db"):
        conf = NetworkConfigList.from_json(conflist({"type": "forgetful"}, name=name), "test")
        assert addresses(await reservations.take(conf)) == ["10.1.0.5/16"]


async def test_a_chain_without_ipam_plugin_has_nothing_to_take(
    reservations: Reservations, store: Store
) -> None:
    conf = NetworkConfigList.from_json(conflist({}), "test")

    with pytest.raises(
        InvalidRequestError, match="network web: it has no IPAM plugin that could give addresses"
    ):
        await reservations.take(conf)

    assert await store.reservations() == []


async def test_a_missing_plugin_leaves_nothing(reservations: Reservations, store: Store) -> None:
    with pytest.raises(PluginError, match="host-local"):
        await reservations.take(WEB)

    assert await store.reservations() == []


async def test_a_kernel_that_refuses_leaves_nothing(
    store: Store, plugins: ScriptedPlugins, leases: Leases
) -> None:
    class NoRoom(NoNamespaces):
        async def empty(self) -> Any:
            raise KernelError("cannot make an empty network namespace")

    with pytest.raises(KernelError):
        await Reservations(store, runtime(plugins), NoRoom()).take(WEB)

    assert await store.reservations() == []
    assert leases.given == {}


async def test_an_add_whose_clean_up_failed_too_stays_in_the_journal_until_it_succeeds(
    reservations: Reservations, store: Store, plugins: ScriptedPlugins
) -> None:
    plugins.write("host-local", "exit 1")
    with pytest.raises(PluginError):
        await reservations.take(WEB)
    left = await stored(store)
    assert left.result is None
    assert await reservations.left_over(time.time() + 1) == [left]

    plugins.write("host-local", "")
    await reservations.give_back(left)

    assert await store.reservations() == []


async def test_the_intent_is_in_the_journal_before_the_plugin_runs_and_is_not_left_over_meanwhile(
    store: Store, plugins: ScriptedPlugins, leases: Leases
) -> None:
    namespaces = SlowNamespaces()
    reservations = Reservations(store, runtime(plugins), namespaces)

    taking = asyncio.create_task(reservations.take(WEB))
    await namespaces.started.wait()
    under_way = await stored(store)
    assert (under_way.result, leases.given) == (None, {})
    assert await reservations.left_over(time.time() + 1) == []
    namespaces.gate.set()

    assert (await taking).id == under_way.id
    assert [item.id for item in await reservations.left_over(time.time() + 1)] == [under_way.id]


# Holding and finding


@pytest.mark.usefixtures("leases")
async def test_what_the_engine_was_given_is_noted_with_its_pool(
    reservations: Reservations, store: Store
) -> None:
    reservation = await reservations.take(WEB_DUAL)
    assert [ip.address for ip in free(reservation)] == ["10.1.0.2/24", "fd00:1::2/64"]

    await reservations.hold(reservation, "10.1.0.2/24", POOL)

    assert (await stored(store)).held == {"10.1.0.2": POOL}
    assert [ip.address for ip in free(await stored(store))] == ["fd00:1::2/64"]


@pytest.mark.usefixtures("leases")
async def test_reservations_are_found_by_the_addresses_that_the_engine_holds(
    reservations: Reservations,
) -> None:
    first, second = await held(reservations), await held(reservations)
    unheld = await reservations.take(WEB)

    assert await reservations.of("web", ["10.1.0.3/24", "10.1.0.2"]) == [second, first]
    assert await reservations.of("web", ["10.1.0.2/24", "10.1.0.2/32"]) == [first]
    assert await reservations.of("db", ["10.1.0.2"]) == []
    assert await reservations.of("web", addresses(unheld)) == []


@pytest.mark.usefixtures("leases")
async def test_an_ipv6_address_that_came_along_is_found_for_the_endpoint_that_asks_next(
    reservations: Reservations,
) -> None:
    await reservations.take(WEB_DUAL)
    await held(reservations, WEB)
    first, second = await held(reservations, WEB_DUAL), await held(reservations, WEB_DUAL)

    assert await reservations.taken_with("web", 6) == second
    assert await reservations.taken_with("db", 6) is None
    await reservations.hold(second, "fd00:1::4/64", POOL_V6)
    assert await reservations.taken_with("web", 6) == first


@pytest.mark.usefixtures("leases")
async def test_what_is_used_or_set_aside_comes_along_with_nobody(
    reservations: Reservations, store: Store
) -> None:
    used, aside = await held(reservations, WEB_DUAL), await held(reservations, WEB_DUAL)
    await store.save_endpoint(endpoint(EndpointState.CREATED, reservations=(used.id,)))
    await reservations.set_aside("web", addresses(aside)[:1], NETWORK_ID)

    assert await reservations.taken_with("web", 6) is None


async def test_another_address_is_taken_beside_those_that_the_engine_has(
    reservations: Reservations, store: Store, leases: Leases
) -> None:
    earlier = await held(reservations, WEB_DUAL)

    taken = await reservations.retake(earlier, WEB_DUAL, "fd00:1::9")

    assert addresses(taken) == ["10.1.0.2/24", "fd00:1::9/64"]
    assert taken.held == {"10.1.0.2": POOL}
    assert await stored(store) == taken
    assert leases.given == {"10.1.0.2": taken.id, "fd00:1::9": taken.id}


# Giving back


async def test_a_released_address_is_given_back_at_once(
    reservations: Reservations, store: Store, plugins: ScriptedPlugins, leases: Leases
) -> None:
    reservation = await held(reservations)

    await reservations.release("10.1.0.2", POOL)

    assert leases.given == {}
    assert await store.reservations() == []
    environment = plugins.environment("host-local", "DEL")
    assert (environment["CNI_CONTAINERID"], environment["CNI_NETNS"]) == (reservation.id, "")
    assert plugins.request("host-local", "DEL")["prevResult"] == reservation.result


async def test_a_reservation_is_given_back_with_the_last_of_its_addresses(
    reservations: Reservations, leases: Leases
) -> None:
    reservation = await held(reservations, WEB_DUAL)
    await reservations.hold(reservation, "fd00:1::2/64", POOL_V6)

    await reservations.release("10.1.0.2", POOL)
    assert leases.addresses == {"10.1.0.2", "fd00:1::2"}
    await reservations.release("fd00:1::2", POOL_V6)

    assert leases.given == {}


async def test_a_released_address_stays_taken_while_an_endpoint_has_it(
    reservations: Reservations, store: Store, leases: Leases
) -> None:
    reservation = await held(reservations)
    record = endpoint(EndpointState.LEAVING, reservations=(reservation.id,))
    await store.save_endpoint(record)

    await reservations.release("10.1.0.2", POOL)
    assert leases.addresses == {"10.1.0.2"}
    assert (await stored(store)).held == {}

    await store.delete_endpoint(record.id)
    await reservations.drop([reservation.id])
    assert leases.given == {}


async def test_a_reservation_that_the_engine_holds_is_not_dropped(
    reservations: Reservations, leases: Leases
) -> None:
    reservation = await held(reservations)
    other = await reservations.take(WEB)

    await reservations.drop([reservation.id])

    assert leases.given == {"10.1.0.2": reservation.id, "10.1.0.3": other.id}


@pytest.mark.parametrize(
    ("address", "pool_id"), [("10.1.0.2", POOL_V6), ("10.1.0.3", POOL), ("10.1.0.1", POOL)]
)
async def test_an_address_that_nobody_has_from_that_pool_is_released_in_vain(
    reservations: Reservations, leases: Leases, address: str, pool_id: str
) -> None:
    await held(reservations)

    await reservations.release(address, pool_id)

    assert leases.addresses == {"10.1.0.2"}


async def test_a_plugin_that_fails_to_take_an_address_back_is_asked_again_later(
    reservations: Reservations, store: Store, leases: Leases
) -> None:
    await held(reservations)
    leases.fail()

    with pytest.raises(PluginError, match="device busy"):
        await reservations.release("10.1.0.2", POOL)
    left = await stored(store)
    assert (left.held, "device busy" in left.last_error) == ({}, True)
    assert await reservations.left_over(time.time() + 1) == [left]

    leases.fail(now=False)
    await reservations.give_back(left)
    assert leases.given == {}


async def test_the_conflist_of_taking_is_that_of_giving_back(
    reservations: Reservations, store: Store, plugins: ScriptedPlugins
) -> None:
    plugins.write("one")
    await reservations.take(NetworkConfigList.from_json(conflist({"type": "one", "pool": "a"}), "test"))

    await reservations.give_back(await stored(store))

    assert plugins.request("one", "DEL")["ipam"] == {"type": "one", "pool": "a"}


@pytest.mark.usefixtures("leases")
async def test_left_over_is_what_is_old_and_neither_endpoint_nor_network_uses(
    reservations: Reservations, store: Store
) -> None:
    old, used, aside, orphaned = [await held(reservations) for _ in range(4)]
    await store.save_network(Network(NETWORK_ID, "web"))
    await store.save_endpoint(endpoint(EndpointState.CREATED, reservations=(used.id,)))
    await reservations.set_aside("web", addresses(aside), NETWORK_ID)
    await reservations.set_aside("web", addresses(orphaned), "b" * 64)

    assert await reservations.left_over(old.created_at) == []
    assert [item.id for item in await reservations.left_over(time.time() + 1)] == [old.id, orphaned.id]
