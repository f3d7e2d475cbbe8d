"""Routes in the kernel's messages. Source: linux/rtnetlink.h."""

import base64
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_interface

from shim.net import netlink
from shim.net.devices import FAMILIES, VERSIONS
from shim.net.netlink import Netlink, attribute, attributes, nested
from shim.net.snapshot import MAIN_TABLE, Hop, Route

_NEW, _DELETE, _GET = 24, 25, 26
_HEADER = struct.Struct("=BBBBBBBBI")
"""rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type, flags."""
_HOP = struct.Struct("=HBBi")  # rtnexthop: length, flags, weight - 1, index
_CACHE = struct.Struct("=IIi")  # rta_cacheinfo: references, last use, expiry in hundredths of a second

_TO, _FROM, _OUT, _GATEWAY, _PRIORITY, _SOURCE, _METRICS, _HOPS = 1, 2, 4, 5, 6, 7, 8, 9
_REALM, _CACHED, _TABLE, _VIA, _PREFERENCE, _ENCAP_TYPE, _ENCAP, _EXPIRY = 11, 12, 15, 18, 20, 21, 22, 23

_CLONED = 0x200
_TYPES = {
    1: "unicast",
    2: "local",
    3: "broadcast",
    4: "anycast",
    5: "multicast",
    6: "blackhole",
    7: "unreachable",
    8: "prohibit",
    9: "throw",
}
_REFUSING = {"blackhole", "unreachable", "prohibit", "throw"}
_FLAGS = {"pervasive": 0x2, "onlink": 0x4}
_METRIC_NAMES = (
    "",
    "lock",
    "mtu",
    "window",
    "rtt",
    "rttvar",
    "ssthresh",
    "cwnd",
    "advmss",
    "reordering",
    "hoplimit",
    "initcwnd",
    "features",
    "rto_min",
    "initrwnd",
    "quickack",
    "congctl",
    "fastopen_no_cookie",
)
_PREFERENCES = {1: "high", 3: "low"}

_REDIRECT, _BY_KERNEL, _ADVERTISED = 1, 2, 9  # RTPROT_
_LINK_SCOPE, _HOST_SCOPE = 253, 254
_TABLES_OF_KERNEL = (MAIN_TABLE, 255)
_IPV6_METRIC = 1024
_IPV6 = 6


def routes(sockets: Netlink, names: Mapping[int, str]) -> list[Route]:
    """All routes but those that the kernel makes by itself, except for addresses (`by_kernel`)."""
    found = (_route(message, names) for message in sockets.dump(_GET, _HEADER.pack(*bytes(8), 0)))
    return [route for route in found if route]


def put(
    sockets: Netlink,
    route: Route,
    indexes: Mapping[str, int],
    *,
    instead: bool = False,
    behind: bool = False,
) -> None:
    """Set the route, or set it instead of the one to the same destination, or behind that.

    `indexes` are those of the links by name.
    """
    how = netlink.REPLACE if instead else netlink.APPEND if behind else netlink.EXCLUSIVE
    sockets.request(_NEW, _packed(route, indexes), netlink.CREATE | how)


def remove(sockets: Netlink, route: Route, indexes: Mapping[str, int]) -> None:
    """Remove the route; `indexes` are those of the links by name."""
    sockets.request(_DELETE, _packed(route, indexes))


def is_default(route: Route) -> bool:
    """Whether it is a default route of the main table."""
    return route.table == MAIN_TABLE and route.destination in {"0.0.0.0/0", "::/0"}


def _packed(route: Route, indexes: Mapping[str, int]) -> bytes:
    destination = ip_interface(route.destination)
    family = FAMILIES[destination.version]
    more = dict(route.more)
    source = ip_interface(str(more["from"])) if "from" in more else None
    header = _HEADER.pack(
        family,
        destination.network.prefixlen,
        source.network.prefixlen if source else 0,
        int(more.get("tos", 0)),
        route.table if route.table <= MAIN_TABLE + 1 else 0,
        route.protocol,
        _natural_scope(route) if route.scope is None else route.scope,
        _number(_TYPES, route.type),
        sum(_FLAGS[word] for word in route.flags),
    )
    body = [attribute(_TABLE, netlink.u32(route.table)), attribute(_TO, destination.packed)]
    if source:
        body.append(attribute(_FROM, source.packed))
    if route.link:
        body.append(attribute(_OUT, netlink.u32(indexes[route.link])))
    body.append(_through(route.gateway, destination.version))
    if route.metric:
        body.append(attribute(_PRIORITY, netlink.u32(route.metric)))
    if route.source:
        body.append(attribute(_SOURCE, ip_address(route.source).packed))
    if route.metrics:
        body.append(nested(_METRICS, *map(_packed_metric, route.metrics)))
    if route.hops:
        hops = (_packed_hop(hop, destination.version, indexes) for hop in route.hops)
        body.append(attribute(_HOPS, b"".join(hops)))
    if "realm" in more:
        body.append(attribute(_REALM, netlink.u32(int(more["realm"]))))
    if "pref" in more:
        body.append(attribute(_PREFERENCE, netlink.u8(_number(_PREFERENCES, str(more["pref"])))))
    if "expires" in more:
        body.append(attribute(_EXPIRY, netlink.u32(int(more["expires"]))))
    body.append(base64.b64decode(route.encap))
    return header + b"".join(body)


