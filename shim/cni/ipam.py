"""The IPAM plugin of a chain: run alone, asked for certain addresses, and replaced by its own answer.

A plugin that makes an interface runs the IPAM plugin which its `ipam` section names, with its own request on
stdin (specification 1.1.0, section 4). So a list of that one plugin, under the IPAM plugin's name, is the
IPAM plugin alone; and a chain whose section names a plugin that gives the answer is the chain after it.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

from shim.cni.conf import NetworkConfigList
from shim.cni.result import IP, Result
from shim.cni.versions import SUPPORTED
from shim.model import JSONObject

STATIC = "static"
"""The IPAM plugin that gives what its section says."""

SETTLED = "cnm-cni-settled"
"""The IPAM plugin, one of ours, that gives what its section says, as `static` does.

It is a shell script, which need not read the section (`environment`): at ADD and DEL together `static` takes
some 8 ms more of each `docker run`.
"""

DHCP = "dhcp"
"""The IPAM plugin that speaks through the link to its server, and has a daemon that renews the lease."""

OWN_PLUGINS = Path(__file__).with_name("plugins")
"""Where it is. Plugins look there last."""

_KNOW_IPS = {"host-local", STATIC}
"""IPAM plugins that read the capability `ips` though few conflists declare it."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet that an IPAM section gives addresses of."""

    network: str
    """In CIDR form."""
    gateway: str = ""
    """An address; empty when there is none."""
    first: str = ""
    """The first address given out; empty when the section does not say."""
    last: str = ""
    """The last one."""

    @property
    def version(self) -> int:
        """4 or 6."""
        return ip_network(self.network).version

    @property
    def prefix_length(self) -> int:
        """That of addresses in it."""
        return ip_network(self.network).prefixlen

    def holds(self, address: str) -> bool:
        """Whether the address (with or without prefix length) is in it."""
        return ip_interface(address).ip in ip_network(self.network)


def kind(conf: NetworkConfigList) -> str:
    """The IPAM plugin's type; empty when no plugin of the chain has one."""
    found = _delegating(conf)
    return "" if found is None else str(conf.plugins[found]["ipam"]["type"])


def subnets(conf: NetworkConfigList) -> tuple[Subnet, ...]:
    """The subnets that the IPAM section names, in its order.

    None when there is no such section, or one of a plugin whose section has another form than those of
    host-local, static and whereabouts. Parts that are out of shape are left to the plugin to refuse.
    """
    found = _delegating(conf)
    if found is None:
        return ()
    section = conf.plugins[found]["ipam"]
    try:
        return tuple(_SUBNETS.get(section["type"], lambda _section: ())(section))
    except (ValueError, TypeError, KeyError, AttributeError):
        return ()


def alone(conf: NetworkConfigList) -> NetworkConfigList:
    """The IPAM plugin as a chain of its own. There must be one (`kind`)."""
    plugin = conf.plugins[_delegating(conf) or 0]
    return replace(conf, plugins=({**plugin, "type": plugin["ipam"]["type"]},))


def asking_for(
    conf: NetworkConfigList, addresses: Sequence[str]
) -> tuple[NetworkConfigList, JSONObject, tuple[tuple[str, str], ...]]:
    """A chain, capability arguments and `CNI_ARGS` that ask its IPAM plugin for addresses (CIDR form).

    Without addresses nothing is asked. It is done by the capability `ips` where a plugin declares it or is
    known to read it, else by `IP=`; the result shows whether that was heard. There must be an IPAM plugin,
    unless `ips` is declared.
    """
    if not addresses:
        return conf, {}, ()
    found = _delegating(conf)
    if found is not None and kind(conf) == STATIC:
        chosen_ones = [dict(ip) for ip in chosen(conf, addresses, ()).raw["ips"]]
        # Asked by argument, it would forget the gateway.
        return _with_section(conf, found, {**conf.plugins[found]["ipam"], "addresses": chosen_ones}), {}, ()
    if "ips" in conf.capabilities:
        return conf, {"ips": list(addresses)}, ()
    if found is None or (len(addresses) == 1 and kind(conf) not in _KNOW_IPS):
        return conf, {}, (("IP", ",".join(addresses)),)
    plugin = conf.plugins[found]
    declared = {**plugin, "capabilities": {**(plugin.get("capabilities") or {}), "ips": True}}
    return _with_plugin(conf, found, declared), {"ips": list(addresses)}, ()


def settled(conf: NetworkConfigList, ips: Sequence[IP], answer: Result) -> NetworkConfigList:
    """The chain with an IPAM plugin's answer in its place: these of its addresses, and its routes and DNS.

    Without an address of its family, a route would lead nowhere, and is left out. A chain without IPAM
    plugin gets the addresses in its first plugin.
    """
    routes = answer.raw.get("routes") or [
        {"dst": route.dst} | ({"gw": route.gw} if route.gw else {}) for route in answer.routes
    ]
    of_ipv6 = {":" in ip.address for ip in ips}
    section: dict[str, Any] = {
        "type": SETTLED,
        "addresses": [
            {"address": ip.address} | ({"gateway": ip.gateway} if ip.gateway else {}) for ip in ips
        ],
        "routes": [route for route in routes if (":" in route["dst"]) in of_ipv6],
        "dns": answer.dns,
    }
    section = {key: value for key, value in section.items() if value}
    return _with_section(conf, _delegating(conf) or 0, section)


