"""The DockerNetworks of a node: as its journal has them, whatever happened meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from lab.cluster import Cluster

from tests.clusters import NODE, FaultyServer, definition
from tests.integration.kube.conftest import MakeNode
from tests.integration.kube.node import BRIDGE, Node
from tests.integration.kube.patience import until

ID = "a1" * 32
OTHER = "b2" * 32
ENDPOINT = "e1" * 32

Networks = Callable[[], list[dict[str, Any]]]


@pytest.fixture
async def node(make_node: MakeNode) -> AsyncIterator[Node]:
    """A node that runs."""
    async with make_node().running() as node:
        yield node


@pytest.fixture
def networks(cluster: Cluster) -> Networks:
    """The DockerNetworks of all namespaces, as kubectl has them."""
    return lambda: json.loads(cluster.kubectl("get", "dnet", "-A", "-o", "json"))["items"]


def ready(item: dict[str, Any]) -> tuple[str, str]:
    """Status and reason of the condition."""
    (condition,) = item.get("status", {}).get("conditions", [{"status": "", "reason": ""}])
    return condition["status"], condition["reason"]


def only(items: list[dict[str, Any]]) -> dict[str, Any]:
    (item,) = items
    return item


def is_ready(networks: Networks) -> Callable[[], bool]:
    """Whether there is one network, and it is ready."""
    return lambda: [ready(item) for item in networks()] == [("True", "Bound")]


def endpoints(networks: Networks) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = only(networks())["status"]["endpoints"]
    return found


def containers(networks: Networks) -> list[list[str]]:
    """The containers that have joined each network."""
    return [
        [
            endpoint["container"]
            for endpoint in item.get("status", {}).get("endpoints", ())
            if {"container", "sandbox"} <= endpoint.keys()
        ]
        for item in networks()
    ]


async def test_a_network_appears_when_it_is_made_and_goes_when_it_is_removed(
    node: Node, networks: Networks, cluster: Cluster
) -> None:
    cluster.apply(definition("team-a", "blue", {"cniVersion": "1.0.0", "plugins": [BRIDGE]}))

    await node.make_network(ID, "front", network="team-a/blue")

    await until(is_ready(networks))
    item = only(networks())
    assert (item["metadata"]["namespace"], item["metadata"]["name"]) == ("team-a", ID[:12])
    assert item["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "cnm-cni",
        "cnm-cni.io/network": "blue",
        "cnm-cni.io/node": NODE,
    }
    assert item["spec"] == {
        "id": ID,
        "name": "front",
        "node": NODE,
        "engine": {"id": f"engine of {NODE}", "version": "20.10.24"},
        "logicalNetwork": {"kind": "NetworkAttachmentDefinition", "name": "blue"},
        "mode": "handover",
        "internal": False,
        "options": {"cni.network": "team-a/blue"},
    }

    await node.remove_network(ID)

    await until(lambda: networks() == [])


async def test_a_network_of_a_conflist_appears_in_the_default_namespace(
    node: Node, networks: Networks
) -> None:
    await node.make_network(ID, "front", network="web")

    await until(is_ready(networks))

    item = only(networks())
    assert item["metadata"]["namespace"] == "default"
    assert item["spec"]["logicalNetwork"] == {"kind": "Conflist", "name": "web"}


async def test_containers_appear_with_name_address_mac_and_sandbox_and_go(
    node: Node, networks: Networks
) -> None:
    await node.make_network(ID, "front", network="web")
    address = await node.start_container(ID, ENDPOINT, "shop")

    await until(lambda: containers(networks) == [["shop"]])

    (endpoint,) = endpoints(networks)
    mac = endpoint.pop("mac")
    assert len(mac.split(":")) == 6
    assert endpoint == {
        "id": ENDPOINT,
        "container": "shop",
        "addresses": [address],
        "sandbox": "/run/netns-of-shop",
    }
    assert only(networks())["status"]["endpointCount"] == 1

    await node.stop_container(ID, ENDPOINT)

    await until(lambda: only(networks())["status"]["endpointCount"] == 0)
    assert endpoints(networks) == []


async def test_many_changes_are_few_writes(make_node: MakeNode, cluster: Cluster, networks: Networks) -> None:
    async with make_node(status_interval=3.0).running() as node:
        await node.make_network(ID, "front", network="web")
        await until(is_ready(networks))
        since = cluster.request_count
        started = asyncio.get_running_loop().time()

        for number in range(12):
            endpoint = f"{number:02}" * 32
            await node.start_container(ID, endpoint, f"box-{number}")
            if number < 7:
                await node.stop_container(ID, endpoint)
        await until(lambda: only(networks())["status"]["endpointCount"] == 5)

        took = asyncio.get_running_loop().time() - started
        writes = [item for item in cluster.requests(since) if item.resource == "dockernetworks/status"]
        assert len(writes) <= took / 3.0 + 1


async def test_nothing_is_written_while_nothing_changes(
    node: Node, cluster: Cluster, networks: Networks
) -> None:
    await node.make_network(ID, "front", network="web")
    await node.start_container(ID, ENDPOINT, "shop")
    await until(lambda: bool(networks()) and networks()[0].get("status", {}).get("endpointCount") == 1)
    since = cluster.request_count

    await asyncio.sleep(3)

    writes = {"create", "update", "patch", "delete"}
    requests = [item for item in cluster.requests(since) if item.user.endswith(NODE)]
    assert {item.resource for item in requests if item.verb in writes} == {"leases"}


async def test_an_object_that_somebody_deletes_or_changes_comes_back_as_it_was(
    node: Node, networks: Networks, cluster: Cluster
) -> None:
    await node.make_network(ID, "front", network="web")
    await until(is_ready(networks))
    before = only(networks())["spec"]

    cluster.kubectl("delete", "dnet", "-n", "default", "--all")
    await until(is_ready(networks))
    change = (
        '{"spec": {"logicalNetwork": {"kind": "NetworkAttachmentDefinition", "name": "other"}, "name": "x"}}'
    )
    cluster.kubectl("patch", "dnet", "-n", "default", ID[:12], "--type=merge", "-p", change)

    await until(lambda: only(networks())["spec"] == before)


async def test_what_happened_while_the_shim_was_down_is_made_good_at_its_next_start(
    make_node: MakeNode, networks: Networks, cluster: Cluster
) -> None:
    async with make_node().running() as node:
        await node.make_network(ID, "front", network="web")
        await node.make_network(OTHER, "back", network="web")
        await until(lambda: [ready(item) for item in networks()] == [("True", "Bound")] * 2)
    cluster.kubectl("delete", "dnet", "-n", "default", ID[:12])

    again = make_node()
    again.engine.networks = node.engine.networks
    async with again.running():
        await until(lambda: [ready(item) for item in networks()] == [("True", "Bound")] * 2)


async def test_an_outage_is_made_good_when_it_ends(
    make_node: MakeNode, networks: Networks, faulty: FaultyServer, cluster: Cluster
) -> None:
    cluster.apply(definition("team-a", "blue", {"cniVersion": "1.0.0", "plugins": [BRIDGE]}))
    async with make_node(server=faulty.url).running() as node:
        await node.make_network(ID, "front", network="team-a/blue")
        await node.start_container(ID, ENDPOINT, "shop")
        await until(lambda: containers(networks) == [["shop"]])
        faulty.order(status=500)

        await node.stop_container(ID, ENDPOINT)
        await node.start_container(ID, "e2" * 32, "late")
        await node.make_network(OTHER, "back", network="team-a/blue")
        await asyncio.sleep(2)
        assert containers(networks) == [["shop"]]
        faulty.order()

        await until(lambda: containers(networks) == [["late"], []])


async def test_one_object_that_is_refused_does_not_keep_the_others(
    node: Node, networks: Networks, cluster: Cluster
) -> None:
    cluster.kubectl("create", "namespace", "going")
    cluster.apply(definition("going", "blue", {"cniVersion": "1.0.0", "plugins": [BRIDGE]}))
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"namespace": "going", "name": "none"},
        "spec": {"hard": {"count/dockernetworks.cnm-cni.io": "0"}},
    }
    cluster.apply(quota)
    await node.make_network(OTHER, "refused", network="going/blue")
    await node.make_network(ID, "front", network="web")

    await until(lambda: ("True", "Bound") in [ready(item) for item in networks()])

    cluster.kubectl("delete", "resourcequota", "-n", "going", "none")
    await until(lambda: len(networks()) == 2)


async def test_a_definition_that_is_bad_or_gone_shows_and_so_does_its_return(
    node: Node, networks: Networks, cluster: Cluster
) -> None:
    good = definition("team-a", "blue", {"cniVersion": "1.0.0", "plugins": [BRIDGE]})
    cluster.apply(good)
    await node.make_network(ID, "front", network="team-a/blue")
    await until(is_ready(networks))

    cluster.apply(definition("team-a", "blue", "{"))
    await until(lambda: ready(only(networks())) == ("False", "Unusable"))
    message = only(networks())["status"]["conditions"][0]["message"]
    assert "NetworkAttachmentDefinition team-a/blue: spec.config: not JSON" in message
    cluster.kubectl("delete", "net-attach-def", "-n", "team-a", "blue")
    await until(lambda: "has been deleted" in only(networks())["status"]["conditions"][0]["message"])
    cluster.apply(good)

    await until(is_ready(networks))


async def test_the_journal_keeps_up_with_a_definition_for_when_kubernetes_is_away(
    make_node: MakeNode, networks: Networks, cluster: Cluster
) -> None:
    cluster.apply(definition("team-a", "blue", {"cniVersion": "1.0.0", "plugins": [BRIDGE]}))
    async with make_node().running() as node:
        await node.make_network(ID, "front", network="team-a/blue")
        await until(is_ready(networks))
        changed = {**BRIDGE, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.67.0.0/24"}]]}}
        cluster.apply(definition("team-a", "blue", {"cniVersion": "1.0.0", "plugins": [changed]}))
        journal = node.settings.state_dir / "state.db-wal"
        await until(lambda: b"10.67.0.0" in journal.read_bytes())

    again = make_node(server="https://192.0.2.1:1")
    again.engine.networks = node.engine.networks
    async with again.running():
        assert (await again.start_container(ID, ENDPOINT, "shop")).startswith("10.67.0.")
        await again.stop_container(ID, ENDPOINT)


# Bound by an administrator


def bound(network_id: str, logical_network: str = "blue", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "cnm-cni.io/v1alpha1",
        "kind": "DockerNetwork",
        "metadata": {"namespace": "team-a", "name": "by-hand"},
        "spec": {"id": network_id, "logicalNetwork": {"name": logical_network}, **spec},
    }


async def test_a_network_that_an_administrator_binds_is_claimed_before_its_first_container(
    node: Node, networks: Networks, cluster: Cluster
) -> None:
    cluster.apply(definition("team-a", "blue", {"cniVersion": "1.0.0", "plugins": [BRIDGE]}))
    await node.make_network(ID, "web")

    cluster.apply(bound(ID))

    await until(is_ready(networks))
    item = only(networks())
    assert item["metadata"]["name"] == "by-hand"
    assert (item["spec"]["node"], item["spec"]["name"]) == (NODE, "web")
    await node.start_container(ID, ENDPOINT, "shop")
    await until(lambda: only(networks())["status"]["endpointCount"] == 1)
    await node.stop_container(ID, ENDPOINT)
    await node.remove_network(ID)
    await until(lambda: networks() == [])


async def test_a_network_bound_to_what_does_not_exist_says_so(
    node: Node, networks: Networks, cluster: Cluster
) -> None:
    await node.make_network(ID, "web")
    cluster.apply(bound(ID, "nothing"))

    await until(lambda: ready(only(networks())) == ("False", "Unusable"))
    assert "there is no NetworkAttachmentDefinition team-a/nothing" in json.dumps(networks())
    cluster.apply(definition("team-a", "nothing", {"cniVersion": "1.0.0", "plugins": [BRIDGE]}))

    await until(is_ready(networks))


async def test_a_lost_journal_is_made_good_by_kubernetes_alone(
    make_node: MakeNode, networks: Networks, cluster: Cluster
) -> None:
    cluster.apply(definition("team-a", "blue", {"cniVersion": "1.0.0", "plugins": [BRIDGE]}))
    async with make_node().running() as node:
        await node.make_network(ID, "front", network="team-a/blue")
        await until(is_ready(networks))
    (node.settings.state_dir / "state.db").unlink()

    again = make_node()
    again.engine.add(ID, "front")  # it does not tell the option
    async with again.running():
        await again.start_container(ID, ENDPOINT, "shop")
        await until(lambda: only(networks())["status"]["endpointCount"] == 1)
        assert only(networks())["spec"]["logicalNetwork"]["name"] == "blue"
        await again.stop_container(ID, ENDPOINT)


async def test_a_network_whose_short_id_is_taken_appears_under_its_whole_id(
    node: Node, networks: Networks, cluster: Cluster
) -> None:
    other = bound(ID[:12] + "0" * 52)
    other["metadata"] = {"namespace": "default", "name": ID[:12], "labels": {"cnm-cni.io/node": "node-b"}}
    cluster.apply(other)

    await node.make_network(ID, "front", network="web")

    await until(lambda: len(networks()) == 2)
    assert sorted(item["metadata"]["name"] for item in networks()) == [ID[:12], ID]


# Several shims


async def test_two_shims_of_one_name_do_not_undo_each_others_work(
    make_node: MakeNode, networks: Networks, caplog: pytest.LogCaptureFixture
) -> None:
    other = make_node(as_="other")
    other.engine.id = "another engine"
    async with make_node().running() as node:
        await node.make_network(ID, "front", network="web")
        await until(is_ready(networks))
        async with other.running():
            await until(
                lambda: f"another shim calls itself {NODE}, that of engine engine of {NODE}" in caplog.text
            )
            await other.make_network(OTHER, "back", network="web")
            await asyncio.sleep(2)
            assert [item["spec"]["id"] for item in networks()] == [ID]


async def test_a_node_may_use_the_namespaces_it_is_allowed_only(
    make_node: MakeNode, networks: Networks, cluster: Cluster
) -> None:
    cluster.apply(definition("team-a", "blue", {"cniVersion": "1.0.0", "plugins": [BRIDGE]}))
    async with make_node(namespaces=("team-a",)).running() as node:
        await node.make_network(ID, "front", network="team-a/blue")
        await node.make_network(OTHER, "back", network="web")  # would appear in the default namespace

        await until(is_ready(networks))

        assert only(networks())["metadata"]["namespace"] == "team-a"


async def test_keys_in_a_kubeconfig_leave_no_file_when_the_shim_ends(
    make_node: MakeNode, cluster: Cluster, tmp_path: Path, networks: Networks
) -> None:
    pair = cluster.authority.issue("keys", "/O=system:masters/CN=keys")
    inline = {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        cluster.kubectl(
            "config", "view", "--flatten", "--raw", "--kubeconfig", str(cluster.kubeconfig("keys", inline))
        )
    )
    async with make_node(server="", kubeconfig=kubeconfig).running() as node:
        await node.make_network(ID, "front", network="web")
        await until(is_ready(networks))
        assert list((node.settings.run_dir / "kubernetes").iterdir())

    assert not (node.settings.run_dir / "kubernetes").exists()
