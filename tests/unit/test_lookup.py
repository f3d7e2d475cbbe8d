"""`cnm-cni resolve` where Kubernetes is not used, or cannot be reached."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from shim import lookup
from shim.config import Kubernetes, Settings
from shim.errors import InvalidRequestError
from shim.model import Network, NetworkID
from shim.store import Store
from tests.unit.standins import NETWORK_ID, EngineStandIn

UNBOUND = NetworkID("b" * 64)


@pytest.fixture
async def settings(
    store: Store, docker: EngineStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """A node with a bound network, and one that no container has used yet."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    await store.save_network(Network(NETWORK_ID, "team-a/blue", created_at=time.time() - 3 * 3600))
    await store.save_network(Network(UNBOUND, ""))
    docker.add(NETWORK_ID, "front")
    docker.add(UNBOUND, "web")
    docker.networks["web"] = docker.networks[UNBOUND]  # the engine finds it by name as well
    for network in docker.networks.values():
        network["Driver"] = "cni"
    return Settings(
        state_dir=tmp_path / "state", docker_socket=docker.socket, kubernetes=Kubernetes(node="node-a")
    )


@pytest.mark.parametrize("wanted", [NETWORK_ID, NETWORK_ID[:12], "aaaa", "front", "team-a/blue", "blue"])
async def test_a_network_is_found_by_its_id_and_each_of_its_names(settings: Settings, wanted: str) -> None:
    assert (await lookup.resolve(settings, wanted, as_json=False)).splitlines() == [
        "NETWORK ID     NODE     DOCKER NAME   CNI NETWORK   SOURCE    AGE",
        "aaaaaaaaaaaa   node-a   front         team-a/blue   journal   3h",
    ]


@pytest.mark.parametrize("wanted", [UNBOUND, "web"])
async def test_a_network_that_is_not_bound_is_what_its_own_name_says(settings: Settings, wanted: str) -> None:
    (answer,) = json.loads(await lookup.resolve(settings, wanted, as_json=True))

    assert answer == {
        "id": UNBOUND,
        "node": "node-a",
        "name": "web",
        "cniNetwork": "web",
        "source": "engine, not bound yet",
        "since": "",
    }


@pytest.mark.parametrize("wanted", ["aaa", "fron", "../../containers/json", "", "team-a/", "a b"])
async def test_what_nobody_knows_is_refused(settings: Settings, wanted: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"nothing is known of a network .*kubectl get dnet -A"):
        await lookup.resolve(settings, wanted, as_json=False)


async def test_a_network_of_another_driver_is_none_of_ours(settings: Settings, docker: EngineStandIn) -> None:
    docker.networks["web"]["Driver"] = "bridge"

    with pytest.raises(InvalidRequestError, match="nothing is known"):
        await lookup.resolve(settings, "web", as_json=False)


async def test_without_an_engine_the_journal_answers(settings: Settings, docker: EngineStandIn) -> None:
    await docker.stop()

    (answer,) = json.loads(await lookup.resolve(settings, "blue", as_json=True))

    assert (answer["cniNetwork"], answer["name"]) == ("team-a/blue", "")


async def test_without_kubernetes_this_node_answers_and_the_rest_is_said_to_be_missing(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = replace(settings.kubernetes, kubeconfig=tmp_path / "missing")
    settings = replace(settings, kubernetes=missing)

    assert "team-a/blue" in await lookup.resolve(settings, "blue", as_json=False)
    assert capsys.readouterr().err.startswith("cnm-cni: only this node is shown: kubeconfig ")
    with pytest.raises(
        InvalidRequestError, match=r"nothing is known of a network x; and kubeconfig .*no such file"
    ):
        await lookup.resolve(settings, "x", as_json=False)