def is_settled(plugin: JSONObject) -> bool:
    """Whether a plugin of the chain gets its addresses as `settled` writes them."""
    section = plugin.get("ipam")
    return isinstance(section, dict) and section.get("type") == SETTLED


def environment(command: str, request: JSONObject, plugin_path: Sequence[Path]) -> dict[str, str]:
    """What a plugin's environment says for a settled IPAM plugin: where it is, and for ADD the answer."""
    if not is_settled(request):
        return {}
    where = {"CNI_PATH": os.pathsep.join(map(str, (*plugin_path, OWN_PLUGINS)))}
    if command != "ADD":  # an answer that is too long for an environment must not keep DEL from running
        return where
    section = request["ipam"]
    answer = {"cniVersion": SUPPORTED[-1], "ips": section.get("addresses", [])}
    answer |= {key: section[key] for key in ("routes", "dns") if key in section}
    result = Result.from_json(answer, "the settled answer").converted(request["cniVersion"])
    return where | {"CNM_CNI_ANSWER": json.dumps(result.to_json())}


def chosen(conf: NetworkConfigList, addresses: Iterable[str], gateways: Iterable[str]) -> Result:
    """The answer that an IPAM plugin would have given, had it chosen these addresses (CIDR form).

    Routes and DNS are those of the section. The gateway is that of the section's subnet, or else that of
    `gateways` which is in the address's subnet.
    """
    found = _delegating(conf)
    section = conf.plugins[found]["ipam"] if found is not None else {}
    known = subnets(conf)
    ips = []
    for address in addresses:
        own = next((subnet.gateway for subnet in known if subnet.holds(address)), "")
        network = ip_interface(address).network
        given = next((gateway for gateway in gateways if ip_address(gateway) in network), "")
        gateway = own or given
        ips.append({"address": address} | ({"gateway": gateway} if gateway else {}))
    raw = {"cniVersion": conf.cni_version, "ips": ips}
    raw |= {key: section[key] for key in ("routes", "dns") if section.get(key)}
    return Result.from_json(raw, "the addresses chosen")


def _delegating(conf: NetworkConfigList) -> int | None:
    """The index of the plugin with an IPAM plugin; the first one's addresses are the container's."""
    for index, plugin in enumerate(conf.plugins):
        section = plugin.get("ipam")
        if isinstance(section, dict) and isinstance(section.get("type"), str) and section["type"]:
            return index
    return None


def _with_section(conf: NetworkConfigList, index: int, section: JSONObject) -> NetworkConfigList:
    return _with_plugin(conf, index, {**conf.plugins[index], "ipam": section})


def _with_plugin(conf: NetworkConfigList, index: int, plugin: JSONObject) -> NetworkConfigList:
    plugins = (*conf.plugins[:index], plugin, *conf.plugins[index + 1 :])
    return replace(conf, plugins=plugins)


def _host_local(section: JSONObject) -> Iterable[Subnet]:
    """Source: host-local `backend/allocator/config.go` and `range.go`, for what is not said."""
    sets = [[section]] if section.get("subnet") else []
    for item in (part for ranges in [*sets, *(section.get("ranges") or ())] for part in ranges):
        network = ip_network(item["subnet"])
        last = network.broadcast_address - (1 if network.version == 4 else 0)  # noqa: PLR2004 - IPv4
        yield Subnet(
            network=str(network),
            gateway=str(ip_address(item.get("gateway") or network.network_address + 1)),
            first=str(ip_address(item.get("rangeStart") or network.network_address + 1)),
            last=str(ip_address(item.get("rangeEnd") or last)),
        )


def _static(section: JSONObject) -> Iterable[Subnet]:
    for item in section.get("addresses") or ():
        address = ip_interface(item["address"])
        gateway = str(ip_address(item["gateway"])) if item.get("gateway") else ""
        yield Subnet(str(address.network), gateway, str(address.ip), str(address.ip))


def _whereabouts(section: JSONObject) -> Iterable[Subnet]:
    """Source: whereabouts `doc/extended-configuration.md`."""
    for item in [section] if section.get("range") else section.get("ipRanges") or ():
        first, dash, rest = str(item["range"]).partition("-")
        last, _, length = rest.partition("/")
        network = ip_network(f"{first}/{length}" if dash else first, strict=False)
        gateway = str(ip_address(item["gateway"])) if item.get("gateway") else ""
        yield Subnet(
            str(network),
            gateway,
            str(ip_address(item.get("range_start") or (first if dash else network.network_address + 1))),
            str(ip_address(item.get("range_end") or (last if dash else network.broadcast_address - 1))),
        )


_SUBNETS: Mapping[str, Any] = {"host-local": _host_local, STATIC: _static, "whereabouts": _whereabouts}
