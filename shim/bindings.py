"""Keeps the DockerNetworks of this node in Kubernetes as the journal has its networks and endpoints.

Each round compares what should be there with what is, and writes the difference. So it does not matter what
was missed meanwhile: an outage of the API server, a restart, or an object that somebody changed.
"""

import asyncio
import contextlib
import json
import math
import time
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any, NoReturn

from shim import desired
from shim.config import Kubernetes
from shim.driver import Driver
from shim.engine import DockerNetwork, Engine, Identity
from shim.errors import InvalidRequestError, ShimError, UnavailableError
from shim.kube.backoff import Backoff
from shim.kube.client import Client
from shim.kube.cluster import Cluster
from shim.kube.errors import AccessError, KubeError
from shim.kube.objects import DOCKER_NETWORKS, Binding, written
from shim.logical import LogicalNetworks
from shim.model import Endpoint, EndpointState, Network, NetworkID
from shim.presence import Presence
from shim.store import Store
from shim.trouble import Trouble

_SETTLING = 0.5
"""Seconds after a change in which others may join it: they are written together."""
_RESYNC = 60.0
"""Seconds between two rounds when nothing has changed, as far as is known."""

_SHORT_ID = 12

_ATTACHED = (EndpointState.CREATED, EndpointState.JOINING, EndpointState.JOINED)


