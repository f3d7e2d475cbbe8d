"""A foreign driver of a few lines behind the recorder: all passes unchanged, and is written down."""

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from shim.errors import ShimError
from shim.listening import listening
from shim.trace import proxy as proxy_module
from shim.trace.proxy import proxy
from shim.trace.recording import Extent, Recorder

Exchange = Callable[[bytes], Awaitable[bytes]]


async def foreign(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A driver written without any library, which answers each in a way of its own."""
    while head := await reader.readuntil(b"\r\n\r\n"):
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        body = await reader.readexactly(length)
        path = head.split()[1]
        if path == b"/NetworkDriver.Join":
            writer.write(b"HTTP/1.1 200 OK\r\nX-Odd:  kept as it is \r\nContent-Length: 2\r\n\r\n{}")
        elif path == b"/NetworkDriver.Leave":
            answer = b'{"Err": "no such endpoint"}'
            writer.write(b"HTTP/1.1 500 Oh no\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
        elif path == b"/IpamDriver.RequestPool":
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"Error": "no pool"}')
        elif path == b"/echo":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for byte in body:
                writer.write(b"1\r\n%c\r\n" % byte)
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        elif path == b"/NetworkDriver.EndpointOperInfo":
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        elif path == b"/until-close":
            writer.write(b"HTTP/1.0 200 OK\r\n\r\nto the end")
            writer.close()
            return
        elif path == b"/break":
            writer.transport.abort()
            return
        else:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found")
        await writer.drain()


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[Path]:
    """Where the foreign driver listens."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await foreign(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, tmp_path / "real.sock")
    yield tmp_path / "real.sock"
    server.close()


class Between:
    """A recorder before a driver."""

    def __init__(self, folder: Path, target: Path, extent: Extent = Extent()) -> None:  # noqa: B008 - frozen
        self.socket = folder / "traced.sock"
        self._file = folder / "trace.jsonl"
        self._recorder = Recorder(self._file, extent)
        self.task = asyncio.create_task(proxy(self.socket, target, self._recorder))

    async def stands(self) -> None:
        """Wait until it records."""
        while not (self._file.exists() and self._file.read_text()):
            assert not self.task.done()
            await asyncio.sleep(0.001)

    async def stop(self) -> list[dict[str, Any]]:
        """End it as Ctrl-C does; the calls it has recorded."""
        self._recorder.enough.set()
        await self.task
        lines = [json.loads(line) for line in self._file.read_text().splitlines()]
        assert (lines[0]["kind"], lines[-1]["kind"]) == ("trace", "end")
        return [line for line in lines if line["kind"] == "call"]


@pytest.fixture
async def between(tmp_path: Path, driver: Path) -> AsyncIterator[Between]:
    """A recorder before the foreign driver."""
    running = Between(tmp_path, driver)
    await running.stands()
    yield running
    if not running.task.done():
        await running.stop()


def request(path: str, body: bytes = b"") -> bytes:
    """A request as the engine writes it."""
    head = f"POST {path} HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def exchange(socket: Path, content: bytes) -> bytes:
    """All that comes back for these bytes, and nothing after them."""
    reader, writer = await asyncio.open_unix_connection(socket)
    writer.write(content)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("/NetworkDriver.Join", b'{"NetworkID": "n", "EndpointID": "e"}', 200, ""),
        ("/NetworkDriver.Leave", b"{}", 500, "no such endpoint"),
        ("/IpamDriver.RequestPool", b"{}", 200, "no pool"),
        ("/NetworkDriver.EndpointOperInfo", b"", 204, ""),
        ("/nothing.here", b"{}", 404, "404 not found"),
        ("/echo", b"streamed \x00\xff", 200, ""),
        ("/echo", b"", 200, ""),
        ("/until-close", b"", 200, ""),
    ],
)  # fmt: skip
async def test_every_kind_of_answer_passes_byte_by_byte_and_is_recorded(  # noqa: PLR0917
    between: Between, driver: Path, path: str, body: bytes, status: int, error: str
) -> None:
    content = request(path, body)

    assert await exchange(between.socket, content) == await exchange(driver, content)
    (call,) = await between.stop()
    assert (call["name"], call["path"]) == (path.rpartition(".")[2], path)
    assert (call["status"], call["error"]) == (status, error)
    assert call["seconds"] > 0


async def test_bodies_are_recorded_without_secrets(between: Between) -> None:
    body = b'{"Options": {"com.docker.network.generic": {"api-token": "hunter2"}}}'

    await exchange(between.socket, request("/NetworkDriver.Join", body))

    (call,) = await between.stop()
    assert call["request"] == {"Options": {"com.docker.network.generic": {"api-token": "[redacted]"}}}
    assert call["answer"] == {}


async def test_requests_one_after_the_other_on_a_connection_are_told_apart(between: Between) -> None:
    paths = ["/NetworkDriver.Join", "/echo", "/NetworkDriver.EndpointOperInfo", "/NetworkDriver.Leave"]

    await exchange(between.socket, b"".join(request(path, b"{}") for path in paths))

    assert [call["path"] for call in await between.stop()] == paths


async def test_requests_at_the_same_time_do_not_wait_for_each_other(between: Between, driver: Path) -> None:
    bodies = [str(number).encode() * 2000 for number in range(10)]

    through, direct = [
        await asyncio.gather(*(exchange(socket, request("/echo", body)) for body in bodies))
        for socket in (between.socket, driver)
    ]

    assert through == direct
    assert sorted(str(call["answer"]) for call in await between.stop()) == sorted(
        body.decode() for body in bodies
    )


