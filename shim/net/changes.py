"""Changes of mounts and links, as the kernel tells of them: to wait for one is not to look all the time.

A look at a namespace takes a millisecond of a processor, and the engine needs that processor while it makes
the container that is waited for.
"""

import asyncio
import select
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shim.net.thread import inside

Changed = Callable[[], Awaitable[None]]
"""Waits until something may have changed since it was last called."""

_AT_MOST = 0.05
"""Seconds until something may have changed untold: the kernel drops messages that it has no room for."""

_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""RTMGRP_LINK, and those of addresses and routes of both families. Source: linux/rtnetlink.h."""
_LONGEST = 1 << 16


@contextmanager
def of_mounts() -> Iterator[Changed]:
    """Of this process's mounts. Source: proc(5), on `/proc/PID/mounts`."""
    with Path("/proc/self/mountinfo").open() as table, select.epoll() as changes:
        changes.register(table, select.EPOLLPRI)  # of its own: the loop would also hear that it can be read
        with _told(changes.fileno(), lambda: changes.poll(0)) as changed:
            yield changed


@contextmanager
def of_links(listener: socket.socket) -> Iterator[Changed]:
    """Of the links, addresses and routes that `listener` listens for."""
    with _told(listener.fileno(), lambda: listener.recv(_LONGEST)) as changed:
        yield changed


def listener(namespace: Path) -> socket.socket:
    """A socket that is told of changes of links, addresses and routes in `namespace`. May raise `OSError`."""
    return inside(namespace, _listener)


def _listener() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    listener = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
    listener.bind((0, _GROUPS))
    return listener


@contextmanager
def _told(descriptor: int, take: Callable[[], object]) -> Iterator[Changed]:
    """Of what makes the descriptor readable, until `take` has taken it."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hear() -> None:
        told.set()
        with suppress(OSError):  # such as that messages were dropped
            take()

    async def changed() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_AT_MOST):
                await told.wait()
        told.clear()

    loop.add_reader(descriptor, hear)
    try:
        yield changed
    finally:
        loop.remove_reader(descriptor)
