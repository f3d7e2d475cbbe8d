"""What a node knows of Kubernetes without asking: kept in memory by watches, read in microseconds."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from shim.config import Kubernetes
from shim.errors import ConflictError, ShimError
from shim.kube.client import Client
from shim.kube.errors import KubeError
from shim.kube.index import Index
from shim.kube.objects import (
    DEFINITIONS,
    DOCKER_NETWORKS,
    NODE_LABEL,
    Binding,
    Resource,
    definition_from_json,
    key,
)
from shim.kube.watch import Scope, Watch
from shim.model import Definition, JSONObject, NetworkID

_log = logging.getLogger(__name__)


class Cluster:
    """The logical networks there are, and the bindings of this node; `changed` is told of every change.

    Other nodes' bindings are not watched: no lookup needs them, and their status changes with each endpoint
    anywhere.
    """

    def __init__(self, client: Client, settings: Kubernetes, changed: Callable[[], None]) -> None:
        self._client = client
        self._node = settings.node
        self._definitions = Index(definition_from_json, by=lambda definition: definition.namespace)
        self._own = Index(Binding.from_json, by=lambda binding: binding.id)
        self._unclaimed = Index(Binding.from_json, by=lambda binding: binding.id)
        own, unclaimed = f"{NODE_LABEL}={settings.node}", f"!{NODE_LABEL}"
        self._watches: list[Watch[Any]] = []
        for namespace in settings.namespaces or ("",):
            self._watches += [
                Watch(client, Scope(DEFINITIONS, namespace), self._definitions, changed),
                Watch(client, Scope(DOCKER_NETWORKS, namespace, own), self._own, changed),
                Watch(client, Scope(DOCKER_NETWORKS, namespace, unclaimed), self._unclaimed, changed),
            ]

    async def run(self) -> None:
        """Keep up to date until cancelled."""
        async with asyncio.TaskGroup() as group:
            for watch in self._watches:
                group.create_task(watch.run(), name=f"watch {watch.scope}")

    def knows_all(self, resource: Resource) -> bool:
        """Whether all objects of that kind have been listed, so that one that is missing does not exist."""
        return all(watch.listed.is_set() for watch in self._of(resource))

    async def all_known(self, resource: Resource) -> None:
        """Wait until all objects of that kind have been listed."""
        for watch in self._of(resource):
            await watch.listed.wait()

    def problem(self, resource: Resource) -> ShimError | None:
        """What keeps the objects of that kind from being up to date now, if anything does."""
        return next(filter(None, (watch.problem for watch in self._of(resource))), None)

    def definition(self, namespace: str, name: str) -> Definition | None:
        """The NetworkAttachmentDefinition as it was seen last."""
        return self._definitions.get(namespace, name)

    def definition_names(self, namespace: str) -> list[str]:
        """The names of the NetworkAttachmentDefinitions in a namespace."""
        return [definition.name for definition in self._definitions.by(namespace)]

    async def ask_definition(self, namespace: str, name: str, deadline: float) -> Definition | None:
        """The NetworkAttachmentDefinition as the API server has it, asked for at most `deadline` seconds.

        It is known from then on, though the watch may be a moment behind. Raises `KubeError` and
        `AccessError`.
        """
        item = await self._client.get(DEFINITIONS, namespace, name, deadline=deadline)
        if item is None:
            return None
        try:
            definition = definition_from_json(item)
        except ValueError as error:
            raise KubeError(f"NetworkAttachmentDefinition {namespace}/{name}: {error}") from error
        if any(watch.is_behind(item) for watch in self._of(DEFINITIONS)):
            self._definitions.put(item)
        return definition

    async def binding(self, network_id: NetworkID, deadline: float) -> Binding | None:
        """The DockerNetwork that binds a network of this node.

        Waits for at most `deadline` seconds, and only before the first list of them has been seen. Raises
        `KubeError`, or `ConflictError` when there are several that disagree.
        """
        try:
            async with asyncio.timeout(deadline):
                await self.all_known(DOCKER_NETWORKS)
        except TimeoutError:
            reason = self.problem(DOCKER_NETWORKS) or KubeError(f"{self._client}: no answer yet")
            raise KubeError(str(reason)) from None
        found = self.own_bindings(network_id) or self.unclaimed_bindings(network_id)
        if len({binding.cni_network for binding in found}) > 1:
            places = ", ".join(f"{binding.namespace}/{binding.object_name}" for binding in found)
            raise ConflictError(
                f"several DockerNetworks bind network {network_id[:12]}, each to another: {places}",
                cure="kubectl delete dnet all but one of them",
            )
        return found[0] if found else None

    def own_bindings(self, network_id: NetworkID | None = None) -> list[Binding]:
        """The DockerNetworks that this node keeps in step: those of one network, or all."""
        return list(self._own) if network_id is None else self._own.by(network_id)

    def unclaimed_bindings(self, network_id: NetworkID) -> list[Binding]:
        """The DockerNetworks that an administrator made for a network of this node."""
        return [item for item in self._unclaimed.by(network_id) if item.node in {"", self._node}]

    def note(self, item: JSONObject) -> None:
        """Take in a DockerNetwork that this node has just written, before the watch shows it."""
        self._own.put(item)

    def _of(self, resource: Resource) -> Iterable[Watch[Any]]:
        return (watch for watch in self._watches if watch.scope.resource == resource)


async def list_bindings(client: Client, namespaces: Iterable[str], *, selector: str = "") -> list[Binding]:
    """All DockerNetworks of these namespaces, or of all when there are none, as they are now.

    One that cannot be read is left out with a warning. Raises `KubeError` and `AccessError`.
    """
    bindings: list[Binding] = []

    def take(item: JSONObject) -> None:
        try:
            bindings.append(Binding.from_json(item))
        except ValueError as error:
            _log.warning("Kubernetes: %s/%s is left out: %s", *key(item), error)

    for namespace in tuple(namespaces) or ("",):
        await client.list(DOCKER_NETWORKS, namespace, take, selector=selector)
    return bindings
