"""Finds the nodes that are lost, says so in their DockerNetworks, and removes these when they stay lost.

One node at a time does this for all, by a lease. It looks at the leases of the others, and at their objects
only when they are lost: nobody has to follow what all nodes write.
"""

import asyncio
import json
import logging
import random
import time
from dataclasses import dataclass
from typing import NoReturn

from shim import desired
from shim.config import Kubernetes
from shim.errors import ShimError
from shim.kube.client import Client
from shim.kube.cluster import list_bindings
from shim.kube.lease import ROLE_LABEL, Lease
from shim.kube.objects import DOCKER_NETWORKS, LEASES, NODE_LABEL, Binding
from shim.model import JSONObject
from shim.presence import BEATS, ROLE, Presence
from shim.trouble import Trouble

_log = logging.getLogger(__name__)

_LEASE = "collector.cnm-cni.io"
_SCAN_EVERY = 10
"""Rounds between two looks at all objects, for those of nodes that have no lease any more."""


@dataclass(frozen=True, slots=True)
class _Sighting:
    """A node's lease as it was first seen in that version."""

    version: str
    """Empty for a node without a lease."""
    since: float
    """`time.monotonic`: the clocks of others may be wrong."""


class Orphans:
    """Collects what lost nodes have left in the namespaces that this node may use."""

    def __init__(self, client: Client, presence: Presence, settings: Kubernetes) -> None:
        self._client = client
        self._presence = presence
        self._settings = settings
        self._interval = BEATS * settings.heartbeat
        self._lease = Lease(
            client,
            settings.namespace,
            _LEASE,
            role="collector",
            holder=settings.node,
            duration=BEATS * self._interval,
        )
        self._trouble = Trouble("look for lost nodes in Kubernetes")
        self._nodes: dict[str, _Sighting] = {}
        self._without_lease: set[str] = set()
        self._rounds = 0
        self._looked_at = 0.0

    async def run(self) -> NoReturn:
        """Look again and again until cancelled."""
        await asyncio.sleep(random.uniform(0, self._interval))  # noqa: S311 - spreads load, guards nothing
        while True:
            try:
                if self._presence.engine is not None and await self._lease.renew():
                    await self._round()
                self._trouble.end()
            except ShimError as error:
                self._trouble.meet(error)
            await asyncio.sleep(self._interval)

    async def _round(self) -> None:
        leases: dict[str, tuple[str, float]] = {}

        def take(lease: JSONObject) -> None:
            meta, spec = lease["metadata"], lease["spec"]
            leases[meta["name"]] = meta["resourceVersion"], spec.get("leaseDurationSeconds", self._interval)

        await self._client.list(LEASES, self._settings.namespace, take, selector=f"{ROLE_LABEL}={ROLE}")
        if self._rounds % _SCAN_EVERY == 0:
            self._without_lease = await self._claimants() - leases.keys()
        self._rounds += 1
        now = time.monotonic()
        if now - self._looked_at > 2 * self._interval:  # as after an outage, when nobody could renew a lease
            self._nodes.clear()
        self._looked_at = now
        before, self._nodes = self._nodes, {}
        for node in leases.keys() | self._without_lease:
            version, duration = leases.get(node, ("", 0.0))
            seen = before.get(node)
            if seen is None or seen.version != version:
                seen = _Sighting(version, now)
            self._nodes[node] = seen
            silence = now - seen.since
            if silence > max(duration, self._settings.forget_after):
                await self._forget(node)
            elif silence > duration:
                await self._mark(node)

    async def _mark(self, node: str) -> None:
        """Say of the networks of a node that nobody knows how they are; it takes that back by itself."""
        marked = 0
        for binding in await self._bindings(node):
            before = json.loads(binding.status)
            message = f"Node {node} has not renewed its lease; what is said here may not be so any more."
            lost = desired.condition("Unknown", "NodeLost", message, before)
            if lost not in before.get("conditions", ()):
                await self._client.patch_status(
                    DOCKER_NETWORKS, binding.namespace, binding.object_name, {"conditions": [lost]}
                )
                marked += 1
        if marked:
            _log.warning("Kubernetes: node %s is lost; %d networks of it are marked", node, marked)

    async def _forget(self, node: str) -> None:
        """Delete the networks of a node, then its lease; should it come back, it writes them again."""
        count = 0
        for binding in await self._bindings(node):
            await self._client.delete(DOCKER_NETWORKS, binding.namespace, binding.object_name)
            count += 1
        await self._client.delete(LEASES, self._settings.namespace, node)
        self._without_lease.discard(node)
        del self._nodes[node]
        _log.warning("Kubernetes: node %s has been lost for long; %d networks of it are removed", node, count)

    async def _bindings(self, node: str) -> list[Binding]:
        """The DockerNetworks of a node."""
        selector = f"{NODE_LABEL}={node}"
        return await list_bindings(self._client, self._settings.namespaces, selector=selector)

    async def _claimants(self) -> set[str]:
        """The nodes that have DockerNetworks."""
        found: set[str] = set()
        for namespace in self._settings.namespaces or ("",):
            await self._client.list(
                DOCKER_NETWORKS,
                namespace,
                lambda item: found.add(item["metadata"]["labels"][NODE_LABEL]),
                selector=NODE_LABEL,
                from_cache=True,
            )
        return found
