"""Recording a trace: lines go to a file or to stdout until enough has been seen, or Ctrl-C."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shim.errors import ShimError
from shim.spans import Kind

_LONGEST_LINE = 256 * 1024 * 1024
"""Bytes; the daemon holds no bodies that would make a longer one."""
FAREWELL = 3.0
"""Seconds to wait for more of the rest of a trace, once enough has been seen."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is recorded; None means until Ctrl-C."""

    seconds: float | None = None
    calls: int | None = None


class Recorder:
    """Takes the lines of a trace, one after the other, and knows when there are enough.

    Without a file they go to stdout.
    """

    def __init__(self, path: Path | None, extent: Extent) -> None:
        self._path = path
        self._extent = extent
        self._descriptor = -1
        self.enough = asyncio.Event()
        self.seen: Counter[str] = Counter()
        """How many lines of each kind were taken."""
        self.lost = 0
        """How many spans are missing."""

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Take lines within the block. Raises `ShimError`."""
        if self._path is None:
            self._descriptor = sys.stdout.fileno()
            yield
            return
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            yield
        finally:
            os.close(self._descriptor)

    def __str__(self) -> str:
        lost = f", {self.lost} lost: whoever reads was too slow" if self.lost else ""
        return f"{self.seen[Kind.CALL]} calls of the engine, {self.seen[Kind.PLUGIN]} plugin runs{lost}"

    def take(self, line: str) -> bool:
        """Write a line, unless there have been enough calls before it; returns whether there are now.

        Raises `ShimError`.
        """
        said = json.loads(line)
        kind = said["kind"]
        if kind == "lost":
            self.lost += said["count"]
        elif kind != "end" and self._has_all_calls:
            return True
        self._write(line.encode())
        self.seen[kind] += 1
        return self._has_all_calls

    async def over(self) -> None:
        """Wait until there is enough, or somebody has it stopped (Ctrl-C, SIGTERM)."""
        with _set_by_signals(self.enough), contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._extent.seconds):
                await self.enough.wait()

    @property
    def _has_all_calls(self) -> bool:
        return self._extent.calls is not None and self.seen[Kind.CALL] >= self._extent.calls

    def _write(self, content: bytes) -> None:
        try:
            while content:
                content = content[os.write(self._descriptor, content) :]
        except BrokenPipeError:  # as with `| head`
            raise
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> ShimError:
        return ShimError(
            f"{self._path or 'stdout'}: cannot be written: {error.strerror}", cure="give another -o"
        )


async def record(socket: Path, recorder: Recorder) -> None:
    """Record what the daemon behind its socket for traces does. Raises `ShimError`."""
    reader, writer = await _connect(socket)
    try:
        with recorder.open():
            await _record(reader, writer, recorder)
    finally:
        writer.transport.abort()


async def _record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, recorder: Recorder) -> None:
    over = asyncio.create_task(recorder.over())
    reading = asyncio.create_task(_read(reader, recorder))
    try:
        await asyncio.wait({over, reading}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            writer.write_eof()
            taken = -1
            while not reading.done() and recorder.seen.total() > taken:  # as long as something comes
                taken = recorder.seen.total()
                await asyncio.wait({reading}, timeout=FAREWELL)
        elif not (reading.exception() or recorder.enough.is_set()):
            raise ShimError("the daemon has ended, and the trace with it", cure="see: journalctl -u cnm-cni")
        if reading.done():
            reading.result()
    finally:
        for task in (over, reading):
            task.cancel()


async def _connect(socket: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_unix_connection(socket, limit=_LONGEST_LINE)
    except PermissionError as error:
        raise ShimError(f"{socket}: only root may trace", cure="sudo cnm-cni trace") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise ShimError(
            f"{socket}: no daemon listens here", cure="systemctl start cnm-cni, or give its --run-dir"
        ) from error
    except OSError as error:
        raise ShimError(f"{socket}: {error.strerror or error}", cure="give another --run-dir") from error


async def _read(reader: asyncio.StreamReader, recorder: Recorder) -> None:
    """Take lines until there are no more; one that was cut off is none."""
    while True:
        line = b""
        with contextlib.suppress(ConnectionError):
            line = await reader.readline()
        if not line.endswith(b"\n"):
            return
        if recorder.take(line.decode()):
            recorder.enough.set()


@contextlib.contextmanager
def _set_by_signals(event: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, event.set)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
