"""A daemon in the room: started, waited for, stopped and killed from outside."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab.errors import LabError
from lab.keeper import children

_START_DEADLINE = 60.0
_STOP_DEADLINE = 30.0


class Daemon:
    """One process in the room, with its output in `log`.

    `command` enters the room and is the daemon's parent. `ready` is asked until it says yes; the
    constructor returns then, and raises `LabError` with the end of the log when the daemon ends before.
    """

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str], log: Path, ready: Callable[[], bool]
    ) -> None:
        self._log = log
        with log.open("a") as output:
            self._entrance = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us; we stop our daemons ourselves
            )
        try:
            self._wait_for(ready)
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """The daemon's process ID, as seen from outside the room."""
        (pid,) = children(self._entrance.pid)
        return pid

    @property
    def is_running(self) -> bool:
        """Whether the daemon has not ended."""
        return self._entrance.poll() is None

    def stop(self) -> None:
        """Ask the daemon to end, and wait for it. Raises `LabError` when it does not; it is killed then."""
        self._signal(signal.SIGTERM)
        try:
            self._entrance.wait(_STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise LabError(f"{self._log.stem} did not stop within {_STOP_DEADLINE:.0f} s") from None

    def kill(self) -> None:
        """End the daemon as a crash would, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        self._entrance.wait()

    def pause(self) -> None:
        """Let the daemon do nothing, without its connections noticing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused daemon go on, and its parent, which has stopped with it."""
        self._signal(signal.SIGCONT)
        self._entrance.send_signal(signal.SIGCONT)

    def wait(self) -> None:
        """Wait for the daemon's end."""
        self._entrance.wait()

    def _signal(self, number: signal.Signals) -> None:
        # No child: the daemon is gone already, or the entrance did not come to start it; or both are gone.
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            for pid in children(self._entrance.pid) or [self._entrance.pid]:
                os.kill(pid, number)

    def _wait_for(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_DEADLINE
        while not ready():
            if self._entrance.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
                raise LabError(f"{self._log.stem} did not start; the end of its log:\n{tail}")
            time.sleep(0.02)


def accepts(path: Path) -> bool:
    """Whether something listens on the Unix socket at `path`."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            return False
    return True
