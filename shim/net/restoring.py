"""What a snapshot has and a namespace lacks, kind by kind, and how each thing is put back.

All runs in the network namespace of the calling thread.
"""

import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import ip_interface, ip_network
from itertools import groupby

from shim.net import devices, fresh, neighbours, netfilter, netlink, routes, rules, sysctls, traffic, words
from shim.net.netfilter import ToolError
from shim.net.netlink import Netlink
from shim.net.reading import Read
from shim.net.snapshot import FOREVER, Address, Link, Route, Snapshot, Traffic

_STANDING_FLAGS = {"noprefixroute", "home", "mngtmpaddr", "autojoin"}
"""Flags of an address that matter after it is set."""
_IPV6 = 6
_MTU, _QUEUE = 1500, 1000
"""What is too common to speak of."""


@dataclass(frozen=True, slots=True)
class Lacking:
    """A thing that is not there, or several that are set at once."""

    words: tuple[str, ...]
    put: Callable[[], None]
    """Sets all, or nothing and raises `OSError` or `ToolError`."""
    parts: tuple["Lacking", ...] = ()
    """Of several things, each by itself: tried when they cannot be set at once."""


@dataclass(slots=True)
class Findings:
    """What there is of one kind."""

    carried: list[str] = field(default_factory=list)
    yielded: list[tuple[str, str]] = field(default_factory=list)
    lacking: list[Lacking] = field(default_factory=list)

    def note(self, words: str, put: Callable[[], None], *, there: bool) -> None:
        """A thing that is there, or that `put` sets."""
        if there:
            self.carried.append(words)
        else:
            self.lacking.append(Lacking((words,), put))

    def put(self) -> tuple[list[str], list[tuple[str, str]]]:
        """Set what is lacking: what succeeded, and what did not and why.

        Things need each other, and which one needs which the kernel knows best: so what it refuses is tried
        again as long as something else succeeds.
        """
        done: list[str] = []
        refused = [(item, "") for item in self.lacking]
        is_worth_it = True
        while is_worth_it and refused:
            waiting, refused = [item for item, _ in refused], []
            is_worth_it = False
            for item in waiting:
                try:
                    item.put()
                except (OSError, ToolError) as error:
                    why = netlink.reason(error)
                    refused += [(part, why) for part in item.parts] or [(item, why)]
                    is_worth_it = is_worth_it or bool(item.parts)
                else:
                    done += item.words
                    is_worth_it = True
        return done, [(word, why) for item, why in refused for word in item.words]


