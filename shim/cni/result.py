"""What plugins answer to ADD. Source: CNI specification 1.1.0, section 5 "Result Types"."""

import ipaddress
from dataclasses import dataclass
from typing import Any

from shim.cni.conversion import convert, is_by_family, merged
from shim.cni.errors import ResultError
from shim.cni.members import Members
from shim.model import JSONObject


@dataclass(frozen=True, slots=True)
class Interface:
    """A link that the chain made or uses."""

    name: str
    mac: str
    """Empty when the plugin did not say."""
    sandbox: str
    """Path of the network namespace it is in; empty for the host's."""


@dataclass(frozen=True, slots=True)
class IP:
    """An address that the chain assigned."""

    address: str
    """With prefix length: `10.1.0.5/16`, `fd00::5/64`."""
    gateway: str
    """The default gateway of its subnet; empty when there is none."""
    interface: int | None
    """Index in the result's interfaces."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route inside the sandbox."""

    dst: str
    """A subnet: `0.0.0.0/0`."""
    gw: str
    """Empty for the gateway of the matching address."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a plugin, or of a whole chain."""

    interfaces: tuple[Interface, ...]
    ips: tuple[IP, ...]
    routes: tuple[Route, ...]
    dns: JSONObject
    raw: JSONObject
    """The result as the plugin gave it, members unknown here included."""

    @classmethod
    def from_json(cls, value: object, where: str) -> "Result":
        """The result in a JSON value, null read as an empty one; `where` names it in errors.

        Raises `ResultError`.
        """
        members = Members({} if value is None else value, where, ResultError)
        raw = members.all
        members.text("cniVersion")
        if is_by_family(raw):
            for key in ("ip4", "ip6"):
                _check_family(members.object(key))
            members = Members(merged(raw), where, ResultError)
        interfaces = tuple(_interface(item) for item in members.objects("interfaces"))
        return cls(
            interfaces=interfaces,
            ips=tuple(_ip(item, len(interfaces)) for item in members.objects("ips")),
            routes=tuple(_route(item) for item in members.objects("routes")),
            dns=members.object("dns").all,
            raw=raw,
        )

    def to_json(self) -> dict[str, Any]:
        """The result as `from_json` reads it back, and as the next plugin's `prevResult`."""
        return dict(self.raw)

    def addresses(self, ifname: str) -> list[IP]:
        """The addresses of the interface `ifname` in the sandbox.

        An address that names no interface counts when no other interface in the sandbox could be meant.
        """
        sandboxed = {index for index, interface in enumerate(self.interfaces) if interface.sandbox}
        named = {index for index in sandboxed if self.interfaces[index].name == ifname}
        return [
            ip for ip in self.ips if ip.interface in named or (ip.interface is None and named == sandboxed)
        ]

    def converted(self, version: str) -> "Result":
        """The result in another version of the specification; one without a version is taken to be in it.

        Raises `ResultError` when the result's own version is not supported, or when the other one has no
        form for it.
        """
        return Result.from_json(convert(self.raw, version), "converted result")

    def relocated(self, sandbox: str, ifname: str, new_sandbox: str, new_ifname: str) -> "Result":
        """The result after its sandbox got another path and the interface `ifname` in it another name.

        DEL and CHECK compare the result with where they are told to look.
        """
        raw = dict(self.raw)
        if self.interfaces:
            raw["interfaces"] = [
                _moved(item, ifname, new_sandbox, new_ifname) if item.get("sandbox") == sandbox else item
                for item in self.raw["interfaces"]
            ]
        return Result.from_json(raw, "relocated result")


NOTHING = Result.from_json(None, "nothing")
"""The result of a plugin that has nothing to say."""


def _check_family(members: Members) -> None:
    """Check an `ip4` or `ip6`, if it is there, as far as it has to be to be merged into lists."""
    if members.all and not _is_subnet(members.text("ip")):
        members.refuse("ip", "an address with prefix length")
    members.objects("routes")


def _interface(members: Members) -> Interface:
    if not members.text("name"):
        members.refuse("name", "the name of an interface")
    return Interface(members.text("name"), members.text("mac"), members.text("sandbox"))


def _ip(members: Members, interfaces: int) -> IP:
    address, gateway, interface = (
        members.text("address"),
        members.text("gateway"),
        members.number("interface"),
    )
    if not _is_subnet(address):
        members.refuse("address", "an address with prefix length")
    if gateway and not _is_address(gateway):
        members.refuse("gateway", "an address")
    if interface is not None and not 0 <= interface < interfaces:
        members.refuse("interface", f"the index of one of {interfaces} interfaces")
    return IP(address, gateway, interface)


def _route(members: Members) -> Route:
    dst, gw = members.text("dst"), members.text("gw")
    if not _is_subnet(dst):
        members.refuse("dst", "a subnet with prefix length")
    if gw and not _is_address(gw):
        members.refuse("gw", "an address")
    return Route(dst, gw)


def _is_subnet(text: str) -> bool:
    """Whether `text` is an address with a prefix length, as Go's net.ParseCIDR reads it."""
    address, _, prefix = text.partition("/")
    try:
        return prefix.isdecimal() and bool(ipaddress.ip_interface(f"{address}/{prefix}"))
    except ValueError:
        return False


def _is_address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def _moved(interface: JSONObject, ifname: str, new_sandbox: str, new_ifname: str) -> dict[str, Any]:
    name = new_ifname if interface["name"] == ifname else interface["name"]
    return {**interface, "name": name, "sandbox": new_sandbox}
