"""The calls of remote network and IPAM drivers as one table, and the envelope of their errors.

Source: engine `pkg/plugins/client.go` (transport) and libnetwork `drivers/remote/driver.go`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from shim.errors import InvalidRequestError
from shim.wire import ipam, messages
from shim.wire.fields import Fields

CONTENT_TYPE = "application/vnd.docker.plugins.v1.2+json"


class Request(Protocol):
    """A message from the engine."""

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Raises `InvalidRequestError`."""


class Response(Protocol):
    """An answer to the engine."""

    def to_json(self) -> dict[str, Any]:
        """Write the member names of the wire."""


@dataclass(frozen=True, slots=True)
class Call:
    """One remote procedure: its path, the request it takes, and the method that answers."""

    path: str
    request: type[Request]
    method: str

    @property
    def interface(self) -> str:
        """Which plugin interface it belongs to: `Plugin`, `NetworkDriver` or `IpamDriver`."""
        return self.path.partition(".")[0]

    @property
    def name(self) -> str:
        """The procedure's name without its interface, as the engine prints it."""
        return self.path.rpartition(".")[2]

    def decode(self, body: bytes) -> Request:
        """The request in `body`.

        A request that broke midway is repeated by the engine with an empty body, so an empty one is
        refused wherever members are needed. Raises `InvalidRequestError`.
        """
        if not body.strip():
            if self.request is messages.EmptyRequest:
                return messages.EmptyRequest()
            raise InvalidRequestError(
                f"{self.name}: the request has no body",
                cure="the connection broke midway; repeat the command",
            )
        try:
            value = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise InvalidRequestError(f"{self.name}: the request is not JSON: {error}") from error
        return self.request.from_json(Fields(value, self.name))


def error_envelope(text: str) -> Mapping[str, str]:
    """The body of a failed call: network drivers are read by `Err`, IPAM drivers by `Error`."""
    return {"Err": text, "Error": text}


CALLS: tuple[Call, ...] = (
    Call("Plugin.Activate", messages.EmptyRequest, "activate"),
    Call("NetworkDriver.GetCapabilities", messages.EmptyRequest, "get_capabilities"),
    Call("NetworkDriver.GwAllocCheck", messages.GwAllocCheckRequest, "gw_alloc_check"),
    Call("NetworkDriver.AllocateNetwork", messages.NetworkRequest, "allocate_network"),
    Call("NetworkDriver.FreeNetwork", messages.NetworkRequest, "free_network"),
    Call("NetworkDriver.CreateNetwork", messages.CreateNetworkRequest, "create_network"),
    Call("NetworkDriver.DeleteNetwork", messages.NetworkRequest, "delete_network"),
    Call("NetworkDriver.CreateEndpoint", messages.CreateEndpointRequest, "create_endpoint"),
    Call("NetworkDriver.EndpointOperInfo", messages.EndpointRequest, "endpoint_oper_info"),
    Call("NetworkDriver.DeleteEndpoint", messages.EndpointRequest, "delete_endpoint"),
    Call("NetworkDriver.Join", messages.JoinRequest, "join"),
    Call("NetworkDriver.Leave", messages.EndpointRequest, "leave"),
    Call(
        "NetworkDriver.ProgramExternalConnectivity", messages.EndpointRequest, "program_external_connectivity"
    ),
    Call(
        "NetworkDriver.RevokeExternalConnectivity", messages.EndpointRequest, "revoke_external_connectivity"
    ),
    Call("NetworkDriver.DiscoverNew", messages.EmptyRequest, "discover"),
    Call("NetworkDriver.DiscoverDelete", messages.EmptyRequest, "discover"),
    Call("IpamDriver.GetCapabilities", messages.EmptyRequest, "get_capabilities"),
    Call("IpamDriver.GetDefaultAddressSpaces", messages.EmptyRequest, "get_default_address_spaces"),
    Call("IpamDriver.RequestPool", ipam.PoolRequest, "request_pool"),
    Call("IpamDriver.ReleasePool", ipam.PoolReleaseRequest, "release_pool"),
    Call("IpamDriver.RequestAddress", ipam.AddressRequest, "request_address"),
    Call("IpamDriver.ReleaseAddress", ipam.AddressReleaseRequest, "release_address"),
)
