"""Questions to the Docker Engine API, asked of a stand-in on a real unix socket."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from shim.engine import Container, DockerNetwork, Engine, Identity
from shim.errors import InvalidRequestError, UnavailableError
from shim.model import EndpointID, NetworkID

NETWORK_ID = NetworkID("a" * 64)
DEADLINE = 0.2

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
StandIn = Callable[[Answer], Awaitable[Engine]]


@pytest.fixture
async def answered_by(tmp_path: Path) -> AsyncIterator[StandIn]:
    """An engine whose every answer comes from the function given."""
    runners = []

    async def start(answer: Answer) -> Engine:
        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        runners.append(runner)
        await runner.setup()
        await web.UnixSite(runner, tmp_path / "docker.sock").start()
        return Engine(tmp_path / "docker.sock", DEADLINE)

    yield start
    for runner in runners:
        await runner.cleanup()


def always(value: Any, status: int = 200) -> Answer:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(value, status=status)

    return answer


def text(body: str, content_type: str = "application/json", status: int = 200) -> Answer:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=body, content_type=content_type, status=status)

    return answer


async def test_a_network_is_read_as_the_engine_describes_it(answered_by: StandIn) -> None:
    paths = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.path_qs)
        return web.json_response(
            {
                "Name": "web",
                "Id": NETWORK_ID,
                "Created": "2024-01-01T00:00:00Z",
                "Driver": "cni",
                "Internal": True,
                "Containers": {
                    "c" * 64: {"Name": "shop", "EndpointID": "e" * 64, "IPv4Address": "10.89.0.2/24"},
                    "ep-" + "f" * 64: {"Name": "joining", "EndpointID": "f" * 64},
                },
                "Options": {"cni.network": "web"},
                "IPAM": {"Driver": "cni", "Options": {"cni.network": "web"}},
                "Labels": {},
            }
        )

    engine = await answered_by(answer)

    assert await engine.network(NETWORK_ID) == DockerNetwork(
        id=NETWORK_ID,
        name="web",
        driver="cni",
        internal=True,
        options={"cni.network": "web"},
        ipam_options={"cni.network": "web"},
        containers={EndpointID("e" * 64): "shop", EndpointID("f" * 64): "joining"},
        addresses=frozenset({"10.89.0.2"}),
    )
    assert paths == [f"/networks/{NETWORK_ID}"]


@pytest.mark.parametrize("ipam", [None, {}, {"Options": None}])
async def test_null_members_are_empty(answered_by: StandIn, ipam: Any) -> None:
    members = {"Internal": None, "Options": None, "Containers": None, "IPAM": ipam}
    engine = await answered_by(always({"Id": NETWORK_ID, "Name": "web"} | members))

    assert await engine.network(NETWORK_ID) == DockerNetwork(
        NETWORK_ID, "web", "", internal=False, options={}, ipam_options={}, containers={}
    )


async def test_an_unknown_network_is_not_a_missing_engine(answered_by: StandIn) -> None:
    engine = await answered_by(always({"message": f"network {NETWORK_ID} not found"}, status=404))

    with pytest.raises(InvalidRequestError, match=f"the Docker engine knows no networks/{NETWORK_ID}"):
        await engine.network(NETWORK_ID)


async def test_an_engine_that_fails_is_unavailable(answered_by: StandIn) -> None:
    engine = await answered_by(always({"message": "starting"}, status=503))

    with pytest.raises(UnavailableError, match="503"):
        await engine.network(NETWORK_ID)


async def test_an_engine_that_accepts_and_never_answers_is_given_up_at_the_deadline(
    answered_by: StandIn,
) -> None:
    asked = asyncio.Event()

    async def answer(_request: web.Request) -> web.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    engine = await answered_by(answer)

    with pytest.raises(UnavailableError, match=r"no answer within 0\.2 s"):
        await engine.network(NETWORK_ID)
    assert asked.is_set()


async def test_an_engine_that_stops_midway_is_given_up_at_the_deadline(answered_by: StandIn) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b'{"Id": "')
        await asyncio.Event().wait()
        return response

    engine = await answered_by(answer)

    with pytest.raises(UnavailableError, match=r"no answer within 0\.2 s"):
        await engine.network(NETWORK_ID)


async def test_an_engine_that_hangs_up_is_unavailable(answered_by: StandIn) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    engine = await answered_by(answer)

    with pytest.raises(UnavailableError):
        await engine.network(NETWORK_ID)


@pytest.mark.parametrize("body", ["", "{", '{"Id": "a"', "nonsense", "9" * 5000, "[" * 100_000])
async def test_broken_json_is_an_error_in_one_line(answered_by: StandIn, body: str) -> None:
    engine = await answered_by(text(body))

    with pytest.raises(UnavailableError) as caught:
        await engine.network(NETWORK_ID)

    assert "\n" not in str(caught.value)


async def test_a_page_for_people_is_an_error(answered_by: StandIn) -> None:
    engine = await answered_by(text("<html>", content_type="text/html"))

    with pytest.raises(UnavailableError, match="docker_socket"):
        await engine.network(NETWORK_ID)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "text",
        5,
        {},
        {"Id": "a"},
        {"Id": "a", "Name": "n", "Containers": ["c"]},
        {"Id": "a", "Name": "n", "Containers": {"c": None}},
        {"Id": "a", "Name": "n", "Containers": {"c": {"Name": "n"}}},
    ],
)
async def test_an_answer_that_describes_no_network_is_an_error(answered_by: StandIn, value: Any) -> None:
    engine = await answered_by(always(value))

    with pytest.raises(UnavailableError, match="does not describe a network"):
        await engine.network(NETWORK_ID)


async def test_a_missing_socket_is_named_with_the_setting_that_cures_it(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"

    with pytest.raises(UnavailableError) as caught:
        await Engine(path, DEADLINE).network(NETWORK_ID)

    assert f"cannot be asked at {path}: " in caught.value.cause
    assert "docker_socket" in caught.value.cure


async def test_a_socket_nobody_listens_on_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(path))

    with pytest.raises(UnavailableError, match="docker_socket"):
        await Engine(path, DEADLINE).network(NETWORK_ID)


async def test_a_file_in_place_of_the_socket_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    path.write_text("")

    with pytest.raises(UnavailableError, match="docker_socket"):
        await Engine(path, DEADLINE).network(NETWORK_ID)


async def test_the_engine_can_be_asked_by_many_at_once(answered_by: StandIn) -> None:
    engine = await answered_by(always({"Id": NETWORK_ID, "Name": "web"}))

    networks = await asyncio.gather(*(engine.network(NETWORK_ID) for _ in range(20)))

    assert [network.name for network in networks] == ["web"] * 20


async def test_the_engine_says_which_one_it_is(answered_by: StandIn) -> None:
    engine = await answered_by(always({"ID": "ABCD:EFGH", "Name": "host", "ServerVersion": "20.10.24"}))

    assert await engine.identity() == Identity("ABCD:EFGH", "20.10.24")


@pytest.mark.parametrize("answer", [{}, {"ID": "A"}, [], None, "x"])
async def test_an_answer_that_is_no_engines_is_refused(answered_by: StandIn, answer: Any) -> None:
    engine = await answered_by(always(answer))

    with pytest.raises(UnavailableError, match="does not describe an engine"):
        await engine.identity()


# Containers


async def test_a_container_is_found_by_its_whole_name_without_waiting_for_it(answered_by: StandIn) -> None:
    queries = []

    async def answer(request: web.Request) -> web.Response:
        queries.append((request.path, dict(request.query)))
        return web.json_response(
            [
                {
                    "Id": "c" * 64,
                    "Names": ["/shop.1-a"],
                    "NetworkSettings": {"Networks": {"web": {}, "lan": {}}},
                }
            ]
        )

    engine = await answered_by(answer)

    assert await engine.container("shop.1-a") == Container("c" * 64, frozenset({"web", "lan"}))
    ((path, query),) = queries
    assert (path, query["all"]) == ("/containers/json", "true")
    (pattern,) = json.loads(query["filters"])["name"]
    names = ["/shop.1-a", "/shop.1-a2", "/myshop.1-a", "/shopx1-a", "/x/shop.1-a"]
    assert [bool(re.search(pattern, name)) for name in names] == [True, False, False, False, False]


async def test_an_unknown_container_is_not_a_missing_engine(answered_by: StandIn) -> None:
    engine = await answered_by(always([]))

    with pytest.raises(InvalidRequestError, match="the Docker engine knows no container shop"):
        await engine.container("shop")


@pytest.mark.parametrize("answer", [None, 5, ["c"], [{}], [None]])
async def test_an_answer_that_describes_no_containers_is_an_error(answered_by: StandIn, answer: Any) -> None:
    engine = await answered_by(always(answer))

    with pytest.raises(UnavailableError, match="does not describe containers"):
        await engine.container("shop")
