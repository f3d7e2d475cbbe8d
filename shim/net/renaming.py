"""A snapshot with the names that its links have elsewhere."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from shim.net import netfilter, routes, sysctls, words
from shim.net.snapshot import Route, Snapshot, Traffic

_T = TypeVar("_T")

Lost = tuple[tuple[str, str], ...]
"""What has no place there, and why."""


def renamed(snapshot: Snapshot, names: Mapping[str, str]) -> tuple[Snapshot, Lost]:
    """The snapshot with other names of links, but for what belongs to a link that is not among `names`.

    Rules keep the names of such links: the kernel lets them wait for one.
    """
    names = {"": "", "lo": "lo", **names}
    lost: list[tuple[str, str]] = []

    def kept(
        items: Iterable[_T],
        links: Callable[[_T], Collection[str]],
        rename: Callable[[_T], _T],
        said: Callable[[_T], str],
    ) -> tuple[_T, ...]:
        found = []
        for item in items:
            missing = [link for link in links(item) if link not in names]
            if missing:
                lost.append((said(item), f"its link {missing[0]} is not in the sandbox"))
            else:
                found.append(rename(item))
        return tuple(found)

    def of_sysctl(item: tuple[str, str]) -> tuple[str, str]:
        link = sysctls.link_of(item[0])
        return (item[0].replace(f"/{link}/", f"/{names[link]}/") if link else item[0], item[1])

    links = kept(
        snapshot.links,
        lambda item: (item.name, item.master),
        lambda item: replace(
            item,
            name=names[item.name],
            master=names[item.master],
            particular=tuple(
                replace(address, label=_label(address.label, item.name, names[item.name]))
                for address in item.particular
            ),
        ),
        lambda item: f"link {item.name}" + (f" master {item.master}" if item.master else ""),
    )
    return (
        Snapshot(
            links=links,
            routes=kept(snapshot.routes, _of_route, lambda item: _route(item, names), words.route),
            loopback=snapshot.loopback,
            further_routes=kept(
                snapshot.further_routes, _of_route, lambda item: _route(item, names), words.route
            ),
            rules=tuple(
                replace(rule, iif=names.get(rule.iif, rule.iif), oif=names.get(rule.oif, rule.oif))
                for rule in snapshot.rules
            ),
            neighbours=kept(
                snapshot.neighbours,
                lambda item: (item.link,),
                lambda item: replace(item, link=names[item.link]),
                words.neighbour,
            ),
            forwarding=kept(
                snapshot.forwarding,
                lambda item: (item.link, item.via),
                lambda item: replace(item, link=names[item.link], via=names[item.via]),
                words.forwarding,
            ),
            sysctls=kept(
                snapshot.sysctls,
                lambda item: (sysctls.link_of(item[0]),),
                of_sysctl,
                lambda item: words.sysctl(*item),
            ),
            traffic=kept(
                snapshot.traffic,
                _of_traffic,
                lambda item: replace(
                    item,
                    link=names[item.link],
                    targets=tuple((number, names[link]) for number, link in item.targets),
                ),
                words.traffic,
            ),
            netfilter=tuple(netfilter.renamed(item, names) for item in snapshot.netfilter),
            unread=snapshot.unread,
        ),
        tuple(lost),
    )


def only(snapshot: Snapshot, links: Collection[str]) -> Snapshot:
    """What belongs to those links, without default routes of the main table."""
    return Snapshot(
        links=tuple(item for item in snapshot.links if item.name in links),
        routes=tuple(
            item for item in snapshot.routes if {*_of_route(item)} <= {*links} and not routes.is_default(item)
        ),
        further_routes=tuple(
            item
            for item in snapshot.further_routes
            if _of_route(item) and {*_of_route(item)} <= {*links} and not routes.is_default(item)
        ),
        neighbours=tuple(item for item in snapshot.neighbours if item.link in links),
        forwarding=tuple(item for item in snapshot.forwarding if item.link in links),
        sysctls=tuple(item for item in snapshot.sysctls if sysctls.link_of(item[0]) in links),
        traffic=tuple(item for item in snapshot.traffic if {*_of_traffic(item)} <= {*links}),
    )


def _of_route(item: Route) -> tuple[str, ...]:
    return tuple(link for link in (item.link, *(hop.link for hop in item.hops)) if link)


def _route(item: Route, names: Mapping[str, str]) -> Route:
    hops = tuple(replace(hop, link=names[hop.link]) for hop in item.hops)
    return replace(item, link=names[item.link], hops=hops)


def _of_traffic(item: Traffic) -> tuple[str, ...]:
    return (item.link, *(link for _, link in item.targets))


def _label(label: str, old: str, new: str) -> str:
    """A label, which has to begin with the link's name."""
    return new + label.removeprefix(old) if label.startswith(old) else label
