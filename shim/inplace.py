"""In place: the chain runs in the container's own namespace at Join, and no link is moved.

It needs a sandbox that is a namespace by then: `docker run` has one on engines from 28.0, `docker network
connect` to a running container on all.
"""

import itertools
import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from shim.engine import Engine
from shim.errors import ConflictError, ShimError
from shim.model import Endpoint, Mode
from shim.net.links import Links
from shim.net.namespaces import is_namespace
from shim.net.snapshot import Route
from shim.options import IFNAME as IFNAME_OPTION
from shim.translate import IFNAME

_log = logging.getLogger(__name__)


class InPlace:
    """Makes endpoints ready for ADD in the sandbox. Every call may raise `KernelError`."""

    def __init__(self, engine: Engine, links: Links) -> None:
        self._engine = engine
        self._links = links

    async def prepare(self, endpoint: Endpoint, sandbox_key: str) -> Endpoint:
        """The endpoint with namespace and link name for ADD; by handover where there is no namespace yet.

        Raises `ConflictError` when the container has a link of the name that was asked for.
        """
        sandbox = Path(sandbox_key)
        if not is_namespace(sandbox):
            _log.warning(
                "endpoint %s: not in place but by handover, since its engine makes the sandbox after Join",
                endpoint.id[:12],
            )
            return replace(endpoint, mode=Mode.HANDOVER, ifname=endpoint.ifname or IFNAME)
        names = {link.name for link in (await self._links.outline(sandbox)).links}
        if endpoint.ifname in names:  # after a failing ADD, DEL would remove that one
            raise ConflictError(
                f"network {endpoint.conflist['name']}: the container has a link {endpoint.ifname} already",
                cure=f"choose another name with {IFNAME_OPTION}, or leave it out",
            )
        ifname = endpoint.ifname or await self._name(endpoint, names)
        return replace(endpoint, netns=sandbox_key, sandbox_key=sandbox_key, ifname=ifname)

    async def leave_to_engine(self, endpoint: Endpoint, routes: Sequence[Route]) -> None:
        """Remove default routes of the chain: the engine sets that of the network it chooses.

        It takes none that is there before; further ones are put back behind its own.
        """
        await self._links.remove_routes(Path(endpoint.netns), routes)

    async def _name(self, endpoint: Endpoint, names: Collection[str]) -> str:
        """`eth0` for a container's only network; else a name that the engine gives to none of its links.

        The engine counts its own links alone, and would take `eth0` once more.
        """
        if not names and not await self._has_other_networks(endpoint):
            return IFNAME
        return next(name for number in itertools.count(1) if (name := f"net{number}") not in names)

    async def _has_other_networks(self, endpoint: Endpoint) -> bool:
        """Whether the engine says that the container has further networks; as it starts it says nothing."""
        try:
            docker = await self._engine.network(endpoint.network_id)
            container = await self._engine.container(docker.containers[endpoint.id])
        except (ShimError, KeyError):
            return False
        return len(container.networks) > 1
