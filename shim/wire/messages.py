"""The engine's requests to a network driver and the answers it reads, by their names on the wire.

Source: libnetwork `drivers/remote/api/api.go`, engines 20.10 to 29. The engine decodes answers
case-insensitively and ignores what it does not know.
"""

from dataclasses import dataclass
from typing import Any, Self

from shim.errors import InvalidRequestError
from shim.model import EndpointID, NetworkID
from shim.wire.fields import Fields

_GENERIC = "com.docker.network.generic"
_IPV4 = "com.docker.network.enable_ipv4"
_INTERNAL = "com.docker.network.internal"
_PORT_MAP = "com.docker.network.portmap"
_MAC_ADDRESS = "com.docker.network.endpoint.macaddress"
"""The one string that the engine puts among the options that the user gave to an endpoint."""

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
    """That of Docker's IPAM, of an IPAM driver, or `null`."""
    pool: str
    """The subnet."""
    gateway: str = ""
    """In CIDR form; empty when there is none."""
    auxiliary: tuple[str, ...] = ()
    """Addresses that no container shall get (`--aux-address`), in CIDR form."""

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Raises `InvalidRequestError`."""
        return cls(
            address_space=fields.text("AddressSpace"),
            pool=fields.subnet("Pool"),
            gateway=fields.interface("Gateway"),
            auxiliary=tuple(fields.object("AuxAddresses").interfaces().values()),
        )


@dataclass(frozen=True, slots=True)
class GwAllocCheckRequest:
    """A network will be made (engines from 28): need Docker's IPAM set an address aside for the gateway."""

    options: dict[str, str]
    """The `-o` options."""

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Raises `InvalidRequestError`."""
        return cls(fields.object("Options").object(_GENERIC).texts())


@dataclass(frozen=True, slots=True)
class CreateNetworkRequest:
    """A network is being made. Its name and labels are not told."""

    network_id: NetworkID
    options: dict[str, str]
    """The `-o` options."""
    internal: bool
    pools: tuple[AddressPool, ...]
    ipv4: bool = True
    """False with `--ipv4=false` (engines from 28)."""

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
            ipv4=options.flag(_IPV4, default=True),
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
            host_ip=fields.address("HostIP"),
            host_port=host_port,
            host_port_end=host_port_end,
        )


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
    """What the user gave: `--network name=NAME,driver-opt=KEY=VALUE`."""

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Raises `InvalidRequestError`."""
        interface = fields.object("Interface")
        options = fields.object("Options")
        return cls(
            network_id=NetworkID(fields.identifier("NetworkID")),
            endpoint_id=EndpointID(fields.identifier("EndpointID")),
            address=interface.interface("Address", 4),
            address_ipv6=interface.interface("AddressIPv6", 6),
            mac_address=interface.text("MacAddress").lower(),
            port_bindings=tuple(PortBinding.from_json(item) for item in options.objects(_PORT_MAP)),
            options=options.strings(but=_MAC_ADDRESS),
        )


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """The endpoint enters a sandbox, which is a network namespace already or only later."""

    network_id: NetworkID
    endpoint_id: EndpointID
    sandbox_key: str
    port_bindings: tuple[PortBinding, ...] = ()
    """Those of the whole sandbox, also where CreateEndpoint was told none."""

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
            tuple(PortBinding.from_json(item) for item in fields.object("Options").objects(_PORT_MAP)),
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
    """Whether Docker's IPAM need not set an address aside for the gateway."""

    skip: bool

    def to_json(self) -> dict[str, Any]:
        """Write the member names of the wire."""
        return {"SkipIPv4": self.skip, "SkipIPv6": self.skip}


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

    source_name: str = ""
    """Empty: no link is to be moved."""
    prefix: str = "eth"
    """The name of the link in the sandbox, but for the number that the engine adds."""
    gateway: str = ""
    gateway_ipv6: str = ""
    static_routes: tuple[StaticRoute, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Write the member names of the wire.

        `DisableGatewayService` keeps the engine from adding a second link on `docker_gwbridge`.
        """
        return {
            "InterfaceName": {"SrcName": self.source_name, "DstPrefix": self.prefix},
            "Gateway": self.gateway,
            "GatewayIPv6": self.gateway_ipv6,
            "StaticRoutes": [route.to_json() for route in self.static_routes],
            "DisableGatewayService": True,
        }
