"""Links and their addresses in the kernel's messages. Sources: linux/if_link.h, linux/if_addr.h."""

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface

from shim.net import netlink
from shim.net.netlink import Netlink, attribute, attributes, nested
from shim.net.snapshot import FOREVER, Address, Link

FAMILIES = {4: 2, 6: 10}
"""AF_INET and AF_INET6 by version."""
VERSIONS = {2: 4, 10: 6}
_IPV6 = 6

_HEADER = struct.Struct("=BxHiII")
"""ifinfomsg: family, type, index, flags, and which flags to change."""
_NEW_LINK = 16
_GET_LINK = 18

UP = 0x1
_LOOPBACK = 0x8
_NO_ARP = 0x80
_FLAGS: Mapping[str, tuple[int, int]] = {
    "promisc on": (0x100, 0x100),
    "allmulticast on": (0x200, 0x200),
    "arp off": (_NO_ARP, _NO_ARP),
    "multicast off": (0x1000, 0),
    "down": (UP, 0),
}
"""The words of `ip link set`: the bit of each, and its value then."""

_MAC, _NAME, _MTU, _MASTER, _QUEUE, _INFO, _ALIAS, SETTINGS = 1, 3, 4, 10, 13, 18, 20, 26
_NAMESPACE = 28  # IFLA_NET_NS_FD
_FILTER = 29  # IFLA_EXT_MASK
_WITHOUT_STATISTICS = 8
_PROPERTIES, _ALTNAME = 52, 53
_NEW_PROPERTY = 108  # RTM_NEWLINKPROP
_DELETE_PROPERTY = 109  # RTM_DELLINKPROP
_KIND, _DATA, _PORT_KIND, _PORT = 1, 2, 4, 5  # within _INFO
_ETHERNET, _LOOPBACK_TYPE = 1, 772  # ARPHRD

MADE_AGAIN = {"bridge", "vrf"}
"""Kinds that cannot leave their namespace, but be made again in another."""
_BRIDGE_FINDINGS = {*range(10, 20), 47, 48}
"""Attributes of a bridge that are no settings: what it computes and counts, and its timers."""
_BRIDGE_VLANS = 7  # IFLA_BR_VLAN_FILTERING
_BRIDGE_OPTIONS = 46  # IFLA_BR_MULTI_BOOLOPT
_PORT_SETTINGS = {*range(2, 11), 12, 25, *range(27, 34), 37, 39, 40, 42, 43}
"""Attributes of a bridge's port that are settings."""

_ADDRESS_HEADER = struct.Struct("=BBBBI")
"""ifaddrmsg: family, prefix length, flags, scope, index."""
_NEW_ADDRESS = 20
_DELETE_ADDRESS = 21
_GET_ADDRESS = 22
_PEER, _LOCAL, _LABEL, _BROADCAST, _LIFETIMES, _ADDRESS_FLAGS, _METRIC, _ORIGIN = 1, 2, 3, 4, 6, 8, 9, 11
_CACHE = struct.Struct("=IIII")  # ifa_cacheinfo: preferred, valid, and when it was made and changed
_BY_KERNEL = (1, 2, 3)  # IFAPROT_KERNEL_LO, _RA, _LL
_TEMPORARY = 0x1
_STABLE = 0x800
ADDRESS_FLAGS = {
    "nodad": 0x2,
    "optimistic": 0x4,
    "home": 0x10,
    "mngtmpaddr": 0x100,
    "noprefixroute": 0x200,
    "autojoin": 0x400,
}
"""The words of `ip address add`, and their bits."""

_LOOPBACK_ADDRESSES = {"127.0.0.1/8", "::1/128"}
"""What the kernel gives the loopback link when it comes up."""
LOOPBACK_MTU = 65536
"""Of a new loopback link, in bytes."""
_POINT_TO_POINT_LENGTH = 31


