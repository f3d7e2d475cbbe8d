"""A thousand nodes' worth of objects and churn on one API server: what one node asks of it stays the same."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from lab.cluster import Cluster, client_certificate

from shim.kube.access import Kubeconfig
from shim.kube.client import Client
from shim.model import EndpointID, EndpointState, NetworkID
from tests.fleet import Fleet
from tests.integration.kube.conftest import MakeNode
from tests.integration.kube.node import Node
from tests.unit.standins import endpoint

NODES = 1000
NETWORKS = 10_000
OTHERS_WRITES = 100.0
"""Statuses per second: each of a thousand nodes writes one in ten seconds."""

REAL_NODES = 20
SECONDS = 20.0
HEARTBEAT = 5.0
STATUS_INTERVAL = 5.0


@pytest.fixture
def tokens(cluster: Cluster, tmp_path: Path) -> dict[str, Path]:
    """A service account for each node that really runs."""
    accounts = [f"real-{number:02}" for number in range(REAL_NODES)]
    cluster.apply(
        *(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": "cnm-cni", "name": name}}
            for name in accounts
        )
    )
    paths = {}
    for name in accounts:
        paths[name] = tmp_path / f"{name}.token"
        paths[name].write_text(cluster.token("cnm-cni", name))
    return paths


async def restart_containers(node: Node, seconds: float) -> None:
    """Let containers come and go on the node's network four times a second, as far as its journal shows."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    number = 0
    while loop.time() < end:
        number += 1
        network_id = NetworkID(next(iter(node.engine.networks)))
        item = endpoint(EndpointState.JOINED, id=EndpointID(f"{number:064x}"), network_id=network_id)
        await node.driver._store.save_endpoint(replace(item, boot_id="this"))
        await asyncio.sleep(0.15)
        await node.driver._store.delete_endpoint(item.id)
        await asyncio.sleep(0.1)


@pytest.fixture
def swept(cluster: Cluster) -> Iterator[None]:
    """All that is too much to be deleted one by one goes in the end."""
    yield
    for group, namespace, plural in (
        ("cnm-cni.io/v1alpha1", "team-a", "dockernetworks"),
        ("k8s.cni.cncf.io/v1", "team-a", "network-attachment-definitions"),
        ("coordination.k8s.io/v1", "cnm-cni", "leases"),
    ):
        cluster.kubectl("delete", "--raw", f"/apis/{group}/namespaces/{namespace}/{plural}")


@pytest.mark.usefixtures("swept")
async def test_the_load_of_a_node_depends_on_its_settings_alone(
    cluster: Cluster, make_node: MakeNode, tokens: dict[str, Path], tmp_path: Path
) -> None:
    administrator = cluster.authority.issue("fleet", "/O=system:masters/CN=fleet")
    client = Client(
        Kubeconfig((cluster.kubeconfig("fleet", client_certificate(administrator)),)), tmp_path / "keys"
    )
    fleet = Fleet(client, size=NODES, networks=NETWORKS)
    await fleet.write_definitions(1000)
    await fleet.write()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(client.close)
        nodes = []
        for number, (name, token) in enumerate(tokens.items()):
            node = make_node(name, token=token, heartbeat=HEARTBEAT, status_interval=STATUS_INTERVAL)
            nodes.append(await stack.enter_async_context(node.running()))
            await node.make_network(f"{number:02x}" * 32, "front", network="web")
        await asyncio.sleep(3 * STATUS_INTERVAL)
        since = cluster.request_count
        start = asyncio.get_running_loop().time()

        await asyncio.gather(
            fleet.churn(OTHERS_WRITES, SECONDS), *(restart_containers(node, SECONDS) for node in nodes)
        )

        took = asyncio.get_running_loop().time() - start
        requests = cluster.requests(since)
    counts = Counter(item.user for item in requests if ":real-" in item.user)
    others = sum(item.user == "fleet" for item in requests)
    most = took / HEARTBEAT + took / STATUS_INTERVAL + took / (4 * HEARTBEAT)
    most += 5  # a round of the collector, watches that end
    assert len(counts) == REAL_NODES
    assert max(counts.values()) <= most < others / 10
