"""A real cluster, which this process reaches over a link of its own, and clients of it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from lab.cluster import SERVER, Cluster

from shim.kube.access import TokenAccess
from shim.kube.client import Client
from tests.clusters import NODE, FaultyServer, ready_cluster
from tests.integration.host import links, run
from tests.integration.kube.node import Node

_ADDRESS = "192.0.2.99/24"

Clients = Callable[..., Client]
MakeNode = Callable[..., Node]


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster; this process's link to it goes with it, before other tests look at their links."""
    with ready_cluster(tmp_path_factory.mktemp("cluster") / "disk") as cluster:
        cluster.join(os.getpid(), _ADDRESS)
        yield cluster


@pytest.fixture(autouse=True)
def clean(cluster: Cluster) -> Iterator[None]:
    """Whatever a test makes is removed, and the API server is running, for the next one."""
    before = links().keys()
    yield
    assert links().keys() == before
    if not cluster.is_running("etcd"):
        cluster.start_etcd()
    if not cluster.is_running("kube-apiserver"):
        cluster.start_api_server()
    cluster.kubectl("delete", "dnet,net-attach-def,lease", "--all", "--all-namespaces")


@pytest.fixture
def faulty(cluster: Cluster) -> Iterator[FaultyServer]:
    """The API server behind a proxy that is told what to do to it."""
    with FaultyServer(cluster) as server:
        yield server


@pytest.fixture
def token_file(cluster: Cluster, tmp_path: Path) -> Path:
    """The token of a node."""
    path = tmp_path / "token"
    path.write_text(cluster.token("cnm-cni", NODE))
    return path


@pytest.fixture
async def make_client(cluster: Cluster, token_file: Path, tmp_path: Path) -> AsyncIterator[Clients]:
    """Makes clients with the node's token, by default of the API server itself."""
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.sleep, 0.1)  # aborted TLS connections end in some later turn

        def make(server: str = SERVER, authority: Path | None = None) -> Client:
            access = TokenAccess(server, token_file, authority or cluster.authority.certificate)
            client = Client(access, tmp_path / "scratch")
            stack.push_async_callback(client.close)
            return client

        yield make


@pytest.fixture
def client(make_client: Clients) -> Client:
    """A client with the node's token."""
    return make_client()


@pytest.fixture
def make_node(cluster: Cluster, token_file: Path, tmp_path: Path) -> Iterator[MakeNode]:
    """Makes nodes; `as_` is the folder, which two shims of one node do not share.

    The bridge that the plugin makes at first use is removed in the end.
    """

    def make(name: str = NODE, *, as_: str = "", token: Path | None = None, **kubernetes: Any) -> Node:
        return Node(cluster, tmp_path / (as_ or name), token or token_file, name, **kubernetes)

    yield make
    if "kube0" in links():
        run("ip", "link", "delete", "kube0")
