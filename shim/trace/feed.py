"""The daemon's socket for traces: whoever connects gets one, until it shuts down its side or hangs up."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from shim import spans
from shim.errors import ShimError
from shim.listening import listening
from shim.trace.backlog import Backlog
from shim.trace.lines import lines

_log = logging.getLogger(__name__)

NAME = "trace.sock"
"""In the folder of run-time files."""

_FAREWELL = 1.0
"""Seconds within which a reader must take something of what waits for it when a trace ends."""


@contextlib.asynccontextmanager
async def serving(folder: Path, source: Mapping[str, Any]) -> AsyncIterator[None]:
    """Give traces at a socket in `folder` until the end of the block; `source` says where from.

    The daemon works as well without: where the socket cannot be made, the log says so.
    """
    async with contextlib.AsyncExitStack() as stack:
        listener = _listen(folder, stack)
        if listener is not None:
            readers = _Readers(source)
            server = await asyncio.start_unix_server(readers.serve, sock=listener)
            stack.push_async_callback(readers.end)
            stack.callback(server.close)
        yield


def _listen(folder: Path, stack: contextlib.AsyncExitStack) -> socket.socket | None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return stack.enter_context(listening(folder / NAME, cure="give another --run-dir"))
    except (ShimError, OSError) as error:
        _log.warning("no traces: %s", error)
        return None


class _Readers:
    """All who read a trace now."""

    def __init__(self, source: Mapping[str, Any]) -> None:
        self._source = source
        self._stop = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Give a trace to somebody who has connected."""
        task = asyncio.create_task(self._serve(reader, writer), name="trace")
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def end(self) -> None:
        """End all traces."""
        self._stop.set()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        backlog = Backlog()
        sending = asyncio.create_task(_send(writer, backlog, self._source))
        ends = {sending, asyncio.create_task(_hung_up(reader)), asyncio.create_task(self._stop.wait())}
        try:
            with spans.listening(backlog.put):
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                backlog.end(spans.under_way())
            waiting = len(backlog) + 1
            while not sending.done() and len(backlog) < waiting:  # as long as something is taken
                waiting = len(backlog)
                await asyncio.wait({sending}, timeout=_FAREWELL)
        finally:
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
            writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, backlog: Backlog, source: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError):  # the reader is gone
        async for line in lines(backlog, source):
            writer.write(line.encode())
            await writer.drain()
            await asyncio.sleep(0)  # calls come first, however many lines wait
        writer.close()
        await writer.wait_closed()


async def _hung_up(reader: asyncio.StreamReader) -> None:
    """Wait until the reader has no more to say; what it says has no meaning."""
    with contextlib.suppress(OSError):
        while await reader.read(4096):
            pass
