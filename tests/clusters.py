"""A real cluster made ready for nodes, and what tests ask of it."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from lab.cluster import ADDRESS, SERVER, Cluster

_REPOSITORY = Path(__file__).resolve().parents[1]
MANIFESTS = _REPOSITORY / "examples" / "kubernetes"

NODE = "node-a"
"""The node whose credentials tests use unless they say otherwise."""

_PROXY = "proxy"
_PROXY_PORT = 6444


@contextmanager
def ready_cluster(folder: Path) -> Iterator[Cluster]:
    """A running cluster, with all that the documentation tells an administrator to apply."""
    with Cluster(folder) as cluster:
        for name in ("network-attachment-definitions", "dockernetworks", "access"):
            cluster.install(MANIFESTS / f"{name}.yaml")
        add_node(cluster, NODE)
        for namespace in ("team-a", "team-b"):
            cluster.kubectl("create", "namespace", namespace)
        yield cluster


def add_node(cluster: Cluster, node: str) -> None:
    """Give a node its service account."""
    cluster.kubectl("create", "serviceaccount", node, "--namespace", "cnm-cni")


def definition(namespace: str, name: str, config: object) -> dict[str, Any]:
    """A NetworkAttachmentDefinition; `config` is text or JSON, or empty."""
    text = config if isinstance(config, str) else json.dumps(config)
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"config": text} if text else {},
    }


class FaultyServer:
    """The API server behind a proxy that is told what to do to it; a context manager."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._orders = cluster.folder / "orders.json"
        self.url = f"https://{ADDRESS}:{_PROXY_PORT}"

    def __enter__(self) -> Self:
        self.order()
        serving = self._cluster.authority.issue("proxy", "/CN=proxy", alternatives=f"IP:{ADDRESS}")
        command = [sys.executable, str(_REPOSITORY / "tests" / "faulty_proxy.py"), ADDRESS, str(_PROXY_PORT)]
        command += [SERVER, str(self._cluster.authority.certificate)]
        command += [str(serving.certificate), str(serving.key), str(self._orders)]
        self._cluster.start(_PROXY, command, lambda: self._cluster.accepts(ADDRESS, _PROXY_PORT))
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.kill(_PROXY)

    def order(self, **orders: float) -> None:
        """What to do to each request from now on; nothing when nothing is given."""
        unfinished = self._orders.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(orders))
        unfinished.rename(self._orders)
