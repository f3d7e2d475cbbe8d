"""HTTP as the engine speaks it, on the real application with a real driver that touches no kernel."""

import io
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from shim.driver import Driver
from shim.errors import ConflictError, ShimError, UnavailableError
from shim.ipam import IpamDriver
from shim.server import application
from shim.store import Store
from shim.wire import messages as m
from shim.wire.protocol import CALLS, CONTENT_TYPE, Call
from tests.unit.standins import ENDPOINT_ID, MAC, NETWORK_ID, EngineStandIn, ScriptedHandover, drivers_of

Pair = tuple[Driver, IpamDriver]
JOIN = "/NetworkDriver.Join"
SANDBOX = "/var/run/docker/netns/0123456789ab"
MEMBERS: dict[str, Any] = {"NetworkID": NETWORK_ID, "EndpointID": ENDPOINT_ID, "SandboxKey": SANDBOX}
"""Enough for every call."""

Client = TestClient[Any, Any]


@pytest.fixture
def handover(store: Store) -> ScriptedHandover:
    return ScriptedHandover(store)


@pytest.fixture
def pair(store: Store, handover: ScriptedHandover, docker: EngineStandIn, tmp_path: Path) -> Pair:
    conflist = {"cniVersion": "1.0.0", "name": "web", "plugins": [{"type": "bridge"}]}
    (tmp_path / "web.conflist").write_text(json.dumps(conflist))
    return drivers_of(store, docker.socket, tmp_path, handover)


@pytest.fixture
async def client(pair: Pair) -> AsyncIterator[Client]:
    async with TestClient(TestServer(application(*pair))) as client:
        yield client


def answering(pair: Pair, monkeypatch: pytest.MonkeyPatch, outcome: Exception) -> None:
    """Let the driver's `join` fail like that; to be called before the application is made."""

    async def fail(_request: m.JoinRequest) -> m.JoinResponse:
        raise outcome

    monkeypatch.setattr(pair[0], "join", fail)


async def refused_join(pair: Pair) -> tuple[int, dict[str, str]]:
    """Status and body of the answer to a Join."""
    async with (
        TestClient(TestServer(application(*pair))) as client,
        client.post(JOIN, json=MEMBERS) as answer,
    ):
        assert answer.content_type == CONTENT_TYPE
        return answer.status, json.loads(await answer.read())


async def test_a_container_lives_and_leaves_in_the_words_of_the_wire(client: Client, store: Store) -> None:
    async def call(name: str, **members: Any) -> Any:
        async with client.post(f"/NetworkDriver.{name}", data=json.dumps(MEMBERS | members)) as answer:
            assert answer.status == 200
            return json.loads(await answer.read())

    options = {"com.docker.network.generic": {"cni.network": "web"}}
    assert await call("CreateNetwork", Options=options, IPv4Data=None) == {}
    assert await call("CreateEndpoint", Interface=None, Options=None) == {
        "Interface": {"Address": "10.1.0.5/16", "AddressIPv6": "", "MacAddress": MAC}
    }
    joined = await call("Join")
    assert joined["InterfaceName"] == {"SrcName": "cni" + "e" * 12, "DstPrefix": "eth"}
    assert joined["Gateway"] == "10.1.0.1"
    assert await call("EndpointOperInfo") == {"Value": {}}
    for name in ("ProgramExternalConnectivity", "RevokeExternalConnectivity", "Leave", "DeleteEndpoint"):
        assert await call(name) == {}
    assert await call("DeleteNetwork") == {}
    assert (await store.networks(), await store.endpoints()) == ([], [])


# Every call


@pytest.mark.parametrize("call", CALLS, ids=[call.path for call in CALLS])
async def test_every_call_answers_json_of_the_plugin_type(client: Client, call: Call) -> None:
    async with client.post(f"/{call.path}", json=MEMBERS) as answer:
        body = json.loads(await answer.read())

    assert answer.content_type == CONTENT_TYPE
    assert answer.status != 404
    assert (answer.status == 200) == ("Err" not in body)


@pytest.mark.parametrize("call", CALLS, ids=[call.path for call in CALLS])
async def test_a_call_without_a_body_is_answered_or_refused_in_one_line(client: Client, call: Call) -> None:
    async with client.post(f"/{call.path}") as answer:
        body = json.loads(await answer.read())

    if call.request is m.EmptyRequest:
        assert answer.status == 200
    else:
        line = f"{call.name}: the request has no body (the connection broke midway; repeat the command)"
        assert (answer.status, body) == (400, {"Err": line, "Error": line})


