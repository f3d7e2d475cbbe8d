"""Puts the parts of the shim together: here, and nowhere else, it is decided who works with whom."""

import asyncio
import contextlib
import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from shim import telemetry
from shim.admission import Admission
from shim.bindings import Bindings
from shim.cni.exec import Exec
from shim.cni.runtime import Runtime
from shim.config import Settings
from shim.driver import Driver
from shim.engine import Engine
from shim.handover import Handover
from shim.identity import Identities
from shim.inplace import InPlace
from shim.ipam import IpamDriver
from shim.kube import access as kube_access
from shim.kube.access import Access
from shim.kube.client import Client
from shim.kube.cluster import Cluster
from shim.leases import Leases
from shim.logical import LogicalNetworks
from shim.net.links import Links
from shim.net.namespaces import Namespaces
from shim.net.replay import Replay
from shim.net.thread import NetlinkThread
from shim.networks import Networks
from shim.orphans import Orphans
from shim.pools import Pools
from shim.presence import Presence
from shim.publish import HostPorts
from shim.reconcile import Reconciler
from shim.replays import Replays
from shim.reservations import Reservations
from shim.resolve import Resolver
from shim.store import Store

_log = logging.getLogger(__name__)

Work = Callable[[], Coroutine[Any, Any, object]]
"""Something that goes on beside the calls of the engine until it is cancelled."""


@contextlib.asynccontextmanager
async def assembled(settings: Settings) -> AsyncIterator[tuple[Driver, IpamDriver, Mapping[str, Work]]]:
    """The drivers, and what has to be done beside them, by name."""
    changed = asyncio.Event()
    store = Store(settings.state_dir, changed=changed.set)
    netlink = NetlinkThread()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        stack.callback(netlink.close)
        await store.open()
        engine = Engine(settings.docker_socket, settings.deadlines.engine)
        access = kube_access.find(settings.kubernetes, os.environ)
        client = await stack.enter_async_context(_client(access, settings.run_dir)) if access else None
        cluster = Cluster(client, settings.kubernetes, changed.set) if client else None
        logical_networks = LogicalNetworks(
            settings.conf_dirs, cluster, settings.kubernetes, settings.deadlines.kubernetes
        )
        namespaces = Namespaces(netlink, settings.run_dir / "netns")
        stack.callback(namespaces.close)
        links = Links(netlink)
        runtime = _runtime(settings)
        reservations = Reservations(store, runtime, namespaces)
        handover = Handover(runtime, namespaces, links)
        leases = Leases(store, runtime, links)
        replays = Replays(store, handover, links, Replay(netlink), leases)
        stack.push_async_callback(replays.close)
        ports = HostPorts()
        stack.callback(ports.close)
        driver, ipam_driver = drivers(
            store=store,
            engine=engine,
            logical_networks=logical_networks,
            resolver=Resolver(engine, logical_networks, cluster, settings.deadlines.kubernetes),
            handover=handover,
            reservations=reservations,
            links=links,
            replays=replays,
            leases=leases,
            ports=ports,
            name=settings.driver_name,
        )
        reconciler = Reconciler(driver, store, engine, namespaces, reservations)
        await reconciler.recall()
        await driver.hold_ports()
        await links.prepare()
        works: dict[str, Work] = {"repair": reconciler.run}
        if client and cluster:
            presence = Presence(client, engine, settings.kubernetes, changed.set)
            bindings = Bindings(
                driver=driver,
                store=store,
                engine=engine,
                logical_networks=logical_networks,
                client=client,
                cluster=cluster,
                presence=presence,
                settings=settings.kubernetes,
                changed=changed,
            )
            works |= {
                "watch": cluster.run,
                "presence": presence.run,
                "bindings": bindings.run,
                "orphans": Orphans(client, presence, settings.kubernetes).run,
            }
            _log.info("Kubernetes: node %s, by %s", settings.kubernetes.node, access)
        yield driver, ipam_driver, works


def drivers(
    *,
    store: Store,
    engine: Engine,
    logical_networks: LogicalNetworks,
    resolver: Resolver,
    handover: Handover,
    reservations: Reservations,
    links: Links,
    replays: Replays,
    leases: Leases,
    ports: HostPorts,
    name: str,
) -> tuple[Driver, IpamDriver]:
    """The two drivers of one engine, which share what they know."""
    pools = Pools()
    in_place = InPlace(engine, links)
    admission = Admission(store, engine, in_place, reservations, ports)
    networks = Networks(
        store=store,
        resolver=resolver,
        logical_networks=logical_networks,
        handover=handover,
        admission=admission,
        pools=pools,
        reservations=reservations,
        name=name,
    )
    driver = Driver(
        store=store,
        networks=networks,
        handover=handover,
        admission=admission,
        identities=Identities(store, engine),
        in_place=in_place,
        replays=replays,
        leases=leases,
        pools=pools,
        reservations=reservations,
        ports=ports,
    )
    ipam_driver = IpamDriver(
        store=store,
        logical_networks=logical_networks,
        reservations=reservations,
        pools=pools,
        links=links,
        networks=networks,
        name=name,
    )
    return driver, ipam_driver


def _runtime(settings: Settings) -> Runtime:
    return Runtime(
        Exec(telemetry.plugin_ran),
        settings.plugin_path,
        add_deadline=settings.deadlines.add,
        delete_deadline=settings.deadlines.delete,
    )


@contextlib.asynccontextmanager
async def _client(access: Access, run_dir: Path) -> AsyncIterator[Client]:
    """The Kubernetes client; what a killed instance may have left of its keys is removed."""
    scratch = run_dir / "kubernetes"
    shutil.rmtree(scratch, ignore_errors=True)
    client = Client(access, scratch)
    try:
        yield client
    finally:
        await client.close()
        shutil.rmtree(scratch, ignore_errors=True)
