"""Whose link it is: the container of an endpoint, as plugins of Kubernetes expect to be told.

At CreateEndpoint nobody can know it. At Join the engine lists the endpoint with the container's name; while
it does not answer, as when it starts, an engine from 28 on has a process in the sandbox, whose control group
bears the container's ID.
"""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

from shim.engine import Engine
from shim.errors import ShimError
from shim.model import Endpoint, Network
from shim.net.namespaces import is_namespace
from shim.store import Store

_PROC = Path("/proc")
_CONTAINER_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_.-]*[a-zA-Z0-9])?", re.ASCII)
_KUBERNETES_NAMESPACE = "io.kubernetes.pod.namespace"
_COMPOSE_PROJECT = "com.docker.compose.project"


class Identities:
    """Finds containers. Nothing here fails or waits for long: what cannot be known is left out."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self._store = store
        self._engine = engine

    async def of(self, endpoint: Endpoint, sandbox_key: str) -> Mapping[str, str]:
        """`K8S_POD_NAME`, `K8S_POD_NAMESPACE` and `K8S_POD_INFRA_CONTAINER_ID`, as far as they are known.

        The namespace is that of the NetworkAttachmentDefinition, or a label of the container: that of a pod
        or of a compose project; or else `default`.
        """
        try:
            docker = await self._engine.network(endpoint.network_id)
            name = docker.containers[endpoint.id]
            container = await self._engine.container(name)
        except (ShimError, KeyError):
            container_id = await asyncio.to_thread(_holder, Path(sandbox_key))
            return {"K8S_POD_INFRA_CONTAINER_ID": container_id} if container_id else {}
        network = await self._store.network(endpoint.network_id)
        return {
            "K8S_POD_NAME": name,
            "K8S_POD_NAMESPACE": _namespace(network, container.labels),
            "K8S_POD_INFRA_CONTAINER_ID": container.id,
        }


def _namespace(network: Network | None, labels: Mapping[str, str]) -> str:
    """A label that can be no namespace is left aside: anybody may write one."""
    pod, project = (labels.get(label, "") for label in (_KUBERNETES_NAMESPACE, _COMPOSE_PROJECT))
    if _NAME.fullmatch(pod):
        return pod
    if network and network.definition:
        return network.definition.namespace
    return project if _NAME.fullmatch(project) else "default"


def _holder(sandbox: Path) -> str:
    """The ID of the container whose process is in the sandbox; empty when there is none."""
    if not is_namespace(sandbox):
        return ""
    for process in _PROC.glob("[0-9]*"):
        try:
            if not (process / "ns/net").samefile(sandbox):
                continue
            found = _CONTAINER_ID.findall((process / "cgroup").read_text())
        except OSError:  # it has ended
            continue
        if found:
            return str(found[-1])
    return ""
