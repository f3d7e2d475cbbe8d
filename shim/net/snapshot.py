"""What plugins made of a network namespace, as plain data: written at ADD, read at Join and at DEL."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from shim.model import JSONObject


@dataclass(frozen=True, slots=True)
class Link:
    """A link and its addresses."""

    name: str
    mac: str
    """Lower case with colons; empty for a link without link-layer address."""
    mtu: int
    addresses: tuple[str, ...]
    """In CIDR form, in the kernel's order; without IPv6 link-local ones, which come by themselves."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the main table."""

    destination: str
    """In CIDR form; a default route is `0.0.0.0/0` or `::/0`."""
    gateway: str
    """Empty: the destination is on the link itself."""
    link: str
    by_kernel: bool
    """Made by the kernel for an address, and again wherever that address is set."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The links, except the loopback one, and the routes of a namespace."""

    links: tuple[Link, ...] = ()
    routes: tuple[Route, ...] = ()

    def link(self, name: str) -> Link | None:
        """The link of that name."""
        return next((link for link in self.links if link.name == name), None)

    def of_links(self, names: Collection[str]) -> Self:
        """The part of it that is about these links."""
        return replace(
            self,
            links=tuple(link for link in self.links if link.name in names),
            routes=tuple(route for route in self.routes if route.link in names),
        )

    def to_json(self) -> dict[str, Any]:
        """Write it for the journal."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: JSONObject) -> Self:
        """Read what `to_json` wrote."""
        return cls(
            tuple(Link(**{**item, "addresses": tuple(item["addresses"])}) for item in value["links"]),
            tuple(Route(**item) for item in value["routes"]),
        )
