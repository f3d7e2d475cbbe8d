"""Reads everything that a snapshot holds, in the network namespace of the calling thread."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from shim.net import devices, fresh, neighbours, netfilter, routes, rules, sysctls, traffic
from shim.net.devices import Device
from shim.net.netlink import Netlink
from shim.net.snapshot import MAIN_TABLE, Link, Route, Snapshot


@dataclass(frozen=True, slots=True)
class Read:
    """A snapshot, with the numbers of the links in it."""

    snapshot: Snapshot
    indexes: dict[str, int]


def links(sockets: Netlink) -> tuple[Link, ...]:
    """The links, but for the loopback one. May raise `OSError`."""
    found = {index: item for index, item in devices.devices(sockets).items() if not item.is_loopback}
    return tuple(devices.links(sockets, found).values())


def outline(sockets: Netlink) -> Snapshot:
    """The links, and the routes by them: quickly, however much else there is. May raise `OSError`."""
    return _outline(sockets, devices.devices(sockets))


def read(sockets: Netlink) -> Snapshot:
    """All there is, but for what `completed` adds. May raise `OSError`."""
    usual = fresh.namespace()
    found = devices.devices(sockets)
    snapshot = _by_netlink(sockets, found)
    return replace(
        snapshot,
        rules=tuple(rule for rule in snapshot.rules if rule not in usual.rules),
        sysctls=tuple(sysctls.of_links(sockets, found.values(), usual.sysctls).items()),
    )


def completed(snapshot: Snapshot) -> Snapshot:
    """The snapshot with what is the namespace's own and outlives its links. May raise `OSError`."""
    found = dict(snapshot.sysctls) | sysctls.of_namespace(fresh.namespace().sysctls)
    rules_made, unread = netfilter.netfilter()
    return replace(snapshot, sysctls=_changed(found), netfilter=rules_made, unread=unread)


def read_beside(sockets: Netlink, wanted: Snapshot) -> Read:
    """What there is to compare `wanted` with, but for sysctls. May raise `OSError`.

    A sandbox nearly always has netfilter rules, the engine's for its DNS, so they are not read in vain.
    """
    found = devices.devices(sockets)
    snapshot = _by_netlink(sockets, found)
    if wanted.netfilter:
        snapshot = replace(snapshot, netfilter=netfilter.netfilter()[0])
    return Read(snapshot, {device.name: index for index, device in found.items()})


def _by_netlink(sockets: Netlink, found: Mapping[int, Device]) -> Snapshot:
    snapshot = _outline(sockets, found)
    names = {index: device.name for index, device in found.items()}
    own = {link.mac for link in snapshot.links}
    return replace(
        snapshot,
        rules=tuple(rules.rules(sockets)),
        neighbours=tuple(neighbours.neighbours(sockets, names)),
        forwarding=tuple(neighbours.forwarding(sockets, names, own)),
        traffic=tuple(traffic.traffic(sockets, names)),
    )


def _outline(sockets: Netlink, found: Mapping[int, Device]) -> Snapshot:
    links = devices.links(sockets, found)
    loopback = next((links.pop(index) for index, device in found.items() if device.is_loopback), None)
    ways = routes.routes(sockets, {index: device.name for index, device in found.items()})
    names = {link.name for link in links.values()}
    return Snapshot(
        links=tuple(links.values()),
        routes=tuple(route for route in ways if _is_by_link(route, names)),
        loopback=None if loopback is None or devices.is_usual_loopback(loopback) else loopback,
        further_routes=tuple(route for route in ways if not (route.by_kernel or _is_by_link(route, names))),
    )


def _is_by_link(route: Route, names: set[str]) -> bool:
    """Whether an engine could take it along."""
    return (
        route.table == MAIN_TABLE
        and route.type == "unicast"
        and route.link in names
        and not route.destination.startswith(("fe80:", "ff00:"))
    )


def _changed(found: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Those that differ from a new namespace as it would be now, not only from the one that was kept.

    If only those of links differ, both are alike: links take theirs from the namespace.
    """
    usual = {} if all(sysctls.link_of(path) for path in found) else fresh.values(found)
    return tuple(sorted((path, value) for path, value in found.items() if value != usual.get(path)))
