"""A room: namespaces of its own on this machine, with daemons in them."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from lab.daemon import Daemon
from lab.errors import LabError

REPOSITORY = Path(__file__).resolve().parents[2]
_EXAMPLES = REPOSITORY / "examples"

ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DOCKER_CONFIG": "/run/docker-client",  # not the user's, which may point to other engines
    "PYTHONPATH": str(REPOSITORY),
}
"""What every command in a room gets as its environment."""


class Room:
    """Network, mount and process namespaces of their own; a context manager.

    When the `with` block ends, or this process dies, every process, mount, cgroup and file of the room goes.
    `folder` is the room's disk and holds its logs; it is made, or must be empty, and is removed. With `root`,
    a Debian tree, the room has a second mount tree made from that.
    """

    def __init__(self, folder: Path, *, root: Path | None = None) -> None:
        self.folder = folder
        self.cgroup = f"cnm-cni-lab-{secrets.token_hex(4)}"
        """The name of the cgroups that hold the containers, on the host."""
        self.pid = 0
        """The room's first process, whose namespaces are the room's; as seen from outside."""
        self._tree = 0
        self._root = root
        self._keeper: subprocess.Popen[str] | None = None
        self._daemons: dict[str, Daemon] = {}

    def __enter__(self) -> Self:
        try:
            self._open()
            self._furnish()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def path(self, inside: str) -> Path:
        """Where `inside`, an absolute path in the room, is reached from outside, sockets included."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def run(
        self,
        command: Sequence[str | Path],
        *,
        stdin: str | None = None,
        check: bool = True,
        timeout: float = 120.0,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the room for at most `timeout` seconds.

        Raises `LabError` with what the command printed when it fails and `check` is set, and
        `subprocess.TimeoutExpired`.
        """
        return self._run(self.pid, command, stdin, check=check, timeout=timeout, environment=environment)

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        ready: Callable[[], bool],
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start a daemon in the room and wait until it is `ready`; its log is `log(name)`.

        Raises `LabError`.
        """
        self._start(self.pid, name, command, ready, environment)

    def log(self, name: str) -> Path:
        """Where the daemon of that name writes its output."""
        return self.folder / f"{name}.log"

    def daemon(self, name: str) -> Daemon:
        """The running daemon of that name. Raises `LabError` when there is none."""
        if name not in self._daemons:
            raise LabError(f"{name} is not running")
        return self._daemons[name]

    def is_running(self, name: str) -> bool:
        """Whether there is a daemon of that name that has not ended."""
        return name in self._daemons and self._daemons[name].is_running

    def stop(self, name: str) -> None:
        """Stop the daemon of that name as a service manager would. Raises `LabError`."""
        self.daemon(name).stop()
        del self._daemons[name]

    def kill(self, name: str) -> None:
        """End the daemon of that name as a crash would. Raises `LabError`."""
        self.daemon(name).kill()
        del self._daemons[name]

    def _furnish(self) -> None:
        """Put into the new room what belongs there from the start."""

    def _start(
        self,
        process: int,
        name: str,
        command: Sequence[str | Path],
        ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._daemons[name] = Daemon(
            self._entrance(process, command),
            environment={**ENVIRONMENT, **(environment or {})},
            log=self.log(name),
            ready=ready,
        )

    def _run(
        self,
        process: int,
        command: Sequence[str | Path],
        stdin: str | None,
        *,
        check: bool,
        timeout: float,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        run = subprocess.run(
            self._entrance(process, command),
            env={**ENVIRONMENT, **(environment or {})},
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and run.returncode != 0:
            printed = run.stderr.strip() or run.stdout.strip()
            raise LabError(f"{' '.join(map(str, command))} failed ({run.returncode}): {printed}")
        return run

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if any(self.folder.iterdir()):
            raise LabError(f"{self.folder} is not empty: give the room a folder of its own")
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", "lab.keeper", self.folder, self.cgroup, *filter(None, [self._root])],
            env=os.environ | {"PYTHONPATH": str(_EXAMPLES)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        ready = self._keeper.stdout.readline() if self._keeper.stdout else ""
        if not ready:
            _, errors = self._keeper.communicate()
            raise LabError(f"the room cannot be made: {' '.join(errors.split())}")
        processes = json.loads(ready)
        self.pid, self._tree = processes["room"], processes["tree"]

    def _close(self) -> None:
        keeper, self._keeper = self._keeper, None
        errors = ""
        for daemon in self._daemons.values():
            daemon.resume()  # a paused one would not be buried
        if keeper and keeper.returncode is None:
            _, errors = keeper.communicate()  # closes its standard input, which tells it that we are done
        for daemon in self._daemons.values():
            daemon.wait()
        self._daemons.clear()
        if keeper and keeper.returncode != 0:
            raise LabError(f"the room may have left {self.folder} and {self.cgroup}: {errors.strip()}")

    @staticmethod
    def _entrance(process: int, command: Sequence[str | Path]) -> list[str]:
        """`command`, run in the namespaces of `process`, and killed with the process that entered them."""
        nsenter = ["nsenter", "--target", str(process), "--net", "--mount", "--pid", "--"]
        return [*nsenter, "setpriv", "--pdeathsig", "KILL", "--", *map(str, command)]
