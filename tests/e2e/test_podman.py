"""The shim and podman's own CNI backend share one conflist at the same time, as CNI runtimes may."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab import image
from lab.engine import IMAGE, Engine

# Podman is this machine's own, as is Docker 20.10, so both run the same plugins.
pytestmark = pytest.mark.parametrize("session_engine", ["20.10"], indirect=True, scope="session")

_NETWORK = "shared"
"""A conflist, a Docker network on it, and what podman calls it."""
_GATEWAY = "10.99.0.1"
_SUBNET = "10.99.0.0/27"
"""Small, so that 200 starts go round its 29 addresses several times."""

_MACHINES_OWN = ("/dev/shm", "/var/cache")
"""Folders that podman writes to, and that are not the room's own."""

_ROUNDS = 20
_EACH = 5
"""Containers of podman, and as many of Docker, that are started at once in a round."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container on the network, by the client it was made with: `docker` and `podman` are used alike."""

    client: Callable[..., str]
    name: str

    def start(self) -> None:
        self.client("start", self.name)

    def stop(self) -> None:
        self.client("stop", "--time", "0", self.name)

    def ping(self, address: str) -> None:
        self.client("exec", self.name, "ping", "-c", "1", address)

    @property
    def address(self) -> str:
        template = f'{{{{(index .NetworkSettings.Networks "{_NETWORK}").IPAddress}}}}'
        return self.client("inspect", "--format", template, self.name).strip()


@pytest.fixture
def network(conflist: Callable[..., str], make: Callable[[str, str], str]) -> str:
    ipam = {"type": "host-local", "ranges": [[{"subnet": _SUBNET}]]}
    bridge = {"type": "bridge", "bridge": "shared0", "isGateway": True, "ipMasq": True, "ipam": ipam}
    conflist(_NETWORK, bridge, {"type": "firewall", "backend": "iptables"})
    return make(_NETWORK, _NETWORK)


@pytest.fixture
def docker_container(engine: Engine, network: str) -> Callable[[str], Container]:
    """Makes a container of Docker's on the network, to be started."""

    def client(*arguments: str) -> str:
        return engine.docker(*arguments).stdout

    def create(name: str) -> Container:
        client("create", "--name", name, "--network", network, IMAGE, "sleep", "600")
        return Container(client, name)

    return create


@pytest.fixture
def podman_container(engine: Engine, conf_dir: Path, network: str) -> Iterator[Callable[[str], Container]]:
    """Makes a container of podman's on the network, to be started; podman reads the shim's conflists."""
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
    archive = folder / "busybox.tar"
    archive.write_bytes(image.archive())
    client("import", "--change", "ENV PATH=/bin", str(archive), IMAGE)
    own_cgroup = ["--cgroup-parent", f"/{engine.cgroup}"]

    def create(name: str) -> Container:
        client("create", "--name", name, "--network", network, *own_cgroup, IMAGE, "sleep", "600")
        return Container(client, name)

    yield create
    client("rm", "--all", "--force", "--time", "0")
    engine.run(["umount", "--lazy", *_MACHINES_OWN])  # podman cleans up behind its containers for a while
    engine.run(["rm", "-r", folder, run])


def test_both_lease_from_one_store_and_their_containers_reach_each_other(
    engine: Engine,
    docker_container: Callable[[str], Container],
    podman_container: Callable[[str], Container],
) -> None:
    ours, theirs = docker_container("ours"), podman_container("theirs")
    ours.start()
    theirs.start()
    addresses = [ours.address, theirs.address]
    assert _leases(engine) == sorted(addresses)
    ours.ping(addresses[1])
    theirs.ping(addresses[0])
    ours.stop()
    assert _leases(engine) == addresses[1:]
    theirs.ping(_GATEWAY)


@pytest.mark.timeout(900)
def test_no_address_is_given_twice_in_two_hundred_starts_among_as_many_stops(
    engine: Engine,
    docker_container: Callable[[str], Container],
    podman_container: Callable[[str], Container],
) -> None:
    def group(name: str) -> list[Container]:
        makers = {"ours": docker_container, "theirs": podman_container}
        return [make(f"{side}-{name}-{n}") for n in range(_EACH) for side, make in makers.items()]

    groups = [group("a"), group("b")]
    running: list[Container] = []
    with ThreadPoolExecutor(2 * _EACH) as pool:
        for number in range(_ROUNDS):
            starting = groups[number % 2]
            stops = [pool.submit(container.stop) for container in running]
            starts = [pool.submit(container.start) for container in starting]
            for job in (*starts, *stops):
                job.result()
            running = starting
            addresses = list(pool.map(lambda container: container.address, running))
            assert sorted(set(addresses)) == sorted(addresses) == _leases(engine)


def _leases(engine: Engine) -> list[str]:
    """The addresses that host-local has given away, sorted as text."""
    names = engine.run(["ls", f"/var/lib/cni/networks/{_NETWORK}"]).stdout.split()
    return sorted(name for name in names if re.fullmatch(r"[\d.]+", name))
