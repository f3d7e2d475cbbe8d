"""Bodies of the engine's calls as strategies of hypothesis: valid ones, nearly valid ones, and noise.

What only the daemon can say (the IDs of its pools, the addresses it gave) stands in a body as `Known`, and is
filled in when the body is sent.
"""

import json
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter

from shim.wire.messages import EmptyRequest, EndpointRequest, NetworkRequest
from shim.wire.protocol import CALLS, Request

NETWORKS = tuple(digit * 64 for digit in "abcd")
"""IDs of Docker networks; which of them exist is a matter of the calls before."""
ENDPOINTS = tuple(digit * 64 for digit in "012345")

_HOST_LOCAL = {"type": "host-local", "routes": [{"dst": "0.0.0.0/0"}]}
_STATIC = {"type": "static", "addresses": [{"address": "10.80.0.5/24", "gateway": "10.80.0.1"}]}
CONFLISTS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "bridged": [
        {
            "type": "bridge",
            "bridge": "bad0",
            "isGateway": True,
            "ipMasq": True,
            "ipam": _HOST_LOCAL | {"ranges": [[{"subnet": "10.77.0.0/24"}]]},
        },
        {"type": "tuning", "capabilities": {"mac": True}},
        {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
        {"type": "firewall", "backend": "iptables"},
    ],
    "routed": [
        {"type": "ptp", "ipam": _HOST_LOCAL | {"ranges": [[{"subnet": "10.78.0.0/29"}]]}},
        {"type": "bandwidth", "capabilities": {"bandwidth": True}},
    ],
    "dual": [
        {
            "type": "bridge",
            "bridge": "bad1",
            "ipam": _HOST_LOCAL | {"ranges": [[{"subnet": "10.79.0.0/24"}], [{"subnet": "fd00:79::/64"}]]},
        }
    ],
    "plain": [{"type": "bridge", "bridge": "bad2"}],
    "fixed": [{"type": "bridge", "bridge": "bad3", "ipam": _STATIC}],
    "absent": [{"type": "there-is-no-such-plugin"}],
}
"""The chains of the CNI networks that bodies name."""

_OWN = {
    "bridged": ("10.77.0.0/24", "10.77.0.1/24", "10.77.0.9/24"),
    "routed": ("10.78.0.0/29", "10.78.0.1/29", "10.78.0.3/29"),
    "dual": ("fd00:79::/64", "fd00:79::1/64", "fd00:79::9/64"),
    "fixed": ("10.80.0.0/24", "10.80.0.1/24", "10.80.0.5/24"),
}
"""A subnet, its gateway and an address in it."""


KINDS = ("pool", "interface", "IPv6 interface", "address", "pool of address")


@dataclass(frozen=True, slots=True)
class Known:
    """One of the things that the daemon has said, the last ones first; `otherwise` while it has said none."""

    kind: str
    """One of `KINDS`."""
    index: int
    otherwise: str


@dataclass(frozen=True, slots=True)
class Raw:
    """JSON as it is written, such as no Python value becomes."""

    text: str


@dataclass(frozen=True, slots=True, repr=False)
class Body:
    """The body of a request for a call."""

    path: str
    content: Any
    """A JSON value with `Known` and `Raw` in it, or the bytes themselves."""
    damage: Callable[[bytes], bytes] = field(default=bytes)
    """What happens to it on its way."""

    def __repr__(self) -> str:
        return f"Body({self.path!r}, {reprlib.repr(self.content)})"

    def _repr_pretty_(self, printer: RepresentationPrinter, _cycle: bool) -> None:  # noqa: FBT001 - hypothesis
        printer.text(repr(self))

    def to_bytes(self, known: Mapping[str, Sequence[str]]) -> bytes:
        """What is sent."""
        if isinstance(self.content, bytes):
            return self.damage(self.content)
        return self.damage(_written(self.content, known).encode())


def _written(value: Any, known: Mapping[str, Sequence[str]]) -> str:
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Known):
        said = known[value.kind]
        return json.dumps(said[-1 - value.index % len(said)] if said else value.otherwise)
    if isinstance(value, dict):
        members = (f"{json.dumps(key)}:{_written(item, known)}" for key, item in value.items())
        return f"{{{','.join(members)}}}"
    if isinstance(value, list):
        return f"[{','.join(_written(item, known) for item in value)}]"
    return json.dumps(value)


# Values

