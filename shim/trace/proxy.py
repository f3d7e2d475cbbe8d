"""A recorder between the engine and any driver: what they say passes unchanged, and is written down.

The engine takes it for a driver of its own, by the name of its socket, and it leads to that of the real one.
"""

import asyncio
import contextlib
import json
import stat
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from shim import spans
from shim.errors import ShimError, one_line
from shim.listening import listening
from shim.spans import Kind, Span
from shim.trace.backlog import Backlog
from shim.trace.lines import lines
from shim.trace.messages import Direction, Message, may_have_body
from shim.trace.recording import FAREWELL, Recorder

_PIECE = 65536
"""Bytes that are passed on at once at most."""
_LAST_CALLS = 10.0
"""Seconds that calls under way have in the end."""


async def proxy(listen: Path, target: Path, recorder: Recorder) -> None:
    """Stand at `listen` before the driver at `target` until told to stop. Raises `ShimError`."""
    await _require_driver(target)
    await _require_free(listen)
    cure = "give another socket to listen on"
    with recorder.open(), listening(listen, cure=cure) as listener, contextlib.ExitStack() as stack:
        backlog = Backlog()
        stack.enter_context(spans.listening(backlog.put))
        passage = _Passage(target)
        server = await asyncio.start_unix_server(passage.serve, sock=listener)
        over = asyncio.create_task(recorder.over())
        writing = asyncio.create_task(_write(backlog, recorder, {"of": "proxy", "driver": str(target)}))
        try:
            await asyncio.wait({over, writing}, return_when=asyncio.FIRST_COMPLETED)
            server.close()
            await passage.end()
            backlog.end(spans.under_way())
            await asyncio.wait({writing}, timeout=FAREWELL)
            if writing.done():
                writing.result()
        finally:
            for task in (over, writing):
                task.cancel()


async def _require_driver(target: Path) -> None:
    try:
        _, writer = await asyncio.open_unix_connection(target)
    except OSError as error:
        raise ShimError(
            f"{target}: no driver listens here: {error.strerror}", cure="start the driver first"
        ) from error
    writer.close()


async def _require_free(listen: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(listen.stat().st_mode):  # noqa: ASYNC240 - nothing goes on beside it yet
            raise ShimError(f"{listen}: is no socket, and stays", cure="give another socket to listen on")
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_unix_connection(listen)
        writer.close()
        raise ShimError(f"{listen}: somebody listens here already", cure="give another socket to listen on")


async def _write(backlog: Backlog, recorder: Recorder, source: dict[str, str]) -> None:
    """Write lines down, in a thread: who reads them may be slow, and the engine shall not wait for that."""
    async for line in lines(backlog, source):
        if await asyncio.to_thread(recorder.take, line):
            recorder.enough.set()


class _Passage:
    """All connections that pass."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._connections: dict[asyncio.Task[None], _Conversation] = {}

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let a new connection pass."""
        conversation = _Conversation()
        task = asyncio.create_task(self._serve(reader, writer, conversation), name="proxy")
        self._connections[task] = conversation
        task.add_done_callback(self._connections.pop)

    async def end(self) -> None:
        """End all connections, after the calls that are under way."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_CALLS):
                for conversation in tuple(self._connections.values()):
                    await conversation.is_idle.wait()
        tasks = tuple(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, conversation: "_Conversation"
    ) -> None:
        try:
            target_reader, target_writer = await asyncio.open_unix_connection(self._target)
        except OSError as error:
            with spans.span(Kind.CALL, "connect") as span:
                span.error = f"{self._target}: {error.strerror}"
            writer.transport.abort()
            return
        there = asyncio.create_task(_pass(reader, target_writer, conversation.requests))
        back = asyncio.create_task(_pass(target_reader, writer, conversation.answers))
        try:
            await asyncio.gather(there, back)
        except OSError:
            pass  # one of the two is gone, and the other one is told by the end of its connection
        finally:
            for task in (there, back):
                task.cancel()
            conversation.end()
            for end in (writer, target_writer):
                end.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
    while content := await reader.read(_PIECE):
        writer.write(content)
        direction.passed(content)
        await writer.drain()
    direction.end()
    writer.write_eof()


@dataclass(slots=True)
class _Asked:
    """A request that has not been answered."""

    span: Span
    method: str = ""


class _Conversation:
    """Requests and answers of one connection, each pair a span."""

    def __init__(self) -> None:
        self._waiting: deque[_Asked] = deque()
        self._asking: _Asked | None = None
        """The request that has begun last; it may be answered before it is whole."""
        self.is_idle = asyncio.Event()
        """Set while nobody waits for an answer."""
        self.is_idle.set()
        self.requests = Direction(self._begin, self._ask, self._asked, is_answers=False)
        self.answers = Direction(lambda: None, self._answer, self._answered, is_answers=True)

    def end(self) -> None:
        """The connection is over."""
        while self._waiting:
            self._finish("the connection ended without an answer that can be read")

    def _begin(self) -> None:
        self._asking = _Asked(spans.start(Kind.CALL, ""))
        self._waiting.append(self._asking)
        self.is_idle.clear()

    def _ask(self, request: Message) -> bool:
        if self._asking:
            self._asking.method, path = request.words[:2]
            self._asking.span.name = path.rpartition(".")[2]  # as in /NetworkDriver.Join
            self._asking.span.tell(path=path)
        return True

    def _asked(self, request: Message) -> None:
        if self._asking:
            self._asking.span.tell(request=bytes(request.body))

    def _answer(self, answer: Message) -> bool:
        return may_have_body(answer, self._waiting[0].method)

    def _answered(self, answer: Message) -> None:
        if answer.status < HTTPStatus.OK and answer.status != HTTPStatus.SWITCHING_PROTOCOLS:
            return  # the answer proper is still to come
        body = bytes(answer.body)
        self._waiting[0].span.tell(status=answer.status, answer=body)
        self._finish(_error(answer.status, body))

    def _finish(self, error: str) -> None:
        span = self._waiting.popleft().span
        span.error = error
        spans.finish(span)
        if not self._waiting:
            self.is_idle.set()


def _error(status: int, body: bytes) -> str:
    """What an answer says went wrong; network drivers name it `Err`, IPAM drivers `Error`."""
    if status == HTTPStatus.OK and b'"Err' not in body:
        return ""
    said = ""
    with contextlib.suppress(ValueError, RecursionError, AttributeError):
        members = json.loads(body)
        said = str(members.get("Err") or members.get("Error") or "")
    if said or status < HTTPStatus.BAD_REQUEST:
        return one_line(said)
    return one_line(f"{status} {body.decode(errors='replace')}")
