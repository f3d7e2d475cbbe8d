"""The shim and podman's own CNI backend share one conflist at the same time, as CNI runtimes may."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab.engine import IMAGE, Engine

from tests.e2e.podman import create, podman

# Podman is this machine's own, as is Docker 20.10, so both run the same plugins.
pytestmark = pytest.mark.parametrize("session_engine", ["20.10"], indirect=True, scope="session")

_NETWORK = "shared"
"""A conflist, a Docker network on it, and what podman calls it."""
_GATEWAY = "10.99.0.1"
_SUBNET = "10.99.0.0/27"
"""Small, so that 200 starts go round its 29 addresses several times."""

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

    def make(name: str) -> Container:
        client("create", "--name", name, "--network", network, IMAGE, "sleep", "600")
        return Container(client, name)

    return make


@pytest.fixture
def podman_container(engine: Engine, conf_dir: Path, network: str) -> Iterator[Callable[[str], Container]]:
    """Makes a container of podman's on the network, to be started."""
    with podman(engine, conf_dir) as client:

        def make(name: str) -> Container:
            create(client, engine, name, network)
            return Container(client, name)

        yield make


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
