"""Each thing of a snapshot in the words of the command that would make it, for the user."""

import socket

from shim.net import sysctls
from shim.net.snapshot import (
    BOOT,
    FOREVER,
    MAIN_TABLE,
    Address,
    Forwarding,
    Neighbour,
    Pairs,
    Route,
    Rule,
    Traffic,
)

_SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
_PROTOCOLS = {0: "unspec", 1: "redirect", 2: "kernel", 3: "boot", 4: "static", 16: "dhcp"}
_TABLES = {253: "default", MAIN_TABLE: "main", 255: "local"}
_ROOTS = {0xFFFFFFFF: "root", 0xFFFFFFF1: "ingress", 0xFFFFFFF2: "ingress", 0xFFFFFFF3: "egress"}
_ETHERTYPES = {3: "all", 0x0800: "ip", 0x0806: "arp", 0x86DD: "ipv6"}
_STATES = {0x80: "permanent", 0x40: "static"}
_FORWARDING_FLAGS = {0x2: "self", 0x4: "master", 0x10: "extern_learn", 0x40: "sticky", 0x80: "router"}


def address(item: Address, link: str) -> str:
    """Such as `address 10.1.0.6/16 dev eth0 label eth0:1`."""
    return _joined(
        f"address {item.address}",
        item.peer and f"peer {item.peer}",
        item.broadcast and f"broadcast {item.broadcast}",
        f"dev {link}",
        item.label and f"label {item.label}",
        item.scope and f"scope {_SCOPES.get(item.scope, item.scope)}",
        *item.flags,
        item.metric and f"metric {item.metric}",
        item.valid != FOREVER and f"valid_lft {item.valid}",
        item.preferred != FOREVER and f"preferred_lft {item.preferred}",
    )


def route(item: Route) -> str:
    """Such as `route 10.9.0.0/16 via 10.1.0.1 table 100`."""
    is_clear = item.gateway and "onlink" not in item.flags and not item.gateway.startswith("fe80:")
    return _joined(
        "route",
        item.type != "unicast" and item.type,
        "default" if item.destination == "0.0.0.0/0" else item.destination,
        item.gateway and f"via {item.gateway}",
        item.link and not is_clear and f"dev {item.link}",
        item.table != MAIN_TABLE and f"table {_TABLES.get(item.table, item.table)}",
        item.protocol != BOOT and f"proto {_PROTOCOLS.get(item.protocol, item.protocol)}",
        item.scope is not None and f"scope {_SCOPES.get(item.scope, item.scope)}",
        item.source and f"src {item.source}",
        item.metric and f"metric {item.metric}",
        *item.flags,
        _pairs(item.metrics),
        _pairs(item.more),
        item.encap and "encap",
        *(
            _joined(
                "nexthop",
                hop.gateway and f"via {hop.gateway}",
                hop.link and not hop.gateway and f"dev {hop.link}",
                f"weight {hop.weight}",
                *hop.flags,
                hop.encap and "encap",
            )
            for hop in item.hops
        ),
    )


def rule(item: Rule) -> str:
    """Such as `rule from 10.1.0.5 lookup 100`."""
    return _joined(
        "rule",
        item.negated and "not",
        f"from {_host(item.source) or ('all' if item.family == 4 else '::/0')}",  # noqa: PLR2004 - IPv4
        item.destination and f"to {_host(item.destination)}",
        item.iif and f"iif {item.iif}",
        item.oif and f"oif {item.oif}",
        _pairs(tuple((word, _range(value)) for word, value in item.more)),
        item.action != "goto" and item.action,
        item.table and f"{_TABLES.get(item.table, item.table)}",
        f"priority {item.priority}",
    )


def neighbour(item: Neighbour) -> str:
    """Such as `neighbour 10.1.0.9 lladdr 02:00:00:00:00:09 dev eth0`, or `neighbour proxy 10.1.0.9`."""
    return _joined(
        "neighbour",
        item.proxy and "proxy",
        item.address,
        item.mac and f"lladdr {item.mac}",
        item.link and f"dev {item.link}",
        item.router and "router",
        item.protocol and f"proto {_PROTOCOLS.get(item.protocol, item.protocol)}",
    )


def forwarding(item: Forwarding) -> str:
    """Such as `fdb 02:00:00:00:00:09 dev vxlan0 dst 10.1.0.9 self permanent`."""
    return _joined(
        f"fdb {item.mac} dev {item.link}",
        item.destination and f"dst {item.destination}",
        item.via and f"via {item.via}",
        _pairs(item.more),
        *(word for bit, word in _FORWARDING_FLAGS.items() if item.flags & bit),
        *(word for bit, word in _STATES.items() if item.state & bit),
    )


def sysctl(path: str, value: str) -> str:
    """Such as `sysctl net.ipv4.conf.eth0.arp_notify = 1`; as `sysctl` has it, a dot in a name is a slash."""
    link = sysctls.link_of(path)
    dotted = ".".join(part.replace(".", "/") if part == link else part for part in path.split("/"))
    return f"sysctl net.{dotted} = {' '.join(value.split())}"


def traffic(item: Traffic) -> str:
    """Such as `qdisc tbf 8001: root dev eth0`."""
    above = _ROOTS.get(item.parent) or f"parent {_handle(item.parent)}"
    if item.what != "filter":
        return f"{item.what} {item.kind} {_handle(item.handle)} {above} dev {item.link}"
    number = socket.ntohs(item.info & 0xFFFF)
    protocol = f"protocol {_ETHERTYPES.get(number, hex(number))} pref {item.info >> 16}"
    return f"filter {item.kind} dev {item.link} {above} {protocol} handle {item.handle:#x}"


def _handle(number: int) -> str:
    minor = number & 0xFFFF
    return f"{number >> 16:x}:{minor:x}" if minor else f"{number >> 16:x}:"


def _host(network: str) -> str:
    """A network of one address, as that address."""
    return network.removesuffix("/128" if ":" in network else "/32")


def _pairs(items: Pairs) -> str:
    return " ".join(f"{name} {value}" for name, value in items)


def _range(value: int | str) -> int | str:
    """A range of one number, as that number."""
    first, _, last = str(value).partition("-")
    return first if first == last else value


def _joined(*parts: str | int | bool) -> str:
    return " ".join(str(part) for part in parts if part)
