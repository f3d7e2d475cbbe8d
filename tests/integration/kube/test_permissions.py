"""The manifests give a node all it needs and nothing more: without any part of it, the log names the part."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.cluster import Cluster

from shim.kube.objects import DEFINITIONS, DOCKER_NETWORKS, LEASES
from tests.clusters import MANIFESTS, definition
from tests.integration.kube.conftest import MakeNode
from tests.integration.kube.node import BRIDGE, Node
from tests.integration.kube.patience import until

ID = "a1" * 32
ENDPOINT = "e1" * 32
USER = "limited"


def granted() -> list[dict[str, Any]]:
    """The rules of the manifest."""
    documents = yaml.safe_load_all((MANIFESTS / "access.yaml").read_text())
    return [rule for item in documents for rule in item.get("rules", ())]


def each_permission() -> Iterator[tuple[str, str]]:
    """Verb and resource of everything that is granted."""
    for rule in granted():
        for verb in rule["verbs"]:
            yield verb, rule["resources"][0]


@pytest.fixture
def limited(cluster: Cluster, tmp_path: Path) -> Iterator[Any]:
    """Grants a service account the rules given; the file with its token."""
    cluster.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": "default", "name": USER}}
    )

    def grant(rules: list[dict[str, Any]]) -> Path:
        name = {"name": USER}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", **name}
        subject = {"kind": "ServiceAccount", "namespace": "default", **name}
        cluster.apply(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": name,
                "rules": rules,
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": name,
                "roleRef": role,
                "subjects": [subject],
            },
        )
        path = tmp_path / "limited"
        path.write_text(cluster.token("default", USER))
        return path

    yield grant
    cluster.kubectl("delete", "clusterrolebinding,clusterrole", USER)


async def work(node: Node, cluster: Cluster) -> None:
    """Do all that needs a permission, each time as far as it comes: also what a collector does."""
    lost = {
        "apiVersion": "cnm-cni.io/v1alpha1",
        "kind": "DockerNetwork",
        "metadata": {"namespace": "team-a", "name": "old", "labels": {"cnm-cni.io/node": "node-z"}},
        "spec": {"id": "f" * 64, "node": "node-z", "logicalNetwork": {"name": "blue"}},
    }
    cluster.apply(lost)
    await node.make_network(ID, "front", network="web")
    await asyncio.sleep(1.5)
    cluster.apply(definition("team-a", "blue", {"cniVersion": "1.0.0", "plugins": [BRIDGE]}))
    change = '{"spec": {"name": "x"}}'
    cluster.kubectl("patch", "dnet", "-n", "default", ID[:12], "--type=merge", "-p", change, check=False)


async def test_the_manifests_are_enough(
    make_node: MakeNode, cluster: Cluster, caplog: pytest.LogCaptureFixture, limited: Any
) -> None:
    async with make_node(token=limited(granted())).running() as node:
        await work(node, cluster)
        await asyncio.sleep(8)
        await node.remove_network(ID)
        await until(lambda: cluster.kubectl("get", "dnet", "-A", "-o", "name") == "")

    assert [record.getMessage() for record in caplog.records if "forbidden" in record.getMessage()] == []


async def test_the_manifest_for_some_namespaces_is_enough_for_a_node_that_is_kept_to_them(
    make_node: MakeNode, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.apply(definition("team-a", "blue", {"cniVersion": "1.0.0", "plugins": [BRIDGE]}))
    cluster.kubectl("delete", "clusterrolebinding", "cnm-cni-node")
    cluster.kubectl("apply", "-n", "team-a", "-f", str(MANIFESTS / "access-by-namespace.yaml"))
    try:
        async with make_node(namespaces=("team-a",), default_namespace="team-a").running() as node:
            await node.make_network(ID, "front", network="blue")
            await until(lambda: "True" in cluster.kubectl("get", "dnet", "-n", "team-a"))
            await node.remove_network(ID)
            await until(lambda: cluster.kubectl("get", "dnet", "-A", "-o", "name") == "")
    finally:
        cluster.kubectl("delete", "rolebinding", "-n", "team-a", "cnm-cni-node")
        cluster.install(MANIFESTS / "access.yaml")

    assert [record.getMessage() for record in caplog.records if "forbidden" in record.getMessage()] == []


@pytest.mark.parametrize("permission", list(each_permission()), ids=" ".join)
async def test_a_permission_that_is_missing_is_named_by_verb_and_resource(
    make_node: MakeNode,
    cluster: Cluster,
    caplog: pytest.LogCaptureFixture,
    limited: Any,
    permission: tuple[str, str],
) -> None:
    verb, resource = permission
    rules = [
        {**rule, "verbs": verbs}
        for rule in granted()
        if (verbs := [other for other in rule["verbs"] if (other, rule["resources"][0]) != permission])
    ]
    complaint = f'cannot {verb} resource "{resource}" in API group'
    async with make_node(token=limited(rules)).running() as node:
        await work(node, cluster)
        if (verb, resource) == ("get", DEFINITIONS.plural):
            with pytest.raises(Exception, match=complaint):
                await node.make_network("b2" * 32, "back", network="team-a/none")
            return
        if verb == "delete" and resource == DOCKER_NETWORKS.plural:
            await node.remove_network(ID)

        await until(lambda: complaint in caplog.text)


def test_every_permission_is_for_what_the_shim_uses() -> None:
    used = {DEFINITIONS.plural, DOCKER_NETWORKS.plural, f"{DOCKER_NETWORKS.plural}/status", LEASES.plural}
    assert {rule["resources"][0] for rule in granted()} == used
    assert all(len(rule["resources"]) == 1 for rule in granted())
    assert "*" not in json.dumps(granted())
