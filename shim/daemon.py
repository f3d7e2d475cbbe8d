"""The daemon: listens, keeps the work beside the calls going, and stops cleanly."""

import asyncio
import contextlib
import fcntl
import logging
import os
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from aiohttp import web

from shim.config import Settings
from shim.errors import ShimError
from shim.listening import listening
from shim.parts import Work, assembled
from shim.server import application
from shim.trace import feed

_log = logging.getLogger(__name__)

_KEEP_ALIVE = 24 * 3600.0
"""Seconds an idle connection of the engine stays open: a close at the wrong moment costs a retry."""
_RESTART_PAUSE = 5.0
"""Seconds after which work that failed unforeseen is begun again."""


class AlreadyRunningError(ShimError):
    """Another instance has the socket."""


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish the calls under way.

    Raises `ShimError` when it cannot start.
    """
    _allow_open_files()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with (
        _lock(settings.listen),
        listening(settings.listen, cure="give another --socket") as listener,
    ):
        async with (
            feed.serving(settings.run_dir, {"of": "daemon", "driver": settings.driver_name}),
            assembled(settings) as (driver, ipam_driver, works),
        ):
            runner = web.AppRunner(
                application(driver, ipam_driver),
                keepalive_timeout=_KEEP_ALIVE,
                shutdown_timeout=_longest_call(settings),
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


def _allow_open_files() -> None:
    """Raise the limit of open files as far as this process may: a published port needs one or two."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _forever(name: str, work: Work) -> NoReturn:
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