def _route(message: bytes, names: Mapping[int, str]) -> Route | None:
    """The route; None if it is not for a snapshot."""
    family, length, source_length, tos, table, protocol, scope, kind, flags = _HEADER.unpack_from(message)
    if family not in VERSIONS or flags & _CLONED or protocol in {_REDIRECT, _ADVERTISED}:
        return None
    items = attributes(message, _HEADER.size)
    table = netlink.number(items[_TABLE]) if _TABLE in items else table
    version = VERSIONS[family]
    nowhere = bytes(16 if version == _IPV6 else 4)
    destination = f"{ip_address(items.get(_TO, nowhere))}/{length}"
    link = names.get(netlink.number(items.get(_OUT, b"")), "")
    by_kernel = protocol == _BY_KERNEL and table in _TABLES_OF_KERNEL
    if by_kernel and (
        table != MAIN_TABLE or _TYPES.get(kind) != "unicast" or destination.startswith(("fe80:", "ff00:"))
    ):
        return None
    if by_kernel:
        return Route(destination, _gateway(items), link, by_kernel=True)
    route = Route(
        destination=destination,
        gateway=_gateway(items),
        link=link if _TYPES.get(kind) not in _REFUSING else "",
        by_kernel=False,
        table=table,
        type=_TYPES.get(kind, str(kind)),
        protocol=protocol,
        metric=_metric(items, version),
        source=str(ip_address(items[_SOURCE])) if _SOURCE in items else "",
        flags=_flags(flags),
        metrics=tuple(_metrics(items.get(_METRICS, b""))),
        hops=tuple(_hops(items.get(_HOPS, b""), names)),
        more=tuple(_more(items, tos, source_length)),
        encap=_encap(items),
    )
    if version != _IPV6 and scope != _natural_scope(route):
        return replace(route, scope=scope)
    return route


def _natural_scope(route: Route) -> int:
    """What `ip route` sets for IPv4 unless told otherwise."""
    if route.type == "local":
        return _HOST_SCOPE
    if route.type in {"broadcast", "multicast", "anycast"}:
        return _LINK_SCOPE
    is_direct = route.type == "unicast" and not route.gateway and not route.hops
    return _LINK_SCOPE if is_direct else 0


def _metric(items: netlink.Attributes, version: int) -> int:
    metric = netlink.number(items.get(_PRIORITY, b""))
    return 0 if version == _IPV6 and metric == _IPV6_METRIC else metric


def _gateway(items: netlink.Attributes) -> str:
    if _VIA in items:
        return str(ip_address(items[_VIA][2:]))  # behind the address family
    return str(ip_address(items[_GATEWAY])) if _GATEWAY in items else ""


def _through(gateway: str, version: int) -> bytes:
    if not gateway:
        return b""
    address = ip_address(gateway)
    if address.version == version:
        return attribute(_GATEWAY, address.packed)
    return attribute(_VIA, netlink.u16(FAMILIES[address.version]) + address.packed)


def _flags(flags: int) -> tuple[str, ...]:
    return tuple(word for word, bit in _FLAGS.items() if flags & bit)


def _metrics(value: bytes) -> Iterator[tuple[str, int | str]]:
    for number, item in netlink.pairs(value):
        if number < len(_METRIC_NAMES):
            name = _METRIC_NAMES[number]
            yield name, netlink.text(item) if name == "congctl" else netlink.number(item)


def _packed_metric(pair: tuple[str, int | str]) -> bytes:
    name, value = pair
    packed = netlink.from_text(value) if isinstance(value, str) else netlink.u32(value)
    return attribute(_METRIC_NAMES.index(name), packed)


def _hops(value: bytes, names: Mapping[int, str]) -> Iterator[Hop]:
    offset = 0
    while offset + _HOP.size <= len(value):
        length, flags, weight, index = _HOP.unpack_from(value, offset)
        items = attributes(value[offset + _HOP.size : offset + length])
        yield Hop(_gateway(items), names.get(index, ""), weight + 1, _flags(flags), _encap(items))
        offset += (length + 3) & ~3


def _packed_hop(hop: Hop, version: int, indexes: Mapping[str, int]) -> bytes:
    body = _through(hop.gateway, version) + base64.b64decode(hop.encap)
    flags = sum(_FLAGS[word] for word in hop.flags)
    return _HOP.pack(_HOP.size + len(body), flags, hop.weight - 1, indexes.get(hop.link, 0)) + body


def _more(items: netlink.Attributes, tos: int, source_length: int) -> Iterator[tuple[str, int | str]]:
    if source_length:
        yield "from", f"{ip_address(items[_FROM])}/{source_length}"
    if tos:
        yield "tos", tos
    if _REALM in items:
        yield "realm", netlink.number(items[_REALM])
    if preference := _PREFERENCES.get(netlink.number(items.get(_PREFERENCE, b""))):
        yield "pref", preference
    if _CACHED in items and (expires := _CACHE.unpack_from(items[_CACHED])[2]) > 0:
        yield "expires", expires // 100


def _encap(items: netlink.Attributes) -> str:
    if _ENCAP not in items:
        return ""
    kept = {_ENCAP_TYPE: items[_ENCAP_TYPE], _ENCAP: items[_ENCAP]}
    return base64.b64encode(netlink.packed(kept)).decode()


def _number(words: Mapping[int, str], word: str) -> int:
    return next((number for number, known in words.items() if known == word), 0) or int(word)