async def test_the_engine_learns_what_the_socket_serves(client: Client) -> None:
    async with client.post("/Plugin.Activate") as answer:
        assert json.loads(await answer.read()) == {"Implements": ["NetworkDriver", "IpamDriver"]}


async def test_a_request_may_be_as_long_as_ten_thousand_published_ports(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[m.CreateEndpointRequest] = []

    async def create_endpoint(request: m.CreateEndpointRequest) -> m.CreateEndpointResponse:
        requests.append(request)
        return m.CreateEndpointResponse()

    monkeypatch.setattr(pair[0], "create_endpoint", create_endpoint)
    ports = [
        {"Proto": 17, "IP": "", "Port": port, "HostIP": "192.0.2.1", "HostPort": port, "HostPortEnd": port}
        for port in range(10000, 20001)
    ]
    options = {"com.docker.network.portmap": ports, "com.docker.network.endpoint.exposedports": ports}
    body = io.BytesIO(json.dumps(MEMBERS | {"Options": options}).encode())
    async with (
        TestClient(TestServer(application(*pair))) as client,
        client.post("/NetworkDriver.CreateEndpoint", data=body) as answer,
    ):
        assert answer.status == 200

    (request,) = requests
    assert len(request.port_bindings) == 10001


# Errors


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ShimError("it broke", cure="mend it"), 500),
        (ConflictError("it broke", cure="mend it"), 409),
        (UnavailableError("it broke", cure="mend it"), 503),
    ],
)
async def test_an_error_is_one_line_for_network_and_for_ipam_drivers(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, error: ShimError, status: int
) -> None:
    answering(pair, monkeypatch, error)

    line = "it broke (mend it)"
    assert await refused_join(pair) == (status, {"Err": line, "Error": line})


async def test_an_error_that_nobody_foresaw_is_one_line_to_the_user_and_in_full_in_the_log(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answering(pair, monkeypatch, ZeroDivisionError("one\ntwo"))

    status, body = await refused_join(pair)

    assert status == 500
    line = r"internal error in the CNI driver: ZeroDivisionError('one\ntwo') (its log has the details)"
    assert body == {"Err": line, "Error": line}
    assert "Traceback" in caplog.text
    assert "in fail" in caplog.text


async def test_a_failed_call_is_logged_as_an_error_with_its_reason(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answering(pair, monkeypatch, ConflictError("it broke"))
    caplog.set_level(logging.INFO, logger="shim.calls")

    await refused_join(pair)

    (record,) = (record for record in caplog.records if record.name == "shim.calls")
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("Join ")
    assert record.getMessage().endswith(": it broke")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "Join: the request is not JSON"),
        (b"\xff\xfe", "Join: the request is not JSON"),
        (b"[" * 100_000, "Join: the request is not JSON"),
        (b"[]", "Join: expected a JSON object"),
        (b"null", "Join: expected a JSON object"),
        (b'{"SandboxKey": 7}', "Join.SandboxKey: expected a string, found 7"),
        (b'{"SandboxKey": "/s", "NetworkID": "../../etc"}', "NetworkID"),
    ],
    ids=["broken", "no text", "too deep", "no object", "null", "wrong type", "no ID"],
)
async def test_a_request_that_cannot_be_read_is_refused_in_one_line(
    client: Client, body: bytes, words: str
) -> None:
    async with client.post(JOIN, data=body) as answer:
        refusal = json.loads(await answer.read())

    assert answer.status == 400
    assert refusal["Err"] == refusal["Error"]
    assert words in refusal["Err"]
    assert "\n" not in refusal["Err"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/VolumeDriver.List"), ("POST", "/"), ("POST", f"{JOIN}/x"), ("GET", JOIN)],
)
async def test_what_is_no_call_is_not_found_in_json(client: Client, method: str, path: str) -> None:
    async with client.request(method, path) as answer:
        body = json.loads(await answer.read())

    assert (answer.status, answer.content_type) == (404, CONTENT_TYPE)
    line = f"the CNI driver has no call {path}"
    assert body == {"Err": line, "Error": line}
