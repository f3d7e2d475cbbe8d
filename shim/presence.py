"""The node among the others: alive as long as it renews its lease, and alone under its name."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

from shim.config import Kubernetes
from shim.engine import Engine, Identity
from shim.errors import ConflictError, ShimError
from shim.kube.backoff import Backoff
from shim.kube.client import Client
from shim.kube.lease import Lease
from shim.trouble import Trouble

ROLE = "node"
"""What the leases of nodes are for."""

BEATS = 4
"""A node that has not renewed its lease for so many times counts as lost."""


class Presence:
    """Renews the lease of this node, in the name of its engine; `changed` is told when it has got it.

    Only who holds the lease writes what this node has to write: two shims of one name would undo each other's
    work without end.
    """

    def __init__(
        self, client: Client, engine: Engine, settings: Kubernetes, changed: Callable[[], None]
    ) -> None:
        self._client = client
        self._engine = engine
        self._settings = settings
        self._changed = changed
        self._trouble = Trouble(f"renew the lease of node {settings.node} in Kubernetes")
        self._identity: Identity | None = None
        self._lease: Lease | None = None
        self.engine: Identity | None = None
        """The engine of this node, while the lease is held."""

    async def run(self) -> NoReturn:
        """Hold the lease until cancelled."""
        backoff = Backoff(longest=self._settings.heartbeat)
        while True:
            try:
                await self._beat()
            except ShimError as error:
                self._trouble.meet(error)
                await asyncio.sleep(backoff.pause())
            else:
                self._trouble.end()
                backoff.reset()
                await asyncio.sleep(self._settings.heartbeat)

    async def _beat(self) -> None:
        if self._identity is None:
            self._identity = await self._engine.identity()
        if self._lease is None:
            self._lease = Lease(
                self._client,
                self._settings.namespace,
                self._settings.node,
                role=ROLE,
                holder=self._identity.id,
                duration=BEATS * self._settings.heartbeat,
            )
        if not await self._lease.renew():
            self.engine = None
            raise ConflictError(
                f"another shim calls itself {self._settings.node}, that of engine {self._lease.other_holder}",
                cure="give each node a name of its own with kubernetes.node in the shim's settings",
            )
        if self.engine is None:
            self.engine = self._identity
            self._changed()
