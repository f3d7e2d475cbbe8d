"""Many nodes on one API server: what they would have written there, and the writing they would do."""

import asyncio
import json
import random
from collections.abc import Awaitable, Iterable
from typing import Any

from shim.kube.client import Client
from shim.kube.lease import ROLE_LABEL
from shim.kube.objects import DEFINITIONS, DOCKER_NETWORKS, LEASES, MANAGED_BY, Binding
from shim.model import NetworkID
from shim.presence import ROLE

_AT_ONCE = 40
"""Requests under way."""

_CONFLIST = {
    "cniVersion": "1.0.0",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "fleet0",
            "isGateway": True,
            "ipMasq": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.50.0.0/24"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
        {"type": "firewall"},
    ],
}


class Fleet:
    """`size` nodes with `networks` Docker networks in all; `client` must be allowed everything."""

    def __init__(self, client: Client, *, size: int, networks: int) -> None:
        self._client = client
        self._nodes = [f"fleet-{number:04}" for number in range(size)]
        self._bindings = [
            Binding(
                namespace="team-a",
                id=NetworkID(f"{number:064x}"),
                kind=DEFINITIONS.kind,
                logical_network=_definition_name(number),
                name=f"net-{number}",
                node=self._nodes[number % size],
                engine_id="ABCD:" * 12,
                engine_version="28.5.2",
                options={"cni.network": f"team-a/{_definition_name(number)}"},
                object_name=f"{number:012x}",
            )
            for number in range(networks)
        ]

    async def write_definitions(self, count: int) -> None:
        """Create that many NetworkAttachmentDefinitions."""
        await _all(
            self._client.create(
                DEFINITIONS,
                {
                    "apiVersion": DEFINITIONS.api_version,
                    "kind": DEFINITIONS.kind,
                    "metadata": {"namespace": "team-a", "name": _definition_name(number)},
                    "spec": {"config": json.dumps(_CONFLIST)},
                },
            )
            for number in range(count)
        )

    async def write(self) -> None:
        """Create what the nodes have in Kubernetes: a lease each, and their networks."""
        await _all(self._client.create(LEASES, _lease(node)) for node in self._nodes)
        await _all(
            self._client.create(DOCKER_NETWORKS, binding.to_json(binding.node)) for binding in self._bindings
        )

    async def churn(self, per_second: float, seconds: float) -> int:
        """Change the status of networks here and there; how many were changed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        writes: set[asyncio.Task[Any]] = set()
        count = 0
        while loop.time() < end:
            binding = random.choice(self._bindings)
            status = {"endpointCount": random.randrange(100)}
            write = self._client.patch_status(DOCKER_NETWORKS, "team-a", binding.object_name, status)
            task = asyncio.create_task(write)
            writes.add(task)
            task.add_done_callback(writes.discard)
            count += 1
            await asyncio.sleep(1 / per_second)
        await asyncio.gather(*writes)
        return count


def _definition_name(number: int) -> str:
    return f"net-{number % 1000:04}"


def _lease(node: str) -> dict[str, Any]:
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {"namespace": "cnm-cni", "name": node, "labels": MANAGED_BY | {ROLE_LABEL: ROLE}},
        "spec": {"holderIdentity": "fleet", "leaseDurationSeconds": 3600},
    }


async def _all(requests: Iterable[Awaitable[Any]]) -> None:
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(request: Awaitable[Any]) -> None:
        async with limit:
            await request

    await asyncio.gather(*map(one, requests))
