"""The Docker Engine API, read only: which engine it is, and names of networks and containers.

Only calls that take no container's lock are made, since the engine holds that lock while it waits
for a driver (`GET /containers/<id>/json` would hang). Each has a deadline: while the engine starts,
it accepts connections and answers nothing.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from shim import spans
from shim.errors import InvalidRequestError, UnavailableError
from shim.model import EndpointID, NetworkID

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class DockerNetwork:
    """What the engine says of one of its networks."""

    id: NetworkID
    name: str
    driver: str
    internal: bool
    options: Mapping[str, str]
    """The `-o` options."""
    ipam_options: Mapping[str, str]
    """The `--ipam-opt` options."""
    containers: Mapping[EndpointID, str]
    """Container names by endpoint."""
    addresses: frozenset[str] = frozenset()
    """Those of its containers, without prefix length."""


@dataclass(frozen=True, slots=True)
class Container:
    """What the engine says of one of its containers."""

    id: str
    networks: frozenset[str]
    """The names of its networks, those that it has not joined yet included."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which engine it is."""

    id: str
    """Its own ID, as `docker info` shows it; it stays the same when the engine is upgraded."""
    version: str


class Engine:
    """The engine behind `socket`; `deadline` in seconds for each question."""

    def __init__(self, socket: Path, deadline: float) -> None:
        self._socket = socket
        self._deadline = deadline

    async def network(self, network_id: NetworkID) -> DockerNetwork:
        """The network of that ID, with its containers.

        Raises `InvalidRequestError` when there is none, `UnavailableError` when nothing answers.
        """
        return self._read(await self._get(f"/networks/{network_id}"), _network, "a network")

    async def network_ids(self) -> set[NetworkID]:
        """The IDs of all networks. Raises `UnavailableError` when nothing answers."""
        return self._read(await self._get("/networks"), _network_ids, "networks")

    async def identity(self) -> Identity:
        """Which engine it is. Raises `UnavailableError` when nothing answers."""
        return self._read(await self._get("/info"), _identity, "an engine")

    async def container(self, name: str) -> Container:
        """The container of that name, by the list, which waits for no container.

        Raises `InvalidRequestError` when there is none, `UnavailableError` when nothing answers.
        """
        filters = json.dumps({"name": [f"^/{re.escape(name)}$"]})
        listed = await self._get("/containers/json", all="true", filters=filters)
        found = self._read(listed, _containers, "containers")
        if not found:
            raise InvalidRequestError(f"the Docker engine knows no container {name}")
        return found[0]

    async def _get(self, path: str, **query: str) -> Any:
        with spans.span(spans.Kind.ENGINE, f"GET {path}", query=query) as span:
            return await self._ask(path, query, span)

    async def _ask(self, path: str, query: Mapping[str, str], span: spans.Span) -> Any:
        timeout = aiohttp.ClientTimeout(total=self._deadline)
        connector = aiohttp.UnixConnector(path=str(self._socket))
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.get(f"http://docker{path}", params=query) as response,
            ):
                span.tell(status=response.status)
                if response.status == HTTPStatus.NOT_FOUND:
                    raise InvalidRequestError(
                        f"the Docker engine knows no {path.lstrip('/')}",
                        cure="is docker_socket in the shim's settings that of the engine which asks?",
                    )
                response.raise_for_status()
                return await response.json()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            reason = f"no answer within {self._deadline:g} s" if isinstance(error, TimeoutError) else error
            raise self._unreachable(str(reason)) from error
        except (ValueError, RecursionError) as error:
            raise self._unreachable(f"its answer is not JSON: {error}") from error

    def _read(self, item: Any, parse: Callable[[Any], _T], what: str) -> _T:
        try:
            return parse(item)
        except (KeyError, TypeError, AttributeError) as error:
            raise self._unreachable(f"its answer does not describe {what}: {error!r}") from error

    def _unreachable(self, reason: str) -> UnavailableError:
        return UnavailableError(
            f"the Docker engine cannot be asked at {self._socket}: {reason}",
            cure="set docker_socket in the shim's settings to the engine's socket",
        )


def _network(item: Mapping[str, Any]) -> DockerNetwork:
    return DockerNetwork(
        id=NetworkID(item["Id"]),
        name=item["Name"],
        driver=item.get("Driver", ""),
        internal=bool(item.get("Internal")),
        options=item.get("Options") or {},
        ipam_options=(item.get("IPAM") or {}).get("Options") or {},
        containers={
            EndpointID(container["EndpointID"]): container["Name"]
            for container in (item.get("Containers") or {}).values()
        },
        addresses=frozenset(
            container[family].partition("/")[0]
            for container in (item.get("Containers") or {}).values()
            for family in ("IPv4Address", "IPv6Address")
            if container.get(family)
        ),
    )


def _containers(items: Iterable[Mapping[str, Any]]) -> list[Container]:
    return [
        Container(str(item["Id"]), frozenset((item.get("NetworkSettings") or {}).get("Networks") or ()))
        for item in items
    ]


def _network_ids(items: Iterable[Mapping[str, Any]]) -> set[NetworkID]:
    return {NetworkID(item["Id"]) for item in items}


def _identity(item: Mapping[str, Any]) -> Identity:
    return Identity(str(item["ID"]), str(item["ServerVersion"]))