_LARGE = "x" * 2**20
_STRANGE_TEXTS = (
    *(
        "\0",
        "a\0b",
        "\ud800",
        "x\udfff",
        "\u2028",
        "\u202e",
        "\x1b[2J",
        "Größe",
        "\U0001f433",
        "\uffff",
        "a\nb",
    ),
    *(
        "",
        " ",
        "0",
        "null",
        "../../etc/passwd",
        "/",
        ".",
        "-1",
        "1e5",
        "%s%n",
        "$(id)",
        "a;b=c",
        "a,b",
        "'\"`",
    ),
    *("\\", "\u0660", "²", "10.0.0.0", "10.0.0.0/33", "::1%lo", "fd00::/64", "256.1.1.1", "1.2.3", "0x0a.1"),
    *("::ffff:10.0.0.1/128", "0.0.0.0/0", "ffff::/129", "02:00:00:00:00:01", "a" * 65),
)
_STRANGE: Sequence[Any] = (
    *(None, True, False, 0, -1, 2**31, 2**64, -(2**63), 1.5, 1e308, 65536, [], {}, [None], [[]], [1, "a"]),
    *({"": ""}, {"a": None}, {"a": {"b": [1]}}, Raw("NaN"), Raw("-Infinity"), Raw("1e999"), Raw("-0")),
    *(Raw('"\\ud800"'), Raw('{"a":1,"a":2}'), Raw("'a'"), Raw("")),
)
_HUGE = (
    *(_LARGE, "x " * 2**17, {_LARGE: _LARGE}, [_LARGE] * 2, "\U0001f433" * 5000, "9" * 5000, 10**4000),
    *(Raw("1" * 5000), Raw("[" * 100_000), Raw("[" * 900 + "]" * 900), Raw('{"a":' * 900 + "0" + "}" * 900)),
)

_STRANGE_VALUES = st.sampled_from((*_STRANGE_TEXTS, *_STRANGE))
_BAD_VALUES = st.one_of(
    *(
        _STRANGE_VALUES,
        _STRANGE_VALUES,
        st.sampled_from(_HUGE),
        st.text(max_size=20),
        st.integers(),
        st.floats(),
    )
)
"""What a member may be found to be."""

_JSON = st.recursive(
    _STRANGE_VALUES | st.text(max_size=20) | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)

_MEMBERS = (
    *("NetworkID", "EndpointID", "Options", "Interface", "SandboxKey", "IPv4Data", "IPv6Data"),
    *("PoolID", "Pool", "SubPool", "Address", "V6", "com.docker.network.generic", "unknown"),
)

_CNI_NETWORKS = (
    *("bridged", "bridged", "bridged", "bridged", "routed", "routed", "dual", "plain", "fixed"),
    *("absent", "nowhere", "team-a/blue"),
)
_BAD_NAMES = ("a\n2026-01-01 00:00:00,000 INFO stopped", "../../etc/passwd", "\x1b[2J", _LARGE)
_SUBNETS = (*(subnet for subnet, _, _ in _OWN.values()), "0.0.0.0/0", "::/0", "10.99.0.0/16")
_GATEWAYS = tuple(gateway for _, gateway, _ in _OWN.values())
_ADDRESSES = (*(address for _, _, address in _OWN.values()), "10.77.0.255/24")
_MACS = (
    "02:00:00:00:00:01",
    "02:00:00:00:00:02",
    "03:00:00:00:00:01",
    "02-00-00-00-00-03",
    "zz:",
    "02:0;A=b",
)
_SANDBOXES = (
    *("/run/docker/netns/none",) * 4,
    *("/proc/self/ns/net", "/proc/self/ns/net", "/proc/self/ns/mnt", "/proc", "/" + "x" * 5000),
)
_BAD_KEYS = ("cni.ips", "cni.mac", "cni.network", "cni.args.", "cni.ifname", "", "\0", "\ud800", _LARGE)

_NETWORK_OPTIONS: Sequence[Mapping[str, str]] = (
    *({},) * 8,
    {"cni.identity": "docker"},
    {"cni.ipam": "docker"},
    {"cni.ipam": "cni"},
    {"cni.mode": "inplace"},
    {"cni.args.A": "b"},
    {"cni.args.A": ";"},
    {"cni.args.A": _LARGE},
    {"cni.args." + "K" * 5000: "v"},
    {"cni.ifname": "lan0"},
    {"cni.ips": "10.77.0.8"},
    {"cni.nework": "a"},
    {"com.docker.network.advertise_addr_nmsgs": "1"},
)
_ENDPOINT_OPTIONS: Sequence[Mapping[str, str]] = (
    *({},) * 12,
    {"cni.ips": "10.77.0.7"},
    {"cni.ips": "10.79.0.7 fd00:79::7"},
    {"cni.ips": "10.99.0.1"},
    {"cni.mac": "02:00:00:00:00:07"},
    {"cni.ifname": "lan0"},
    {"cni.ifname": "lo0"},
    {"cni.ifname": "bad00"},
    {"cni.bandwidth.ingress": "1M"},
    {"cni.bandwidth.egress": "64Mi"},
    {"cni.bandwidth.ingress": "9" * 400},
    {"cni.args.color": "blue"},
    {"cni.args.IP": "10.77.0.6"},
    {"cni.args.MAC": "zz"},
    {"cni.args.A": _LARGE},
    {"com.docker.network.endpoint.ifname": "x" * 20},
    {"com.docker.network.endpoint.sysctls": "a=b"},
    {"com.docker.network.endpoint.macaddress": "AgAAAAAB"},
    {"cni.unknown": "x"},
    {"cni.network": "bridged"},
)


