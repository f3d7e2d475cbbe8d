"""Which CNI network a Docker network is bound to, and its conflist."""

import json
from pathlib import Path

import pytest

from shim.cni.errors import ConfError
from shim.engine import Engine
from shim.errors import InvalidRequestError, UnavailableError
from shim.model import Network
from shim.resolve import Resolver
from tests.unit.standins import NETWORK_ID, EngineStandIn


@pytest.fixture
def resolver(docker: EngineStandIn, tmp_path: Path) -> Resolver:
    return Resolver(Engine(docker.socket, 2.0), [tmp_path / "net.d"])


async def test_a_network_bound_by_option_needs_no_engine(resolver: Resolver, docker: EngineStandIn) -> None:
    stored = Network(NETWORK_ID, "web", options={"cni.network": "web"}, internal=True, created_at=1.0)
    await docker.stop()

    assert await resolver.network(NETWORK_ID, stored) == stored


async def test_without_option_the_docker_networks_own_name_is_the_cni_network(
    resolver: Resolver, docker: EngineStandIn
) -> None:
    stored = Network(NETWORK_ID, "", options={"cni.args.A": "1"}, internal=True, created_at=1.0)
    docker.add(NETWORK_ID, "web")

    assert await resolver.network(NETWORK_ID, stored) == Network(
        NETWORK_ID, "web", options={"cni.args.A": "1"}, internal=True, created_at=1.0
    )


async def test_a_network_missing_in_the_journal_is_read_from_the_engine_with_its_options(
    resolver: Resolver, docker: EngineStandIn
) -> None:
    docker.add(NETWORK_ID, "front")
    docker.networks[NETWORK_ID] |= {"Internal": True, "Options": {"cni.network": "web", "cni.args.A": "1"}}

    assert await resolver.network(NETWORK_ID, None) == Network(
        NETWORK_ID, "web", options={"cni.network": "web", "cni.args.A": "1"}, internal=True
    )


async def test_a_network_that_nobody_knows_is_refused(resolver: Resolver) -> None:
    with pytest.raises(InvalidRequestError, match=f"the Docker engine knows no networks/{NETWORK_ID}"):
        await resolver.network(NETWORK_ID, None)


async def test_an_engine_that_is_away_is_said_to_be(resolver: Resolver, docker: EngineStandIn) -> None:
    await docker.stop()

    with pytest.raises(UnavailableError, match=r"cannot be asked at .*docker\.sock"):
        await resolver.network(NETWORK_ID, None)


def test_a_conflist_is_found_by_its_name_as_the_file_is_now(resolver: Resolver, tmp_path: Path) -> None:
    folder = tmp_path / "net.d"
    folder.mkdir()
    for kind in ("bridge", "ptp"):
        conflist = {"cniVersion": "1.0.0", "name": "web", "plugins": [{"type": kind}]}
        (folder / "10-anything.conflist").write_text(json.dumps(conflist))

        assert resolver.conflist("web").plugins == ({"type": kind},)


def test_an_unknown_cni_network_is_refused_with_the_folders_and_the_names_there(
    resolver: Resolver, tmp_path: Path
) -> None:
    folder = tmp_path / "net.d"
    folder.mkdir()
    conflist = {"cniVersion": "1.0.0", "name": "web", "plugins": [{"type": "bridge"}]}
    (folder / "web.conflist").write_text(json.dumps(conflist))

    with pytest.raises(ConfError, match=f'no CNI network "wbe" in {folder}; found there: web'):
        resolver.conflist("wbe")
