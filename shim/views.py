"""What the daemon has done, for people and, as JSON, for programs: `cnm-cni network` and the like.

The journal is read beside the daemon, which need not run. Names come from the engine at the time of
looking, since they can be changed; without an engine they show as `-`.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from shim import attached, printed
from shim.config import Settings
from shim.engine import DockerNetwork, Engine
from shim.errors import InvalidRequestError, UnavailableError
from shim.model import Endpoint, Network, NetworkID, PortMapping, Reservation
from shim.options import network_options
from shim.reservations import answer
from shim.store import Store

_T = TypeVar("_T")

_WIDTH = 13
"""Of the first column of one endpoint."""


class View(Protocol):
    """A view of the journal; `wanted` is an ID or its beginning where one thing is shown."""

    def __call__(self, settings: Settings, wanted: str, /, *, as_json: bool) -> Coroutine[Any, Any, str]:
        """The text to print. Raises `ShimError`."""


async def networks(settings: Settings, _wanted: str, *, as_json: bool) -> str:
    """All networks, one line each."""
    known, endpoints = await journal(settings)
    docker = await docker_networks(settings, (network.id for network in known))
    items = [_network(network, endpoints, docker) for network in known]
    if as_json:
        return printed.json_text(items)
    return printed.table(
        ("NETWORK ID", "NAME", "CNI NETWORK", "ENDPOINTS"),
        [(item["id"][:12], item["name"], item["cniNetwork"], str(item["endpoints"])) for item in items],
    )


async def endpoints(settings: Settings, _wanted: str, *, as_json: bool) -> str:
    """All endpoints, one line each."""
    items = await _endpoints(settings)
    if as_json:
        return printed.json_text(items)
    return printed.table(
        (
            "ENDPOINT ID",
            "NETWORK",
            "CNI NETWORK",
            "CONTAINER",
            "ADDRESS",
            "MAC",
            "STATE",
            "PORTS",
            "LAST ERROR",
        ),
        [
            (
                item["id"][:12],
                item["network"]["name"],
                item["cniNetwork"],
                item["container"],
                ",".join(item["addresses"]),
                item["mac"],
                item["state"],
                _ports(item["portMappings"]),
                item["lastError"],
            )
            for item in items
        ],
    )


async def endpoint(settings: Settings, wanted: str, *, as_json: bool) -> str:
    """One endpoint in full, found by its ID or the beginning of it."""
    item = matching(await _endpoints(settings), wanted, lambda item: str(item["id"]))
    if as_json:
        return printed.json_text(item)
    lines = {
        "endpoint": item["id"],
        "network": f"{item['network']['name'] or printed.NOTHING} ({item['network']['id'][:12]})",
        "CNI network": item["cniNetwork"],
        "container": item["container"],
        "state": item["state"],
        "mode": _mode(item),
        "addresses": ", ".join(item["addresses"]),
        "gateways": ", ".join(item["gateways"]),
        "MAC": item["mac"],
        "sandbox": item["sandbox"],
        "ports": _ports(item["portMappings"]),
        "plugins": " > ".join(plugin["type"] for plugin in item["conflist"]["plugins"]),
        "CNI_ARGS": ";".join(f"{key}={value}" for key, value in item["cniArgs"].items()),
        "created": item["createdAt"],
        "last error": item["lastError"],
        "carried": _indented(item["carried"]),
        "replayed": _indented(item["replayed"]),
        "gave way": _indented(_with_reasons(item["yielded"])),
        "lost": _indented(_with_reasons(item["lost"])),
    }
    return "\n".join(f"{key + ':':{_WIDTH}}{value or printed.NOTHING}" for key, value in lines.items())


async def reservations(settings: Settings, _wanted: str, *, as_json: bool) -> str:
    """All reservations, one line each."""
    async with _opened(settings) as store:
        known, endpoints = await store.reservations(), await store.endpoints()
    users = {item: endpoint.id for endpoint in endpoints for item in endpoint.reservations}
    items = [_reservation(item, users.get(item.id, "")) for item in known]
    if as_json:
        return printed.json_text(items)
    return printed.table(
        ("RESERVATION ID", "CNI NETWORK", "ADDRESS", "USED BY", "LAST ERROR"),
        [
            (item["id"][:12], item["cniNetwork"], ",".join(item["addresses"]), _user(item), item["lastError"])
            for item in items
        ],
    )


VIEWS: Mapping[str, View] = {
    "network ls": networks,
    "endpoint ls": endpoints,
    "endpoint show": endpoint,
    "reservation ls": reservations,
}
"""The views by the words of the command line."""


def matching(items: Iterable[_T], wanted: str, id_of: Callable[[_T], str]) -> _T:
    """The endpoint whose ID begins with `wanted`. Raises `InvalidRequestError` unless it is one alone."""
    found = [item for item in items if id_of(item).startswith(wanted)]
    if len(found) != 1:
        raise InvalidRequestError(
            f"several endpoints begin with {wanted}" if found else f"no endpoint begins with {wanted}",
            cure="give more of its ID" if found else "see `cnm-cni endpoint ls`",
        )
    return found[0]


async def journal(settings: Settings) -> tuple[list[Network], list[Endpoint]]:
    """What the daemon has on record. Raises `StoreError`."""
    async with _opened(settings) as store:
        return await store.networks(), await store.endpoints()


async def docker_networks(
    settings: Settings, wanted: Iterable[NetworkID]
) -> Mapping[NetworkID, DockerNetwork]:
    """What the engine knows of the networks; those it does not know, or cannot tell, are missing."""
    engine = Engine(settings.docker_socket, settings.deadlines.engine)
    found: dict[NetworkID, DockerNetwork] = {}
    for network_id in set(wanted):
        try:
            found[network_id] = await engine.network(network_id)
        except InvalidRequestError:
            continue
        except UnavailableError:
            break
    return found


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Store]:
    store = Store(settings.state_dir, read_only=True)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


async def _endpoints(settings: Settings) -> list[dict[str, Any]]:
    known, items = await journal(settings)
    networks = {network.id: network for network in known}
    docker = await docker_networks(settings, (item.network_id for item in items))
    return [_endpoint(item, networks.get(item.network_id), docker.get(item.network_id)) for item in items]


def _network(
    network: Network, endpoints: Sequence[Endpoint], docker: Mapping[NetworkID, DockerNetwork]
) -> dict[str, Any]:
    return {
        "id": network.id,
        "name": docker[network.id].name if network.id in docker else "",
        "cniNetwork": network.cni_network,
        "endpoints": sum(endpoint.network_id == network.id for endpoint in endpoints),
        "options": dict(network.options),
        "internal": network.internal,
        "createdAt": printed.time(network.created_at),
    }


def _endpoint(endpoint: Endpoint, network: Network | None, docker: DockerNetwork | None) -> dict[str, Any]:
    ips = attached.ips(endpoint)
    replayed = attached.replayed(endpoint)
    return {
        "id": endpoint.id,
        "network": {"id": endpoint.network_id, "name": docker.name if docker else ""},
        "cniNetwork": endpoint.conflist["name"],
        "container": docker.containers.get(endpoint.id, "") if docker else "",
        "state": endpoint.state,
        "mode": endpoint.mode,
        "wantedMode": network_options(network.options).mode if network else endpoint.mode,
        "addresses": [ip.address for ip in ips],
        "gateways": [ip.gateway for ip in ips if ip.gateway],
        "mac": attached.mac(endpoint),
        "ifname": endpoint.ifname,
        "sandbox": endpoint.sandbox_key,
        "portMappings": list(endpoint.capability_args.get("portMappings", ())),
        "lastError": endpoint.last_error,
        "createdAt": printed.time(endpoint.created_at),
        "cniArgs": dict(endpoint.cni_args),
        "capabilityArgs": endpoint.capability_args,
        "conflist": endpoint.conflist,
        "result": endpoint.result,
        "carried": list(replayed.carried),
        "replayed": list(replayed.replayed),
        "yielded": [{"what": what, "why": why} for what, why in replayed.yielded],
        "lost": [{"what": what, "why": why} for what, why in replayed.lost],
    }


def _reservation(reservation: Reservation, endpoint_id: str) -> dict[str, Any]:
    return {
        "id": reservation.id,
        "cniNetwork": reservation.conflist["name"],
        "addresses": [ip.address for ip in answer(reservation).ips],
        "endpoint": endpoint_id,
        "network": reservation.network_id,
        "held": sorted(reservation.held),
        "lastError": reservation.last_error,
        "createdAt": printed.time(reservation.created_at),
        "conflist": reservation.conflist,
    }


def _user(item: Mapping[str, Any]) -> str:
    """Who uses a reservation; nobody when it is left over, and to be given back."""
    if item["endpoint"]:
        return f"endpoint {item['endpoint'][:12]}"
    if item["network"]:
        return f"network {item['network'][:12]}"
    return "Docker" if item["held"] else ""


def _indented(lines: Iterable[str]) -> str:
    """Lines below each other in the second column."""
    return f"\n{'':{_WIDTH}}".join(lines)


def _with_reasons(items: Iterable[Mapping[str, str]]) -> list[str]:
    return [f"{item['what']} ({item['why']})" for item in items]


def _mode(item: Mapping[str, Any]) -> str:
    if item["mode"] == item["wantedMode"]:
        return str(item["mode"])
    return f"{item['mode']} ({item['wantedMode']} was asked for, but the sandbox came after Join)"


def _ports(mappings: Iterable[PortMapping]) -> str:
    """Port mappings in docker's notation."""
    return ", ".join(
        f"{_host(item)}{item['hostPort']}->{item['containerPort']}/{item['protocol']}" for item in mappings
    )


def _host(mapping: PortMapping) -> str:
    address = mapping.get("hostIP", "")
    return f"[{address}]:" if ":" in address else f"{address}:" if address else ""
