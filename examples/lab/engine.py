"""A private Docker engine, with room for the shim and for CNI plugins beside it."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from lab import image, newest
from lab.daemon import Daemon, accepts
from lab.errors import LabError
from lab.room import ENVIRONMENT, Room

IMAGE = "busybox"
"""The only image: busybox, with all its applets in `/bin`."""

_DOCKERD = "dockerd"
_SHIM = "shim"


class Engine(Room):
    """A running dockerd in a room of its own.

    All paths inside are Docker's standard ones (`/run/docker.sock`, `/run/docker/plugins`,
    `/var/lib/docker`), as are those of the plugins (`/var/lib/cni`) and of the shim.
    """

    def __init__(self, folder: Path, *, root: Path | None, plugin_path: Path) -> None:
        super().__init__(folder, root=root)
        self.plugin_path = plugin_path
        """The folder of CNI plugins that came with the engine, as the shim sees it."""
        self.dockerd_log = self.log(_DOCKERD)
        self.shim_log = self.log(_SHIM)
        self.state_dir = folder / "cnm-cni"
        """The shim's state, `/var/lib/cnm-cni` inside."""
        self.shim_config = folder / "config.yaml"
        """The settings of the shim that was started last."""
        self._compose = ("docker", "compose") if root else ("docker-compose",)

    @classmethod
    def debian(cls, folder: Path) -> Self:
        """The engine and the plugins that are installed on this machine: 20.10 on Debian 12."""
        return cls(folder, root=None, plugin_path=Path("/usr/lib/cni"))

    @classmethod
    def newest(cls, folder: Path) -> Self:
        """The newest engine and plugins that Debian carries; builds a Debian tree at first use."""
        return cls(folder, root=newest.root(), plugin_path=folder / "plugins")

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
            env=ENVIRONMENT,
            input=image.archive(),
            capture_output=True,
            check=False,
        )
        if imported.returncode != 0:
            raise LabError(f"docker import failed: {imported.stderr.decode().strip()}")

    def start_dockerd(self, **settings: Any) -> None:
        """Start dockerd and wait until it answers.

        `settings` are members of its `daemon.json`, with `_` for `-`. Raises `LabError`.
        """
        daemon_json = Path(f"/proc/{self._tree}/root/etc/docker/daemon.json")
        daemon_json.parent.mkdir(exist_ok=True)
        ours = {"cgroup-parent": f"/{self.cgroup}", "exec-opts": ["native.cgroupdriver=cgroupfs"]}
        given = {name.replace("_", "-"): value for name, value in settings.items()}
        daemon_json.write_text(json.dumps(ours | given))
        self._start(
            self._tree,
            _DOCKERD,
            ["/usr/sbin/dockerd"],
            lambda: self.docker("version", check=False).returncode == 0,
        )

    @property
    def dockerd(self) -> Daemon:
        """The running dockerd. Raises `LabError` when there is none."""
        return self.daemon(_DOCKERD)

    @property
    def is_dockerd_running(self) -> bool:
        """Whether there is a dockerd that has not ended."""
        return self.is_running(_DOCKERD)

    def stop_dockerd(self) -> None:
        """Stop dockerd as a service manager would."""
        self.stop(_DOCKERD)

    def kill_dockerd(self) -> None:
        """End dockerd as a crash would."""
        self.kill(_DOCKERD)

    def start_shim(
        self,
        conf_dirs: Sequence[Path],
        *,
        flags: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        """Start the shim of this checkout with this Python, and wait until it listens.

        `conf_dirs` are the folders of conflists; `settings` are members of its `config.yaml`. Raises
        `LabError`.
        """
        ours = {"plugin_path": [str(self.plugin_path)], "conf_dirs": [str(folder) for folder in conf_dirs]}
        self.shim_config.write_text(json.dumps(ours | settings))  # JSON is YAML
        self.start(
            _SHIM,
            self.shim_command("serve", "--config", str(self.shim_config), *flags),
            lambda: accepts(self.path("/run/docker/plugins/cni.sock")),
            environment=environment,
        )

    def resolve(self, wanted: str, *flags: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `cnm-cni resolve` with the settings of the shim; the rest is as with `run`."""
        config = ("--config", str(self.shim_config))
        return self.run(self.shim_command("resolve", wanted, *config, *flags), check=check)

    @property
    def shim(self) -> Daemon:
        """The running shim. Raises `LabError` when there is none."""
        return self.daemon(_SHIM)

    @property
    def is_shim_running(self) -> bool:
        """Whether there is a shim that has not ended."""
        return self.is_running(_SHIM)

    def stop_shim(self) -> None:
        """Stop the shim as a service manager would."""
        self.stop(_SHIM)

    def kill_shim(self) -> None:
        """End the shim as a crash would."""
        self.kill(_SHIM)

    @staticmethod
    def shim_command(*arguments: str) -> list[str]:
        """The command that runs this checkout's `cnm-cni`, for `run`."""
        return [sys.executable, "-m", "shim.cli", *arguments]

    def _furnish(self) -> None:
        if self._root:
            newest.plugins(self._root, self.plugin_path)
        self.start_dockerd()
