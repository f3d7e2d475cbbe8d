"""Replay: what the chain made and the engine does not take along is put back into the sandbox.

From 28.0 on, and when a running container is connected, that is done while the engine waits, after the link
is in its place and before the process starts. Older engines make the sandbox when the container is created,
and start its process in a second step: there, what can be set is set as soon as the sandbox is a namespace,
and the rest as soon as the link is in it.
"""

import asyncio
import logging
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path

from shim import attached, spans, translate
from shim.errors import ShimError
from shim.handover import Handover
from shim.leases import Leases
from shim.model import Endpoint, EndpointID, EndpointState, Mode
from shim.net.changes import Changed
from shim.net.links import Links
from shim.net.namespaces import is_namespace
from shim.net.replay import Replay, Replayed
from shim.net.snapshot import Link, Snapshot
from shim.store import Store

_log = logging.getLogger(__name__)

_PATIENCE = 120.0
"""Seconds until a container that does not come is given up."""
_AGAIN = (0.01, 0.1)
"""Seconds after which it is done once more: the engine may have been at work on the link still."""


class Replays:
    """Replays endpoints, and notes in the journal what became of it."""

    def __init__(
        self, store: Store, handover: Handover, links: Links, kernel: Replay, leases: Leases
    ) -> None:
        self._store = store
        self._handover = handover
        self._links = links
        self._kernel = kernel
        self._leases = leases
        self._waiting: dict[EndpointID, asyncio.Task[None]] = {}

    async def replay(self, endpoint: Endpoint) -> None:
        """Put back what the sandbox lacks: now if the link is there, else in the background when it comes.

        Nothing that fails here may keep a container from starting: it is logged, and shown as lost.
        """
        if not is_due(endpoint) or endpoint.id in self._waiting:
            return
        try:
            found = await self._handover.in_sandbox(endpoint)
            if found is not None:
                await self._note(endpoint, found, await self._put_back(endpoint, found))
                return
        except ShimError as error:
            _log.warning("endpoint %s: %s", endpoint.id[:12], error)
        task = asyncio.create_task(self._in_background(endpoint), name=f"replay {endpoint.id}")
        self._waiting[endpoint.id] = task
        task.add_done_callback(lambda _: self._waiting.pop(endpoint.id, None))

    async def cancel(self, endpoint_id: EndpointID) -> None:
        """Wait no longer for the sandbox of an endpoint."""
        if task := self._waiting.pop(endpoint_id, None):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        """Wait no longer for any."""
        for endpoint_id in list(self._waiting):
            await self.cancel(endpoint_id)

    async def _in_background(self, endpoint: Endpoint) -> None:
        subject = f"{endpoint.conflist['name']}/{endpoint.id[:12]}"
        with spans.span(spans.Kind.WORK, "Replay", subject=subject):
            await self._when_it_comes(endpoint)

    async def _when_it_comes(self, endpoint: Endpoint) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._links.appeared(Path(endpoint.sandbox_key))
                async with self._links.watch(Path(endpoint.sandbox_key)) as changed:
                    early = await self._early(endpoint, changed)
                    while (found := await self._arrived(endpoint)) is None:
                        await changed()
                done = _then(early, await self._put_back(endpoint, found))
                for pause in _AGAIN:
                    await asyncio.sleep(pause)
                    done = _then(done, await self._put_back(endpoint, found))
            await self._note(endpoint, found, done)
        except (ShimError, TimeoutError) as error:
            _log.warning(
                "endpoint %s: nothing is put back: %s", endpoint.id[:12], str(error) or "it never came"
            )

    async def _early(self, endpoint: Endpoint, changed: Changed) -> Replayed:
        """What can be set before the engine is through: what needs no link, then the sysctls of the link."""
        snapshot, sandbox = attached.snapshot(endpoint), Path(endpoint.sandbox_key)
        without_links = Snapshot(rules=snapshot.rules, sysctls=snapshot.sysctls, netfilter=snapshot.netfilter)
        early = await self._kernel.replay(sandbox, without_links, {}, default_route=False)
        while not (link := self._own(endpoint, await self._links.outline(sandbox))):
            await changed()
        of_link = Snapshot(sysctls=snapshot.sysctls)
        later = await self._kernel.replay(sandbox, of_link, {endpoint.ifname: link.name}, default_route=False)
        return _then(early, later)

    async def _arrived(self, endpoint: Endpoint) -> Link | None:
        """The link, once the engine has done all that Join told: what it finds done, it fails on."""
        seen = await self._links.outline(Path(endpoint.sandbox_key))
        link = self._own(endpoint, seen)
        if link is None or "down" in link.flags:
            return None
        snapshot = attached.snapshot(endpoint)
        reply = translate.created(attached.result(endpoint), snapshot, endpoint)
        addresses = {ip_interface(address).ip for address in link.addresses}
        wanted = {ip_interface(item).ip for item in (reply.address, reply.address_ipv6) if item}
        routes = {(route.destination, route.gateway) for route in seen.routes if route.link == link.name}
        told = translate.joined(snapshot, endpoint).static_routes
        is_done = wanted <= addresses and all((item.destination, item.next_hop) in routes for item in told)
        return link if is_done else None

    @staticmethod
    def _own(endpoint: Endpoint, seen: Snapshot) -> Link | None:
        mac = attached.mac(endpoint)
        return next((link for link in seen.links if link.mac == mac), None)

    async def _put_back(self, endpoint: Endpoint, found: Link) -> Replayed:
        snapshot, sandbox = attached.snapshot(endpoint), Path(endpoint.sandbox_key)
        names = {endpoint.ifname: found.name}
        moved = Replayed()
        if len(snapshot.links) > 1 and is_namespace(Path(endpoint.netns)):
            rest = await self._kernel.move_rest(Path(endpoint.netns), sandbox, snapshot, {endpoint.ifname})
            names |= rest.names
            moved = rest.replayed
        default_route = bool(
            translate.further_defaults(snapshot, endpoint.ifname)
        ) and await self._has_default_route(sandbox, found)
        return moved.followed_by(
            await self._kernel.replay(sandbox, snapshot, names, default_route=default_route)
        )

    async def _has_default_route(self, sandbox: Path, found: Link) -> bool:
        """Whether the engine has chosen the network of this link for the default route."""
        seen = await self._links.outline(sandbox)
        return any(
            route.link == found.name and route.destination in translate.DEFAULTS for route in seen.routes
        )

    async def _note(self, endpoint: Endpoint, found: Link, done: Replayed) -> None:
        """Have its lease follow, and write it all down, unless the endpoint has left meanwhile."""
        done = done.followed_by(await self._leases.follow(endpoint, found))
        for what, why in done.lost:
            _log.warning(
                "network %s, endpoint %s: %s is lost: %s",
                endpoint.conflist["name"],
                endpoint.id[:12],
                what,
                why,
            )
        await self._handover.end_staging(endpoint)
        present = await self._store.endpoint(endpoint.id)
        if present is not None and present.state is EndpointState.JOINED:
            await self._store.save_endpoint(replace(present, replayed=done.to_json()), durable=False)


def is_due(endpoint: Endpoint) -> bool:
    """Whether nothing was put back yet, of a link that the engine moves; in place, only its routes remain."""
    if endpoint.state is not EndpointState.JOINED or endpoint.replayed is not None:
        return False
    further = translate.further_defaults(attached.snapshot(endpoint), endpoint.ifname)
    return endpoint.mode is Mode.HANDOVER or bool(further)


def _then(earlier: Replayed, later: Replayed) -> Replayed:
    """Both as one, where the later has tried anew what the earlier could not."""
    return replace(earlier, lost=(), yielded=()).followed_by(later)