class Restoring:
    """A snapshot, with the names of the namespace, against what the namespace has."""

    def __init__(self, sockets: Netlink, wanted: Snapshot, there: Read, *, default_route: bool) -> None:
        self._sockets = sockets
        self._wanted = wanted
        self._there = there.snapshot
        self._indexes = there.indexes
        self._default_route = default_route
        self._ways = {_way(route) for route in (*wanted.routes, *wanted.further_routes)}

    def kinds(self) -> Sequence[Callable[[], Findings]]:
        """What looks for each kind, in the order in which they need each other."""
        return (
            self._links,
            self._sysctls,
            self._addresses,
            self._neighbours,
            self._routes,
            self._rules,
            self._traffic,
            self._netfilter,
        )

    def _pairs(self) -> Iterator[tuple[Link, Link]]:
        """Each link as it was and as it is."""
        for link in self._wanted.links:
            if current := self._there.link(link.name):
                yield link, current
        if self._wanted.loopback:
            usual = Link("lo", "", devices.LOOPBACK_MTU, (), kind="")
            yield self._wanted.loopback, self._there.loopback or usual

    def _links(self) -> Findings:
        findings = Findings()
        for link in self._wanted.links:
            findings.note(f"link {link.name}", _absent, there=self._there.link(link.name) is not None)
        for link, current in self._pairs():
            self._link(link, current, findings)
        return findings

    def _link(self, link: Link, current: Link, findings: Findings) -> None:
        sockets, index, said = self._sockets, self._indexes[link.name], f"link {link.name}"
        if link.master:
            put = partial(self._enslave, link)
            findings.note(f"{said} master {link.master}", put, there=current.master == link.master)
        if {link.mtu, current.mtu} != {_MTU}:
            put = partial(devices.set_mtu, sockets, index, link.mtu)
            findings.note(f"{said} mtu {link.mtu}", put, there=link.mtu == current.mtu)
        if {link.queue, current.queue} != {_QUEUE}:
            put = partial(devices.set_queue, sockets, index, link.queue)
            findings.note(f"{said} txqueuelen {link.queue}", put, there=link.queue == current.queue)
        if link.alias:
            put = partial(devices.set_alias, sockets, index, link.alias)
            findings.note(f"{said} alias {link.alias}", put, there=link.alias == current.alias)
        for name in link.altnames:
            put = partial(devices.add_altname, sockets, index, name)
            findings.note(f"{said} altname {name}", put, there=name in current.altnames)
        for flag in link.flags:
            if flag == "down" and flag not in current.flags:
                findings.yielded.append((f"{said} down", "the engine brings links up"))
                continue
            put = partial(devices.set_flag, sockets, index, flag)
            findings.note(f"{said} {flag}", put, there=flag in current.flags)
        if "down" in current.flags and "down" not in link.flags:
            findings.note(f"{said} up", partial(devices.set_up, sockets, index), there=False)

    def _enslave(self, link: Link) -> None:
        if link.master not in self._indexes:
            raise FileNotFoundError(errno.ENOENT, f"there is no link {link.master}")
        kind = next((item.kind for item in self._there.links if item.name == link.master), "")
        devices.enslave(self._sockets, self._indexes[link.name], self._indexes[link.master], kind, link.port)

    def _sysctls(self) -> Findings:
        """A value that is neither the snapshot's nor a new namespace's was set by somebody else since."""
        findings = Findings()
        current = {path: sysctls.read(path) for path, _ in self._wanted.sysctls}
        differing = [path for path, value in self._wanted.sysctls if not _alike(current[path], value)]
        usual = fresh.values(differing) if differing else {}
        # those of the namespace first: some set those of all its links
        for path, value in sorted(self._wanted.sysctls, key=lambda item: bool(sysctls.link_of(item[0]))):
            said, now = words.sysctl(path, value), current[path]
            if path in usual and now is not None and not self._is_usual(path, now, usual[path]):
                findings.yielded.append((said, f"it has been set to {now} since"))
            else:
                findings.note(said, partial(sysctls.write, path, value), there=path not in usual)
        return findings

    def _is_usual(self, path: str, value: str, usual: str | None) -> bool:
        """Whether the value is that of a new namespace, or a new link: there, IPv6 takes the link's MTU."""
        link = self._wanted.link(sysctls.link_of(path))
        if path.endswith("/mtu") and link:
            usual = str(link.mtu)
        return _alike(value, usual)

    def _addresses(self) -> Findings:
        findings = Findings()
        for link, current in self._pairs():
            there = {str(ip_interface(item.address).ip): item for item in devices.all_addresses(current)}
            for item in devices.all_addresses(link):
                self._address(link, item, there.get(str(ip_interface(item.address).ip)), findings)
        return findings

    def _address(self, link: Link, item: Address, current: Address | None, findings: Findings) -> None:
        said = words.address(item, link.name)
        add = partial(devices.add_address, self._sockets, self._indexes[link.name], link.name)
        bare = item if self._has_route(link, item) else _with_flag(item, "noprefixroute")
        if current is None:
            # That nobody else has it was found out when it was new, and until then it could not be used.
            is_ipv6 = ip_interface(item.address).version == _IPV6
            findings.note(said, partial(add, _with_flag(bare, "nodad") if is_ipv6 else bare), there=False)
        elif bare != item and _is_host(current.address) and not _is_host(item.address):
            findings.note(said, partial(self._lengthen, link, bare, current.address), there=False)
        elif _lasting(replace(current, address=item.address)) in {_lasting(item), _lasting(bare)}:
            findings.carried.append(said)
        elif _lasting(item) == _lasting(_changed(current, item)):
            findings.note(said, partial(add, item, instead=True), there=False)
        else:
            findings.yielded.append((said, _taken(words.address(current, link.name))))

    def _lengthen(self, link: Link, item: Address, host: str) -> None:
        """Set the address as it was instead of the host address that kept an engine from adding a route."""
        index = self._indexes[link.name]
        if ip_interface(host).version == _IPV6:  # which takes no second one that differs in its length alone
            devices.remove_address(self._sockets, index, host)
            devices.add_address(self._sockets, index, link.name, _with_flag(item, "nodad"))
        else:
            devices.add_address(self._sockets, index, link.name, item)
            devices.remove_address(self._sockets, index, host)

    def _has_route(self, link: Link, item: Address) -> bool:
        """Whether the address came with the route of its subnet, which plugins may remove."""
        interface = ip_interface(item.peer or item.address)
        is_host = _is_host(item.peer or item.address)
        if link.name == "lo" or link.master or is_host or interface.is_link_local:
            return True
        return any(
            route.by_kernel and route.link == link.name and ip_network(route.destination) == interface.network
            for route in self._wanted.routes
        )

    def _neighbours(self) -> Findings:
        findings = Findings()
        for item in self._wanted.neighbours:
            put = partial(neighbours.put, self._sockets, item, self._indexes)
            findings.note(words.neighbour(item), put, there=item in self._there.neighbours)
        for entry in self._wanted.forwarding:
            put = partial(neighbours.put_forwarding, self._sockets, entry, self._indexes)
            findings.note(words.forwarding(entry), put, there=entry in self._there.forwarding)
        return findings

    def _routes(self) -> Findings:
        findings = Findings()
        there = (*self._there.routes, *self._there.further_routes)
        for item in (*self._wanted.routes, *self._wanted.further_routes):
            if not item.by_kernel:
                self._route(item, there, findings)
        return findings

    def _route(self, item: Route, there: Sequence[Route], findings: Findings) -> None:
        said = words.route(item)
        alike = [route for route in there if _way(route) == _way(item)]
        current = min(alike, key=lambda route: route.metric != item.metric, default=None)
        if current and routes.is_default(item):  # which one is preferred is the engine's choice
            item = replace(item, metric=current.metric)
        rival = next((route for route in there if _place_of_route(route) == _place_of_route(item)), None)
        put = partial(routes.put, self._sockets, item, self._indexes)
        if current and current.metric == item.metric:
            is_same = replace(current, protocol=item.protocol) == item
            findings.note(said, partial(put, instead=True), there=is_same)
        elif routes.is_default(item) and not self._default_route:
            findings.yielded.append((said, "the engine decides where the default route leads"))
        elif rival and _way(rival) not in self._ways:
            findings.yielded.append((said, _taken(words.route(rival))))
        else:
            findings.note(said, partial(put, behind=rival is not None), there=False)

    def _rules(self) -> Findings:
        findings = Findings()
        for item in self._wanted.rules:
            put = partial(rules.put, self._sockets, item)
            findings.note(words.rule(item), put, there=item in self._there.rules)
        return findings

    def _traffic(self) -> Findings:
        findings = Findings()
        there = {_place(item) for item in self._there.traffic}
        for item in self._wanted.traffic:
            put = partial(traffic.put, self._sockets, item, self._indexes)
            findings.note(words.traffic(item), put, there=_place(item) in there)
        return findings

    def _netfilter(self) -> Findings:
        wanted = netfilter.commands(self._wanted.netfilter)
        lacking = netfilter.missing(wanted, netfilter.commands(self._there.netfilter))
        carried = netfilter.missing(wanted, lacking)
        findings = Findings(carried=[command.words for command in carried])
        for _, group in groupby(lacking, key=lambda command: (command.tool, command.table)):
            commands = list(group)
            findings.lacking.append(
                Lacking(
                    tuple(command.words for command in commands),
                    partial(netfilter.put, commands),
                    tuple(Lacking((one.words,), partial(netfilter.put, [one])) for one in commands),
                )
            )
        return findings


