"""Links: seen, moved between namespaces, put back as they were, and stood in for."""

import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_interface
from pathlib import Path
from typing import TypeVar

from pyroute2 import IPRoute

from shim.net import changes, devices, fresh, reading, routes
from shim.net.changes import Changed
from shim.net.namespaces import is_namespace
from shim.net.netlink import Netlink
from shim.net.snapshot import Link, Route, Snapshot
from shim.net.thread import NetlinkThread, inside, open_descriptor

_T = TypeVar("_T")

_HOST = Path("/proc/self/ns/net")


class Links:
    """Links in any namespace; None is the host's. Every call may raise `KernelError`."""

    def __init__(self, thread: NetlinkThread) -> None:
        self._thread = thread

    async def snapshot(self, namespace: Path) -> Snapshot:
        """Everything in the namespace, but for what is its own; `completed` adds that."""

        def read() -> Snapshot:
            with Netlink() as sockets:
                return reading.read(sockets)

        return await self._within(f"read the links of {_shown(namespace)}", namespace, read)

    async def completed(self, namespace: Path, snapshot: Snapshot) -> Snapshot:
        """The snapshot with the namespace's own sysctls and netfilter rules; its links may be gone."""
        return await self._thread.run_beside(
            f"read the sysctls of {_shown(namespace)}",
            lambda: inside(namespace, lambda: reading.completed(snapshot)),
        )

    async def links(self, namespace: Path | None) -> tuple[Link, ...]:
        """The links alone, but for the loopback link."""

        def read() -> tuple[Link, ...]:
            with Netlink() as sockets:
                return reading.links(sockets)

        return await self._within(f"read the links of {_shown(namespace)}", namespace, read)

    async def outline(self, namespace: Path | None) -> Snapshot:
        """The links and the routes alone, in a fraction of the time."""

        def read() -> Snapshot:
            with Netlink() as sockets:
                return reading.outline(sockets)

        return await self._within(f"read the links of {_shown(namespace)}", namespace, read)

    async def prepare(self) -> None:
        """Look at what a new namespace has, so that the first snapshot need not."""
        await self._thread.run("look at a new network namespace", fresh.namespace)

    async def appeared(self, namespace: Path) -> None:
        """Wait until there is a namespace at that path."""
        with changes.of_mounts() as changed:
            while not is_namespace(namespace):
                await changed()

    @asynccontextmanager
    async def watch(self, namespace: Path) -> AsyncIterator[Changed]:
        """What waits for changes of the namespace's links, addresses and routes, within the block."""
        with (
            await self._thread.run(
                f"listen for changes in {_shown(namespace)}", lambda: changes.listener(namespace)
            ) as listener,
            changes.of_links(listener) as changed,
        ):
            yield changed

    async def find(self, namespace: Path | None, wanted: Link) -> Link | None:
        """The link that was `wanted` before it was moved and renamed, known by its MAC address.

        Where several links bear that MAC address, the one with an address of `wanted` is meant, or the
        one with its name; so is a link without MAC address.
        """
        return _same(wanted, await self.links(namespace))

    async def remove_routes(self, namespace: Path, items: Sequence[Route]) -> None:
        """Remove routes of the main table."""

        def remove() -> None:
            with Netlink() as sockets:
                for item in items:
                    routes.remove(sockets, item, {item.link: _index(item.link)})

        await self._within(f"remove routes in {_shown(namespace)}", namespace, remove)

    async def exists(self, namespace: Path | None, name: str) -> bool:
        """Whether the namespace has a link of that name."""
        return await self._run(
            f"look for {name} in {_shown(namespace)}",
            namespace,
            lambda route: bool(route.link_lookup(ifname=name)),
        )

    async def move(self, source: Path | None, name: str, target: Path | None, new_name: str) -> None:
        """Move a link into another namespace under a name that is free there.

        It arrives down and without its addresses. One request does both, so that a link of the old name
        in the target is no obstacle.
        """

        def move(route: IPRoute) -> None:
            with open_descriptor(target or _HOST) as namespace:
                route.link("set", index=_index(name), net_ns_fd=namespace, ifname=new_name)

        await self._run(f"move {name} from {_shown(source)} to {_shown(target)}", source, move)

    async def restore(self, namespace: Path, link: Link) -> None:
        """Bring the link of that name up again, with MAC address and addresses of `link`."""

        def restore() -> None:
            with Netlink() as sockets:
                if link.mac and devices.devices(sockets)[_index(link.name)].mac != link.mac:
                    devices.set_mac(sockets, _index(link.name), link.mac)
                _raise(sockets, link)

        await self._within(f"restore {link.name} in {_shown(namespace)}", namespace, restore)

    async def set_mac(self, namespace: Path, name: str, mac: str) -> None:
        """Give the link of that name that MAC address."""

        def set_mac() -> None:
            with Netlink() as sockets:
                devices.set_mac(sockets, _index(name), mac)

        await self._within(f"give {name} in {_shown(namespace)} MAC address {mac}", namespace, set_mac)

    async def add_altname(self, namespace: Path, name: str, altname: str) -> None:
        """Let a link be found by another name too, if not so already; before Linux 5.5 that is refused."""

        def add(sockets: Netlink) -> None:
            if _find(altname) != _index(name):
                devices.add_altname(sockets, _index(name), altname)

        await self._altname(namespace, altname, add)

    async def remove_altname(self, namespace: Path, name: str, altname: str) -> None:
        """Undo `add_altname`."""
        await self._altname(
            namespace, altname, lambda sockets: devices.remove_altname(sockets, _index(name), altname)
        )

    async def stand_in(self, namespace: Path, link: Link) -> None:
        """Make a link with name, MAC and addresses of one that is lost, so that DEL finds what it keys on."""

        def stand_in() -> None:
            with Netlink() as sockets:
                devices.make(sockets, Link(link.name, link.mac, link.mtu, ()), link.name)
                _raise(sockets, link)

        await self._within(f"stand in for {link.name} in {_shown(namespace)}", namespace, stand_in)

    async def _altname(self, namespace: Path, altname: str, change: Callable[[Netlink], None]) -> None:
        def work() -> None:
            with Netlink() as sockets:
                change(sockets)

        await self._within(f"use {altname} as a further name in {_shown(namespace)}", namespace, work)

    async def _run(self, what: str, namespace: Path | None, work: Callable[[IPRoute], _T]) -> _T:
        def with_socket() -> _T:
            with IPRoute() as route:
                return work(route)

        return await self._within(what, namespace, with_socket)

    async def _within(self, what: str, namespace: Path | None, work: Callable[[], _T]) -> _T:
        if namespace is None:
            return await self._thread.run(what, work)
        return await self._thread.run(what, lambda: inside(namespace, work))


