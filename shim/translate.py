"""From Docker's words to CNI's and back, pure: wishes to runtime configuration, results to replies."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_interface, ip_network

from shim.cni import ipam
from shim.cni.conf import NetworkConfigList
from shim.cni.result import Result
from shim.errors import InvalidRequestError
from shim.model import Endpoint, EndpointID, JSONObject, Mode, PortMapping
from shim.net.snapshot import Route, Snapshot
from shim.options import EndpointOptions
from shim.wire.messages import CreateEndpointRequest, CreateEndpointResponse, JoinResponse, StaticRoute

IFNAME = "eth0"
"""`CNI_IFNAME` of an attachment that asks for no other: the engine names the link in the sandbox anyway."""

DEFAULTS = ("0.0.0.0/0", "::/0")

_DNS = {"nameservers": "--dns", "domain": "--dns-search", "search": "--dns-search", "options": "--dns-option"}
"""What a result may say of DNS, and the flag of `docker run` that says it."""

_ROUTES_EACH_ADDRESS = "ptp"
"""The plugin that removes the connected route of the address's subnet and routes by its gateway alone."""

_BURST_SECONDS = 0.1
_LEAST_BURST = 256_000
_MOST_BURST = 2**31 - 1
"""Bits; kubelet's value for any rate."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a chain's ADD is asked for."""

    conflist: NetworkConfigList
    ifname: str
    mac_address: str
    """Empty: the chain chooses."""
    cni_args: tuple[tuple[str, str], ...]
    capability_args: JSONObject


def asked(
    conflist: NetworkConfigList,
    options: EndpointOptions,
    mac_address: str,
    addresses: Sequence[str],
    ports: Sequence[PortMapping],
    *,
    shared_ports: Sequence[PortMapping] = (),
) -> Asked:
    """What an endpoint asks of its chain: by capability where one is declared, else by `CNI_ARGS`.

    `addresses`, in CIDR form where the subnet is known, are those that the chain's own IPAM plugin is to
    give. The chain must be able to publish `shared_ports` too: at the container's next start it may be their
    turn. Raises `InvalidRequestError` when no plugin of the chain could do it.
    """
    capability_args: dict[str, object] = {}
    args = dict(options.cni_args)
    if mac_address and "mac" in conflist.capabilities:
        capability_args["mac"] = mac_address
    elif mac_address:
        args["MAC"] = mac_address
    if ports or shared_ports:
        _require("portMappings", "portmap", "publish ports (-p)", conflist)
    if ports:
        capability_args["portMappings"] = list(ports)
    if options.ingress or options.egress:
        _require("bandwidth", "bandwidth", "limit bandwidth (cni.bandwidth)", conflist)
        capability_args["bandwidth"] = _bandwidth(options)
    if addresses and not ipam.kind(conflist) and "ips" not in conflist.capabilities:
        raise InvalidRequestError(
            f"network {conflist.name}: it has no IPAM plugin that could give {', '.join(addresses)}",
            cure='add "ipam" to its conflist',
        )
    conflist, by_capability, by_argument = ipam.asking_for(conflist, addresses)
    capability_args |= by_capability
    args |= dict(by_argument)
    return Asked(
        conflist=conflist,
        ifname=options.ifname,
        mac_address=mac_address,
        cni_args=tuple(sorted(args.items())),
        capability_args=capability_args,
    )


def _require(capability: str, plugin: str, what: str, conflist: NetworkConfigList) -> None:
    if capability not in conflist.capabilities:
        raise InvalidRequestError(
            f"network {conflist.name}: no plugin of the chain can {what}",
            cure=f'add {{"type": "{plugin}", "capabilities": {{"{capability}": true}}}} to its conflist',
        )


def _bandwidth(options: EndpointOptions) -> JSONObject:
    """The capability's arguments. A burst is what passes at once: a tenth of a second's worth."""
    return {
        key: value
        for direction, rate in (("ingress", options.ingress), ("egress", options.egress))
        if rate
        for key, value in (
            (f"{direction}Rate", rate),
            (f"{direction}Burst", min(max(int(rate * _BURST_SECONDS), _LEAST_BURST), _MOST_BURST)),
        )
    }


def internal(conflist: NetworkConfigList) -> NetworkConfigList:
    """The chain for a network made with `--internal`: nothing in it masquerades."""
    return replace(
        conflist,
        plugins=tuple(
            {**plugin, "ipMasq": False} if plugin.get("ipMasq") else plugin for plugin in conflist.plugins
        ),
    )


def with_prefix(address: str, conflist: NetworkConfigList) -> str:
    """An address that was given without prefix length, with that of the conflist's subnet where known."""
    if "/" in address:
        return address
    subnets = (subnet for subnet in ipam.subnets(conflist) if subnet.holds(address))
    length = next((subnet.prefix_length for subnet in subnets), ip_interface(address).max_prefixlen)
    return f"{address}/{length}"


def told(address: str, conflist: NetworkConfigList) -> str:
    """An address of an IPAM plugin as the engine shall set it, before anything else of the chain has run."""
    return _bare(address) if routes_each_address(conflist) else address


def routes_each_address(conflist: NetworkConfigList) -> bool:
    """Whether the chain wants addresses without a subnet."""
    return bool(conflist.plugins[0]["type"] == _ROUTES_EACH_ADDRESS)


