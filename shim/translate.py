"""From Docker's words to CNI's and back, pure: options to runtime configuration, results to replies."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network

from shim.cni.result import Result
from shim.errors import InvalidRequestError
from shim.model import Endpoint, EndpointID, JSONObject, PortMapping
from shim.net.snapshot import Link, Route, Snapshot
from shim.wire.messages import AddressPool, CreateEndpointResponse, JoinResponse, StaticRoute

IFNAME = "eth0"
"""`CNI_IFNAME` of every attachment: the engine names the link in the sandbox anyway."""

_NETWORK = "cni.network"
_REFERENCE = re.compile(
    r"[a-zA-Z0-9][a-zA-Z0-9_.-]*"  # source: CNI specification 1.1.0, section 1
    r"|[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?",  # source: RFC 1123
    re.ASCII,
)
_MODE = "cni.mode"
_ARGUMENT = "cni.args."
_OPTIONS = (_NETWORK, _MODE, f"{_ARGUMENT}KEY")
_HANDOVER = "handover"
_ENGINE_OPTIONS = "com.docker.network.advertise_"
"""Options that the engine carries out itself, for any driver."""

_DEFAULTS = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """What the `-o` options of a network mean."""

    cni_network: str
    """The name of a conflist, or `namespace/name` of a NetworkAttachmentDefinition; empty when not given."""
    mode: str
    """How a container gets its link."""
    cni_args: tuple[tuple[str, str], ...]
    """Pairs for `CNI_ARGS`."""


def network_options(options: Mapping[str, str]) -> NetworkOptions:
    """What `options` mean. Raises `InvalidRequestError` for one that is unknown or has a bad value."""
    for key, value in options.items():
        if key == _MODE and value != _HANDOVER:
            raise InvalidRequestError(
                f"option {_MODE}={value}: unknown mode", cure=f"the mode is {_HANDOVER}"
            )
        if key == _NETWORK and not _REFERENCE.fullmatch(value):
            raise InvalidRequestError(
                f"option {_NETWORK}={value}: not the name of a network",
                cure=f"give the name of a conflist, or of a NetworkAttachmentDefinition: "
                f"-o {_NETWORK}=NAME or {_NETWORK}=NAMESPACE/NAME",
            )
        if key not in (_NETWORK, _MODE) and not key.startswith((_ARGUMENT, _ENGINE_OPTIONS)):
            raise _unknown_option(key)
    return NetworkOptions(
        options.get(_NETWORK, ""),
        options.get(_MODE, _HANDOVER),
        tuple(
            _argument(key.removeprefix(_ARGUMENT), value)
            for key, value in sorted(options.items())
            if key.startswith(_ARGUMENT)
        ),
    )


def refuse_endpoint_options(options: Mapping[str, str]) -> None:
    """Raises `InvalidRequestError` for any `cni.` option of an endpoint: there are none yet."""
    for key in options:
        raise InvalidRequestError(
            f"endpoint option {key}: the CNI driver has no endpoint options",
            cure=f"give it to the network: docker network create -o {key}=...",
        )


def refuse_docker_addresses(pools: Iterable[AddressPool], driver: str, cni_network: str) -> None:
    """Raises `InvalidRequestError` when Docker's IPAM would choose the addresses instead of the chain's."""
    for pool in pools:
        if pool.address_space != "null":
            option = f" -o {_NETWORK}={cni_network}" if cni_network else ""
            raise InvalidRequestError(
                f"Docker's IPAM wants to give out {pool.pool}, but in a CNI network the chain's IPAM does",
                cure=f"type: docker network create -d {driver} --ipam-driver null{option} NAME",
            )


def mac_request(
    mac_address: str, capabilities: frozenset[str]
) -> tuple[JSONObject, tuple[tuple[str, str], ...]]:
    """Capability args and CNI args that ask for a MAC address: by capability where declared."""
    if not mac_address:
        return {}, ()
    if "mac" in capabilities:
        return {"mac": mac_address}, ()
    return {}, (("MAC", mac_address),)


def port_request(
    mappings: Sequence[PortMapping], capabilities: frozenset[str], cni_network: str
) -> JSONObject:
    """Capability args that publish ports.

    Raises `InvalidRequestError` when no plugin of the chain would.
    """
    if not mappings:
        return {}
    if "portMappings" not in capabilities:
        raise InvalidRequestError(
            f"network {cni_network}: -p cannot be honoured, no plugin of the chain publishes ports",
            cure='add {"type": "portmap", "capabilities": {"portMappings": true}} to its conflist',
        )
    return {"portMappings": list(mappings)}


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
        mac_address="" if endpoint.mac_address or link is None else link.mac,
    )


def joined(snapshot: Snapshot, endpoint: Endpoint, *, internal: bool) -> JoinResponse:
    """What Join tells the engine: the link to move, and the routes the plugins made.

    The engine adds connected routes with the addresses itself, and refuses to add a default route twice;
    an internal network gets none.
    """
    routes = _made_by_plugins(snapshot, endpoint.ifname)
    gateways = {route.destination: route.gateway for route in reversed(routes) if route.gateway}
    return JoinResponse(
        source_name=host_link_name(endpoint.id),
        gateway="" if internal else gateways.get("0.0.0.0/0", ""),
        gateway_ipv6="" if internal else gateways.get("::/0", ""),
        static_routes=tuple(
            StaticRoute(route.destination, route.gateway)
            for route in routes
            if route.destination not in _DEFAULTS or not (route.gateway or internal)
        ),
    )


def not_carried(snapshot: Snapshot, endpoint: Endpoint, reply: CreateEndpointResponse) -> list[str]:
    """What the plugins made and the engine does not take along, each as a few words for the log."""
    told = {ip_interface(address).ip for address in (reply.address, reply.address_ipv6) if address}
    link = snapshot.link(endpoint.ifname) or Link(endpoint.ifname, "", 0, ())
    routes = _made_by_plugins(snapshot, endpoint.ifname)
    defaults = [route.destination for route in routes if route.destination in _DEFAULTS]
    return [
        *(f"address {address}" for address in link.addresses if ip_interface(address).ip not in told),
        *(f"link {other.name}" for other in snapshot.links if other.name != endpoint.ifname),
        *(f"a second default route {route}" for route in _DEFAULTS if defaults.count(route) > 1),
    ]


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
    return f"{interface.ip}/{interface.max_prefixlen}"


def _argument(key: str, value: str) -> tuple[str, str]:
    if not re.fullmatch(r"[A-Za-z0-9_]+", key) or key == "IgnoreUnknown":
        raise InvalidRequestError(
            f"option {_ARGUMENT}{key}: {key!r} cannot be a key of CNI_ARGS", cure="use letters, digits and _"
        )
    if re.search(r"[;=\s]", value) or not value.isprintable():
        raise InvalidRequestError(
            f"option {_ARGUMENT}{key}: CNI_ARGS cannot carry ';', '=', blanks or controls in {value!r}"
        )
    return key, value


def _unknown_option(key: str) -> InvalidRequestError:
    nearest = difflib.get_close_matches(key, _OPTIONS, n=1)
    return InvalidRequestError(
        f"option {key}: unknown to the CNI driver",
        cure=f"did you mean {nearest[0]}?" if nearest else f"it knows {', '.join(_OPTIONS)}",
    )
