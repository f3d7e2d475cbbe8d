"""One run of one plugin: its process, what it writes, and its end.

Source: CNI specification 1.1.0, section 2 "Execution Protocol". Plugins are waited for through pidfds,
since asyncio's own child watcher takes a thread for each process on Python 3.11, and since only a child
that nobody else reaps can be killed by its number without hitting another process.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self, cast

from shim import spans
from shim.cni.errors import PluginError, ResultError
from shim.cni.members import Members, parse

_log = logging.getLogger(__name__)

Observer = Callable[[str, str, float, str], None]
"""Told of each run: plugin, command, seconds it took, and what went wrong (empty when nothing did)."""

_ANSWER_LIMIT = 4 * 1024 * 1024
"""Bytes of stdout that are read as an answer; more than that is refused."""
_LOG_LIMIT = 64 * 1024
"""Bytes of stderr that are kept: the last ones."""
_QUOTE_LIMIT = 500
"""Characters of stderr that an error quotes: the last ones."""
_BUSY_LIMIT = 1.0
"""Seconds to wait for a plugin's file that is still being written (ETXTBSY)."""
_BUSY_PAUSE = 0.05
"""Seconds between two attempts to start such a plugin."""
_LATE_OUTPUT = 0.5
"""Seconds a plugin's children may go on writing its answer after it has ended."""
_TERM_LIMIT = 0.5
"""Seconds a plugin has to end by itself after SIGTERM, before SIGKILL."""
_REAP_LIMIT = 1.0
"""Seconds to wait for a killed plugin: the kernel may hold one inside a system call for longer."""


class Exec:
    """Finds and runs plugins. `observer` is told of each run."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def find(self, plugin: str, plugin_path: Sequence[Path], *, network: str) -> Path:
        """The file of the plugin of that type: the first in the folders of `CNI_PATH`.

        Raises `PluginError`.
        """
        for folder in plugin_path:
            path = folder / plugin
            with contextlib.suppress(OSError):  # such as a folder that may not be read, or too long a name
                if path.is_file():
                    return path
        raise PluginError(
            f"not found in {', '.join(map(str, plugin_path))}",
            plugin=plugin,
            network=network,
            cure="install it (Debian: containernetworking-plugins) or set plugin_path",
        )

    async def run(
        self, path: Path, environment: Mapping[str, str], stdin: bytes, deadline: float, *, network: str
    ) -> bytes:
        """What the plugin writes to stdout; its stderr goes to the log.

        At the deadline (seconds), and when the task is cancelled, the plugin is told to end (SIGTERM), then
        killed (SIGKILL), each with all processes of its group. Raises `PluginError`.
        """
        run = _Run(path, environment["CNI_COMMAND"], network)
        start = time.perf_counter()
        outcome = "cancelled"
        with spans.span(spans.Kind.PLUGIN, path.name, **_asked(path, environment, stdin, network)) as span:
            try:
                answer = await run.answer(environment, stdin, deadline)
                outcome = ""
            except PluginError as error:
                outcome = str(error)
                raise
            finally:
                self._observer(path.name, run.command, time.perf_counter() - start, outcome)
            span.tell(result=answer)
        return answer


def _asked(path: Path, environment: Mapping[str, str], stdin: bytes, network: str) -> dict[str, Any]:
    """What a plugin is asked for, as a trace tells it."""
    parameters = ("command", "containerid", "ifname", "netns", "args")
    values = {name: environment.get(f"CNI_{name.upper()}", "") for name in parameters}
    return {"path": str(path), "network": network, **values, "config": stdin}


class _Run:
    """A run of the plugin at `path`."""

    def __init__(self, path: Path, command: str, network: str) -> None:
        self._path = path
        self.command = command
        self._network = network

    async def answer(self, environment: Mapping[str, str], stdin: bytes, deadline: float) -> bytes:
        """What the plugin writes to stdout. Raises `PluginError`."""
        process = await self._start(environment, stdin)
        with _Output(process.stdout, _ANSWER_LIMIT) as stdout, _Output(process.stderr, _LOG_LIMIT) as stderr:
            try:
                status = await self._end(process, deadline)
                await _ended(stdout, stderr)
                answer = self._judged(status, stdout, stderr.text)
            except BaseException:
                self._write_log(logging.WARNING, stderr.text)
                raise
            self._write_log(logging.INFO, stderr.text)
            return answer

    async def _start(self, environment: Mapping[str, str], stdin: bytes) -> subprocess.Popen[bytes]:
        give_up = time.monotonic() + _BUSY_LIMIT
        while True:
            try:
                return _popen(self._path, environment, stdin)
            except OSError as error:
                if error.errno != errno.ETXTBSY or time.monotonic() > give_up:
                    raise self._error(
                        f"{self._path} cannot be started: {error.strerror}",
                        cure=_START_CURES.get(error.errno or 0, ""),
                    ) from error
            await asyncio.sleep(_BUSY_PAUSE)

    async def _end(self, process: subprocess.Popen[bytes], deadline: float) -> int:
        try:
            async with asyncio.timeout(deadline):
                return await _wait(process)
        except TimeoutError:
            await _kill(process)
            raise self._error(
                f"no answer within {deadline:g} s, killed",
                cure="what does it wait for? a slow plugin needs higher deadlines in the settings",
            ) from None
        except asyncio.CancelledError:
            await _kill(process)
            raise

    def _judged(self, status: int, stdout: "_Output", stderr: str) -> bytes:
        if status:
            raise self._failure(status, bytes(stdout.kept), stderr)
        if stdout.total > _ANSWER_LIMIT:
            raise self._error(f"answered {stdout.total} bytes; at most {_ANSWER_LIMIT} are read")
        return bytes(stdout.kept)

    def _failure(self, status: int, stdout: bytes, stderr: str) -> PluginError:
        """The error of a plugin that failed, in the plugin's own words if it found any."""
        try:
            members = Members(parse(stdout, "answer", ResultError), "answer", ResultError)
            words = [members.text("msg"), members.text("details")]
            code = members.number("code") or 0
        except ResultError:
            words, code = [], 0
        text = "; ".join(filter(None, words))
        if not text:
            said = stderr.strip()[-_QUOTE_LIMIT:]
            text = _ending(status) + (f": {said}" if said else " without a word")
        return self._error(text, code=code)

    def _error(self, cause: str, *, code: int = 0, cure: str = "") -> PluginError:
        return PluginError(
            cause, plugin=self._path.name, network=self._network, command=self.command, code=code, cure=cure
        )

    def _write_log(self, level: int, stderr: str) -> None:
        for line in stderr.splitlines():
            _log.log(level, "%s %s: %s", self._path.name, self.command, line)


