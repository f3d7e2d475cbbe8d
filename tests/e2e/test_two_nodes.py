"""Two nodes with different engines, one cluster: the same logical network on both."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from lab.cluster import SERVER, Cluster
from lab.engine import Engine
from lab.footprint import Footprint, host_footprint

from tests.clusters import add_node, definition

Eventually = Callable[..., None]

_WHERE = {"east": ("192.0.2.101", "10.60.1.0/24"), "west": ("192.0.2.102", "10.60.2.0/24")}
"""Each node's address on the LAN, and the subnet of its containers."""


@pytest.fixture(scope="module")
def nodes(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, host_before: Footprint
) -> Iterator[dict[str, Engine]]:
    """Two nodes, each with the Docker network "web" on the logical network team-a/blue and a container."""
    cluster.apply(definition("team-a", "blue", ""))
    with ExitStack() as stack:
        nodes = {}
        for name, make in (("east", Engine.debian), ("west", Engine.newest)):
            folder = tmp_path_factory.mktemp(name)
            node = nodes[name] = stack.enter_context(make(folder / "disk"))
            node.import_image()
            address, subnet = _WHERE[name]
            cluster.join(node.pid, f"{address}/24")
            (folder / "blue.conflist").write_text(json.dumps(_conflist(subnet)))
            add_node(cluster, name)
            (folder / "token").write_text(cluster.token("cnm-cni", name))
            node.start_shim(
                [folder],
                kubernetes={
                    "server": SERVER,
                    "token_file": str(folder / "token"),
                    "ca_file": str(cluster.authority.certificate),
                    "node": name,
                    "heartbeat": 0.5,
                    "forget_after": 6,
                    "status_interval": 0.5,
                },
            )
            _route(node, name)
            option = ("-o", "cni.network=team-a/blue")
            node.docker("network", "create", "-d", "cni", "--ipam-driver", "null", *option, "web")
            node.docker("run", "-d", "--name", f"box-{name}", "--network", "web", "busybox", "sleep", "600")
        yield nodes
    cluster.kubectl("delete", "net-attach-def", "-n", "team-a", "blue")
    cluster.kubectl("delete", "dnet", "--all", "-A")
    assert host_before.difference(host_footprint()) == []


def _conflist(subnet: str) -> dict[str, Any]:
    bridge = {
        "type": "bridge",
        "bridge": "blue0",
        "isGateway": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": subnet}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return {"cniVersion": "1.0.0", "name": "blue", "plugins": [bridge, {"type": "firewall"}]}


def _route(node: Engine, name: str) -> None:
    """The route to the other node's containers, which Docker's firewall is told to let through."""
    (address, subnet) = next(where for other, where in _WHERE.items() if other != name)
    node.run(["ip", "route", "add", subnet, "via", address])
    between = ("-s", "10.60.0.0/16", "-d", "10.60.0.0/16")
    node.run(["iptables", "-I", "DOCKER-USER", *between, "-j", "ACCEPT"])


def items(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """The DockerNetworks by node."""
    listed = json.loads(cluster.kubectl("get", "dnet", "-n", "team-a", "-o", "json"))["items"]
    return {item["spec"]["node"]: item for item in listed}


def docker_id(node: Engine) -> str:
    return node.docker("network", "inspect", "-f", "{{.Id}}", "web").stdout.strip()


def address(node: Engine, container: str) -> str:
    template = "{{.NetworkSettings.Networks.web.IPAddress}}"
    return node.docker("inspect", "-f", template, container).stdout.strip()


def test_the_ids_differ_and_both_are_the_one_logical_network(
    nodes: dict[str, Engine], cluster: Cluster, eventually: Eventually
) -> None:
    eventually(lambda: items(cluster).keys() == nodes.keys())

    ids = {name: docker_id(node) for name, node in nodes.items()}
    assert len(set(ids.values())) == 2
    for name, item in items(cluster).items():
        assert item["spec"]["id"] == ids[name]
        assert item["spec"]["logicalNetwork"] == {"kind": "NetworkAttachmentDefinition", "name": "blue"}
        assert item["metadata"]["namespace"] == "team-a"


@pytest.mark.parametrize(("here", "there"), [("east", "west"), ("west", "east")])
def test_each_node_resolves_its_own_ids_and_the_others(
    nodes: dict[str, Engine], here: str, there: str
) -> None:
    by_id = json.loads(nodes[here].resolve(docker_id(nodes[there]), "--json").stdout)
    by_name = json.loads(nodes[here].resolve("team-a/blue", "--json").stdout)

    assert [(item["node"], item["cniNetwork"]) for item in by_id] == [(there, "team-a/blue")]
    assert {item["node"]: item["id"] for item in by_name} == {
        name: docker_id(node) for name, node in nodes.items()
    }


@pytest.mark.parametrize(("here", "there"), [("east", "west"), ("west", "east")])
def test_containers_reach_each_other_across_the_nodes(
    nodes: dict[str, Engine], here: str, there: str
) -> None:
    target = address(nodes[there], f"box-{there}")

    assert "1 packets received" in nodes[here].docker("exec", f"box-{here}", "ping", "-c", "1", target).stdout


def test_kubernetes_knows_the_containers_of_both_nodes(
    nodes: dict[str, Engine], cluster: Cluster, eventually: Eventually
) -> None:
    expected = {(f"box-{name}", address(node, f"box-{name}")) for name, node in nodes.items()}

    def known() -> set[tuple[str, str]]:
        endpoints = [
            endpoint
            for item in items(cluster).values()
            for endpoint in item.get("status", {}).get("endpoints", ())
        ]
        return {
            (endpoint.get("container", ""), re.sub("/.*", "", endpoint["addresses"][0]))
            for endpoint in endpoints
        }

    eventually(lambda: known() == expected)


def test_what_a_dead_node_left_is_marked_and_then_collected(
    nodes: dict[str, Engine], cluster: Cluster, eventually: Eventually
) -> None:
    nodes["east"].kill_shim()
    nodes["east"].kill_dockerd()

    def condition() -> dict[str, str]:
        found: dict[str, str] = items(cluster)["east"]["status"]["conditions"][0]
        return found

    eventually(lambda: condition()["reason"] == "NodeLost", within=30)
    assert condition()["status"] == "Unknown"
    eventually(lambda: items(cluster).keys() == {"west"}, within=30)
    assert items(cluster)["west"]["status"]["conditions"][0]["status"] == "True"
