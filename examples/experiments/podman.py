"""podman with its CNI backend, on the conflists of the shim, in an engine's room."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lab import image
from lab.engine import IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from experiments.bench import Bench

_MACHINES_OWN = ("/dev/shm", "/var/cache")
"""Folders that podman writes to, and that are not the room's own."""


class Podman:
    """A client that knows the image."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self._bench = bench
        run = Path("/run/podman")
        settings = folder / "containers.conf"
        settings.write_text(f"""
            [network]
            network_backend = "cni"
            network_config_dir = "{bench.conf_dir}"
            cni_plugin_dirs = ["{bench.engine.plugin_path}"]
            [engine]
            runtime = "runc"
            cgroup_manager = "cgroupfs"
            events_logger = "file"
            [containers]
            log_driver = "none"
            default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
        """)
        # Podman insists that the file exists which the client of Docker here does without.
        environment = ["env", "--unset=DOCKER_CONFIG", f"CONTAINERS_CONF={settings}"]
        places = ["--root", str(folder / "root"), "--runroot", str(run), "--tmpdir", str(run / "tmp")]
        self._command = [*environment, "podman", *places, "--storage-driver", "overlay"]
        archive = folder / "busybox.tar"
        archive.write_bytes(image.archive())
        self("import", "--change", "ENV PATH=/bin", str(archive), IMAGE)

    def __call__(self, *arguments: str, check: bool = True) -> str:
        """What a command of podman prints. Raises `LabError`."""
        return self._bench.engine.run([*self._command, *arguments], check=check).stdout

    def run(self, network: str, *arguments: str) -> str:
        """Run a container on a conflist's network, in a cgroup of the engine's."""
        parent = ("--cgroup-parent", f"/{self._bench.engine.cgroup}")
        return self("run", *parent, "--network", network, *arguments)


@contextmanager
def podman(bench: Bench) -> Iterator[Podman]:
    """A podman of its own, which leaves nothing."""
    folder = bench.folder / "podman"
    folder.mkdir()
    for place in _MACHINES_OWN:
        bench.engine.run(["mount", "-t", "tmpfs", "tmpfs", place])
    try:
        client = Podman(bench, folder)
        yield client
        client("rm", "--all", "--force", "--time", "0")
    finally:
        bench.engine.run(["umount", *_MACHINES_OWN])
        bench.engine.run(["rm", "-rf", folder, "/run/podman"])
