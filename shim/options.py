"""The options that users give to networks and endpoints, pure: each is understood, or refused by name.

To a network: `docker network create -o KEY=VALUE`. To an endpoint: `docker run --network
name=NAME,driver-opt=KEY=VALUE` and `docker network connect --driver-opt KEY=VALUE`. What an endpoint may have
can be given to its network as well, as the default of all its endpoints.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_interface
from typing import Any

from shim.errors import InvalidRequestError
from shim.model import Ipam, Mode

NETWORK = "cni.network"
_MODE = "cni.mode"
_IPAM = "cni.ipam"
_IDENTITY = "cni.identity"
IPS = "cni.ips"
MAC = "cni.mac"
INGRESS = "cni.bandwidth.ingress"
EGRESS = "cni.bandwidth.egress"
IFNAME = "cni.ifname"
_ARGUMENT = "cni.args."
_ENGINES_IFNAME = "com.docker.network.endpoint.ifname"
_ENGINES_SYSCTLS = "com.docker.network.endpoint.sysctls"
_ENGINES_MESSAGES = "com.docker.network.advertise_addr_nmsgs"
_ENGINES_MILLISECONDS = "com.docker.network.advertise_addr_ms"
ENGINES_OWN = {_ENGINES_SYSCTLS: 27}
"""Options of endpoints that the engine carries out for any driver, and its first version that does."""
ENGINES_OWN_OF_NETWORKS = {_ENGINES_MESSAGES: 28, _ENGINES_MILLISECONDS: 28}
"""Such options of networks."""

OF_IPAM = ("IP", "GATEWAY")
"""Keys of `CNI_ARGS` that ask for addresses."""

_OF_NETWORKS = (NETWORK, _MODE, _IPAM, _IDENTITY)
_OF_ENDPOINTS = (IPS, MAC, INGRESS, EGRESS, IFNAME, f"{_ARGUMENT}KEY")

_REFERENCE = re.compile(
    r"[a-zA-Z0-9][a-zA-Z0-9_.-]*"  # source: CNI specification 1.1.0, section 1
    r"|[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?",  # source: RFC 1123
    re.ASCII,
)
_MAC_ADDRESS = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}", re.IGNORECASE)
"""That of one station, which has an even first byte."""
_RATE = re.compile(r"(\d{1,15}(?:\.\d+)?)(?:([kmgt])(i?))?(?:bit(?:/s)?|bps)?", re.ASCII)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}
_SLOWEST, _FASTEST = 8_000, 10**13
_IFNAME_FORM = re.compile(r"[a-zA-Z][a-zA-Z0-9_.-]{0,14}", re.ASCII)


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """What the options of an endpoint mean, those of its network included."""

    ips: tuple[str, ...] = ()
    """Addresses, with or without prefix length; at most one of each family."""
    mac_address: str = ""
    ingress: int = 0
    """Bits per second to the container; 0 for no limit."""
    egress: int = 0
    """Bits per second from the container."""
    ifname: str = ""
    """The link's name in the container."""
    cni_args: tuple[tuple[str, str], ...] = ()
    """Pairs for `CNI_ARGS`."""
    of_engine: tuple[str, ...] = ()
    """Options that the engine itself is to carry out."""


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """What the options of a network mean."""

    cni_network: str = ""
    """The name of a conflist, or `namespace/name` of a NetworkAttachmentDefinition; empty when not given."""
    mode: Mode = Mode.HANDOVER
    """How a container gets its link."""
    ipam: Ipam | None = None
    """Who chooses the addresses, if said."""
    identity: bool = False
    """Whether plugins are told whose link it is."""
    of_engine: tuple[str, ...] = ()
    """Options that the engine itself is to carry out."""
    defaults: EndpointOptions = EndpointOptions()
    """What its endpoints have unless they say otherwise."""

    @property
    def adds_at_join(self) -> bool:
        """Whether the chain runs at Join, and its IPAM plugin alone before."""
        return self.identity or self.mode is Mode.INPLACE


