"""A private Docker engine, with room for the shim and for CNI plugins beside it."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from lab import image, newest
from lab.daemon import Daemon, accepts
from lab.errors import LabError

IMAGE = "busybox"
"""The only image: busybox, with all its applets in `/bin`."""

_REPOSITORY = Path(__file__).resolve().parents[2]
_EXAMPLES = _REPOSITORY / "examples"

_ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DOCKER_CONFIG": "/run/docker-client",  # not the user's, which may point to other engines
}


class Engine:
    """A running dockerd in network, mount and process namespaces of its own; a context manager.

    All paths inside are Docker's standard ones (`/run/docker.sock`, `/run/docker/plugins`,
    `/var/lib/docker`), as are those of the plugins (`/var/lib/cni`) and of the shim. When the `with` block
    ends, or this process dies, every process, mount, cgroup and file of the engine goes.

    `folder` is the engine's disk and holds its logs; it is made, or must be empty, and is removed.
    """

    def __init__(self, folder: Path, *, root: Path | None, plugin_path: Path) -> None:
        self.folder = folder
        self.plugin_path = plugin_path
        """The folder of CNI plugins that came with the engine, as the shim sees it."""
        self.dockerd_log = folder / "dockerd.log"
        self.shim_log = folder / "shim.log"
        self.state_dir = folder / "cnm-cni"
        """The shim's state, `/var/lib/cnm-cni` inside."""
        self.cgroup = f"cnm-cni-lab-{secrets.token_hex(4)}"
        """The name of the cgroups that hold the containers, on the host."""
        self._root = root
        self._compose = ("docker", "compose") if root else ("docker-compose",)
        self._keeper: subprocess.Popen[str] | None = None
        self._room = self._tree = 0
        self._dockerd: Daemon | None = None
        self._shim: Daemon | None = None

    @classmethod
    def debian(cls, folder: Path) -> Self:
        """The engine and the plugins that are installed on this machine: 20.10 on Debian 12."""
        return cls(folder, root=None, plugin_path=Path("/usr/lib/cni"))

    @classmethod
    def newest(cls, folder: Path) -> Self:
        """The newest engine and plugins that Debian carries; builds a Debian tree at first use."""
        return cls(folder, root=newest.root(), plugin_path=folder / "plugins")

    def __enter__(self) -> Self:
        try:
            self._open_room()
            self.start_dockerd()
        except BaseException:
            self._close_room()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close_room()

    def path(self, inside: str) -> Path:
        """Where `inside`, an absolute path in the room, is reached from outside, sockets included."""
        return Path(f"/proc/{self._room}/root{inside}")

    def run(
        self,
        command: Sequence[str | Path],
        *,
        stdin: str | None = None,
        check: bool = True,
        timeout: float = 120.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the room, beside the shim, for at most `timeout` seconds.

        Raises `LabError` with what the command printed when it fails and `check` is set, and
        `subprocess.TimeoutExpired`.
        """
        return self._run(self._room, command, stdin, check=check, timeout=timeout)

    def docker(
        self, *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run `docker` with the engine's own client; the rest is as with `run`."""
        return self._run(self._tree, ["/usr/bin/docker", *arguments], stdin, check=check, timeout=timeout)

    def compose(
        self, file: str, *arguments: str, project: str = "lab", check: bool = True, timeout: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run Docker Compose on a compose file's text; the rest is as with `run`."""
        command = [*self._compose, "--file", "-", "--project-name", project, *arguments]
        return self._run(self._tree, command, file, check=check, timeout=timeout)

    def import_image(self, name: str = IMAGE) -> None:
        """Give the engine its image."""
        imported = subprocess.run(
            self._entrance(self._tree, ["/usr/bin/docker", "import", "-c", "ENV PATH=/bin", "-", name]),
            env=_ENVIRONMENT,
            input=image.archive(),
            capture_output=True,
            check=False,
        )
        if imported.returncode != 0:
            raise LabError(f"docker import failed: {imported.stderr.decode().strip()}")

    @property
    def dockerd(self) -> Daemon:
        """The running dockerd. Raises `LabError` when there is none."""
        return _running(self._dockerd, "dockerd")

    def start_dockerd(self, **settings: Any) -> None:
        """Start dockerd and wait until it answers.

        `settings` are members of its `daemon.json`, with `_` for `-`. Raises `LabError`.
        """
        daemon_json = Path(f"/proc/{self._tree}/root/etc/docker/daemon.json")
        daemon_json.parent.mkdir(exist_ok=True)
        ours = {"cgroup-parent": f"/{self.cgroup}", "exec-opts": ["native.cgroupdriver=cgroupfs"]}
        given = {name.replace("_", "-"): value for name, value in settings.items()}
        daemon_json.write_text(json.dumps(ours | given))
        self._dockerd = Daemon(
            self._entrance(self._tree, ["/usr/sbin/dockerd"]),
            environment=_ENVIRONMENT,
            log=self.dockerd_log,
            ready=lambda: self.docker("version", check=False).returncode == 0,
        )

    @property
    def is_dockerd_running(self) -> bool:
        """Whether there is a dockerd that has not ended."""
        return self._dockerd is not None and self._dockerd.is_running

    def stop_dockerd(self) -> None:
        """Stop dockerd as a service manager would."""
        self.dockerd.stop()
        self._dockerd = None

    def kill_dockerd(self) -> None:
        """End dockerd as a crash would."""
        self.dockerd.kill()
        self._dockerd = None

    @property
    def shim(self) -> Daemon:
        """The running shim. Raises `LabError` when there is none."""
        return _running(self._shim, "the shim")

    def start_shim(self, conf_dirs: Sequence[Path], **settings: Any) -> None:
        """Start the shim of this checkout with this Python, and wait until it listens.

        `conf_dirs` are the folders of conflists; `settings` are members of its `config.yaml`. Raises
        `LabError`.
        """
        config = self.folder / "config.yaml"
        ours = {"plugin_path": [str(self.plugin_path)], "conf_dirs": [str(folder) for folder in conf_dirs]}
        config.write_text(json.dumps(ours | settings))  # JSON is YAML
        self._shim = Daemon(
            self._entrance(self._room, self.shim_command("serve", "--config", str(config))),
            environment=_ENVIRONMENT | {"PYTHONPATH": str(_REPOSITORY)},
            log=self.shim_log,
            ready=lambda: accepts(self.path("/run/docker/plugins/cni.sock")),
        )

    @property
    def is_shim_running(self) -> bool:
        """Whether there is a shim that has not ended."""
        return self._shim is not None and self._shim.is_running

    def stop_shim(self) -> None:
        """Stop the shim as a service manager would."""
        self.shim.stop()
        self._shim = None

    def kill_shim(self) -> None:
        """End the shim as a crash would."""
        self.shim.kill()
        self._shim = None

    @staticmethod
    def shim_command(*arguments: str) -> list[str]:
        """The command that runs this checkout's `cnm-cni`, for `run`."""
        return [sys.executable, "-m", "shim.cli", *arguments]

    def _open_room(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if any(self.folder.iterdir()):
            raise LabError(f"{self.folder} is not empty: give the engine a folder of its own")
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
            raise LabError(f"the room of the private engine cannot be made: {' '.join(errors.split())}")
        processes = json.loads(ready)
        self._room, self._tree = processes["room"], processes["tree"]
        if self._root:
            newest.plugins(self._root, self.plugin_path)

    def _close_room(self) -> None:
        keeper, self._keeper = self._keeper, None
        errors = ""
        if keeper and keeper.returncode is None:
            _, errors = keeper.communicate()  # closes its standard input, which tells it that we are done
        for daemon in (self._dockerd, self._shim):
            if daemon:
                daemon.wait()
        self._dockerd = self._shim = None
        if keeper and keeper.returncode != 0:
            raise LabError(
                f"the private engine may have left {self.folder} and {self.cgroup}: {errors.strip()}"
            )

    def _run(
        self, process: int, command: Sequence[str | Path], stdin: str | None, *, check: bool, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        run = subprocess.run(
            self._entrance(process, command),
            env=_ENVIRONMENT | {"PYTHONPATH": str(_REPOSITORY)},
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

    @staticmethod
    def _entrance(process: int, command: Sequence[str | Path]) -> list[str]:
        """`command`, run in the namespaces of `process`, and killed with the process that entered them."""
        nsenter = ["nsenter", "--target", str(process), "--net", "--mount", "--pid", "--"]
        return [*nsenter, "setpriv", "--pdeathsig", "KILL", "--", *map(str, command)]


def _running(daemon: Daemon | None, name: str) -> Daemon:
    if daemon is None:
        raise LabError(f"{name} is not running")
    return daemon