@dataclass(frozen=True, slots=True)
class Device:
    """A link as the kernel describes it."""

    index: int
    type: int
    flags: int
    attributes: Mapping[int, bytes]

    @property
    def name(self) -> str:
        """Its name."""
        return netlink.text(self.attributes[_NAME])

    @property
    def mac(self) -> str:
        """Its MAC address, lower case with colons; empty for a link without."""
        return self.attributes.get(_MAC, b"").hex(":")

    @property
    def kind(self) -> str:
        """The kernel's word for its kind, empty for hardware."""
        return netlink.text(attributes(self.attributes.get(_INFO, b"")).get(_KIND, b""))

    @property
    def mtu(self) -> int:
        """The largest packet in bytes."""
        return netlink.number(self.attributes[_MTU])

    @property
    def is_loopback(self) -> bool:
        """Whether it is `lo`."""
        return bool(self.flags & _LOOPBACK)


def devices(sockets: Netlink) -> dict[int, Device]:
    """All links, by index."""
    wanted = _HEADER.pack(0, 0, 0, 0, 0) + attribute(_FILTER, netlink.u32(_WITHOUT_STATISTICS))
    found = {}
    for message in sockets.dump(_GET_LINK, wanted):
        _, kind, index, flags, _ = _HEADER.unpack_from(message)
        found[index] = Device(index, kind, flags, attributes(message, _HEADER.size))
    return found


def links(sockets: Netlink, found: Mapping[int, Device]) -> dict[int, Link]:
    """Those links with their addresses and all that is particular about them, by index."""
    addresses: dict[int, list[Address]] = {}
    for message in sockets.dump(_GET_ADDRESS, _ADDRESS_HEADER.pack(0, 0, 0, 0, 0)):
        *_, index = _ADDRESS_HEADER.unpack_from(message)
        if index in found and (address := _address(message, found[index])):
            addresses.setdefault(index, []).append(address)
    return {index: _link(device, found, addresses.get(index, ())) for index, device in found.items()}


def is_usual_loopback(link: Link) -> bool:
    """Whether the loopback link is as in a new namespace, up or not."""
    flags = tuple(flag for flag in link.flags if flag == "down")
    return link == Link(link.name, link.mac, LOOPBACK_MTU, (), flags=flags, kind="")


def all_addresses(link: Link) -> tuple[Address, ...]:
    """Every address of the link in full."""
    particular = {item.address: item for item in link.particular}
    plain = [particular.get(item, Address(item)) for item in link.addresses]
    return (*plain, *(item for item in link.particular if item.address not in link.addresses))


def change(sockets: Netlink, index: int, *attributes_: bytes, flags: int = 0, mask: int = 0) -> None:
    """Change a link: attributes, and its flags as far as `mask` says."""
    sockets.request(_NEW_LINK, _HEADER.pack(0, 0, index, flags, mask) + b"".join(attributes_))


def set_flag(sockets: Netlink, index: int, word: str) -> None:
    """Set what a word of `Link.flags` says."""
    bit, value = _FLAGS[word]
    change(sockets, index, flags=value, mask=bit)


def set_up(sockets: Netlink, index: int) -> None:
    """Bring the link up."""
    change(sockets, index, flags=UP, mask=UP)


def set_mac(sockets: Netlink, index: int, mac: str) -> None:
    """Set the MAC address."""
    change(sockets, index, attribute(_MAC, _octets(mac)))


def set_mtu(sockets: Netlink, index: int, mtu: int) -> None:
    """Set the largest packet, in bytes."""
    change(sockets, index, attribute(_MTU, netlink.u32(mtu)))


def set_queue(sockets: Netlink, index: int, packets: int) -> None:
    """Set the length of the transmit queue."""
    change(sockets, index, attribute(_QUEUE, netlink.u32(packets)))


def set_alias(sockets: Netlink, index: int, alias: str) -> None:
    """Set the alias."""
    change(sockets, index, attribute(_ALIAS, netlink.from_text(alias)))


def add_altname(sockets: Netlink, index: int, name: str) -> None:
    """Give the link a further name."""
    sockets.request(_NEW_PROPERTY, _named(index, name), netlink.CREATE | netlink.EXCLUSIVE)


def remove_altname(sockets: Netlink, index: int, name: str) -> None:
    """Take a further name from the link."""
    sockets.request(_DELETE_PROPERTY, _named(index, name))


def _named(index: int, name: str) -> bytes:
    properties = nested(_PROPERTIES, attribute(_ALTNAME, netlink.from_text(name)))
    return _HEADER.pack(0, 0, index, 0, 0) + properties


