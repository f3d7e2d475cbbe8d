"""What a Docker network is bound to: by the journal, by Kubernetes, or by the engine."""

import json
from pathlib import Path
from typing import Any

import pytest

from shim.cni.errors import ConfError
from shim.engine import Engine
from shim.errors import InvalidRequestError, UnavailableError
from shim.kube.errors import KubeError
from shim.kube.objects import CONFLIST, DEFINITIONS, Binding
from shim.logical import LogicalNetworks
from shim.model import Network
from shim.resolve import Resolver
from tests.unit.standins import NETWORK_ID, ClusterStandIn, EngineStandIn

BRIDGE = {"cniVersion": "1.0.0", "plugins": [{"type": "bridge"}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the conflist "web"."""
    folder = tmp_path / "net.d"
    folder.mkdir()
    (folder / "web.conflist").write_text(json.dumps({**BRIDGE, "name": "web"}))
    return folder


@pytest.fixture
def cluster() -> ClusterStandIn:
    """A cluster with the definition team-a/blue."""
    cluster = ClusterStandIn()
    cluster.define("team-a", "blue", BRIDGE)
    return cluster


@pytest.fixture
def resolver(docker: EngineStandIn, folder: Path) -> Resolver:
    """Without Kubernetes."""
    return Resolver(Engine(docker.socket, 2.0), LogicalNetworks([folder]))


@pytest.fixture
def with_kubernetes(docker: EngineStandIn, folder: Path, cluster: ClusterStandIn) -> Resolver:
    return Resolver(Engine(docker.socket, 2.0), LogicalNetworks([folder], cluster), cluster, 2.5)


async def test_a_network_bound_by_option_needs_no_engine(resolver: Resolver, docker: EngineStandIn) -> None:
    stored = Network(NETWORK_ID, "web", options={"cni.network": "web"}, internal=True, created_at=1.0)
    await docker.stop()

    assert await resolver.network(NETWORK_ID, stored) == stored


async def test_a_bound_network_needs_no_kubernetes(
    with_kubernetes: Resolver, docker: EngineStandIn, cluster: ClusterStandIn
) -> None:
    stored = Network(NETWORK_ID, "team-a/blue", cluster.known["team-a", "blue"])
    cluster.failure = KubeError("away")
    await docker.stop()

    assert await with_kubernetes.network(NETWORK_ID, stored) == stored


async def test_without_option_the_docker_networks_own_name_is_the_cni_network(
    resolver: Resolver, docker: EngineStandIn
) -> None:
    stored = Network(NETWORK_ID, "", options={"cni.args.A": "1"}, internal=True, created_at=1.0)
    docker.add(NETWORK_ID, "web")

    assert await resolver.network(NETWORK_ID, stored) == Network(
        NETWORK_ID, "web", options={"cni.args.A": "1"}, internal=True, created_at=1.0
    )


async def test_a_docker_networks_own_name_that_no_network_has_is_refused(
    resolver: Resolver, docker: EngineStandIn
) -> None:
    docker.add(NETWORK_ID, "wbe")

    with pytest.raises(ConfError, match=r'no CNI network "wbe" in .*; found there: web'):
        await resolver.network(NETWORK_ID, Network(NETWORK_ID, ""))


async def test_a_network_missing_in_the_journal_is_read_from_the_engine_with_its_options(
    resolver: Resolver, docker: EngineStandIn
) -> None:
    docker.add(NETWORK_ID, "front")
    docker.networks[NETWORK_ID] |= {"Internal": True, "Options": {"cni.network": "web", "cni.args.A": "1"}}

    assert await resolver.network(NETWORK_ID, None) == Network(
        NETWORK_ID, "web", options={"cni.network": "web", "cni.args.A": "1"}, internal=True
    )


@pytest.mark.parametrize(
    ("option", "ipam_option", "bound"), [("", "web", "web"), ("web", "db", "web"), ("web", "", "web")]
)
async def test_the_name_that_was_said_to_ipam_goes_before_the_docker_networks_own(
    resolver: Resolver, docker: EngineStandIn, option: str, ipam_option: str, bound: str
) -> None:
    docker.add(NETWORK_ID, "front")
    docker.networks[NETWORK_ID] |= {
        "Options": {"cni.network": option} if option else {},
        "IPAM": {"Options": {"cni.network": ipam_option} if ipam_option else None},
    }

    assert (await resolver.network(NETWORK_ID, None)).cni_network == bound
    assert (await resolver.network(NETWORK_ID, Network(NETWORK_ID, ""))).cni_network == bound


async def test_a_network_that_nobody_knows_is_refused(resolver: Resolver) -> None:
    with pytest.raises(InvalidRequestError, match=f"the Docker engine knows no networks/{NETWORK_ID}"):
        await resolver.network(NETWORK_ID, None)


async def test_an_engine_that_is_away_is_said_to_be(resolver: Resolver, docker: EngineStandIn) -> None:
    await docker.stop()

    with pytest.raises(UnavailableError, match=r"cannot be asked at .*docker\.sock"):
        await resolver.network(NETWORK_ID, None)


# by a DockerNetwork


def bound(logical_network: str = "blue", kind: str = DEFINITIONS.kind) -> Binding:
    options = {"cni.args.A": "1"}
    return Binding("team-a", NETWORK_ID, kind, logical_network, internal=True, options=options)


async def test_a_network_that_an_administrator_bound_is_that_one_and_not_of_its_own_name(
    with_kubernetes: Resolver, docker: EngineStandIn, cluster: ClusterStandIn
) -> None:
    docker.add(NETWORK_ID, "web")
    cluster.bindings = [bound()]
    stored = Network(NETWORK_ID, "", options={"cni.args.A": "2"}, created_at=1.0)

    assert await with_kubernetes.network(NETWORK_ID, stored) == Network(
        NETWORK_ID,
        "team-a/blue",
        cluster.known["team-a", "blue"],
        options={"cni.args.A": "2"},
        created_at=1.0,
    )


async def test_a_lost_network_is_bound_by_its_object_with_the_options_that_the_engine_has(
    with_kubernetes: Resolver, docker: EngineStandIn, cluster: ClusterStandIn
) -> None:
    docker.add(NETWORK_ID, "front")
    docker.networks[NETWORK_ID] |= {"Internal": False, "Options": {"cni.args.A": "3"}}
    cluster.bindings = [bound()]

    assert await with_kubernetes.network(NETWORK_ID, None) == Network(
        NETWORK_ID, "team-a/blue", cluster.known["team-a", "blue"], options={"cni.args.A": "3"}
    )


@pytest.mark.parametrize("engine", ["away", "another"])
async def test_a_lost_network_is_bound_by_its_object_alone_while_the_engine_starts(
    with_kubernetes: Resolver, docker: EngineStandIn, cluster: ClusterStandIn, engine: str
) -> None:
    if engine == "away":
        await docker.stop()
    cluster.bindings = [bound()]

    assert await with_kubernetes.network(NETWORK_ID, None) == Network(
        NETWORK_ID,
        "team-a/blue",
        cluster.known["team-a", "blue"],
        options={"cni.args.A": "1"},
        internal=True,
    )


async def test_an_object_may_bind_a_conflist(with_kubernetes: Resolver, cluster: ClusterStandIn) -> None:
    cluster.bindings = [bound("web", CONFLIST)]

    assert (await with_kubernetes.network(NETWORK_ID, None)).cni_network == "web"


async def test_without_an_object_the_engine_decides(with_kubernetes: Resolver, docker: EngineStandIn) -> None:
    docker.add(NETWORK_ID, "web")

    assert (await with_kubernetes.network(NETWORK_ID, None)).cni_network == "web"


@pytest.mark.parametrize(
    "members",
    [{"Options": {"cni.network": "web"}}, {"IPAM": {"Options": {"cni.network": "web"}}}],
    ids=["option", "IPAM option"],
)
async def test_while_kubernetes_is_away_an_option_decides(
    with_kubernetes: Resolver, docker: EngineStandIn, cluster: ClusterStandIn, members: dict[str, Any]
) -> None:
    docker.add(NETWORK_ID, "front")
    docker.networks[NETWORK_ID] |= members
    cluster.failure = KubeError("away")

    assert (await with_kubernetes.network(NETWORK_ID, None)).cni_network == "web"


async def test_while_kubernetes_is_away_a_networks_own_name_decides_nothing(
    with_kubernetes: Resolver, docker: EngineStandIn, cluster: ClusterStandIn
) -> None:
    docker.add(NETWORK_ID, "web")
    cluster.failure = KubeError("Kubernetes at https://192.0.2.1: Connection refused")

    with pytest.raises(UnavailableError) as caught:
        await with_kubernetes.network(NETWORK_ID, Network(NETWORK_ID, ""))

    assert str(caught.value) == (
        "cannot tell whether Kubernetes binds network web: Kubernetes at https://192.0.2.1: Connection "
        "refused (name the CNI network when you create one: -o cni.network=NAME)"
    )
