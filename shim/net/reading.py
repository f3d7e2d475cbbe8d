"""Reads everything that a snapshot holds, in the network namespace of the calling thread."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from shim.net import devices, fresh, neighbours, netfilter, routes, rules, sysctls, traffic
from shim.net.devices import Device
from shim.net.netlink import Netlink
from shim.net.snapshot import MAIN_TABLE, Route, Snapshot


@dataclass(frozen=True, slots=True)
class Read:
    """A snapshot, with the numbers of the links in it."""

    snapshot: Snapshot
    indexes: dict[str, int]


def outline(sockets: Netlink) -> Snapshot:
    """The links, and the routes by them: quickly, however much else there is. May raise `OSError`."""
    return _outline(sockets, devices.devices(sockets))


def read(sockets: Netlink) -> Read:
    """All there is. May raise `OSError`."""
    usual = fresh.namespace()
    found = devices.devices(sockets)
    names = {index: device.name for index, device in found.items()}
    rules_made, unread = netfilter.netfilter()
    snapshot = _outline(sockets, found)
    return Read(
        replace(
            snapshot,
            rules=tuple(rule for rule in rules.rules(sockets) if rule not in usual.rules),
            neighbours=tuple(neighbours.neighbours(sockets, names)),
            forwarding=tuple(neighbours.forwarding(sockets, names, {link.mac for link in snapshot.links})),
            sysctls=_changed(sysctls.differing(sockets, found.values(), usual.sysctls)),
            traffic=tuple(traffic.traffic(sockets, names)),
            netfilter=rules_made,
            unread=unread,
        ),
        {name: index for index, name in names.items()},
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
