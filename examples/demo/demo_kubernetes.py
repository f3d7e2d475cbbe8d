"""`make demo-kubernetes`: one logical network of a real Kubernetes API on two private Docker engines."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.cluster import SERVER, Cluster
from lab.engine import IMAGE, Engine
from lab.footprint import engine_footprint, host_footprint
from lab.progress import step
from story import docker, expect, leftovers, show, tell, title, verdict, wait_for

_MANIFESTS = Path(__file__).resolve().parents[1] / "kubernetes"

_DEFINITION = """\
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {namespace: team-a, name: blue}
spec: {}   # no config: each node has its part of the network, under this name
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands."""

    address: str
    """Its own, on the LAN."""
    subnet: str
    """That of its containers."""
    others: str
    """That of the other node's containers."""
    router: str
    """The other node."""


_PLACES = {
    "node-a": Place("192.0.2.11", "10.60.1.0/24", "10.60.2.0/24", "192.0.2.12"),
    "node-b": Place("192.0.2.12", "10.60.2.0/24", "10.60.1.0/24", "192.0.2.11"),
}


class Demo:
    """A cluster, and the nodes on it."""

    def __init__(self, cluster: Cluster, nodes: dict[str, Engine]) -> None:
        self._cluster = cluster
        self._nodes = nodes

    def run(self) -> None:
        """Tell the story."""
        self._define()
        ids = self._make_networks()
        self._run_containers()
        self._look(ids)
        self._ping()
        self._go_on_without_kubernetes()
        self._take_down()

    def _define(self) -> None:
        title("A logical network, of which each node has a part")
        self._kubectl("create", "namespace", "team-a")
        self._kubectl("apply", "-f", "-", stdin=_DEFINITION)
        print("  In the CNI folder of each node, blue.conflist:")
        for name, place in _PLACES.items():
            print(f"    {name}: bridge > firewall, addresses of {place.subnet}")

    def _make_networks(self) -> dict[str, str]:
        title("The same Docker network on each node: its ID differs, the logical network is one")
        option = ("-o", "cni.network=team-a/blue")
        command = ("network", "create", "-d", "cni", "--ipam-driver", "null", *option, "web")
        ids = {name: docker(node, *command, prompt=f"{name}$").strip() for name, node in self._nodes.items()}
        expect(len(set(ids.values())) == len(ids), "two engines gave out the same ID")
        return ids

    def _run_containers(self) -> None:
        title("A container on each node")
        for name, node in self._nodes.items():
            command = ("run", "-d", "--name", f"box-{name[-1]}", "--network", "web", IMAGE, "sleep", "600")
            docker(node, *command, prompt=f"{name}$")

    def _look(self, ids: dict[str, str]) -> None:
        title("What Kubernetes knows, from both sides")
        wait_for(
            lambda: len(self._containers()) == len(ids), "Kubernetes does not come to know the containers"
        )
        self._kubectl("get", "dnet", "-A")
        columns = "custom-columns=NODE:.spec.node,CONTAINER:.status.endpoints[*].container"
        columns += ",ADDRESS:.status.endpoints[*].addresses[0],MAC:.status.endpoints[*].mac"
        self._kubectl("get", "dnet", "-n", "team-a", "-l", "cnm-cni.io/network=blue", "-o", columns)
        command = ["cnm-cni", "resolve", ids["node-b"]]
        answer = self._nodes["node-a"].resolve(ids["node-b"]).stdout
        show(command, answer, prompt="node-a$", note="an ID that only the other engine knows")
        expect("team-a/blue" in answer, "the other node's ID is not resolved")

    def _ping(self) -> None:
        title("From one node's container to the other's")
        (address,) = self._containers()["box-b"]
        host = address.partition("/")[0]
        answer = docker(self._nodes["node-a"], "exec", "box-a", "ping", "-c", "1", host, prompt="node-a$")
        expect("1 packets received" in answer, "the containers do not reach each other")

    def _go_on_without_kubernetes(self) -> None:
        title("The API server dies, and containers start and stop as before")
        self._cluster.kill_api_server()
        command = ("run", "--rm", "--network", "web", IMAGE, "ip", "-o", "-4", "address", "show", "eth0")
        docker(self._nodes["node-a"], *command, prompt="node-a$")
        docker(self._nodes["node-b"], "rm", "--force", "box-b", prompt="node-b$")
        with step("Starting the API server again"):
            self._cluster.start_api_server()
        wait_for(lambda: self._containers().keys() == {"box-a"}, "Kubernetes does not catch up")
        self._kubectl("get", "dnet", "-A")

    def _take_down(self) -> None:
        title("Take it all down")
        docker(self._nodes["node-a"], "rm", "--force", "box-a", prompt="node-a$")
        for name, node in self._nodes.items():
            docker(node, "network", "rm", "web", prompt=f"{name}$")
        wait_for(lambda: self._networks() == [], "networks stay in Kubernetes")
        self._kubectl("get", "dnet", "-A")

    def _networks(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self._cluster.kubectl("get", "dnet", "-A", "-o", "json"))[
            "items"
        ]
        return items

    def _containers(self) -> dict[str, list[str]]:
        """The addresses of the containers that Kubernetes knows of."""
        return {
            endpoint["container"]: endpoint["addresses"]
            for item in self._networks()
            for endpoint in item.get("status", {}).get("endpoints", ())
            if "container" in endpoint
        }

    def _kubectl(self, *arguments: str, stdin: str = "") -> None:
        done = self._cluster.run_kubectl(*arguments, stdin=stdin)
        show(["kubectl", *arguments], done.stdout or done.stderr, stdin=stdin)


