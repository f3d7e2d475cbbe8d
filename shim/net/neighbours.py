"""Neighbours, proxy neighbours and forwarding databases in the kernel's messages.

Source: linux/neighbour.h.
"""

import struct
from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_address

from shim.net import netlink
from shim.net.devices import FAMILIES, VERSIONS
from shim.net.netlink import Netlink, attribute, attributes
from shim.net.snapshot import Forwarding, Neighbour

_NEW = 28
_GET = 30
_HEADER = struct.Struct("=BxxxiHBB")
"""ndmsg: family, index, state, flags, type."""
_BRIDGE = 7  # AF_BRIDGE

_ADDRESS, _MAC, _VIA, _PROTOCOL = 1, 2, 8, 12
_PERMANENT, _STATIC = 0x80, 0x40
_PROXY, _ROUTER = 0x8, 0x80
_EXTERNAL = 0x10
_MULTICAST = 0x1

_DETAILS = {"vlan": (5, "=H"), "port": (6, ">H"), "vni": (7, "=I"), "src_vni": (11, "=I")}


def neighbours(sockets: Netlink, names: Mapping[int, str]) -> Iterator[Neighbour]:
    """The permanent neighbours, and those that links answer for."""
    for asked in (0, _PROXY):
        for message in sockets.dump(_GET, _HEADER.pack(0, 0, 0, asked, 0)):
            family, index, state, flags, _ = _HEADER.unpack_from(message)
            if family not in VERSIONS or not (asked or state & _PERMANENT):
                continue
            items = attributes(message, _HEADER.size)
            yield Neighbour(
                link=names.get(index, ""),
                address=str(ip_address(items[_ADDRESS])),
                mac=items.get(_MAC, b"").hex(":"),
                proxy=bool(asked),
                router=bool(flags & _ROUTER) and not asked,
                protocol=netlink.number(items.get(_PROTOCOL, b"")),
            )


def put(sockets: Netlink, item: Neighbour, indexes: Mapping[str, int]) -> None:
    """Set the neighbour, also where the kernel has learned another for that address."""
    address = ip_address(item.address)
    header = _HEADER.pack(
        FAMILIES[address.version],
        indexes[item.link] if item.link else 0,
        _PERMANENT,
        (_PROXY if item.proxy else 0) | (_ROUTER if item.router else 0),
        0,
    )
    body = [attribute(_ADDRESS, address.packed)]
    if item.mac:
        body.append(attribute(_MAC, bytes.fromhex(item.mac.replace(":", ""))))
    if item.protocol:
        body.append(attribute(_PROTOCOL, netlink.u8(item.protocol)))
    sockets.request(_NEW, header + b"".join(body), netlink.CREATE | netlink.REPLACE)


def forwarding(sockets: Netlink, names: Mapping[int, str], own: Collection[str]) -> Iterator[Forwarding]:
    """The static entries that somebody made: not for groups, nor for the links' `own` MAC addresses."""
    for message in sockets.dump(_GET, _HEADER.pack(_BRIDGE, 0, 0, 0, 0)):
        _, index, state, flags, _ = _HEADER.unpack_from(message)
        items = attributes(message, _HEADER.size)
        mac = items.get(_MAC, b"")
        is_made = state & (_PERMANENT | _STATIC) or flags & _EXTERNAL
        if index not in names or not mac or not is_made or mac[0] & _MULTICAST or mac.hex(":") in own:
            continue
        yield Forwarding(
            link=names[index],
            mac=mac.hex(":"),
            state=state,
            flags=flags,
            destination=str(ip_address(items[_ADDRESS])) if _ADDRESS in items else "",
            via=names.get(netlink.number(items.get(_VIA, b"")), ""),
            more=tuple(
                (word, struct.unpack(layout, items[number])[0])
                for word, (number, layout) in _DETAILS.items()
                if number in items
            ),
        )


def put_forwarding(sockets: Netlink, item: Forwarding, indexes: Mapping[str, int]) -> None:
    """Set the entry, beside others of that MAC address where the link can have several."""
    body = [attribute(_MAC, bytes.fromhex(item.mac.replace(":", "")))]
    if item.destination:
        body.append(attribute(_ADDRESS, ip_address(item.destination).packed))
    if item.via:
        body.append(attribute(_VIA, netlink.u32(indexes[item.via])))
    for word, value in item.more:
        number, layout = _DETAILS[word]
        body.append(attribute(number, struct.pack(layout, value)))
    how = netlink.CREATE | (netlink.APPEND if item.destination else netlink.EXCLUSIVE)
    sockets.request(
        _NEW, _HEADER.pack(_BRIDGE, indexes[item.link], item.state, item.flags, 0) + b"".join(body), how
    )
