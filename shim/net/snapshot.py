"""What plugins made of a network namespace, as plain data: written at ADD, read at Join and at DEL.

What a new namespace has by itself is not noted, nor what the kernel makes by itself for what is noted (the
connected route of an address, say). Numbers without a word here are the kernel's: see rtnetlink(7).
"""

from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Self

from shim.model import JSONObject

FOREVER = 2**32 - 1
"""The lifetime of an address that does not end."""

MAIN_TABLE = 254
"""RT_TABLE_MAIN."""

BOOT = 3
"""RTPROT_BOOT: the protocol of routes that programs make unless they say another."""

Pairs = tuple[tuple[str, int | str], ...]
"""Names with values, in the kernel's order."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address with what is particular about it."""

    address: str
    """In CIDR form."""
    peer: str = ""
    """The other end's address in CIDR form, on a point-to-point link."""
    label: str = ""
    """Empty: the link's name."""
    scope: int = 0
    """0 is global."""
    broadcast: str = ""
    """Empty: the last address of the subnet, or none."""
    flags: tuple[str, ...] = ()
    """In the words of `ip address add`, such as `noprefixroute`."""
    valid: int = FOREVER
    """Seconds."""
    preferred: int = FOREVER
    """Seconds."""
    metric: int = 0
    """Of the connected route."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link and its addresses."""

    name: str
    mac: str
    """Lower case with colons; empty for a link without link-layer address."""
    mtu: int
    addresses: tuple[str, ...]
    """In CIDR form, in the kernel's order; without IPv6 link-local ones, which come by themselves."""
    particular: tuple[Address, ...] = ()
    """Those of `addresses` that have more to them, and link-local ones that did not come by themselves."""
    flags: tuple[str, ...] = ()
    """What differs from a new link that is up, in the words of `ip link set`: `promisc on`, `down`."""
    queue: int = 1000
    """Length of the transmit queue in packets."""
    alias: str = ""
    altnames: tuple[str, ...] = ()
    kind: str = "veth"
    """The kernel's word; empty for hardware."""
    data: str = ""
    """The settings of its kind, where it has to be made again in another namespace: attributes, in base64."""
    master: str = ""
    """The bridge it is a port of."""
    port: str = ""
    """Its settings as a port: attributes, in base64."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One next hop of a multipath route."""

    gateway: str
    link: str
    weight: int = 1
    flags: tuple[str, ...] = ()
    encap: str = ""
    """As that of a route."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route. The members after `by_kernel` are as programs set them unless told otherwise."""

    destination: str
    """In CIDR form; a default route is `0.0.0.0/0` or `::/0`."""
    gateway: str
    """Empty: the destination is on the link itself. It may be of the other address family."""
    link: str
    by_kernel: bool
    """Made by the kernel for an address, and again wherever that address is set."""
    table: int = MAIN_TABLE
    type: str = "unicast"
    """In the words of `ip route`, such as `blackhole`."""
    protocol: int = BOOT
    scope: int | None = None
    """None: link without a gateway, else global; IPv6 has no other."""
    metric: int = 0
    """0: the family's own, which is 1024 for IPv6."""
    source: str = ""
    """The address that packets are sent from."""
    flags: tuple[str, ...] = ()
    """In the words of `ip route`, such as `onlink`."""
    metrics: Pairs = ()
    """Such as `mtu` and `advmss`, in the words of `ip route`."""
    hops: tuple[Hop, ...] = ()
    """Of a multipath route, which has neither gateway nor link itself."""
    more: Pairs = ()
    """What else there is: `from`, `tos`, `realm`, `pref`."""
    encap: str = ""
    """Type and settings of an encapsulation: attributes, in base64."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the routing policy."""

    family: int
    """4 or 6."""
    priority: int
    action: str = "lookup"
    """In the words of `ip rule`."""
    table: int = 0
    source: str = ""
    """In CIDR form; empty: all."""
    destination: str = ""
    iif: str = ""
    oif: str = ""
    negated: bool = False
    more: Pairs = ()
    """Further conditions, in the words of `ip rule`."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A permanent neighbour, or one for which the link answers (proxy)."""

    link: str
    """Empty for a proxy on every link."""
    address: str
    mac: str = ""
    proxy: bool = False
    router: bool = False
    protocol: int = 0
    """What made it, by the numbers of routes; 0: unknown."""


