"""Queueing disciplines, classes and filters in the kernel's messages.

Their settings are not taken apart: the kernel takes back what it shows, but for the numbers of links that
filters send packets to. Source: linux/pkt_sched.h, linux/pkt_cls.h.
"""

import base64
import struct
from collections.abc import Iterator, Mapping

from shim.net import netlink
from shim.net.netlink import Netlink, attribute, attributes
from shim.net.snapshot import Traffic

_HEADER = struct.Struct("=BxxxiIII")
"""tcmsg: family, index, handle, parent, info."""
_NEW = {"qdisc": 36, "class": 40, "filter": 44}
_GET = {"qdisc": 38, "class": 42, "filter": 46}

_KIND, _OPTIONS, _SIZES, _CHAIN, _INGRESS_BLOCK, _EGRESS_BLOCK = 1, 2, 8, 11, 13, 14
_KEPT = {_OPTIONS, _SIZES, _CHAIN, _INGRESS_BLOCK, _EGRESS_BLOCK}

_HOOKS = (0xFFFFFFF2, 0xFFFFFFF3)  # TC_H_MIN_INGRESS and _EGRESS of `clsact`

_ACTIONS = {"u32": 7, "fw": 4, "basic": 3, "flower": 3, "matchall": 2, "bpf": 1, "flow": 9, "cgroup": 1}
"""The attribute with the actions of each kind of filter."""
_FLAGS = {"u32": 11, "flower": 22, "matchall": 3, "bpf": 9}
"""The attribute with the flags of each kind of filter."""
_FINDINGS = 0x4 | 0x8  # whether hardware has the filter, which nobody may set
_WITH_CLASSES = {"htb", "hfsc", "drr", "qfq", "cbq", "atm"}
"""The disciplines whose classes are made one by one; others have them by themselves."""
_MIRRED_PARAMETERS = 2
_MIRRED_TARGET = slice(24, 28)
"""Where tc_mirred has the number of the link."""
_HTB_GLOBAL = 2
_U32_ROOT = 0x800
"""From here on, hash tables are those that the kernel makes itself. They have no node in their handle."""
_U32_NODE = 0xFFFFF


def traffic(sockets: Netlink, names: Mapping[int, str]) -> list[Traffic]:
    """All that does not come with a link by itself."""
    found = [item for item in _dumped(sockets, names, "qdisc", 0) if item.handle]
    indexes = {name: index for index, name in names.items()}
    for name in dict.fromkeys(item.link for item in found):
        classes = [
            item for item in _dumped(sockets, names, "class", indexes[name]) if item.kind in _WITH_CLASSES
        ]
        parents = [item.handle for item in found if item.link == name] + [item.handle for item in classes]
        if any(item.link == name and item.kind == "clsact" for item in found):
            parents += _HOOKS
        found += classes
        for parent in dict.fromkeys(parents):
            found += (
                item
                for item in _dumped(sockets, names, "filter", indexes[name], parent)
                if item.handle and not _is_by_kernel(item)
            )
    return list(dict.fromkeys(found))


def put(sockets: Netlink, item: Traffic, indexes: Mapping[str, int]) -> None:
    """Set it."""
    settings = dict(netlink.pairs(base64.b64decode(item.settings)))
    if item.targets:
        numbers = {number: indexes[name] for number, name in item.targets}
        settings[_OPTIONS] = _aimed(item.kind, settings[_OPTIONS], numbers)
    header = _HEADER.pack(0, indexes[item.link], item.handle, item.parent, item.info)
    body = attribute(_KIND, netlink.from_text(item.kind)) + netlink.packed(settings)
    sockets.request(_NEW[item.what], header + body, netlink.CREATE | netlink.EXCLUSIVE)


def _as_asked(kind: str, options: bytes) -> bytes:
    """Settings as the kernel wants them, where it shows them in another form."""
    if kind != "htb" and kind not in _FLAGS:
        return options
    items = attributes(options)
    if kind == "htb" and _HTB_GLOBAL in items:
        version = netlink.number(items[_HTB_GLOBAL][:4])
        items[_HTB_GLOBAL] = netlink.u32(version >> 16) + items[_HTB_GLOBAL][4:]
    if kind in _FLAGS and _FLAGS[kind] in items:
        flags = netlink.number(items[_FLAGS[kind]])
        items[_FLAGS[kind]] = netlink.u32(flags & ~_FINDINGS)
    return netlink.packed(items)


def _dumped(
    sockets: Netlink, names: Mapping[int, str], what: str, index: int, parent: int = 0
) -> Iterator[Traffic]:
    for message in sockets.dump(_GET[what], _HEADER.pack(0, index, 0, parent, 0)):
        _, number, handle, above, info = _HEADER.unpack_from(message)
        if number not in names:
            continue
        items = attributes(message, _HEADER.size)
        kind = netlink.text(items[_KIND])
        kept = {key: value for key, value in items.items() if key in _KEPT}
        if _OPTIONS in kept:
            kept[_OPTIONS] = _as_asked(kind, kept[_OPTIONS])
        yield Traffic(
            what=what,
            link=names[number],
            kind=kind,
            handle=handle,
            parent=above,
            info=info,
            settings=base64.b64encode(netlink.packed(kept)).decode(),
            targets=tuple(
                (target, names.get(target, ""))
                for target in dict.fromkeys(_targets(kind, items.get(_OPTIONS, b"")))
            ),
        )


def _is_by_kernel(item: Traffic) -> bool:
    return item.kind == "u32" and not item.handle & _U32_NODE and item.handle >> 20 >= _U32_ROOT


def _targets(kind: str, options: bytes) -> Iterator[int]:
    """The numbers of the links that the actions of a filter send packets to."""
    for action in attributes(attributes(options).get(_ACTIONS.get(kind, 0), b"")).values():
        settings = attributes(action)
        if netlink.text(settings.get(_KIND, b"")) == "mirred":
            parameters = attributes(settings[_OPTIONS])[_MIRRED_PARAMETERS]
            yield netlink.number(parameters[_MIRRED_TARGET])


def _aimed(kind: str, options: bytes, numbers: Mapping[int, int]) -> bytes:
    """The settings of a filter with other numbers of links."""

    def change(action: bytes) -> bytes:
        settings = attributes(action)
        if netlink.text(settings[_KIND]) != "mirred":
            return action
        inner = attributes(settings[_OPTIONS])
        parameters = bytearray(inner[_MIRRED_PARAMETERS])
        old = netlink.number(bytes(parameters[_MIRRED_TARGET]))
        parameters[_MIRRED_TARGET] = netlink.u32(numbers[old])
        inner[_MIRRED_PARAMETERS] = bytes(parameters)
        settings[_OPTIONS] = netlink.packed(inner)
        return netlink.packed(settings)

    items = attributes(options)
    actions = attributes(items[_ACTIONS[kind]])
    items[_ACTIONS[kind]] = netlink.packed({order: change(action) for order, action in actions.items()})
    return netlink.packed(items)