class Bindings:
    """The DockerNetworks of this node; `changed` is set whenever something may have to be written."""

    def __init__(
        self,
        *,
        driver: Driver,
        store: Store,
        engine: Engine,
        logical_networks: LogicalNetworks,
        client: Client,
        cluster: Cluster,
        presence: Presence,
        settings: Kubernetes,
        changed: asyncio.Event,
    ) -> None:
        self._driver = driver
        self._store = store
        self._engine = engine
        self._logical_networks = logical_networks
        self._client = client
        self._cluster = cluster
        self._presence = presence
        self._settings = settings
        self._changed = changed
        self._trouble = Trouble("write the networks of this node to Kubernetes")
        self._docker: dict[NetworkID, tuple[DockerNetwork, float]] = {}
        """What the engine said last of each network, and when (`time.monotonic`)."""
        self._reported_at: dict[NetworkID, float] = {}
        """When the status of each network was written last (`time.monotonic`)."""

    async def run(self) -> NoReturn:
        """Keep them in step until cancelled."""
        backoff = Backoff(longest=_RESYNC)
        pause = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            await asyncio.sleep(_SETTLING)
            self._changed.clear()
            try:
                pause = await self._round()
            except ShimError as error:
                self._trouble.meet(error)
                await asyncio.sleep(backoff.pause(getattr(error, "retry_after", 0.0)))
                pause = 0.0
            else:
                self._trouble.end()
                backoff.reset()

    async def _round(self) -> float:
        """Write what differs; the seconds until the next round is due.

        Raises the first error that was met, when all that can be written is.
        """
        engine = self._presence.engine
        if engine is None or not self._cluster.knows_all(DOCKER_NETWORKS):
            return _RESYNC
        networks = {network.id: network for network in await self._store.networks()}
        endpoints: dict[NetworkID, list[Endpoint]] = {network_id: [] for network_id in networks}
        for endpoint in await self._store.endpoints():
            if endpoint.state in _ATTACHED:
                endpoints.setdefault(endpoint.network_id, []).append(endpoint)
        self._forget_all_but(networks)
        pause = _RESYNC
        errors: list[ShimError] = []
        for network in networks.values():
            with _collected(errors):
                pause = min(pause, await self._keep(network, endpoints[network.id], engine))
        for binding in self._cluster.own_bindings():
            if binding.id not in networks:
                with _collected(errors):
                    await self._withdraw(binding)
        if errors:
            raise errors[0]
        return pause

    async def _keep(self, network: Network, endpoints: Sequence[Endpoint], engine: Identity) -> float:
        """Write what differs of one network; the seconds until its status may be written, should it wait."""
        bound, problem = await self._bound(network)
        if bound is None or not self._may_write(bound):
            return _RESYNC
        docker = await self._seen(network.id, endpoints)
        if docker is None:  # it is just being made, or removed
            return _RESYNC
        binding = await self._write(desired.binding(bound, docker, engine, self._settings))
        before = json.loads(binding.status)
        status = desired.status(endpoints, docker.containers, problem, before)
        if written(status) == binding.status:
            return _RESYNC
        due = self._reported_at.get(network.id, -math.inf) + self._settings.status_interval
        if due > time.monotonic():
            return due - time.monotonic()
        self._cluster.note(
            await self._client.patch_status(DOCKER_NETWORKS, binding.namespace, binding.object_name, status)
        )
        self._reported_at[network.id] = time.monotonic()
        return _RESYNC

    async def _bound(self, network: Network) -> tuple[Network | None, ShimError | None]:
        """The network with what it is bound to, and what is wrong with that; None while it is not bound.

        A network that an administrator has bound meanwhile is bound here, before its first container. What
        its definition says now goes to the journal, which serves while Kubernetes is away.
        """
        if not network.cni_network:
            found = self._cluster.own_bindings(network.id) or self._cluster.unclaimed_bindings(network.id)
            if not found:
                return None, None
            network = replace(network, cni_network=found[0].cni_network)
            try:
                network, _ = await self._driver.networks.current(network.id)
            except ShimError as error:
                return network, error
            return network, None
        try:
            current = self._logical_networks.current(network)
            self._logical_networks.conflist(current)
        except ShimError as error:
            return network, error
        if current != network:
            await self._store.update_network(current)
        return current, None

    def _may_write(self, network: Network) -> bool:
        """Whether the DockerNetwork of a network is in a namespace that this node may use."""
        namespace = network.cni_network.rpartition("/")[0] or self._settings.default_namespace
        return not self._settings.namespaces or namespace in self._settings.namespaces

    async def _seen(self, network_id: NetworkID, endpoints: Iterable[Endpoint]) -> DockerNetwork | None:
        """The network as the engine has it; None when it has none.

        It is asked for names of containers that are not known yet, and now and then since they may change.
        """
        known, at = self._docker.get(network_id, (None, -math.inf))
        joined = {item.id for item in endpoints if item.state is EndpointState.JOINED}
        if known and joined <= known.containers.keys() and time.monotonic() - at < _RESYNC:
            return known
        try:
            seen = await self._engine.network(network_id)
        except InvalidRequestError:
            return None
        self._docker[network_id] = seen, time.monotonic()
        return seen

    async def _write(self, wanted: Binding) -> Binding:
        """The object of a network as it is in Kubernetes, where it was made or changed if it had to be."""
        own = self._cluster.own_bindings(wanted.id)
        found = [
            item
            for item in own or self._cluster.unclaimed_bindings(wanted.id)
            if item.namespace == wanted.namespace
        ]
        for other in own:
            if other not in found[:1]:
                await self._client.delete(DOCKER_NETWORKS, other.namespace, other.object_name)
        if own and found and found[0] == wanted:
            return found[0]
        if found:
            change = replace(wanted, object_name=found[0].object_name).to_json(self._settings.node)
            item = await self._client.patch(
                DOCKER_NETWORKS,
                wanted.namespace,
                found[0].object_name,
                {"metadata": {"labels": change["metadata"]["labels"]}, "spec": change["spec"]},
            )
        else:
            item = await self._create(wanted)
        self._cluster.note(item)
        return Binding.from_json(item)

    async def _create(self, wanted: Binding) -> dict[str, Any]:
        """Create the object under the short ID, as docker shows it, or else under the whole one."""
        short, whole = (
            replace(wanted, object_name=name).to_json(self._settings.node)
            for name in (wanted.id[:_SHORT_ID], wanted.id)
        )
        try:
            return await self._client.create(DOCKER_NETWORKS, short)
        except KubeError as error:
            if error.code != HTTPStatus.CONFLICT:
                raise
            return await self._client.create(DOCKER_NETWORKS, whole)

    async def _withdraw(self, binding: Binding) -> None:
        """Delete the object of a network that is gone, as the engine confirms: the journal may be lost."""
        try:
            await self._engine.network(binding.id)
        except InvalidRequestError:
            await self._client.delete(DOCKER_NETWORKS, binding.namespace, binding.object_name)

    def _forget_all_but(self, networks: Container[NetworkID]) -> None:
        self._docker = {key: value for key, value in self._docker.items() if key in networks}
        self._reported_at = {key: value for key, value in self._reported_at.items() if key in networks}


@contextlib.contextmanager
def _collected(errors: list[ShimError]) -> Iterator[None]:
    """Note an error that concerns one network alone, so that the others have their turn."""
    try:
        yield
    except KubeError as error:
        if error.is_general:
            raise
        errors.append(error)
    except (AccessError, UnavailableError):
        raise
    except ShimError as error:
        errors.append(error)
