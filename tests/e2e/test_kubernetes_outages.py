"""Kubernetes away, slow or refusing, on a real engine: containers do not notice, and all heals by itself."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab.cluster import Cluster
from lab.engine import Engine

from tests.clusters import FaultyServer

Define = Callable[[str, str, object], None]
Eventually = Callable[..., None]
Restart = Callable[..., None]

# What Kubernetes does is the same to every engine.
pytestmark = pytest.mark.parametrize("session_engine", ["newest"], indirect=True)

BRIDGE = {
    "cniVersion": "1.0.0",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "blue0",
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.50.0.0/24"}]]},
        }
    ],
}
OTHER = {**BRIDGE, "name": "other"}

_LIMIT = 3.0
"""Seconds in which a network that cannot be looked up must be refused."""


@contextmanager
def server_killed(cluster: Cluster, **_: Any) -> Iterator[None]:
    cluster.kill_api_server()
    yield
    cluster.start_api_server()


@contextmanager
def server_hangs(cluster: Cluster, **_: Any) -> Iterator[None]:
    cluster.api_server.pause()
    yield
    cluster.api_server.resume()


@contextmanager
def etcd_killed(cluster: Cluster, **_: Any) -> Iterator[None]:
    cluster.kill_etcd()
    yield
    cluster.start_etcd()


@contextmanager
def certificate_expired(cluster: Cluster, **_: Any) -> Iterator[None]:
    expired = cluster.authority.issue("expired", "/CN=kube-apiserver", alternatives="IP:192.0.2.1", days=0)
    cluster.kill_api_server()
    cluster.start_api_server(expired)
    yield
    cluster.kill_api_server()
    cluster.start_api_server()


@contextmanager
def token_expired(token_file: Path, **_: Any) -> Iterator[None]:
    good = token_file.read_text()
    token_file.write_text("expired")
    yield
    token_file.write_text(good)


def ordered(**orders: float) -> Callable[..., AbstractContextManager[None]]:
    @contextmanager
    def fault(faulty: FaultyServer, **_: Any) -> Iterator[None]:
        faulty.order(**orders)
        yield
        faulty.order()

    return fault


FAULTS: dict[str, Callable[..., AbstractContextManager[None]]] = {
    "server killed": server_killed,
    "server hangs": server_hangs,
    "etcd killed": etcd_killed,
    "certificate expired": certificate_expired,
    "token expired": token_expired,
    "slow": ordered(delay=10),
    "403": ordered(status=403),
    "429": ordered(status=429),
    "500": ordered(status=500),
    "watch cut every second": ordered(cut=1),
}
BEHIND_PROXY = {"slow", "403", "429", "500", "watch cut every second"}
REASONS = {
    "server killed": "Connection refused",
    "server hangs": "no answer within 2 s",
    "etcd killed": "(no answer within 2 s|etcdserver|context deadline exceeded|Internal Server Error)",
    "certificate expired": "certificate has expired",
    "token expired": "Unauthorized",
    "slow": "no answer within 2 s",
    "403": "refused by order",
    "429": "refused by order",
    "500": "refused by order",
    "watch cut every second": "there is no NetworkAttachmentDefinition team-b/new",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong."""

    lasting: Callable[[], AbstractContextManager[None]]
    """It lasts as long as the block."""
    reason: str
    """What a network that cannot be looked up is refused with."""


@pytest.fixture
def faulty(cluster: Cluster) -> Iterator[FaultyServer]:
    with FaultyServer(cluster) as server:
        yield server


@pytest.fixture(params=FAULTS)
def fault(
    request: pytest.FixtureRequest,
    cluster: Cluster,
    faulty: FaultyServer,
    restart_node: Restart,
    node_settings: dict[str, Any],
) -> Fault:
    """Each thing that can go wrong."""
    if request.param in BEHIND_PROXY:
        restart_node(server=faulty.url)
    token_file = Path(node_settings["token_file"])
    return Fault(
        lambda: FAULTS[request.param](cluster=cluster, faulty=faulty, token_file=token_file),
        REASONS[request.param],
    )


def create(node: Engine, name: str, bound_to: str, *, check: bool = True) -> str:
    """`docker network create`; what it complains about."""
    option = f"cni.network={bound_to}"
    command = ("network", "create", "-d", "cni", "--ipam-driver", "null", "-o", option, name)
    return node.docker(*command, check=check).stderr


def run(node: Engine, network: str) -> str:
    """The address of a container that comes and goes."""
    shown = node.docker(
        "run", "--rm", "--network", network, "busybox", "ip", "-o", "-4", "address", "show", "eth0"
    )
    return str(re.findall(r"inet (\S+)", shown.stdout)[0])


def containers(cluster: Cluster) -> list[str]:
    """The containers that Kubernetes knows of on the network; "" for one whose name is not known yet."""
    items = json.loads(cluster.kubectl("get", "dnet", "-n", "team-a", "-o", "json"))["items"]
    endpoints = [endpoint for item in items for endpoint in item.get("status", {}).get("endpoints", ())]
    return [endpoint.get("container", "") for endpoint in endpoints]


def test_containers_do_not_notice_an_outage_and_it_heals(
    node: Engine, cluster: Cluster, define: Define, eventually: Eventually, fault: Fault
) -> None:
    define("team-a", "blue", BRIDGE)
    create(node, "web", "team-a/blue")
    node.docker("run", "-d", "--name", "old", "--network", "web", "busybox", "sleep", "600")
    eventually(lambda: containers(cluster) == ["old"])

    with fault.lasting():
        assert run(node, "web").startswith("10.50.0.")
        node.docker("run", "-d", "--name", "new", "--network", "web", "busybox", "sleep", "600")
        node.docker("rm", "-f", "old")
        create(node, "again", "team-a/blue")
        start = time.monotonic()
        refusal = create(node, "web2", "team-b/new", check=False)
        assert time.monotonic() - start < _LIMIT
        (line,) = refusal.strip().splitlines()
        assert "NetworkAttachmentDefinition team-b/new" in line
        assert re.search(fault.reason, line)

    define("team-b", "new", OTHER)
    eventually(lambda: containers(cluster) == ["new"], within=90)
    eventually(lambda: create(node, "web2", "team-b/new", check=False) == "", within=90)


def test_a_shim_that_starts_during_an_outage_serves_the_networks_it_knew(
    node: Engine, cluster: Cluster, define: Define, eventually: Eventually, restart_node: Restart
) -> None:
    define("team-a", "blue", BRIDGE)
    create(node, "web", "team-a/blue")
    node.docker("run", "-d", "--name", "old", "--network", "web", "busybox", "sleep", "600")
    cluster.kill_api_server()
    try:
        node.kill_shim()
        restart_node()
        node.docker("run", "-d", "--name", "new", "--network", "web", "busybox", "sleep", "600")
        node.docker("rm", "-f", "old")
    finally:
        cluster.start_api_server()

    eventually(lambda: containers(cluster) == ["new"], within=90)