def host_link_name(endpoint_id: EndpointID) -> str:
    """The link's name on its way through the host's namespace: 15 characters, the kernel's limit."""
    return f"cni{endpoint_id[:12]}"


def created(result: Result, snapshot: Snapshot, endpoint: Endpoint) -> CreateEndpointResponse:
    """What CreateEndpoint tells the engine: the chain's first address of each family, and the MAC."""
    link = snapshot.link(endpoint.ifname)
    addresses = {
        ip_interface(ip.address).version: ip.address for ip in reversed(result.addresses(endpoint.ifname))
    }
    return CreateEndpointResponse(
        address=_handed_over(addresses.get(4, ""), snapshot.routes),
        address_ipv6=_handed_over(addresses.get(6, ""), snapshot.routes),
        mac_address=endpoint.mac_address or (link.mac if link else ""),
    )


def planned(conflist: NetworkConfigList, endpoint: Endpoint) -> CreateEndpointResponse:
    """What CreateEndpoint tells the engine when ADD waits for Join: the addresses in the conflist."""
    addresses = {
        ip_interface(item["address"]).version: told(item["address"], conflist)
        for plugin in conflist.plugins
        if ipam.is_settled(plugin)
        for item in reversed(plugin["ipam"].get("addresses", ()))
    }
    return CreateEndpointResponse(addresses.get(4, ""), addresses.get(6, ""), endpoint.mac_address)


def news(reply: CreateEndpointResponse, request: CreateEndpointRequest) -> CreateEndpointResponse:
    """The part of a reply that the engine does not know: it refuses to be told what it asked for."""
    return CreateEndpointResponse(
        address="" if request.address else reply.address,
        address_ipv6="" if request.address_ipv6 else reply.address_ipv6,
        mac_address="" if request.mac_address else reply.mac_address,
    )


def joined(snapshot: Snapshot, endpoint: Endpoint, *, default_route: bool = True) -> JoinResponse:
    """What Join tells the engine: the link to move, and the routes the plugins made.

    The engine adds connected routes with the addresses itself, and refuses to add a default route twice. In
    place it has nothing to move, and only the default routes to add.
    """
    routes = _made_by_plugins(snapshot, endpoint.ifname)
    gateways = {route.destination: route.gateway for route in reversed(routes) if route.gateway}
    gateway = gateways.get("0.0.0.0/0", "") if default_route else ""
    gateway_ipv6 = gateways.get("::/0", "") if default_route else ""
    if endpoint.mode is Mode.INPLACE:
        return JoinResponse(gateway=gateway, gateway_ipv6=gateway_ipv6)
    return JoinResponse(
        source_name=host_link_name(endpoint.id),
        prefix=_prefix(endpoint),
        gateway=gateway,
        gateway_ipv6=gateway_ipv6,
        static_routes=tuple(
            StaticRoute(route.destination, route.gateway)
            for route in routes
            if not route.metric  # which no engine can set
            and (route.destination not in DEFAULTS or (default_route and not route.gateway))
        ),
    )


def default_routes(snapshot: Snapshot, ifname: str) -> list[Route]:
    """The default routes that the chain made by a gateway, which the engine is told if it is to set one."""
    routes = _made_by_plugins(snapshot, ifname)
    return [route for route in routes if route.destination in DEFAULTS and route.gateway]


def further_defaults(snapshot: Snapshot, ifname: str) -> list[Route]:
    """The default routes beside the first of each family, which is the one that the engine is told."""
    routes = [route for route in _made_by_plugins(snapshot, ifname) if route.destination in DEFAULTS]
    first = {route.destination: route for route in reversed(routes)}
    return [route for route in routes if route is not first[route.destination]]


def names_not_carried(dns: JSONObject) -> str:
    """The DNS of a result, with the flags of `docker run` that give it to a container: no reply can.

    Empty when there is none.
    """
    told = {key: _words(dns.get(key)) for key in _DNS}
    if not any(told.values()):
        return ""
    cures = [f"{flag} {word}" for key, flag in _DNS.items() for word in told[key]]
    said = [f"{key} {' '.join(words)}" for key, words in told.items() if words]
    return f"DNS of the conflist ({'; '.join(said)}; cure: {' '.join(cures)})"


def _prefix(endpoint: Endpoint) -> str:
    """The name without the number, which the engine chooses; of a name that is not the user's, another."""
    ifname = IFNAME if endpoint.ifname == host_link_name(endpoint.id) else endpoint.ifname
    return ifname.removesuffix("0") if ifname.endswith("0") else ifname.rstrip("0123456789")


def _words(value: object) -> list[str]:
    return [str(item) for item in (value if isinstance(value, list) else [value]) if item]


def _made_by_plugins(snapshot: Snapshot, ifname: str) -> list[Route]:
    return [route for route in snapshot.routes if route.link == ifname and not route.by_kernel]


def _handed_over(address: str, routes: Iterable[Route]) -> str:
    """`address` as the engine shall set it.

    A plugin may have removed the connected route of the address's subnet, as ptp does. The engine
    would bring it back, so it gets the bare host address then.
    """
    if not address:
        return ""
    interface = ip_interface(address)
    if any(route.by_kernel and ip_network(route.destination) == interface.network for route in routes):
        return address
    return _bare(address)


def _bare(address: str) -> str:
    interface = ip_interface(address)
    return f"{interface.ip}/{interface.max_prefixlen}"
