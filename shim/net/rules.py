"""Rules of the routing policy in the kernel's messages. Source: linux/fib_rules.h."""

import struct
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface

from shim.net import netlink
from shim.net.devices import FAMILIES
from shim.net.netlink import Netlink, attribute, attributes
from shim.net.snapshot import Rule

_NEW = 32
_GET = 34
_HEADER = struct.Struct("=BBBBBBBBI")
"""fib_rule_hdr: family, lengths of destination and source, tos, table, two unused, action, flags."""

_TO, _FROM, _IIF, _PRIORITY, _TABLE, _OIF = 1, 2, 3, 6, 15, 17
_NEGATED = 0x2
_ACTIONS = {1: "lookup", 2: "goto", 3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
_ANY_TABLE = 256  # from here on, a table's number does not fit into the header

_CONDITIONS: dict[str, tuple[int, str]] = {
    "goto": (4, "=I"),
    "fwmark": (10, "=I"),
    "fwmask": (16, "=I"),
    "realms": (11, "=I"),
    "tun_id": (12, ">Q"),
    "suppress_ifgroup": (13, "=I"),
    "suppress_prefixlength": (14, "=I"),
    "l3mdev": (19, "=B"),
    "uidrange": (20, "=II"),
    "protocol": (21, "=B"),
    "ipproto": (22, "=B"),
    "sport": (23, "=HH"),
    "dport": (24, "=HH"),
    "dscp": (25, "=B"),
    "flowlabel": (26, ">I"),
    "flowlabel-mask": (27, ">I"),
    "sport-mask": (28, "=H"),
    "dport-mask": (29, "=H"),
    "dscp-mask": (30, "=B"),
}
"""The words of `ip rule`: the attribute of each, and how its number, or range of numbers, is packed."""

_NONE = 2**32 - 1
_UNLESS = {
    "fwmask": _NONE,
    "suppress_ifgroup": _NONE,
    "suppress_prefixlength": _NONE,
    "l3mdev": 0,
    "protocol": 0,
    "sport-mask": 2**16 - 1,
    "dport-mask": 2**16 - 1,
}
"""Values that say nothing."""


def rules(sockets: Netlink) -> list[Rule]:
    """The rules of both families, in the order of their priority."""
    return [
        _rule(message, version)
        for version, family in FAMILIES.items()
        for message in sockets.dump(_GET, _HEADER.pack(family, *bytes(7), 0))
    ]


def put(sockets: Netlink, rule: Rule) -> None:
    """Set the rule."""
    more = dict(rule.more)
    source, destination = (ip_interface(item) if item else None for item in (rule.source, rule.destination))
    header = _HEADER.pack(
        FAMILIES[rule.family],
        destination.network.prefixlen if destination else 0,
        source.network.prefixlen if source else 0,
        int(more.pop("tos", 0)),
        rule.table if rule.table < _ANY_TABLE else 0,
        0,
        0,
        next(number for number, word in _ACTIONS.items() if word == rule.action),
        _NEGATED if rule.negated else 0,
    )
    body = [attribute(_PRIORITY, netlink.u32(rule.priority))]
    if rule.table:
        body.append(attribute(_TABLE, netlink.u32(rule.table)))
    for kind, item in ((_FROM, source), (_TO, destination)):
        if item:
            body.append(attribute(kind, item.packed))
    for kind, name in ((_IIF, rule.iif), (_OIF, rule.oif)):
        if name:
            body.append(attribute(kind, netlink.from_text(name)))
    for word, value in more.items():
        number, layout = _CONDITIONS[word]
        numbers = [value] if isinstance(value, int) else [int(part) for part in value.split("-")]
        body.append(attribute(number, struct.pack(layout, *numbers)))
    sockets.request(_NEW, header + b"".join(body), netlink.CREATE | netlink.EXCLUSIVE)


def _rule(message: bytes, version: int) -> Rule:
    _, to_length, from_length, tos, table, _, _, action, flags = _HEADER.unpack_from(message)
    items = attributes(message, _HEADER.size)
    return Rule(
        family=version,
        priority=netlink.number(items.get(_PRIORITY, b"")),
        action=_ACTIONS.get(action, str(action)),
        table=netlink.number(items[_TABLE]) if _TABLE in items else table,
        source=_network(items.get(_FROM), from_length),
        destination=_network(items.get(_TO), to_length),
        iif=netlink.text(items.get(_IIF, b"")),
        oif=netlink.text(items.get(_OIF, b"")),
        negated=bool(flags & _NEGATED),
        more=tuple(_conditions(items, tos)),
    )


def _network(address: bytes | None, length: int) -> str:
    return f"{ip_address(address)}/{length}" if address else ""


def _conditions(items: netlink.Attributes, tos: int) -> Iterator[tuple[str, int | str]]:
    if tos:
        yield "tos", tos
    for word, (number, layout) in _CONDITIONS.items():
        if number in items:
            values = struct.unpack(layout, items[number])
            if values[0] != _UNLESS.get(word):
                yield word, values[0] if len(values) == 1 else "-".join(map(str, values))
