"""Repair: what the journal says against what there is, at the start and from then on.

The engine never repeats what it told before, and after a crash of its own it may never send Leave or
DeleteEndpoint. Its list of endpoints is evidence, though: what it does not list, and what no sandbox
holds, is left over.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable
from pathlib import Path

from shim import telemetry
from shim.admission import boot_id
from shim.driver import Driver
from shim.engine import Engine
from shim.errors import InvalidRequestError, ShimError
from shim.model import Endpoint, EndpointState, NetworkID, Reservation
from shim.net.namespaces import Namespaces, is_namespace
from shim.reservations import Reservations
from shim.store import Store

_log = logging.getLogger(__name__)

_INTERVAL = 30.0
"""Seconds between two rounds."""

_GRACE = 60.0
"""Seconds during which what is new is left alone: the engine lists an endpoint only from Join on."""


class Reconciler:
    """Removes endpoints that nobody will ask about again."""

    def __init__(
        self,
        driver: Driver,
        store: Store,
        engine: Engine,
        namespaces: Namespaces,
        reservations: Reservations,
    ) -> None:
        self._driver = driver
        self._store = store
        self._engine = engine
        self._namespaces = namespaces
        self._reservations = reservations
        self._interrupted: list[Endpoint] = []

    async def recall(self) -> None:
        """Note what the last run left in the midst of an action; to be called before any call is served."""
        self._interrupted = [item for item in await self._store.endpoints() if _interrupted(item)]

    async def run(self) -> None:
        """Repair what was noted, then what is found, again and again until cancelled."""
        await self._remove(self._interrupted)
        while True:
            await self._repair()
            await asyncio.sleep(_INTERVAL)

    async def _repair(self) -> None:
        """One round, each part by itself: without the engine, for one, the others can be done."""
        for part in (
            self._driver.replay,
            self._retry_failed,
            self._remove_left_over,
            self._give_back_addresses,
            self._remove_stray_namespaces,
            self._forget_networks,
        ):
            try:
                await part()
            except ShimError as error:
                _log.warning("repair: %s", error)

    async def _remove(self, endpoints: list[Endpoint]) -> None:
        for endpoint in endpoints:
            with telemetry.call("Repair") as record:
                try:
                    await self._driver.remove(endpoint.id, seen=endpoint)
                except ShimError as error:
                    record.error = str(error)

    async def _retry_failed(self) -> None:
        """Remove endpoints whose removal failed before."""
        endpoints = await self._store.endpoints()
        await self._remove(
            [item for item in endpoints if item.state is EndpointState.LEAVING and item.last_error]
        )

    async def _remove_left_over(self) -> None:
        """Remove endpoints which no sandbox holds and the engine does not list."""
        suspects = [item for item in await self._store.endpoints() if _suspect(item)]
        listed = {
            endpoint_id
            for network_id in {item.network_id for item in suspects}
            for endpoint_id in await self._listed(network_id)
        }
        await self._remove([item for item in suspects if item.id not in listed])

    async def _listed(self, network_id: NetworkID) -> set[str]:
        """The endpoints that the engine lists on a network. Raises `UnavailableError`: no evidence."""
        try:
            return set((await self._engine.network(network_id)).containers)
        except InvalidRequestError:  # there is no such network any more
            return set()

    async def _give_back_addresses(self) -> None:
        """Give back addresses that were reserved for endpoints which never came, or have gone.

        Those of containers on networks of other drivers have no endpoint of ours; the engine lists them.
        """
        left = await self._reservations.left_over(time.time() - _GRACE)
        await self._give_back([item for item in left if not item.held])
        if held := [item for item in left if item.held]:
            listed = await self._addresses()
            await self._give_back([item for item in held if not listed & set(item.held)])

    async def _give_back(self, reservations: Iterable[Reservation]) -> None:
        for reservation in reservations:
            with telemetry.call("Repair") as record:
                telemetry.about(reservation.conflist["name"])
                try:
                    await self._reservations.give_back(reservation)
                except ShimError as error:
                    record.error = str(error)

    async def _addresses(self) -> set[str]:
        """All addresses that the engine lists. Raises `UnavailableError`: no evidence."""
        found: set[str] = set()
        for network_id in await self._engine.network_ids():
            with contextlib.suppress(InvalidRequestError):  # it has been removed meanwhile
                found |= (await self._engine.network(network_id)).addresses
        return found

    async def _remove_stray_namespaces(self) -> None:
        """Remove staging namespaces that no endpoint in the journal owns.

        The names are read first: whoever makes a namespace has journalled its owner before.
        """
        names = await self._namespaces.names()
        known: set[str] = {endpoint.id for endpoint in await self._store.endpoints()}
        for name in names:
            if name not in known:
                await self._namespaces.remove(name)

    async def _forget_networks(self) -> None:
        """Forget networks that were removed while the shim was down: the engine does not say so twice."""
        used = {endpoint.network_id for endpoint in await self._store.endpoints()}
        idle = [
            network.id
            for network in await self._store.networks()
            if network.id not in used and time.time() - network.created_at > _GRACE
        ]
        existing = await self._engine.network_ids() if idle else set()
        for network_id in idle:
            if network_id not in existing:
                await self._store.delete_network(network_id)


def _interrupted(endpoint: Endpoint) -> bool:
    """Whether the shim died in the midst of an action, or the machine did after it."""
    return endpoint.boot_id != boot_id() or endpoint.state in (
        EndpointState.ADDING,
        EndpointState.JOINING,
        EndpointState.LEAVING,
    )


def _suspect(endpoint: Endpoint) -> bool:
    waits_for_join = endpoint.state in (EndpointState.PLANNED, EndpointState.CREATED)
    if waits_for_join and time.time() - endpoint.created_at < _GRACE:
        return False
    settled = waits_for_join or endpoint.state in (EndpointState.JOINED, EndpointState.LEFT)
    return settled and not is_namespace(Path(endpoint.sandbox_key or "/nowhere"))
