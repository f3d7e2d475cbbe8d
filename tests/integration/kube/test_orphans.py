"""Nodes that are lost: their DockerNetworks are marked, then removed, and come back with them."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from lab.cluster import Cluster

from tests.integration.kube.conftest import MakeNode
from tests.integration.kube.node import Node
from tests.integration.kube.patience import until

ID = "a1" * 32
OTHER = "b2" * 32


@pytest.fixture
def seen(cluster: Cluster) -> Callable[[], dict[str, str]]:
    """The reason of each network's condition, by node."""

    def look() -> dict[str, str]:
        items: list[dict[str, Any]] = json.loads(cluster.kubectl("get", "dnet", "-A", "-o", "json"))["items"]
        return {
            item["spec"]["node"]: item.get("status", {}).get("conditions", [{"reason": ""}])[0]["reason"]
            for item in items
        }

    return look


def leases(cluster: Cluster) -> set[str]:
    """The nodes that have a lease."""
    listed = cluster.kubectl("get", "lease", "-n", "cnm-cni", "-l", "cnm-cni.io/lease=node", "-o", "name")
    return {name.rpartition("/")[2] for name in listed.split()}


async def begun(stack: AsyncExitStack, node: Node, network_id: str) -> Node:
    """The node, running, with a network."""
    await stack.enter_async_context(node.running())
    if network_id not in node.engine.networks:
        await node.make_network(network_id, "front", network="web")
    return node


async def test_what_a_lost_node_left_is_marked_then_removed_and_comes_back_with_it(
    make_node: MakeNode, cluster: Cluster, seen: Callable[[], dict[str, str]]
) -> None:
    lost = make_node("node-b")
    async with AsyncExitStack() as stack, AsyncExitStack() as others:
        await begun(stack, make_node(), ID)
        await begun(others, lost, OTHER)
        await until(lambda: seen() == {"node-a": "Bound", "node-b": "Bound"})

        await others.aclose()

        await until(lambda: seen() == {"node-a": "Bound", "node-b": "NodeLost"})
        assert leases(cluster) == {"node-a", "node-b"}
        await until(lambda: seen() == {"node-a": "Bound"})
        await until(lambda: leases(cluster) == {"node-a"})

        back = make_node("node-b")
        back.engine.networks = lost.engine.networks
        await begun(stack, back, OTHER)
        await until(lambda: seen() == {"node-a": "Bound", "node-b": "Bound"})


async def test_a_node_that_comes_back_in_time_takes_the_mark_off(
    make_node: MakeNode, seen: Callable[[], dict[str, str]]
) -> None:
    lost = make_node("node-b", forget_after=600.0)
    async with AsyncExitStack() as stack, AsyncExitStack() as others:
        await begun(stack, make_node(forget_after=600.0), ID)
        await begun(others, lost, OTHER)
        await until(lambda: seen() == {"node-a": "Bound", "node-b": "Bound"})
        await others.aclose()
        await until(lambda: seen()["node-b"] == "NodeLost")

        back = make_node("node-b", forget_after=600.0)
        back.engine.networks = lost.engine.networks
        await begun(stack, back, OTHER)

        await until(lambda: seen() == {"node-a": "Bound", "node-b": "Bound"})


async def test_when_the_collecting_node_is_lost_another_takes_over(
    make_node: MakeNode, cluster: Cluster, seen: Callable[[], dict[str, str]]
) -> None:
    async with AsyncExitStack() as stack, AsyncExitStack() as others:
        await begun(others, make_node(), ID)
        collector = "jsonpath={.spec.holderIdentity}"
        await until(
            lambda: (
                cluster.kubectl(
                    "get", "lease", "-n", "cnm-cni", "collector.cnm-cni.io", "-o", collector, check=False
                )
                == "node-a"
            )
        )
        await begun(stack, make_node("node-b"), OTHER)
        await until(lambda: seen() == {"node-a": "Bound", "node-b": "Bound"})

        await others.aclose()

        await until(lambda: seen() == {"node-b": "Bound"}, within=60)


async def test_what_a_node_without_a_lease_left_is_removed(make_node: MakeNode, cluster: Cluster) -> None:
    orphan = {
        "apiVersion": "cnm-cni.io/v1alpha1",
        "kind": "DockerNetwork",
        "metadata": {"namespace": "team-a", "name": "old", "labels": {"cnm-cni.io/node": "node-z"}},
        "spec": {"id": OTHER, "node": "node-z", "logicalNetwork": {"name": "blue"}},
    }
    unclaimed = {**orphan, "metadata": {"namespace": "team-a", "name": "by-hand"}}
    cluster.apply(orphan, unclaimed)

    async with make_node().running():
        await until(
            lambda: (
                "dockernetwork.cnm-cni.io/old"
                not in cluster.kubectl("get", "dnet", "-n", "team-a", "-o", "name")
            )
        )

    assert "dockernetwork.cnm-cni.io/by-hand" in cluster.kubectl("get", "dnet", "-n", "team-a", "-o", "name")


async def test_after_an_outage_in_which_nobody_could_renew_a_lease_no_node_is_taken_for_lost(
    make_node: MakeNode, cluster: Cluster, seen: Callable[[], dict[str, str]]
) -> None:
    nodes = [make_node(), make_node("node-b")]
    async with AsyncExitStack() as stack:
        for node, network_id in zip(nodes, (ID, OTHER), strict=True):
            await begun(stack, node, network_id)
        await until(lambda: seen() == {"node-a": "Bound", "node-b": "Bound"})
        since = cluster.request_count
        cluster.kill_api_server()
        await asyncio.sleep(10)
        cluster.start_api_server()

        await asyncio.sleep(6)

        assert seen() == {"node-a": "Bound", "node-b": "Bound"}
        of_nodes = [item for item in cluster.requests(since) if "serviceaccount:cnm-cni" in item.user]
        deleted = [item for item in of_nodes if item.verb == "delete"]
        assert deleted == []