def _same(wanted: Link, links: Iterable[Link]) -> Link | None:
    alike = [link for link in links if link.mac == wanted.mac]
    if not wanted.mac and wanted.addresses:
        alike = [link for link in alike if _ips(link) & _ips(wanted)]
    elif not wanted.mac:
        alike = [link for link in alike if link.name == wanted.name]
    if len(alike) > 1:
        alike.sort(key=lambda link: (not _ips(link) & _ips(wanted), link.name != wanted.name))
    return alike[0] if alike else None


def _ips(link: Link) -> set[object]:
    """The addresses without their prefix lengths, which the engine may have changed."""
    return {ip_interface(address).ip for address in link.addresses}


def _index(name: str) -> int:
    """The number of the link of that name in the calling thread's namespace."""
    index = _find(name)
    if index is None:
        raise FileNotFoundError(f"there is no link {name}")
    return index


def _find(name: str) -> int | None:
    """The same; None when there is none. Further names count too."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def _raise(sockets: Netlink, link: Link) -> None:
    """Bring the link of that name up, with its addresses."""
    index = _index(link.name)
    devices.set_up(sockets, index)
    for address in devices.all_addresses(link):
        devices.add_address(sockets, index, link.name, address, instead=True)


def _shown(namespace: Path | None) -> str:
    return str(namespace) if namespace else "the host's namespace"
