"""The engine's requests to an IPAM driver and the answers it reads, by their names on the wire.

Source: libnetwork `ipamapi/contract.go` and `ipams/remote/api/api.go`, engines 20.10 to 29. None of them
names the network or the endpoint that it is about.
"""

from dataclasses import dataclass
from typing import Any, Self

from shim.wire.fields import Fields

_GATEWAY = "com.docker.network.gateway"


@dataclass(frozen=True, slots=True)
class PoolRequest:
    """RequestPool: a network will be made, and needs a subnet."""

    pool: str
    """`--subnet`, or empty: the driver chooses."""
    sub_pool: str
    """`--ip-range`, or empty."""
    options: dict[str, str]
    """The `--ipam-opt` options."""
    v6: bool

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Raises `InvalidRequestError`."""
        return cls(
            pool=fields.subnet("Pool"),
            sub_pool=fields.subnet("SubPool"),
            options=fields.object("Options").texts(),
            v6=fields.flag("V6"),
        )


@dataclass(frozen=True, slots=True)
class PoolReleaseRequest:
    """ReleasePool: the network is gone, or was not made."""

    pool_id: str

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Raises `InvalidRequestError`."""
        return cls(fields.text("PoolID"))


@dataclass(frozen=True, slots=True)
class AddressRequest:
    """RequestAddress: for the network's gateway, for an auxiliary address, or for an endpoint to be."""

    pool_id: str
    address: str
    """`--ip`, `--gateway` or `--aux-address`; empty: the driver chooses."""
    for_gateway: bool

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Raises `InvalidRequestError`."""
        return cls(
            pool_id=fields.text("PoolID"),
            address=fields.address("Address"),
            for_gateway=fields.object("Options").text("RequestAddressType") == _GATEWAY,
        )


@dataclass(frozen=True, slots=True)
class AddressReleaseRequest:
    """ReleaseAddress: nobody uses the address any more."""

    pool_id: str
    address: str

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Raises `InvalidRequestError`."""
        return cls(fields.text("PoolID"), fields.address("Address"))


@dataclass(frozen=True, slots=True)
class IpamCapabilitiesResponse:
    """Neither a MAC address is needed for an address, nor that a starting engine repeats its requests."""

    def to_json(self) -> dict[str, Any]:
        """Write the member names of the wire."""
        return {"RequiresMACAddress": False, "RequiresRequestReplay": False}


@dataclass(frozen=True, slots=True)
class AddressSpacesResponse:
    """The name by which CreateNetwork tells whose addresses a network has."""

    name: str

    def to_json(self) -> dict[str, Any]:
        """Write the member names of the wire."""
        return {"LocalDefaultAddressSpace": self.name, "GlobalDefaultAddressSpace": self.name}


@dataclass(frozen=True, slots=True)
class PoolResponse:
    """A subnet, and its gateway in CIDR form unless there is none."""

    pool_id: str
    pool: str
    gateway: str = ""

    def to_json(self) -> dict[str, Any]:
        """Write the member names of the wire."""
        data = {_GATEWAY: self.gateway} if self.gateway else {}
        return {"PoolID": self.pool_id, "Pool": self.pool, "Data": data}


@dataclass(frozen=True, slots=True)
class AddressResponse:
    """An address in CIDR form; an empty one would be an error to the engine."""

    address: str

    def to_json(self) -> dict[str, Any]:
        """Write the member names of the wire."""
        return {"Address": self.address, "Data": {}}