def network_options(options: Mapping[str, str]) -> NetworkOptions:
    """What the options of a network mean. Raises `InvalidRequestError` for one that is not understood."""
    endpoint: dict[str, str] = {}
    for key, value in options.items():
        if key in _OF_ENDPOINTS or key.startswith(_ARGUMENT):
            endpoint[key] = value
        elif key not in (*_OF_NETWORKS, *ENGINES_OWN_OF_NETWORKS):
            raise _unknown(key, (*_OF_NETWORKS, *_OF_ENDPOINTS), "option")
    cni_network = options.get(NETWORK, "")
    if NETWORK in options and not _REFERENCE.fullmatch(cni_network):
        raise InvalidRequestError(
            f"option {NETWORK}={cni_network}: not the name of a network",
            cure=f"give the name of a conflist, or of a NetworkAttachmentDefinition: "
            f"-o {NETWORK}=NAME or {NETWORK}=NAMESPACE/NAME",
        )
    ipam = _one_of(_IPAM, options, ("", *(item.value for item in Ipam)))
    mode = Mode(_one_of(_MODE, options, tuple(Mode)))
    defaults = _understood(endpoint, EndpointOptions(cni_args=tuple(sorted(_arguments(endpoint).items()))))
    if mode is Mode.HANDOVER:
        refuse_numbered(defaults.ifname)
    return NetworkOptions(
        cni_network=cni_network,
        mode=mode,
        ipam=Ipam(ipam) if ipam else None,
        identity=_one_of(_IDENTITY, options, ("", "docker")) == "docker",
        of_engine=tuple(key for key in ENGINES_OWN_OF_NETWORKS if key in options),
        defaults=defaults,
    )


def endpoint_options(options: Mapping[str, str], defaults: EndpointOptions) -> EndpointOptions:
    """What the options of an endpoint mean, on top of its network's `defaults`.

    Raises `InvalidRequestError` for one that is unknown or has a bad value.
    """
    for key in options:
        if key in _OF_NETWORKS:
            raise InvalidRequestError(
                f"endpoint option {key}: it belongs to the network",
                cure=f"give it to the network: docker network create -o {key}=...",
            )
        if key == _ENGINES_IFNAME:  # source: libnetwork `drivers/remote/driver.go` (`Join`), 28 and 29
            raise InvalidRequestError(
                f"endpoint option {key}: engines carry it out only for drivers of their own",
                cure=f"name the link by {IFNAME}, as in {IFNAME}=lan0",
            )
        known = (*_OF_ENDPOINTS, *ENGINES_OWN)
        if key not in known and not key.startswith(_ARGUMENT):
            raise _unknown(key, known, "endpoint option")
    # `docker run` writes them in small letters; plugins know their arguments by capital ones.
    own = {key.upper() if key.islower() else key: value for key, value in _arguments(options).items()}
    args = dict(defaults.cni_args) | own
    return _understood(options, replace(defaults, cni_args=tuple(sorted(args.items()))))


def pool_options(options: Mapping[str, str]) -> str:
    """The CNI network that `--ipam-opt` names; empty when none. Raises `InvalidRequestError`."""
    for key in options:
        if key != NETWORK:
            raise InvalidRequestError(
                f"--ipam-opt {key}: unknown to the CNI driver",
                cure=f"it knows {NETWORK}; give others to the network: docker network create -o {key}=...",
            )
    return network_options(options).cni_network


def _understood(options: Mapping[str, str], defaults: EndpointOptions) -> EndpointOptions:
    changes: dict[str, Any] = {
        field: parse(key, options[key]) for key, (field, parse) in _PARSERS.items() if key in options
    }
    return replace(defaults, **changes, of_engine=tuple(key for key in ENGINES_OWN if key in options))


def _one_of(key: str, options: Mapping[str, str], values: Iterable[str]) -> str:
    """The value of an option, the first of `values` when it is not given."""
    allowed = list(values)
    value = options.get(key, allowed[0])
    if value not in allowed or (key in options and not value):
        raise InvalidRequestError(
            f"option {key}={value}: unknown", cure=f"it can be {', '.join(filter(None, allowed))}"
        )
    return value


