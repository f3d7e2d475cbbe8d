"""Repair: what is left over goes, what is in use stays, and what cannot be known stays too."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shim import reconcile
from shim.admission import boot_id
from shim.cni.conf import NetworkConfigList
from shim.cni.errors import PluginError
from shim.engine import Engine
from shim.model import EndpointState, Network, NetworkID, Reservation
from shim.net.namespaces import Namespaces
from shim.net.thread import NetlinkThread
from shim.reconcile import Reconciler
from shim.reservations import Reservations
from shim.store import Store
from tests.unit.cni.scripted import ScriptedPlugins
from tests.unit.leases import HOST_LOCAL, Leases, conflist, runtime
from tests.unit.standins import (
    ENDPOINT_ID,
    NETWORK_ID,
    EngineStandIn,
    ScriptedHandover,
    SlowNamespaces,
    driver_of,
    endpoint,
)

LONG_AGO = 1.0
CONFLIST = NetworkConfigList.from_json(conflist(HOST_LOCAL), "test")
LIVE_SANDBOX = "/proc/self/ns/net"
DEL_FAILED = PluginError("device busy", plugin="bridge", network="web", command="DEL")
SETTLED = [EndpointState.PLANNED, EndpointState.CREATED, EndpointState.JOINED, EndpointState.LEFT]


@pytest.fixture
def handover(store: Store) -> ScriptedHandover:
    return ScriptedHandover(store)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """The folder of staging namespaces; plain files stand in for them."""
    folder = tmp_path / "netns"
    folder.mkdir()
    return folder


@pytest.fixture
def staging() -> SlowNamespaces:
    """The empty namespace for reservations, whose making is not slow at first."""
    staging = SlowNamespaces()
    staging.gate.set()
    return staging


@pytest.fixture
def reservations(store: Store, plugins: ScriptedPlugins, staging: SlowNamespaces) -> Reservations:
    return Reservations(store, runtime(plugins), staging)


@pytest.fixture
async def reconciler(
    store: Store, handover: ScriptedHandover, docker: EngineStandIn, run_dir: Path, reservations: Reservations
) -> AsyncIterator[Reconciler]:
    engine = Engine(docker.socket, 2.0)
    thread = NetlinkThread()
    driver = driver_of(store, docker.socket, run_dir, handover)
    yield Reconciler(driver, store, engine, Namespaces(thread, run_dir), reservations)
    thread.close()


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


async def run_for(reconciler: Reconciler, handover: ScriptedHandover, calls: int) -> None:
    """Let the reconciler run until it has started that many removals, then stop it."""
    task = asyncio.create_task(reconciler.run())
    for _ in range(calls):
        await handover.started.get()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("state", [EndpointState.ADDING, EndpointState.JOINING, EndpointState.LEAVING])
async def test_what_the_last_run_left_half_done_is_removed(
    reconciler: Reconciler,
    store: Store,
    handover: ScriptedHandover,
    docker: EngineStandIn,
    state: EndpointState,
) -> None:
    await store.save_endpoint(endpoint(state, boot_id=boot_id(), created_at=time.time()))
    docker.add(NETWORK_ID, "web", {ENDPOINT_ID: "shop"})
    await reconciler.recall()

    await reconciler._remove(reconciler._interrupted)
    await reconciler._repair()

    assert handover.of("detach") == [ENDPOINT_ID]


async def test_an_endpoint_that_was_planned_before_the_restart_still_waits_for_join(
    reconciler: Reconciler, store: Store
) -> None:
    record = endpoint(EndpointState.PLANNED, boot_id=boot_id(), created_at=time.time())
    await store.save_endpoint(record)
    await reconciler.recall()

    await reconciler._remove(reconciler._interrupted)
    await reconciler._repair()

    assert await store.endpoints() == [record]


@pytest.mark.parametrize("state", [EndpointState.CREATED, EndpointState.JOINED])
async def test_what_was_there_before_a_reboot_is_removed(
    reconciler: Reconciler, store: Store, handover: ScriptedHandover, state: EndpointState
) -> None:
    await store.save_endpoint(endpoint(state, boot_id="another boot", created_at=time.time()))
    await reconciler.recall()

    await run_for(reconciler, handover, 1)

    assert handover.of("detach") == [ENDPOINT_ID]


async def test_what_is_half_done_now_is_left_alone(
    reconciler: Reconciler, store: Store, handover: ScriptedHandover
) -> None:
    await reconciler.recall()
    await store.save_endpoint(endpoint(EndpointState.ADDING, boot_id=boot_id(), created_at=LONG_AGO))

    await reconciler._remove(reconciler._interrupted)
    await reconciler._repair()

    assert handover.calls == []


async def test_an_endpoint_that_the_engine_asked_for_again_meanwhile_is_kept(
    reconciler: Reconciler, store: Store, handover: ScriptedHandover
) -> None:
    await store.save_endpoint(endpoint(EndpointState.ADDING, boot_id=boot_id()))
    await reconciler.recall()
    again = endpoint(EndpointState.CREATED, boot_id=boot_id(), created_at=time.time())
    await store.save_endpoint(again)

    await reconciler._remove(reconciler._interrupted)

    assert handover.calls == []
    assert await store.endpoints() == [again]


@pytest.mark.parametrize("state", SETTLED)
async def test_an_endpoint_that_no_sandbox_holds_and_no_engine_lists_is_removed(
    reconciler: Reconciler, store: Store, docker: EngineStandIn, state: EndpointState
) -> None:
    await store.save_endpoint(endpoint(state, sandbox_key="/gone", created_at=LONG_AGO))
    docker.add(NETWORK_ID, "web", {"f" * 64: "another"})

    await reconciler._repair()

    assert await store.endpoints() == []


async def test_an_endpoint_of_a_network_that_the_engine_no_longer_has_is_removed(
    reconciler: Reconciler, store: Store
) -> None:
    await store.save_endpoint(endpoint(EndpointState.JOINED, created_at=LONG_AGO))

    await reconciler._repair()

    assert await store.endpoints() == []


async def test_an_endpoint_that_the_engine_lists_is_kept(
    reconciler: Reconciler, store: Store, docker: EngineStandIn
) -> None:
    record = endpoint(EndpointState.JOINED, created_at=LONG_AGO)
    await store.save_endpoint(record)
    docker.add(NETWORK_ID, "web", {ENDPOINT_ID: "shop"})

    await reconciler._repair()

    assert await store.endpoints() == [record]


async def test_an_endpoint_in_a_live_sandbox_is_kept(reconciler: Reconciler, store: Store) -> None:
    record = endpoint(EndpointState.JOINED, sandbox_key=LIVE_SANDBOX, created_at=LONG_AGO)
    await store.save_endpoint(record)

    await reconciler._repair()

    assert await store.endpoints() == [record]


@pytest.mark.parametrize("state", [EndpointState.PLANNED, EndpointState.CREATED])
async def test_an_endpoint_that_was_made_a_moment_ago_is_kept(
    reconciler: Reconciler, store: Store, state: EndpointState
) -> None:
    record = endpoint(state, created_at=time.time())
    await store.save_endpoint(record)

    await reconciler._repair()

    assert await store.endpoints() == [record]


async def test_while_the_engine_is_away_nothing_is_taken_for_left_over(
    reconciler: Reconciler, store: Store, docker: EngineStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    record = endpoint(EndpointState.JOINED, created_at=LONG_AGO)
    await store.save_endpoint(record)
    await docker.stop()

    await reconciler._repair()

    assert await store.endpoints() == [record]
    assert "repair: the Docker engine cannot be asked" in caplog.text


async def test_a_failed_removal_is_tried_again_until_it_succeeds(
    reconciler: Reconciler, store: Store, handover: ScriptedHandover
) -> None:
    await store.save_endpoint(endpoint(EndpointState.LEAVING, last_error="device busy"))
    handover.failures["detach"] = [DEL_FAILED, DEL_FAILED]

    for _ in range(4):
        await reconciler._repair()

    assert handover.of("detach") == [ENDPOINT_ID] * 3
    assert await store.endpoints() == []


async def test_rounds_follow_each_other_until_the_shim_stops(
    reconciler: Reconciler, store: Store, handover: ScriptedHandover, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "_INTERVAL", 0)
    await store.save_endpoint(endpoint(EndpointState.LEAVING, last_error="device busy"))
    handover.failures["detach"] = [DEL_FAILED] * 3

    await run_for(reconciler, handover, 3)


async def test_a_failed_removal_and_stray_namespaces_need_no_engine(
    reconciler: Reconciler, store: Store, docker: EngineStandIn, run_dir: Path
) -> None:
    other = "f" * 64
    await store.save_endpoint(endpoint(EndpointState.JOINED, id=other, created_at=LONG_AGO))
    await store.save_endpoint(endpoint(EndpointState.LEAVING, last_error="device busy"))
    (run_dir / "stray").touch()
    await docker.stop()

    await reconciler._repair()

    assert [item.id for item in await store.endpoints()] == [other]
    assert names(run_dir) == []


async def test_one_endpoint_that_cannot_be_removed_does_not_keep_the_next(
    reconciler: Reconciler, store: Store, handover: ScriptedHandover, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for digit in "12":
        await store.save_endpoint(endpoint(EndpointState.JOINED, id=digit * 64, created_at=LONG_AGO))
    handover.failures["detach"] = [DEL_FAILED]

    await reconciler._repair()

    (kept,) = await store.endpoints()
    assert (kept.id, kept.state, kept.last_error) == ("1" * 64, EndpointState.LEAVING, str(DEL_FAILED))
    assert 'plugin "bridge" (network "web") DEL: device busy' in caplog.text


async def test_namespaces_that_no_endpoint_owns_are_removed_and_no_others(
    reconciler: Reconciler, store: Store, run_dir: Path
) -> None:
    await store.save_endpoint(endpoint(EndpointState.CREATED, created_at=time.time()))
    for name in (ENDPOINT_ID, "stray"):
        (run_dir / name).touch()

    await reconciler._repair()

    assert names(run_dir) == [ENDPOINT_ID]


# Reservations


@pytest.fixture
def leases(plugins: ScriptedPlugins) -> Leases:
    return Leases(plugins)


async def reserved(store: Store, reservations: Reservations, **changes: Any) -> Reservation:
    """A reservation of an address, made long ago unless said otherwise."""
    changes = {"created_at": LONG_AGO} | changes
    reservation = replace(await reservations.take(CONFLIST), held={"10.1.0.2": "pool"}, **changes)
    await store.save_reservation(reservation)
    return reservation


async def test_an_address_that_the_engine_lists_is_kept_though_no_endpoint_is_ours(
    reconciler: Reconciler, store: Store, reservations: Reservations, leases: Leases, docker: EngineStandIn
) -> None:
    await reserved(store, reservations)
    docker.add("b" * 64, "elsewhere", {"f" * 64: "shop"})
    docker.networks["b" * 64]["Containers"]["ep-" + "f" * 64]["IPv4Address"] = "10.1.0.2/24"

    await reconciler._repair()
    assert leases.addresses == {"10.1.0.2"}

    docker.networks["b" * 64]["Containers"].clear()
    await reconciler._repair()
    assert leases.addresses == set()


async def test_while_the_engine_cannot_be_asked_its_addresses_are_kept(
    reconciler: Reconciler, store: Store, reservations: Reservations, leases: Leases, docker: EngineStandIn
) -> None:
    await reserved(store, reservations)
    await docker.stop()

    await reconciler._repair()

    assert leases.addresses == {"10.1.0.2"}


async def test_an_address_whose_endpoint_never_came_is_given_back(
    reconciler: Reconciler, store: Store, reservations: Reservations, leases: Leases
) -> None:
    await reserved(store, reservations)

    await reconciler._repair()

    assert leases.given == {}
    assert await store.reservations() == []


async def test_an_address_that_was_reserved_a_moment_ago_is_kept(
    reconciler: Reconciler, store: Store, reservations: Reservations, leases: Leases
) -> None:
    await reserved(store, reservations, created_at=time.time())

    await reconciler._repair()

    assert leases.addresses == {"10.1.0.2"}


@pytest.mark.parametrize("state", [EndpointState.PLANNED, EndpointState.JOINED, EndpointState.LEAVING])
async def test_the_address_of_an_endpoint_is_kept(
    reconciler: Reconciler, store: Store, reservations: Reservations, leases: Leases, state: EndpointState
) -> None:
    reservation = await reserved(store, reservations)
    record = endpoint(state, reservations=(reservation.id,), sandbox_key=LIVE_SANDBOX)
    await store.save_endpoint(record)

    await reconciler._repair()

    assert leases.addresses == {"10.1.0.2"}


async def test_an_address_that_a_network_sets_aside_is_kept_until_the_network_is_gone(
    reconciler: Reconciler, store: Store, reservations: Reservations, leases: Leases, docker: EngineStandIn
) -> None:
    await reserved(store, reservations, network_id=NETWORK_ID)
    await store.save_network(Network(NETWORK_ID, "web", created_at=LONG_AGO))
    docker.add(NETWORK_ID, "web")
    await reconciler._repair()
    assert leases.addresses == {"10.1.0.2"}

    del docker.networks[NETWORK_ID]
    for _ in range(2):
        await reconciler._repair()

    assert leases.given == {}


async def test_an_address_that_is_being_asked_for_is_kept(
    reconciler: Reconciler, store: Store, reservations: Reservations, staging: SlowNamespaces, leases: Leases
) -> None:
    staging.gate.clear()
    taking = asyncio.create_task(reservations.take(CONFLIST))
    await staging.started.wait()
    (under_way,) = await store.reservations()
    await store.save_reservation(replace(under_way, created_at=LONG_AGO))

    await reconciler._repair()

    staging.gate.set()
    assert (await taking).id == under_way.id
    assert leases.given == {"10.1.0.2": under_way.id}


async def test_one_address_that_cannot_be_given_back_does_not_keep_the_next_and_is_tried_again(  # noqa: PLR0917 - fixtures
    reconciler: Reconciler,
    store: Store,
    reservations: Reservations,
    leases: Leases,
    plugins: ScriptedPlugins,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    plugins.write("broken", 'if [ "$CNI_COMMAND" = DEL ]; then exit 1; fi; echo "{}"')
    broken = await reservations.take(NetworkConfigList.from_json(conflist({"type": "broken"}), "test"))
    await store.save_reservation(replace(broken, created_at=LONG_AGO))
    await reserved(store, reservations)

    for _ in range(2):
        await reconciler._repair()

    assert leases.given == {}
    (left,) = await store.reservations()
    assert (left.id, 'plugin "broken"' in left.last_error) == (broken.id, True)
    assert plugins.calls.count("broken DEL") == 2
    assert 'plugin "broken" (network "web") DEL' in caplog.text


# Networks

_OTHER = NetworkID("b" * 64)


async def test_a_network_that_was_removed_while_the_shim_was_down_is_forgotten(
    reconciler: Reconciler, store: Store, docker: EngineStandIn
) -> None:
    kept = Network(NETWORK_ID, "web", created_at=LONG_AGO)
    await store.save_network(kept)
    await store.save_network(Network(_OTHER, "web", created_at=LONG_AGO))
    docker.add(NETWORK_ID, "web")

    await reconciler._repair()

    assert await store.networks() == [kept]


async def test_a_network_that_is_new_or_in_use_is_not_forgotten(reconciler: Reconciler, store: Store) -> None:
    await store.save_network(Network(NETWORK_ID, "web", created_at=time.time()))
    await store.save_network(Network(_OTHER, "web", created_at=LONG_AGO))
    in_use = endpoint(EndpointState.JOINED, network_id=_OTHER, sandbox_key=LIVE_SANDBOX)
    await store.save_endpoint(in_use)

    await reconciler._forget_networks()

    assert [network.id for network in await store.networks()] == [NETWORK_ID, _OTHER]


async def test_while_the_engine_is_away_no_network_is_forgotten(
    reconciler: Reconciler, store: Store, docker: EngineStandIn
) -> None:
    await store.save_network(Network(NETWORK_ID, "web", created_at=LONG_AGO))
    await docker.stop()

    await reconciler._repair()

    assert len(await store.networks()) == 1