async def test_a_large_body_passes_in_both_directions(between: Between) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(between.socket))) as session:
        async with session.post("http://driver/echo", data=b"x" * 100_000) as answer:
            assert await answer.read() == b"x" * 100_000
        async with session.post(
            "http://driver/NetworkDriver.Join", data=io.BytesIO(b"y" * 20_000_000)
        ) as answer:
            assert await answer.read() == b"{}"

    echo, join = await between.stop()
    assert len(echo["answer"]) > 65_000
    assert join["request"].startswith("yyy")


async def test_a_driver_that_breaks_off_breaks_off_for_the_engine_too(between: Between) -> None:
    assert await exchange(between.socket, request("/break")) == b""

    (call,) = await between.stop()
    assert (call["name"], call["error"]) == (
        "/break",
        "the connection ended without an answer that can be read",
    )


async def test_what_is_no_http_passes_too(tmp_path: Path) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.close()

    server = await asyncio.start_unix_server(shout, tmp_path / "real.sock")
    between = Between(tmp_path, tmp_path / "real.sock")
    await between.stands()

    assert await exchange(between.socket, b"hello\r\n\r\n") == b"HELLO\r\n\r\n"

    (call,) = await between.stop()
    assert call["error"] == "the connection ended without an answer that can be read"
    server.close()


async def test_a_driver_that_went_away_is_recorded_and_may_come_back(between: Between, driver: Path) -> None:
    moved = driver.rename(driver.with_name("moved.sock"))
    with contextlib.suppress(ConnectionError):
        assert await exchange(between.socket, request("/NetworkDriver.Join")) == b""
    moved.rename(driver)
    assert (await exchange(between.socket, request("/NetworkDriver.Join"))).startswith(b"HTTP/1.1 200 OK")

    away, back = await between.stop()
    assert (away["name"], away["error"]) == ("connect", f"{driver}: No such file or directory")
    assert (back["name"], back["error"]) == ("Join", "")


async def test_the_end_waits_for_calls_under_way(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def answer(_request: web.Request) -> web.Response:
        await go_on.wait()
        return web.json_response({"late": True})

    app = web.Application()
    app.router.add_post("/slow", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, tmp_path / "real.sock").start()
    between = Between(tmp_path, tmp_path / "real.sock")
    await between.stands()

    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(between.socket))) as session:
        asking = asyncio.create_task(session.post("http://driver/slow"))
        await asyncio.sleep(0.05)
        stopping = asyncio.create_task(between.stop())
        await asyncio.sleep(0.05)
        assert not stopping.done()
        go_on.set()
        assert await (await asking).json() == {"late": True}

    (call,) = await stopping
    assert (call["name"], call["answer"]) == ("/slow", {"late": True})
    assert not between.socket.exists()
    await runner.cleanup()


async def test_a_call_that_never_ends_does_not_keep_the_recorder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_module, "_LAST_CALLS", 0.05)

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(swallow, tmp_path / "real.sock")
    between = Between(tmp_path, tmp_path / "real.sock")
    await between.stands()
    _, writer = await asyncio.open_unix_connection(between.socket)
    writer.write(request("/NetworkDriver.Join"))
    await asyncio.sleep(0.05)

    (call,) = await between.stop()

    assert call["name"] == "Join"
    writer.close()
    server.close()


async def test_after_enough_calls_it_ends_by_itself(tmp_path: Path, driver: Path) -> None:
    between = Between(tmp_path, driver, Extent(calls=1))
    await between.stands()
    await exchange(between.socket, request("/NetworkDriver.Join"))

    await between.task


async def refusal(listen: Path, target: Path, tmp_path: Path) -> str:
    """The error of a recorder that cannot stand there."""
    with pytest.raises(ShimError) as caught:
        await proxy(listen, target, Recorder(tmp_path / "trace.jsonl", Extent()))
    assert not (tmp_path / "trace.jsonl").exists()
    return str(caught.value)


async def test_without_a_driver_there_is_one_error_with_its_cure(tmp_path: Path) -> None:
    target = tmp_path / "real.sock"

    told = await refusal(tmp_path / "traced.sock", target, tmp_path)

    assert told == f"{target}: no driver listens here: No such file or directory (start the driver first)"


async def test_nobody_is_pushed_from_a_socket_and_no_file_is_removed(tmp_path: Path, driver: Path) -> None:
    file = tmp_path / "precious"
    file.write_text("kept")

    assert await refusal(driver, driver, tmp_path) == (
        f"{driver}: somebody listens here already (give another socket to listen on)"
    )
    assert await refusal(file, driver, tmp_path) == (
        f"{file}: is no socket, and stays (give another socket to listen on)"
    )
    assert file.read_text() == "kept"


async def test_a_socket_that_a_dead_recorder_left_is_replaced(tmp_path: Path, driver: Path) -> None:
    with listening(tmp_path / "other.sock", cure=""):
        (tmp_path / "other.sock").rename(tmp_path / "traced.sock")
    between = Between(tmp_path, driver)
    await between.stands()

    assert (await exchange(between.socket, request("/NetworkDriver.Join"))).startswith(b"HTTP/1.1 200 OK")
    assert len(await between.stop()) == 1
