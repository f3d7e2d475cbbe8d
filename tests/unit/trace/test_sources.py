"""What is traced where: calls of the engine, plugin runs, and questions to the engine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from shim import spans
from shim.cni.errors import PluginError
from shim.cni.exec import Exec
from shim.engine import Engine
from shim.errors import InvalidRequestError, UnavailableError
from shim.model import NetworkID
from shim.server import application
from shim.spans import Kind, Span
from shim.store import Store
from tests.unit.cni.scripted import ScriptedPlugins
from tests.unit.standins import ENDPOINT_ID, NETWORK_ID, EngineStandIn, ScriptedHandover, drivers_of

ENVIRONMENT = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c1",
    "CNI_IFNAME": "eth0",
    "CNI_NETNS": "/run/netns/c1",
    "CNI_ARGS": "IgnoreUnknown=1",
    "DB_PASSWORD": "hunter2",
}


@pytest.fixture
def ended() -> Iterator[list[Span]]:
    """The spans that have ended since the test began."""
    seen: list[Span] = []
    with spans.listening(seen.append):
        yield seen


async def call(store: Store, docker: EngineStandIn, folder: Path, path: str, request: Any) -> int:
    """Make a call as the engine does; the status of its answer."""
    app = application(*drivers_of(store, docker.socket, folder, ScriptedHandover(store)))
    async with TestClient(TestServer(app)) as client, client.post(path, data=request) as answer:
        return answer.status


async def test_a_call_is_traced_with_both_bodies(
    store: Store, docker: EngineStandIn, tmp_path: Path, ended: list[Span]
) -> None:
    await call(store, docker, tmp_path, "/Plugin.Activate", b"{}")

    (span,) = ended
    assert (span.kind, span.name, span.error) == (Kind.CALL, "Activate", "")
    assert (span.details["path"], span.details["status"]) == ("/Plugin.Activate", 200)
    assert span.details["request"] == b"{}"
    assert json.loads(span.details["answer"]) == {"Implements": ["NetworkDriver", "IpamDriver"]}


@pytest.mark.parametrize(
    ("path", "request_body", "status", "words"),
    [
        ("/NetworkDriver.Join", b"no JSON", 400, "Join: the request is not JSON"),
        ("/NetworkDriver.Join", b"", 400, "Join: the request has no body"),
        ("/VolumeDriver.List", b"{}", 404, "the CNI driver has no call /VolumeDriver.List"),
    ],
)
async def test_a_refused_call_is_traced_with_its_error_and_status(
    store: Store, docker: EngineStandIn, tmp_path: Path, ended: list[Span],
    *, path: str, request_body: bytes, status: int, words: str,
) -> None:  # fmt: skip
    assert await call(store, docker, tmp_path, path, request_body) == status

    (span,) = ended
    assert (span.kind, span.name) == (Kind.CALL, path.rpartition(".")[2])
    assert span.error.startswith(words)
    assert (span.details["path"], span.details["status"]) == (path, status)
    assert span.details["request"] == request_body
    assert json.loads(span.details["answer"])["Err"] == span.error


async def test_what_a_call_asks_the_engine_is_a_part_of_it(
    store: Store, docker: EngineStandIn, tmp_path: Path, ended: list[Span]
) -> None:
    docker.add(NETWORK_ID, "nowhere")
    members = {"NetworkID": NETWORK_ID, "EndpointID": ENDPOINT_ID}
    await call(store, docker, tmp_path, "/NetworkDriver.CreateEndpoint", json.dumps(members).encode())

    *questions, span = ended
    assert span.name == "CreateEndpoint"
    assert {(question.kind, question.within) for question in questions} == {(Kind.ENGINE, span.number)}


async def test_a_plugin_run_is_traced_with_all_that_it_is_told_and_says(
    plugins: ScriptedPlugins, ended: list[Span]
) -> None:
    path = plugins.write("bridge", 'echo \'{"cniVersion": "1.0.0"}\'')
    await Exec(lambda *_: None).run(path, ENVIRONMENT, b'{"type": "bridge"}', 10.0, network="web")

    (span,) = ended
    assert (span.kind, span.name, span.error) == (Kind.PLUGIN, "bridge", "")
    assert span.details == {
        "path": str(path),
        "network": "web",
        "command": "ADD",
        "containerid": "c1",
        "ifname": "eth0",
        "netns": "/run/netns/c1",
        "args": "IgnoreUnknown=1",
        "config": b'{"type": "bridge"}',
        "result": b'{"cniVersion": "1.0.0"}\n',
    }


async def test_a_failed_plugin_run_is_traced_with_its_error(
    plugins: ScriptedPlugins, ended: list[Span]
) -> None:
    path = plugins.write("bridge", 'echo \'{"code": 11, "msg": "try later"}\'; exit 1')
    with pytest.raises(PluginError) as failure:
        await Exec(lambda *_: None).run(path, ENVIRONMENT, b"{}", 10.0, network="web")

    (span,) = ended
    assert span.error == str(failure.value)
    assert "try later" in span.error
    assert "result" not in span.details


async def test_a_question_to_the_engine_is_traced_with_its_outcome(
    docker: EngineStandIn, ended: list[Span]
) -> None:
    engine = Engine(docker.socket, 2.0)
    docker.add(NETWORK_ID, "web")
    await engine.network(NETWORK_ID)
    with pytest.raises(InvalidRequestError):
        await engine.network(NetworkID("b" * 64))
    await docker.stop()
    with pytest.raises(UnavailableError):
        await engine.network_ids()

    found, unknown, unreached = ended
    assert {span.kind for span in ended} == {Kind.ENGINE}
    assert (found.name, found.details["status"], found.error) == (f"GET /networks/{NETWORK_ID}", 200, "")
    assert (unknown.details["status"], unknown.error[:28]) == (404, "the Docker engine knows no n")
    assert unreached.name == "GET /networks"
    assert unreached.error.startswith("the Docker engine cannot be asked")