def move(sockets: Netlink, index: int, namespace: int, name: str) -> None:
    """Move the link to the namespace of that file descriptor, under that name."""
    change(
        sockets,
        index,
        attribute(_NAMESPACE, netlink.u32(namespace)),
        attribute(_NAME, netlink.from_text(name)),
    )


def make(sockets: Netlink, link: Link, name: str) -> None:
    """Make a link of that kind, MAC address and settings."""
    info = [attribute(_KIND, netlink.from_text(link.kind))]
    if link.data:
        info.append(nested(_DATA, base64.b64decode(link.data)))
    body = [attribute(_NAME, netlink.from_text(name)), nested(_INFO, *info)]
    if link.mac:
        body.append(attribute(_MAC, _octets(link.mac)))
    sockets.request(
        _NEW_LINK, _HEADER.pack(0, 0, 0, 0, 0) + b"".join(body), netlink.CREATE | netlink.EXCLUSIVE
    )


def enslave(sockets: Netlink, index: int, master: int, kind: str, port: str) -> None:
    """Make the link a port of `master`, with the settings of a port of that kind."""
    change(sockets, index, attribute(_MASTER, netlink.u32(master)))
    if port:
        info = nested(
            _INFO, attribute(_PORT_KIND, netlink.from_text(kind)), nested(_PORT, base64.b64decode(port))
        )
        change(sockets, index, info)


def add_address(sockets: Netlink, index: int, name: str, item: Address, *, instead: bool = False) -> None:
    """Give an address to the link of that index and name, or change it there."""
    interface = ip_interface(item.address)
    peer = ip_interface(item.peer or item.address)
    flags = sum(ADDRESS_FLAGS[word] for word in item.flags)
    body = [
        _ADDRESS_HEADER.pack(
            FAMILIES[interface.version], peer.network.prefixlen, flags & 0xFF, item.scope, index
        ),
        attribute(_LOCAL, interface.packed),
        attribute(_PEER, peer.packed),
        attribute(_ADDRESS_FLAGS, netlink.u32(flags)),
    ]
    if interface.version != _IPV6:  # which has neither labels nor broadcast
        body.append(attribute(_LABEL, netlink.from_text(item.label or name)))
        broadcast = ip_address(item.broadcast) if item.broadcast else interface.network.broadcast_address
        if item.broadcast or (not item.peer and interface.network.prefixlen < _POINT_TO_POINT_LENGTH):
            body.append(attribute(_BROADCAST, broadcast.packed))
    if (item.valid, item.preferred) != (FOREVER, FOREVER):
        body.append(attribute(_LIFETIMES, _CACHE.pack(item.preferred, item.valid, 0, 0)))
    if item.metric:
        body.append(attribute(_METRIC, netlink.u32(item.metric)))
    how = netlink.CREATE | (netlink.REPLACE if instead else netlink.EXCLUSIVE)
    sockets.request(_NEW_ADDRESS, b"".join(body), how)


def remove_address(sockets: Netlink, index: int, address: str) -> None:
    """Take an address, in CIDR form, from the link of that index."""
    interface = ip_interface(address)
    header = _ADDRESS_HEADER.pack(FAMILIES[interface.version], interface.network.prefixlen, 0, 0, index)
    sockets.request(_DELETE_ADDRESS, header + attribute(_LOCAL, interface.packed))


def _link(device: Device, found: Mapping[int, Device], addresses: Sequence[Address]) -> Link:
    items = device.attributes
    info = attributes(items.get(_INFO, b""))
    kind = netlink.text(info.get(_KIND, b""))
    master = found.get(netlink.number(items.get(_MASTER, b"")))
    port = {
        number: value
        for number, value in netlink.pairs(info.get(_PORT, b""))
        if number in _PORT_SETTINGS and master and master.kind == "bridge"
    }
    return Link(
        name=device.name,
        mac=device.mac,
        mtu=device.mtu,
        addresses=tuple(item.address for item in addresses if not _is_link_local(item.address)),
        particular=tuple(
            item for item in addresses if item != Address(item.address) or _is_link_local(item.address)
        ),
        flags=tuple(
            word
            for word, (bit, value) in _FLAGS.items()
            if device.flags & bit == value and not _is_natural(word, device.type)
        ),
        queue=netlink.number(items[_QUEUE]),
        alias=netlink.text(items.get(_ALIAS, b"")),
        altnames=tuple(
            netlink.text(value)
            for number, value in netlink.pairs(items.get(_PROPERTIES, b""))
            if number == _ALTNAME
        ),
        kind=kind,
        data=base64.b64encode(_settings(kind, info.get(_DATA, b""))).decode(),
        master=master.name if master else "",
        port=base64.b64encode(netlink.packed(port)).decode() if master else "",
    )


