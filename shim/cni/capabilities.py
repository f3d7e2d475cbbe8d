"""The arguments of capabilities: that some plugin takes each, and that those of the conventions are in shape.

Source: CNI `CONVENTIONS.md`, "Dynamic Plugin specific fields (Capabilities / Runtime Configuration)". Where
plugins take more than it writes, so does this: `hostIP` is optional, and `aliases` may be lists by network.
"""

import ipaddress
import re
from collections.abc import Callable

from shim.cni.conf import NetworkConfigList
from shim.cni.errors import ConfError
from shim.cni.members import Members
from shim.model import JSONObject

_LAST_PORT = 65535
_PROTOCOLS = {"tcp", "udp", "sctp"}
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")
_GUID = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){7}")
_PAIRS = (("ingressRate", "ingressBurst"), ("egressRate", "egressBurst"))


def check(args: JSONObject, conf: NetworkConfigList) -> None:
    """Check the arguments for a network, by capability.

    Raises `ConfError` for one that is out of shape, and for one that no plugin of the chain declares: it
    would be dropped in silence.
    """
    for capability in args:
        if capability not in conf.capabilities:
            raise ConfError(
                f'network "{conf.name}": no plugin of the chain takes the capability "{capability}"',
                cure=f'give a plugin that can "capabilities": {{"{capability}": true}}, or leave it out',
            )
        if capability in _SHAPES:
            where = f'network "{conf.name}": capability arguments'
            _SHAPES[capability](Members(dict(args), where, ConfError), capability)


def _port_mappings(args: Members, key: str) -> None:
    for mapping in args.objects(key):
        for port in ("hostPort", "containerPort"):
            if not 0 < (mapping.number(port) or 0) <= _LAST_PORT:
                mapping.refuse(port, f"a port from 1 to {_LAST_PORT}")
        if mapping.text("protocol").lower() not in _PROTOCOLS:
            mapping.refuse("protocol", "tcp, udp or sctp")
        _check_address(mapping, "hostIP")


def _ip_ranges(args: Members, key: str) -> None:
    sets = args.all[key]
    if not isinstance(sets, list):
        args.refuse(key, "a list of lists of ranges")
    by_place = Members({f"{key}[{index}]": item for index, item in enumerate(sets)}, "capability", ConfError)
    for place in by_place.all:
        for part in by_place.objects(place):
            if not _is_subnet(part.text("subnet")):
                part.refuse("subnet", "a subnet with prefix length")
            for address in ("rangeStart", "rangeEnd", "gateway"):
                _check_address(part, address)


def _ips(args: Members, key: str) -> None:
    if not all(_is(ipaddress.ip_interface, item) for item in args.texts(key)):
        args.refuse(key, "a list of addresses, with or without prefix length")


def _bandwidth(args: Members, key: str) -> None:
    limits = args.object(key)
    for pair in _PAIRS:
        rate, burst = (limits.number(member) or 0 for member in pair)
        if min(rate, burst) < 0 or bool(rate) != bool(burst):
            limits.refuse(pair[bool(rate)], f"{pair[0]} and {pair[1]} together, each above 0")


def _dns(args: Members, key: str) -> None:
    dns = args.object(key)
    for member in ("servers", "searches", "options"):
        dns.texts(member)


def _aliases(args: Members, key: str) -> None:
    if isinstance(args.all[key], dict):
        by_network = args.object(key)
        for network in by_network.all:
            by_network.texts(network)
    else:
        args.texts(key)


def _matching(pattern: re.Pattern[str], expected: str) -> Callable[[Members, str], None]:
    def check_text(args: Members, key: str) -> None:
        if not pattern.fullmatch(args.text(key)):
            args.refuse(key, expected)

    return check_text


_SHAPES: dict[str, Callable[[Members, str], None]] = {
    "portMappings": _port_mappings,
    "ipRanges": _ip_ranges,
    "ips": _ips,
    "mac": _matching(_MAC, "a MAC address, as 0a:00:00:00:00:01"),
    "bandwidth": _bandwidth,
    "dns": _dns,
    "infinibandGUID": _matching(_GUID, "eight bytes, as c2:11:22:33:44:55:66:77"),
    "deviceID": _matching(re.compile(r"\S+"), "the ID of a device, as 0000:04:00.5"),
    "aliases": _aliases,
    "cgroupPath": _matching(re.compile(r"/.*"), "an absolute path"),
}


def _check_address(members: Members, key: str) -> None:
    address = members.text(key)
    if address and not _is(ipaddress.ip_address, address):
        members.refuse(key, "an address")


def _is_subnet(text: str) -> bool:
    return "/" in text and _is(ipaddress.ip_interface, text)


def _is(kind: Callable[[str], object], text: str) -> bool:
    try:
        return bool(kind(text))
    except ValueError:
        return False
