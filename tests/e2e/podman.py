"""Podman with its own CNI backend, in an engine's room: it shares conflists with the shim."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import image
from lab.engine import IMAGE, Engine

_MACHINES_OWN = ("/dev/shm", "/var/cache")
"""Folders that podman writes to, and that are not the room's own."""


@contextmanager
def podman(engine: Engine, conf_dir: Path) -> Iterator[Callable[..., str]]:
    """Runs podman with the shim's conflists and plugins: `client(*arguments)` is what a command prints.

    It has the engine's image, and its containers are removed at the end. Podman is this machine's own, on
    each engine.
    """
    folder, run = engine.folder / "podman", Path("/run/podman")
    folder.mkdir()
    settings = folder / "containers.conf"
    settings.write_text(f"""
        [network]
        network_backend = "cni"
        network_config_dir = "{conf_dir}"
        cni_plugin_dirs = ["{engine.plugin_path}"]
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
    places: list[str | Path] = ["--root", folder / "root", "--runroot", run, "--tmpdir", run / "tmp"]

    def client(*arguments: str) -> str:
        command = [*environment, "podman", *places, "--storage-driver", "overlay", *arguments]
        return engine.run(command).stdout

    for place in _MACHINES_OWN:
        engine.run(["mount", "-t", "tmpfs", "tmpfs", place])
    try:
        archive = folder / "busybox.tar"
        archive.write_bytes(image.archive())
        client("import", "--change", "ENV PATH=/bin", str(archive), IMAGE)
        yield client
        client("rm", "--all", "--force", "--time", "0")
    finally:
        engine.run(["umount", "--lazy", *_MACHINES_OWN])  # podman cleans up behind containers for a while
        engine.run(["rm", "-r", folder, run])


def create(client: Callable[..., str], engine: Engine, name: str, network: str) -> None:
    """Make a container of podman's, to be started."""
    own_cgroup = ("--cgroup-parent", f"/{engine.cgroup}")
    client("create", "--name", name, "--network", network, *own_cgroup, IMAGE, "sleep", "600")