_START_CURES = {
    errno.EACCES: "make it executable: chmod +x",
    errno.ENOEXEC: "it is no program for this machine: install the plugin built for it",
    errno.E2BIG: "its environment is too long: fewer routes in the conflist, or shorter CNI_ARGS, would fit",
    errno.ENOENT: "is the interpreter that its first line names installed?",
}


def _popen(path: Path, environment: Mapping[str, str], stdin: bytes) -> subprocess.Popen[bytes]:
    """Start a plugin as the leader of a process group of its own. Raises `OSError`.

    It reads its configuration from a file in memory: unlike a pipe, that needs nobody to feed it.
    """
    with os.fdopen(os.memfd_create("cni-stdin"), "w+b") as file:
        file.write(stdin)
        file.seek(0)
        return subprocess.Popen(
            [path],
            env=environment,
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )


async def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait until the process has ended, reap it, and return its status as `Popen.returncode` writes it."""
    await _exited(process)
    return process.wait()


async def _exited(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process has ended; it is not reaped, so its number stays its own."""
    descriptor = os.pidfd_open(process.pid)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and its group: SIGTERM, a short grace, then SIGKILL for those who are left."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TERM_LIMIT):
                await _exited(process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REAP_LIMIT):
            await _wait(process)


def _ending(status: int) -> str:
    if status > 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal
        return f"killed by signal {-status}"


class _Output:
    """The reading end of a plugin's stdout or stderr, emptied as it fills; the last `limit` bytes are kept.

    So the plugin never waits for a reader, and its output never takes more memory than that.
    """

    def __init__(self, pipe: IO[bytes] | None, limit: int) -> None:
        self.kept = bytearray()
        self.total = 0
        self.ended = asyncio.Event()
        self._pipe = cast("IO[bytes]", pipe)  # `_popen` makes both pipes
        self._limit = limit
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        os.set_blocking(self._pipe.fileno(), False)
        self._loop.add_reader(self._pipe.fileno(), self._read)
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.remove_reader(self._pipe.fileno())
        self._pipe.close()

    @property
    def text(self) -> str:
        """What is kept, as text."""
        return self.kept.decode(errors="replace")

    def _read(self) -> None:
        chunk = os.read(self._pipe.fileno(), 65536)
        if not chunk:
            self._loop.remove_reader(self._pipe.fileno())
            self.ended.set()
        self.total += len(chunk)
        self.kept += chunk
        del self.kept[: -self._limit]


async def _ended(*outputs: _Output) -> None:
    """Wait until the outputs have ended, but not for a daemon that the plugin left with its stdout."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LATE_OUTPUT):
            for output in outputs:
                await output.ended.wait()
