"""The engine's requests to a network driver and the answers it reads, by their names on the wire.

Source: libnetwork `drivers/remote/api/api.go`, engines 20.10 to 29. The engine decodes answers
case-insensitively and ignores what it does not know.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Self

from shim.errors import InvalidRequestError
from shim.model import EndpointID, NetworkID
from shim.wire.fields import Fields

_GENERIC = "com.docker.network.generic"
_INTERNAL = "com.docker.network.internal"
_PORT_MAP = "com.docker.network.portmap"

_PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class EmptyRequest:
    """A request without members of interest, often sent with an empty body."""

    @classmethod
    def from_json(cls, _fields: Fields) -> Self:
        """Read nothing."""
        return cls()


@dataclass(frozen=True, slots=True)
class NetworkRequest:
    """A request about one network: DeleteNetwork, AllocateNetwork, FreeNetwork."""

    network_id: NetworkID

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Raises `InvalidRequestError`."""
        return cls(NetworkID(fields.identifier("NetworkID")))


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """A request about one endpoint: Leave, DeleteEndpoint, EndpointOperInfo and the like."""

    network_id: NetworkID
    endpoint_id: EndpointID

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Raises `InvalidRequestError`."""
        return cls(NetworkID(fields.identifier("NetworkID")), EndpointID(fields.identifier("EndpointID")))


@dataclass(frozen=True, slots=True)
class AddressPool:
    """One pool that Docker's IPAM assigned to a network (`driverapi.IPAMData`)."""

    address_space: str
    pool: str

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Raises `InvalidRequestError`."""
        return cls(fields.text("AddressSpace"), fields.text("Pool"))


@dataclass(frozen=True, slots=True)
class CreateNetworkRequest:
    """A network is being made. Its name and labels are not told."""

    network_id: NetworkID
    options: dict[str, str]
    """The `-o` options."""
    internal: bool
    pools: tuple[AddressPool, ...]

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Raises `InvalidRequestError`."""
        options = fields.object("Options")
        return cls(
            network_id=NetworkID(fields.identifier("NetworkID")),
            options=options.object(_GENERIC).texts(),
            internal=options.flag(_INTERNAL),
            pools=tuple(
                AddressPool.from_json(pool)
                for key in ("IPv4Data", "IPv6Data")
                for pool in fields.objects(key)
            ),
        )


@dataclass(frozen=True, slots=True)
class PortBinding:
    """One `-p`: `host_port` to `host_port_end` are the host ports to choose from; 0 means any.

    `host_ip` is an IP address without brackets, or empty for every address of the host.
    """

    protocol: str
    container_port: int
    host_ip: str
    host_port: int
    host_port_end: int

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Raises `InvalidRequestError`."""
        number = fields.number("Proto")
        if number not in _PROTOCOLS:
            raise InvalidRequestError(f"published port: unknown protocol number {number}")
        container_port = fields.number("Port")
        host_port = fields.number("HostPort")
        host_port_end = fields.number("HostPortEnd") or host_port
        if not 0 < container_port <= _LAST_PORT:
            raise InvalidRequestError(f"published port: no container port has the number {container_port}")
        if not 0 <= host_port <= host_port_end <= _LAST_PORT:
            raise InvalidRequestError(f"published port: {host_port}-{host_port_end} are no host ports")
        return cls(
            protocol=_PROTOCOLS[number],
            container_port=container_port,
            host_ip=_host_ip(fields.text("HostIP")),
            host_port=host_port,
            host_port_end=host_port_end,
        )


def _host_ip(text: str) -> str:
    try:
        return str(ip_address(text)) if text else ""
    except ValueError:
        raise InvalidRequestError(f"published port: the host IP {text!r} is no IP address") from None


@dataclass(frozen=True, slots=True)
class CreateEndpointRequest:
    """A container will be attached; neither it nor its sandbox is told."""

    network_id: NetworkID
    endpoint_id: EndpointID
    address: str
    """CIDR from Docker's IPAM, or empty: the driver chooses."""
    address_ipv6: str
    mac_address: str
    """From `--mac-address`, or empty: the driver chooses."""
    port_bindings: tuple[PortBinding, ...]
    options: dict[str, str]
    """The `cni.` ones of the endpoint's driver options."""

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Raises `InvalidRequestError`."""
        interface = fields.object("Interface")
        options = fields.object("Options")
        return cls(
            network_id=NetworkID(fields.identifier("NetworkID")),
            endpoint_id=EndpointID(fields.identifier("EndpointID")),
            address=interface.text("Address"),
            address_ipv6=interface.text("AddressIPv6"),
            mac_address=interface.text("MacAddress"),
            port_bindings=tuple(PortBinding.from_json(item) for item in options.objects(_PORT_MAP)),
            options=options.texts("cni."),
        )


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """The endpoint enters a sandbox, which is a network namespace already or only later."""

    network_id: NetworkID
    endpoint_id: EndpointID
    sandbox_key: str

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Raises `InvalidRequestError`."""
        sandbox_key = fields.text("SandboxKey")
        if not sandbox_key.startswith("/"):
            raise InvalidRequestError(f"Join: SandboxKey must be an absolute path, found {sandbox_key!r}")
        return cls(
            NetworkID(fields.identifier("NetworkID")),
            EndpointID(fields.identifier("EndpointID")),
            sandbox_key,
        )