def _settings(kind: str, data: bytes) -> bytes:
    """The settings of a link that has to be made again, as kernels take them.

    They refuse to leave out what they cannot do.
    """
    if kind not in MADE_AGAIN:
        return b""
    items = attributes(data)
    if kind == "bridge":
        items = {number: value for number, value in items.items() if number not in _BRIDGE_FINDINGS}
        if not any(items.get(_BRIDGE_VLANS, b"")):
            items.pop(_BRIDGE_VLANS, None)
        if _BRIDGE_OPTIONS in items:
            switched_on = items[_BRIDGE_OPTIONS][:4]
            items[_BRIDGE_OPTIONS] = switched_on + switched_on  # the second says which ones to change
    return netlink.packed(items)


def _is_natural(word: str, kind: int) -> bool:
    """Whether links of that type are so by themselves: not all have anybody to resolve, or to reach."""
    return (word == "arp off" and kind not in {_ETHERNET, _LOOPBACK_TYPE}) or (
        word == "multicast off" and kind == _LOOPBACK_TYPE
    )


def _address(message: bytes, device: Device) -> Address | None:
    """The address; None if the kernel makes it by itself."""
    family, length, flags, scope, _ = _ADDRESS_HEADER.unpack_from(message)
    if family not in VERSIONS:
        return None
    items = attributes(message, _ADDRESS_HEADER.size)
    flags = netlink.number(items[_ADDRESS_FLAGS]) if _ADDRESS_FLAGS in items else flags
    peer = items.get(_PEER, b"")
    own = items.get(_LOCAL, peer)  # IFA_ADDRESS is the peer's on a point-to-point link
    address = ip_address(own)
    if device.is_loopback and f"{address}/{length}" in _LOOPBACK_ADDRESSES:
        return None
    origin = items.get(_ORIGIN, b"\0")[0]
    is_automatic = origin in _BY_KERNEL or flags & _STABLE or own == _from_mac(device.mac)
    if _is_link_local(f"{address}/{length}") and is_automatic:
        return None
    if address.version == _IPV6 and flags & _TEMPORARY:
        return None
    preferred, valid, *_ = _CACHE.unpack(items[_LIFETIMES]) if _LIFETIMES in items else (FOREVER, FOREVER)
    network = ip_interface((address, length)).network
    broadcast = ip_address(items[_BROADCAST]) if _BROADCAST in items else network.broadcast_address
    label = netlink.text(items.get(_LABEL, b""))
    return Address(
        address=f"{address}/{length}",
        peer=f"{ip_address(peer)}/{length}" if peer != own else "",
        label=label if label != device.name else "",
        scope=0 if address.version == _IPV6 else scope,  # that of IPv6 is in the address
        broadcast=str(broadcast) if _BROADCAST in items and broadcast != network.broadcast_address else "",
        flags=tuple(word for word, bit in ADDRESS_FLAGS.items() if flags & bit),
        valid=valid,
        preferred=preferred,
        metric=netlink.number(items.get(_METRIC, b"")),
    )


def _is_link_local(address: str) -> bool:
    ip = ip_interface(address).ip
    return ip.version == _IPV6 and ip.is_link_local


def _from_mac(mac: str) -> bytes:
    """The link-local address that the kernel makes of a MAC address. Source: RFC 4291, appendix A."""
    octets = _octets(mac)
    if len(octets) != 6:  # noqa: PLR2004
        return b""
    return b"\xfe\x80" + bytes(6) + bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]


def _octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
