"""The Docker Engine API, read only: names of networks and containers.

Only calls that take no container's lock are made, since the engine holds that lock while it waits
for a driver (`GET /containers/<id>/json` would hang). Each has a deadline: while the engine starts,
it accepts connections and answers nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp

from shim.errors import InvalidRequestError, UnavailableError
from shim.model import EndpointID, NetworkID


@dataclass(frozen=True, slots=True)
class DockerNetwork:
    """What the engine says of one of its networks."""

    id: NetworkID
    name: str
    internal: bool
    options: Mapping[str, str]
    """The `-o` options."""
    containers: Mapping[EndpointID, str]
    """Container names by endpoint."""


class Engine:
    """The engine behind `socket`; `deadline` in seconds for each question."""

    def __init__(self, socket: Path, deadline: float) -> None:
        self._socket = socket
        self._deadline = deadline

    async def network(self, network_id: NetworkID) -> DockerNetwork:
        """The network of that ID, with its containers.

        Raises `InvalidRequestError` when there is none, `UnavailableError` when nothing answers.
        """
        return self._network(await self._get(f"/networks/{network_id}"))

    async def _get(self, path: str) -> Any:
        timeout = aiohttp.ClientTimeout(total=self._deadline)
        connector = aiohttp.UnixConnector(path=str(self._socket))
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.get(f"http://docker{path}") as response,
            ):
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

    def _network(self, item: Any) -> DockerNetwork:
        try:
            return _network(item)
        except (KeyError, TypeError, AttributeError) as error:
            raise self._unreachable(f"its answer does not describe a network: {error!r}") from error

    def _unreachable(self, reason: str) -> UnavailableError:
        return UnavailableError(
            f"the Docker engine cannot be asked at {self._socket}: {reason}",
            cure="set docker_socket in the shim's settings to the engine's socket",
        )


def _network(item: Mapping[str, Any]) -> DockerNetwork:
    return DockerNetwork(
        id=NetworkID(item["Id"]),
        name=item["Name"],
        internal=bool(item.get("Internal")),
        options=item.get("Options") or {},
        containers={
            EndpointID(container["EndpointID"]): container["Name"]
            for container in (item.get("Containers") or {}).values()
        },
    )