def _ips(key: str, value: str) -> tuple[str, ...]:
    try:
        addresses = [_address(item) for item in value.replace(",", " ").split()]
    except ValueError:
        addresses = []
    families = [ip_interface(address).version for address in addresses]
    if not families or len(set(families)) < len(families):
        raise InvalidRequestError(
            f"option {key}={value}: expected an address, or one of each family with a blank between them"
        )
    return tuple(addresses)


def mac_of_link(said: str, value: str) -> str:
    """A MAC address in small letters. Raises `InvalidRequestError`, which says how it was `said`."""
    if not _MAC_ADDRESS.fullmatch(value):
        raise InvalidRequestError(f"{said}: not the MAC address of a link", cure="as in 02:00:00:00:00:01")
    return value.lower()


def _mac(key: str, value: str) -> str:
    return mac_of_link(f"option {key}={value}", value)


def _rate(key: str, value: str) -> int:
    match = _RATE.fullmatch(value.lower())  # as `docker run` writes the options of its endpoints
    rate = 0
    if match:
        number, letter, binary = match.groups()
        rate = round(float(number) * (1024 if binary else 1000) ** _POWERS.get(letter or "", 0))
    if not _SLOWEST <= rate <= _FASTEST:
        raise InvalidRequestError(
            f"option {key}={value}: expected bits per second from 8k to 10T",
            cure="as in 500k, 10M, 1.5Gbit or 64Mi",
        )
    return rate


def _ifname(key: str, value: str) -> str:
    if not _IFNAME_FORM.fullmatch(value):
        raise InvalidRequestError(
            f"option {key}={value}: not the name of a link, which has at most 15 letters, digits, '_', '.' "
            "and '-'",
            cure="as in lan0",
        )
    return value


def refuse_numbered(ifname: str) -> None:
    """Raises `InvalidRequestError` for the name of a link that the engine would give another number."""
    if ifname and not ifname.endswith("0"):
        raise InvalidRequestError(
            f"option {IFNAME}={ifname}: the engine numbers links from 0, so the name must end in 0",
            cure=f"as in lan0; or create the network with -o {_MODE}={Mode.INPLACE}",
        )


def _arguments(options: Mapping[str, str]) -> dict[str, str]:
    """The pairs for `CNI_ARGS` among the options."""
    return {
        key.removeprefix(_ARGUMENT): _argument(key, value)
        for key, value in options.items()
        if key.startswith(_ARGUMENT)
    }


def _argument(key: str, value: str) -> str:
    name = key.removeprefix(_ARGUMENT)
    if not re.fullmatch(r"[A-Za-z0-9_]+", name) or name == "IgnoreUnknown":
        raise InvalidRequestError(
            f"option {key}: {name!r} cannot be a key of CNI_ARGS", cure="use letters, digits and _"
        )
    if re.search(r"[;=\s]", value) or not value.isprintable():
        raise InvalidRequestError(
            f"option {key}: CNI_ARGS cannot carry ';', '=', blanks or controls in {value!r}"
        )
    if name in OF_IPAM and not all(map(_is_address, value.split(","))):
        raise InvalidRequestError(f"option {key}={value}: expected addresses, with ',' between them")
    return value


def _address(text: str) -> str:
    """An address in its usual form, with a prefix length if it has one. Raises `ValueError`."""
    return str(ip_interface(text) if "/" in text else ip_address(text))


def _is_address(text: str) -> bool:
    try:
        return bool(_address(text))
    except ValueError:
        return False


def _unknown(key: str, known: tuple[str, ...], what: str) -> InvalidRequestError:
    nearest = difflib.get_close_matches(key, known, n=1)
    return InvalidRequestError(
        f"{what} {key}: unknown to the CNI driver",
        cure=f"did you mean {nearest[0]}?" if nearest else f"it knows {', '.join(known)}",
    )


_PARSERS: Mapping[str, tuple[str, Callable[[str, str], Any]]] = {
    IPS: ("ips", _ips),
    MAC: ("mac_address", _mac),
    INGRESS: ("ingress", _rate),
    EGRESS: ("egress", _rate),
    IFNAME: ("ifname", _ifname),
}
"""The field of `EndpointOptions` that an option sets, and how its value is read."""