@dataclass(frozen=True, slots=True)
class EmptyResponse:
    """Success with nothing to say; an empty body would be an error to the engine."""

    def to_json(self) -> dict[str, Any]:
        """Write `{}`."""
        return {}


@dataclass(frozen=True, slots=True)
class ActivateResponse:
    """Which plugin interfaces this socket serves."""

    implements: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Write the member names of the wire."""
        return {"Implements": list(self.implements)}


@dataclass(frozen=True, slots=True)
class CapabilitiesResponse:
    """Scope of the driver: each engine has networks of its own, known to no other engine."""

    def to_json(self) -> dict[str, Any]:
        """Write the member names of the wire."""
        return {"Scope": "local", "ConnectivityScope": "local", "GwAllocChecker": True}


@dataclass(frozen=True, slots=True)
class GwAllocCheckResponse:
    """No gateway address is wanted from Docker's IPAM: the chain has its own (engines from 28)."""

    def to_json(self) -> dict[str, Any]:
        """Write the member names of the wire."""
        return {"SkipIPv4": True, "SkipIPv6": True}


@dataclass(frozen=True, slots=True)
class OperInfoResponse:
    """Details of an endpoint; no engine shows any of a remote driver."""

    def to_json(self) -> dict[str, Any]:
        """Write the member names of the wire."""
        return {"Value": {}}


@dataclass(frozen=True, slots=True)
class CreateEndpointResponse:
    """What the driver chose. A member that the request had set must stay empty, even if equal."""

    address: str = ""
    address_ipv6: str = ""
    mac_address: str = ""

    def to_json(self) -> dict[str, Any]:
        """Write the member names of the wire."""
        return {
            "Interface": {
                "Address": self.address,
                "AddressIPv6": self.address_ipv6,
                "MacAddress": self.mac_address,
            }
        }


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """A route for the sandbox: through `next_hop`, or on the link itself when that is empty."""

    destination: str
    next_hop: str = ""

    def to_json(self) -> dict[str, Any]:
        """Write the member names of the wire; route type 0 is NEXTHOP, 1 is CONNECTED."""
        route = {"Destination": self.destination, "RouteType": 0 if self.next_hop else 1}
        return route | ({"NextHop": self.next_hop} if self.next_hop else {})


@dataclass(frozen=True, slots=True)
class JoinResponse:
    """Which link of the engine's namespace to move into the sandbox, and what to route through it."""

    source_name: str
    gateway: str = ""
    gateway_ipv6: str = ""
    static_routes: tuple[StaticRoute, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Write the member names of the wire.

        `DisableGatewayService` keeps the engine from adding a second link on `docker_gwbridge`.
        """
        return {
            "InterfaceName": {"SrcName": self.source_name, "DstPrefix": "eth"},
            "Gateway": self.gateway,
            "GatewayIPv6": self.gateway_ipv6,
            "StaticRoutes": [route.to_json() for route in self.static_routes],
            "DisableGatewayService": True,
        }