def main() -> None:
    """Run the demo."""
    if os.geteuid() != 0:
        sys.exit("error: the demo makes network namespaces: run it as root")
    tell(_demo)


def _demo() -> None:
    host = host_footprint()
    with tempfile.TemporaryDirectory(prefix="cnm-cni-demo-", dir="/var/tmp") as folder, ExitStack() as stack:
        cluster = stack.enter_context(_cluster(Path(folder)))
        nodes = {name: stack.enter_context(_node(name, cluster, Path(folder))) for name in _PLACES}
        before = {name: engine_footprint(node) for name, node in nodes.items()}
        Demo(cluster, nodes).run()
        title("What is left")
        for name, node in nodes.items():
            verdict(
                f"links, namespaces, iptables rules, leases and the shim's journal on {name}",
                leftovers(node, before[name]),
            )
    verdict("this machine's own links, namespaces and iptables rules", host.difference(host_footprint()))


@contextmanager
def _cluster(folder: Path) -> Iterator[Cluster]:
    title("A Kubernetes API server, on a LAN of its own")
    with ExitStack() as stack:
        with step("Starting etcd and kube-apiserver, with TLS and RBAC"):
            cluster = stack.enter_context(Cluster(folder / "cluster"))
        version = json.loads(cluster.kubectl("get", "--raw", "/version"))["gitVersion"]
        print(f"  Kubernetes {version[1:]} at {SERVER}")
        for name in ("network-attachment-definitions", "dockernetworks", "access"):
            cluster.install(_MANIFESTS / f"{name}.yaml")
            show(["kubectl", "apply", "-f", f"examples/kubernetes/{name}.yaml"], "")
        yield cluster


@contextmanager
def _node(name: str, cluster: Cluster, folder: Path) -> Iterator[Engine]:
    title(f"{name}: a private Docker engine with the shim")
    place = _PLACES[name]
    conf_dir = folder / f"{name}-conf"
    conf_dir.mkdir()
    (conf_dir / "blue.conflist").write_text(json.dumps(_conflist(place.subnet)))
    with ExitStack() as stack:
        with step("Starting dockerd"):
            node = stack.enter_context(Engine.debian(folder / name))
        node.import_image()
        cluster.join(node.pid, f"{place.address}/24")
        command = ("create", "serviceaccount", name, "--namespace", "cnm-cni")
        show(["kubectl", *command], cluster.kubectl(*command))
        token = folder / f"{name}-token"
        token.write_text(cluster.token("cnm-cni", name))
        kubernetes = {
            "server": SERVER,
            "token_file": str(token),
            "node": name,
            "heartbeat": 2,
            "status_interval": 1,
        }
        kubernetes["ca_file"] = str(cluster.authority.certificate)
        with step("Starting the shim"):
            node.start_shim([conf_dir], kubernetes=kubernetes)
        for route in (
            ["ip", "route", "add", place.others, "via", place.router],
            ["iptables", "-I", "DOCKER-USER", "-s", "10.60.0.0/16", "-d", "10.60.0.0/16", "-j", "ACCEPT"],
        ):
            node.run(route)
            show(route, "", prompt=f"{name}$")
        yield node


def _conflist(subnet: str) -> dict[str, Any]:
    """A node's part of the network "blue"."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": subnet}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "blue0", "isGateway": True, "ipam": ipam}
    return {"cniVersion": "1.0.0", "name": "blue", "plugins": [bridge, {"type": "firewall"}]}


if __name__ == "__main__":
    main()
