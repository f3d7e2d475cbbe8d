"""In place: the chain runs in the container's own namespace at Join, and no link is moved.

It needs a sandbox that is a namespace by then: `docker run` has one on engines from 28.0, `docker network
connect` to a running container on all. The link's MAC address is settled before, when the engine asks for it.
"""

import itertools
import logging
import secrets
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from shim import attached
from shim.cni.conf import NetworkConfigList
from shim.engine import Engine
from shim.errors import ConflictError, InvalidRequestError, ShimError
from shim.model import Endpoint, Mode
from shim.net.links import Links
from shim.net.namespaces import is_namespace
from shim.net.snapshot import Route
from shim.net.thread import KernelError
from shim.options import IFNAME as IFNAME_OPTION
from shim.options import MAC
from shim.translate import IFNAME

_log = logging.getLogger(__name__)

_MAKE_LINKS = {"bridge", "macvlan", "ptp", "tap"}
"""Plugins whose link is new, so that it may get a MAC address of ours."""


class InPlace:
    """Makes endpoints ready for ADD in the sandbox. Every call may raise `KernelError`."""

    def __init__(self, engine: Engine, links: Links) -> None:
        self._engine = engine
        self._links = links

    async def foretold_mac(self, conflist: NetworkConfigList) -> str:
        """The MAC address that the link will have; empty when unknown.

        It is the one in the conflist, that of the host's device, or one of ours.
        """
        said = [plugin["mac"] for plugin in conflist.plugins if isinstance(plugin.get("mac"), str)]
        if any(said):
            return str(said[-1]).lower()
        first = conflist.plugins[0]
        if "mac" in conflist.capabilities or first["type"] in _MAKE_LINKS:
            return ":".join(f"{byte:02x}" for byte in (2, *secrets.token_bytes(5)))
        if first["type"] == "host-device":
            device, mac = first.get("device"), str(first.get("hwaddr")).lower()
            on_host = await self._links.links(None)
            return next((link.mac for link in on_host if link.name == device or link.mac == mac), "")
        return ""

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
        names = {link.name for link in await self._links.links(sandbox)}
        if endpoint.ifname in names:  # after a failing ADD, DEL would remove that one
            raise ConflictError(
                f"network {endpoint.conflist['name']}: the container has a link {endpoint.ifname} already",
                cure=f"choose another name with {IFNAME_OPTION}, or leave it out",
            )
        ifname = endpoint.ifname or await self._name(endpoint, names)
        return replace(endpoint, netns=sandbox_key, sandbox_key=sandbox_key, ifname=ifname)

    async def settle_mac(self, endpoint: Endpoint) -> None:
        """Give the link the MAC address that the engine knows of, which not every plugin takes.

        By handover the engine does so. Raises `InvalidRequestError` when the link does not take it either.
        """
        link = attached.link(endpoint)
        if link is None or endpoint.mac_address in {"", link.mac}:
            return
        try:
            await self._links.set_mac(Path(endpoint.netns), link.name, endpoint.mac_address)
        except KernelError as error:
            raise InvalidRequestError(
                f"network {endpoint.conflist['name']}: {error.cause}",
                cure=f"leave --mac-address, or {MAC}, out",
            ) from error

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