@dataclass(frozen=True, slots=True)
class Forwarding:
    """A static entry of a forwarding database: a bridge's, or a link's own as vxlan and macvlan have."""

    link: str
    mac: str
    state: int
    flags: int
    destination: str = ""
    """The address of the tunnel's other end."""
    via: str = ""
    """The link that packets for `destination` leave by."""
    more: Pairs = ()
    """`vlan`, `port`, `vni`, in the words of `bridge fdb`."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """A queueing discipline, class or filter of a link."""

    what: str
    """`qdisc`, `class` or `filter`."""
    link: str
    kind: str
    handle: int
    parent: int
    info: int = 0
    """Priority and protocol of a filter, as the kernel packs them."""
    settings: str = ""
    """Attributes, in base64."""
    targets: tuple[tuple[int, str], ...] = ()
    """The links in `settings`: the number each has there, and its name."""


@dataclass(frozen=True, slots=True)
class Netfilter:
    """The rules that one tool manages."""

    tool: str
    """`nft`, or such as `iptables-legacy`."""
    rules: str
    """As the tool writes them and reads them."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What there is in a namespace."""

    links: tuple[Link, ...] = ()
    """All but the loopback one."""
    routes: tuple[Route, ...] = ()
    """Of the main table, and by one of the links: what an engine can take along."""
    loopback: Link | None = None
    """None: it is as in a new namespace, up or not."""
    further_routes: tuple[Route, ...] = ()
    """All others that the kernel did not make."""
    rules: tuple[Rule, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    forwarding: tuple[Forwarding, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    """Path below `/proc/sys/net`, and value."""
    traffic: tuple[Traffic, ...] = ()
    netfilter: tuple[Netfilter, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()
    """What is there and could not be read, and why."""

    def link(self, name: str) -> Link | None:
        """The link of that name."""
        return next((link for link in self.links if link.name == name), None)

    def of_links(self, names: Collection[str]) -> Self:
        """The part of it that is these links, and their routes in the main table."""
        return type(self)(
            links=tuple(link for link in self.links if link.name in names),
            routes=tuple(route for route in self.routes if route.link in names),
        )

    def to_json(self) -> dict[str, Any]:
        """Write it for the journal, without the members that have their default value."""
        return _written(self) | {"links": _plain(self.links), "routes": _plain(self.routes)}

    @classmethod
    def from_json(cls, value: JSONObject) -> Self:
        """Read what `to_json` wrote, also what it wrote when a snapshot was only links and routes."""
        return cls(**{name: _read(name, item) for name, item in value.items()})


_MEMBERS: Mapping[str, type[Any]] = {
    "links": Link,
    "loopback": Link,
    "particular": Address,
    "routes": Route,
    "further_routes": Route,
    "hops": Hop,
    "rules": Rule,
    "neighbours": Neighbour,
    "forwarding": Forwarding,
    "traffic": Traffic,
    "netfilter": Netfilter,
}
"""The class of what is in each member, where that is not plain already."""


def _written(item: Any) -> dict[str, Any]:
    return {
        field.name: _plain(value)
        for field in fields(item)
        if (value := getattr(item, field.name)) != field.default or field.default is MISSING
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return _written(value) if hasattr(value, "__dataclass_fields__") else value


def _read(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_read(name, item) for item in value)
    if isinstance(value, dict):
        return _MEMBERS[name](**{key: _read(key, item) for key, item in value.items()})
    return value
