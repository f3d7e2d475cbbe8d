"""Whose link it is: by the engine where it answers, else by a process in the sandbox."""

from pathlib import Path

import pytest

from shim import identity
from shim.engine import Engine
from shim.identity import Identities
from shim.model import Definition, EndpointState, Network
from shim.store import Store
from tests.unit.standins import ENDPOINT_ID, NETWORK_ID, EngineStandIn, endpoint

CONTAINER_ID = "c" * 64
LIVE_SANDBOX = "/proc/self/ns/net"
RECORD = endpoint(EndpointState.PLANNED)


@pytest.fixture
def identities(store: Store, docker: EngineStandIn) -> Identities:
    return Identities(store, Engine(docker.socket, 2.0))


@pytest.fixture
def listed(docker: EngineStandIn) -> EngineStandIn:
    """An engine that lists the endpoint as that of container "shop"."""
    docker.add(NETWORK_ID, "web", {ENDPOINT_ID: "shop"})
    docker.run(CONTAINER_ID, "shop")
    return docker


async def test_the_engine_says_whose_link_it_is(identities: Identities, listed: EngineStandIn) -> None:
    listed.run("d" * 64, "shop2")
    listed.run("e" * 64, "shOp")

    assert await identities.of(RECORD, "/gone") == {
        "K8S_POD_NAME": "shop",
        "K8S_POD_NAMESPACE": "default",
        "K8S_POD_INFRA_CONTAINER_ID": CONTAINER_ID,
    }


@pytest.mark.parametrize(
    ("definition", "namespace"), [(None, "default"), (Definition("team-a", "blue", ""), "team-a")]
)
@pytest.mark.usefixtures("listed")
async def test_the_namespace_is_that_of_the_definition(
    identities: Identities, store: Store, definition: Definition | None, namespace: str
) -> None:
    await store.save_network(Network(NETWORK_ID, "web", definition))

    assert (await identities.of(RECORD, "/gone"))["K8S_POD_NAMESPACE"] == namespace


@pytest.mark.parametrize("engine", ["away", "without network", "without endpoint", "without container"])
async def test_what_cannot_be_known_is_left_out(
    identities: Identities, docker: EngineStandIn, tmp_path: Path, engine: str
) -> None:
    if engine == "away":
        await docker.stop()
    if engine != "without network":
        docker.add(NETWORK_ID, "web", {} if engine == "without endpoint" else {ENDPOINT_ID: "shop"})
    file = tmp_path / "sandbox"
    file.touch()

    for sandbox in ("/gone", str(file), ""):
        assert await identities.of(RECORD, sandbox) == {}


# By a process in the sandbox


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of processes as /proc has it, in which each is in the sandbox that this one is in."""
    folder = tmp_path / "proc"
    folder.mkdir()
    monkeypatch.setattr(identity, "_PROC", folder)
    return folder


def process(proc: Path, number: str, cgroup: str, namespace: str = LIVE_SANDBOX) -> None:
    (proc / number / "ns").mkdir(parents=True)
    (proc / number / "ns/net").symlink_to(namespace)
    (proc / number / "cgroup").write_text(cgroup)


@pytest.mark.parametrize(
    "cgroup",
    [
        f"0::/system.slice/docker-{CONTAINER_ID}.scope\n",
        f"12:pids:/docker/{CONTAINER_ID}\n11:cpu:/docker/{CONTAINER_ID}\n0::/\n",
        f"0::/docker/{'d' * 64}/docker/{CONTAINER_ID}\n",
        f"0::/docker/{CONTAINER_ID}/init\n",
    ],
    ids=["systemd", "version 1", "docker in docker", "nested"],
)
async def test_while_the_engine_is_away_a_process_in_the_sandbox_bears_the_containers_id(
    identities: Identities, docker: EngineStandIn, proc: Path, cgroup: str
) -> None:
    await docker.stop()
    process(proc, "7", "0::/user.slice\n")
    process(proc, "8", f"0::/docker/{'f' * 64}\n", namespace="/proc/self/ns/mnt")
    process(proc, "9", cgroup)
    (proc / "10").mkdir()
    (proc / "self").mkdir()

    assert await identities.of(RECORD, LIVE_SANDBOX) == {"K8S_POD_INFRA_CONTAINER_ID": CONTAINER_ID}


@pytest.mark.parametrize(
    "cgroup",
    ["0::/init.scope\n", f"0::/docker/{'c' * 63}\n", f"0::/docker/{'c' * 65}\n", f"0::/{'C' * 64}\n", ""],
)
async def test_a_control_group_of_no_container_says_nothing(
    identities: Identities, docker: EngineStandIn, proc: Path, cgroup: str
) -> None:
    await docker.stop()
    process(proc, "7", cgroup)

    assert await identities.of(RECORD, LIVE_SANDBOX) == {}


async def test_a_process_that_has_ended_is_passed_over(
    identities: Identities, docker: EngineStandIn, proc: Path
) -> None:
    await docker.stop()
    process(proc, "7", "", namespace="/gone")
    process(proc, "8", "")
    (proc / "8/cgroup").unlink()
    process(proc, "9", f"0::/docker/{CONTAINER_ID}\n")

    assert (await identities.of(RECORD, LIVE_SANDBOX))["K8S_POD_INFRA_CONTAINER_ID"] == CONTAINER_ID
