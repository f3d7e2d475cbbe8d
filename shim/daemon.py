"""The daemon: puts the parts together, listens, and stops cleanly."""

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from aiohttp import web

from shim import telemetry
from shim.bindings import Bindings
from shim.cni.exec import Exec
from shim.cni.runtime import Runtime
from shim.config import Settings
from shim.driver import Driver
from shim.engine import Engine
from shim.errors import ShimError
from shim.handover import Handover
from shim.kube import access as kube_access
from shim.kube.access import Access
from shim.kube.client import Client
from shim.kube.cluster import Cluster
from shim.logical import LogicalNetworks
from shim.net.links import Links
from shim.net.namespaces import Namespaces
from shim.net.thread import NetlinkThread
from shim.orphans import Orphans
from shim.presence import Presence
from shim.reconcile import Reconciler
from shim.resolve import Resolver
from shim.server import application
from shim.store import Store

_log = logging.getLogger(__name__)

_KEEP_ALIVE = 24 * 3600.0
"""Seconds an idle connection of the engine stays open: a close at the wrong moment costs a retry."""
_RESTART_PAUSE = 5.0
"""Seconds after which work that failed unforeseen is begun again."""

_Work = Callable[[], Coroutine[Any, Any, object]]


class AlreadyRunningError(ShimError):
    """Another instance has the socket."""


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish the calls under way.

    Raises `ShimError` when it cannot start.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with _lock(settings.listen), _listen(settings.listen) as listener:
        async with _parts(settings) as (driver, works):
            runner = web.AppRunner(
                application(driver), keepalive_timeout=_KEEP_ALIVE, shutdown_timeout=_longest_call(settings)
            )
            await runner.setup()
            try:
                await web.SockSite(runner, listener).start()
                _log.info("ready on %s", settings.listen)
                _notify("READY=1")
                tasks = [asyncio.create_task(_forever(name, work), name=name) for name, work in works.items()]
                await stop.wait()
                _notify("STOPPING=1")
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            finally:
                await runner.cleanup()
    _log.info("stopped")


@contextlib.asynccontextmanager
async def _parts(settings: Settings) -> AsyncIterator[tuple[Driver, Mapping[str, _Work]]]:
    """The driver, and what has to be done beside it, by name."""
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
        driver = Driver(
            store,
            Resolver(engine, logical_networks, cluster, settings.deadlines.kubernetes),
            logical_networks,
            Handover(_runtime(settings), namespaces, Links(netlink)),
            settings.driver_name,
        )
        reconciler = Reconciler(driver, store, engine, namespaces)
        await reconciler.recall()
        works: dict[str, _Work] = {"repair": reconciler.run}
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
        yield driver, works


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


async def _forever(name: str, work: _Work) -> NoReturn:
    """Do work that does not end by itself, and begin again should it fail in a way nobody foresaw."""
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 - whatever it is, the daemon goes on serving
            _log.exception("%s failed in a way the shim does not foresee; it is begun again", name)
        await asyncio.sleep(_RESTART_PAUSE)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold the socket's lock, so that no second instance takes the socket over."""
    lock = path.with_name(f"{path.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ShimError(f"{lock}: {error.strerror}", cure="run the shim as root") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise AlreadyRunningError(
            f"{path}: another instance serves this socket", cure="stop it, or give another --socket"
        ) from None
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(file)


@contextlib.contextmanager
def _listen(path: Path) -> Iterator[socket.socket]:
    """A listening socket of mode 0600; one that a dead instance left behind is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    mask = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise ShimError(
            f"{path}: cannot listen: {error.strerror or error}", cure="give another --socket"
        ) from error
    finally:
        os.umask(mask)
    try:
        yield listener
    finally:
        listener.close()
        path.unlink(missing_ok=True)


def _longest_call(settings: Settings) -> float:
    """Seconds that a call may take when one plugin hangs: its ADD, and the DELs that follow a failed one."""
    return settings.deadlines.add + 3 * settings.deadlines.delete


def _notify(state: str) -> None:
    """Tell systemd, when it asked (`Type=notify`). Source: sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
        try:
            notify.connect(address)
            notify.send(state.encode())
        except OSError as error:
            _log.warning("cannot notify systemd at %s: %s", address, error.strerror)
