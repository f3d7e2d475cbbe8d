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
from shim.model import Endpoint
from shim.net.namespaces import is_namespace
from shim.store import Store

_PROC = Path("/proc")
_CONTAINER_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


class Identities:
    """Finds containers. Nothing here fails or waits for long: what cannot be known is left out."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self._store = store
        self._engine = engine

    async def of(self, endpoint: Endpoint, sandbox_key: str) -> Mapping[str, str]:
        """`K8S_POD_NAME`, `K8S_POD_NAMESPACE` and `K8S_POD_INFRA_CONTAINER_ID`, as far as they are known.

        The namespace is that of the NetworkAttachmentDefinition, or else `default`. A label of the container
        does not count: whoever makes an image could choose one.
        """
        try:
            docker = await self._engine.network(endpoint.network_id)
            name = docker.containers[endpoint.id]
            container_id = (await self._engine.container(name)).id
        except (ShimError, KeyError):
            container_id = await asyncio.to_thread(_holder, Path(sandbox_key))
            return {"K8S_POD_INFRA_CONTAINER_ID": container_id} if container_id else {}
        network = await self._store.network(endpoint.network_id)
        definition = network.definition if network else None
        return {
            "K8S_POD_NAME": name,
            "K8S_POD_NAMESPACE": definition.namespace if definition else "default",
            "K8S_POD_INFRA_CONTAINER_ID": container_id,
        }


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