# Members


class _Maker:
    """Makes the members of one body; now and then one of them is not what it should be."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._rareness = draw(st.sampled_from((6, 40, 1000)))

    def maybe(self, value: Any) -> Any:
        return self._draw(_BAD_VALUES) if self.rarely() else value

    def one_of(self, *values: Any) -> Any:
        return self.maybe(self.choice(values))

    def choice(self, values: Sequence[Any]) -> Any:
        return self._draw(st.sampled_from(values))

    def number(self, most: int) -> int:
        return self._draw(st.integers(0, most))

    def some(self, make: Callable[["_Maker"], Any], *, most: int) -> Any:
        return self.maybe([make(self) for _ in range(self.number(most))])

    def options(self, choices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        chosen = dict(self.choice(choices))
        return chosen | {self.choice(_BAD_KEYS): self._draw(_BAD_VALUES)} if self.rarely() else chosen

    def rarely(self) -> bool:
        return self.number(self._rareness) == self._rareness // 2 + 1  # the ends are drawn more often


_Make = Callable[[_Maker], dict[str, Any]]


def _nothing(_make: _Maker) -> dict[str, Any]:
    return {}


def _network(make: _Maker) -> dict[str, Any]:
    return {"NetworkID": make.one_of(*NETWORKS)}


def _endpoint(make: _Maker) -> dict[str, Any]:
    return {**_network(make), "EndpointID": make.one_of(*ENDPOINTS)}


def _gw_alloc_check(make: _Maker) -> dict[str, Any]:
    options = {"cni.network": make.one_of(*_CNI_NETWORKS), **make.options(_NETWORK_OPTIONS)}
    return {"Options": make.maybe({"com.docker.network.generic": make.maybe(options)})}


def _create_network(make: _Maker) -> dict[str, Any]:
    name = make.choice(_CNI_NETWORKS)
    space = make.choice(("null", "null", "cni", "cni", "LocalDefault"))
    generic = {"cni.network": make.maybe(name), **make.options(_NETWORK_OPTIONS)}
    if space == "LocalDefault":
        generic |= make.options(({"cni.ipam": "docker"}, {"cni.ipam": "docker"}, {}))
    options = {
        "com.docker.network.generic": make.maybe(generic),
        "com.docker.network.internal": make.one_of(False, False, False, True),  # noqa: FBT003 - values
    }
    of_space = [] if space == "null" and make.number(1) else [_pool(make, name, space)]
    return {
        **_network(make),
        "Options": make.maybe(options),
        "IPv4Data": make.maybe(of_space),
        "IPv6Data": make.maybe([_pool(make, make.choice(_CNI_NETWORKS), space)] if make.rarely() else []),
    }


def _pool(make: _Maker, name: str, space: str) -> dict[str, Any]:
    subnet, gateway, address = _OWN.get(name, ("0.0.0.0/0", "", "10.99.0.9/16"))
    return {
        "AddressSpace": make.maybe(space),
        "Pool": make.one_of(subnet, subnet, subnet, make.choice(_SUBNETS)),
        "Gateway": make.one_of("", gateway, gateway, make.choice(_GATEWAYS)),
        "AuxAddresses": make.one_of({}, {}, {"one": make.maybe(address)}),
    }


def _create_endpoint(make: _Maker) -> dict[str, Any]:
    reserved = Known("interface", make.number(5), "10.77.0.9/24")
    reserved_ipv6 = Known("IPv6 interface", make.number(5), "fd00:79::9/64")
    interface = {
        "Address": make.one_of("", "", "", reserved, reserved, make.choice(_ADDRESSES)),
        "AddressIPv6": make.one_of("", "", "", "", reserved_ipv6, "fd00:79::5/64"),
        "MacAddress": make.one_of("", "", "", "", make.choice(_MACS)),
    }
    options = {
        **make.options(_ENDPOINT_OPTIONS),
        "com.docker.network.portmap": make.some(_port, most=2),
    }
    return {**_endpoint(make), "Interface": make.maybe(interface), "Options": make.maybe(options)}


def _port(make: _Maker) -> dict[str, Any]:
    first = make.choice((0, 8080, 8081, 65535))
    return {
        "Proto": make.one_of(6, 17, 132),
        "IP": "",
        "Port": make.one_of(80, 443),
        "HostIP": make.one_of("", "", "", "0.0.0.0", "127.0.0.1", "::1", "192.0.2.9"),
        "HostPort": make.maybe(first),
        "HostPortEnd": make.one_of(first, first, first, 8090),
    }


def _join(make: _Maker) -> dict[str, Any]:
    return {**_endpoint(make), "SandboxKey": make.one_of(*_SANDBOXES), "Options": None}


def _request_pool(make: _Maker) -> dict[str, Any]:
    name = make.choice(_CNI_NETWORKS)
    subnet = _OWN.get(name, ("10.99.0.0/16",))[0]
    return {
        "AddressSpace": "cni",
        "Pool": make.one_of("", subnet, subnet, subnet, make.choice(_SUBNETS)),
        "SubPool": make.one_of("", "", "", "", make.choice(_SUBNETS)),
        "Options": make.maybe(make.options(({}, {"cni.network": name}, {"cni.network": name}))),
        "V6": make.maybe(":" in subnet),
    }


def _pool_id(make: _Maker) -> Any:
    """One that the daemon gave, or might have given."""
    name = make.choice((*_CNI_NETWORKS, *_BAD_NAMES))
    subnet = _OWN.get(name, ("10.99.0.0/16",))[0]
    might = f"{make.number(9) * 1111:016} {subnet} {name}"
    return make.one_of(Known("pool", make.number(5), might), might)


def _release_pool(make: _Maker) -> dict[str, Any]:
    return {"PoolID": _pool_id(make)}


def _request_address(make: _Maker) -> dict[str, Any]:
    of_gateway = {"RequestAddressType": "com.docker.network.gateway"}
    return {
        "PoolID": _pool_id(make),
        "Address": make.one_of("", "", "", "", make.choice(_ADDRESSES).partition("/")[0]),
        "Options": make.one_of({}, {}, {}, of_gateway),
    }


def _release_address(make: _Maker) -> dict[str, Any]:
    index = make.number(5)
    given = Known("pool of address", index, "")
    return {
        "PoolID": make.one_of(given, given, given, _pool_id(make)),
        "Address": make.maybe(Known("address", index, "10.77.0.9")),
    }


_MAKES: Mapping[str, tuple[int, _Make]] = {
    "NetworkDriver.GwAllocCheck": (1, _gw_alloc_check),
    "NetworkDriver.CreateNetwork": (6, _create_network),
    "NetworkDriver.CreateEndpoint": (9, _create_endpoint),
    "NetworkDriver.DeleteEndpoint": (4, _endpoint),
    "NetworkDriver.Join": (6, _join),
    "NetworkDriver.Leave": (2, _endpoint),
    "IpamDriver.RequestPool": (3, _request_pool),
    "IpamDriver.ReleasePool": (1, _release_pool),
    "IpamDriver.RequestAddress": (5, _request_address),
    "IpamDriver.ReleaseAddress": (2, _release_address),
}
"""How often a call is made among the others, and its members; those that are not here have but IDs."""
_BY_REQUEST: Mapping[type[Request], _Make] = {
    EmptyRequest: _nothing,
    NetworkRequest: _network,
    EndpointRequest: _endpoint,
}
_CALLS = {call.path: _MAKES.get(call.path) or (1, _BY_REQUEST[call.request]) for call in CALLS}
_PATHS = tuple(_CALLS)


def _often(path: str) -> int:
    return _CALLS[path][0]


_OFTEN = sorted((path for path, (often, _) in _CALLS.items() for _ in range(often)), key=_often, reverse=True)


# Bodies


@st.composite
def nearly_valid(draw: st.DrawFn) -> Body:
    """A body of the right shape for its call, except for some members."""
    path = draw(st.sampled_from(_OFTEN))
    return Body(path, _CALLS[path][1](_Maker(draw)))


@st.composite
def damaged(draw: st.DrawFn) -> Body:
    """One that was right before it lost some bytes, got others, or was cut off."""
    body = draw(nearly_valid())
    strange = (
        b"",
        b"\0",
        b"\xff",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"}",
        b'"',
        b"\\",
        b",",
        b"{",
        b"0",
        b"x",
        b" ",
    )
    put = draw(st.sampled_from(strange))
    at, lost = draw(st.integers(0, 400)), draw(st.sampled_from((0, 1, 1, 2, 2**30)))
    return replace(body, damage=lambda whole: whole[:at] + put + whole[at + lost :])


def any_bytes() -> st.SearchStrategy[Body]:
    """Noise, for any call."""
    return st.builds(Body, st.sampled_from(_PATHS), st.binary(max_size=200))


def any_json() -> st.SearchStrategy[Body]:
    """Any JSON value, for any call; often an object with members that one of the calls has."""
    members = st.dictionaries(st.sampled_from(_MEMBERS), _JSON, max_size=4)
    return st.builds(Body, st.sampled_from(_PATHS), st.one_of(members, members, _JSON))