def _absent() -> None:
    raise FileNotFoundError(errno.ENOENT, "it is not in the sandbox")


def _taken(words_: str) -> str:
    return f"there is {words_} already"


def _alike(value: str | None, other: str | None) -> bool:
    return value is not None and other is not None and value.split() == other.split()


def _is_host(address: str) -> bool:
    interface = ip_interface(address)
    return interface.network.prefixlen == interface.max_prefixlen


def _lasting(item: Address) -> Address:
    """The address without what only matters while it is set, and with lifetimes that do not run."""
    return replace(
        item,
        flags=tuple(flag for flag in item.flags if flag in _STANDING_FLAGS),
        valid=_standing(item.valid),
        preferred=_standing(item.preferred),
    )


def _with_flag(item: Address, flag: str) -> Address:
    """The address with that flag, in the kernel's order of flags."""
    return replace(item, flags=tuple(word for word in devices.ADDRESS_FLAGS if word in (*item.flags, flag)))


def _standing(lifetime: int) -> int:
    return lifetime if lifetime == FOREVER else min(lifetime, 1)


def _changed(current: Address, wanted: Address) -> Address:
    """The address with all that the kernel can change of it."""
    changed = replace(current, metric=wanted.metric, valid=wanted.valid, preferred=wanted.preferred)
    if ip_interface(wanted.address).version == _IPV6:
        return replace(changed, flags=wanted.flags, peer=wanted.peer)
    return changed


def _way(route: Route) -> tuple[object, ...]:
    """Where a route leads, whatever else is said of it."""
    hops = tuple((hop.gateway, hop.link) for hop in route.hops)
    return route.destination, route.table, route.type, route.gateway, route.link, hops


def _place_of_route(route: Route) -> tuple[object, ...]:
    """What the kernel allows only once. The metric of a route that it made itself for IPv6 is another."""
    more = dict(route.more)
    own = route.by_kernel and ip_network(route.destination).version == _IPV6
    return route.destination, route.table, route.metric, more.get("tos", 0), more.get("from", ""), own


def _place(item: Traffic) -> tuple[object, ...]:
    """What the kernel allows only once; settings also hold what it has counted."""
    return item.what, item.link, item.kind, item.handle, item.parent, item.info
