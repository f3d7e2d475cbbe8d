"""Docker, podman's CNI backend and `cnm-cni cni` use one conflist at once, and leave it in any order."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import pytest
from lab.engine import IMAGE, Engine
from lab.footprint import engine_footprint

from tests.e2e.containers import is_newest
from tests.e2e.matrix.columns import HANDOVER, MODES
from tests.e2e.podman import create, podman

_NETWORK = "shared"
"""A conflist, and what podman calls it."""
_SANDBOX = "/run/netns/hand"

_PLUGINS = (
    {
        "type": "bridge",
        "bridge": "shared0",
        "isGateway": True,
        "ipMasq": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.99.0.0/24"}]]},
    },
    {"type": "firewall", "backend": "iptables"},
)

Eventually = Callable[[Callable[[], bool]], None]


@dataclass(frozen=True, slots=True)
class Attachment:
    """What a runtime has attached to the network."""

    address: str
    sandbox: str
    """Its network namespace, as a path in the room."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime with one attachment, which comes and goes."""

    name: str
    attach: Callable[[], Attachment]
    detach: Callable[[], object]


@pytest.fixture
def runtimes(engine: Engine, conf_dir: Path, conflist: Callable[..., str]) -> Iterator[list[Runtime]]:
    """All of them, on one network: Docker in each mode that it starts containers in, podman, the command."""
    modes = MODES if is_newest(engine) else (HANDOVER,)
    conflist(_NETWORK, *_PLUGINS)
    engine.run(["ip", "netns", "add", "hand"])
    try:
        with podman(engine, conf_dir) as client:
            runtimes = [
                *(_docker(engine, mode) for mode in modes),
                _podman(engine, client),
                _by_hand(engine, conf_dir),
            ]
            yield runtimes
            for runtime in runtimes:
                runtime.detach()  # what a failing test has left
    finally:
        engine.run(["ip", "netns", "del", "hand"])


def _docker(engine: Engine, mode: str) -> Runtime:
    options = ["--ipam-driver", "null", "-o", f"cni.network={_NETWORK}", "-o", f"cni.mode={mode}"]
    engine.docker("network", "create", "-d", "cni", *options, mode)
    engine.docker("create", "--name", mode, "--network", mode, IMAGE, "sleep", "600")

    def client(*arguments: str) -> str:
        return engine.docker(*arguments).stdout

    return _containers(client, mode, mode)


def _podman(engine: Engine, client: Callable[..., str]) -> Runtime:
    create(client, engine, "podman", _NETWORK)
    return _containers(client, "podman", _NETWORK)


def _containers(client: Callable[..., str], name: str, network: str) -> Runtime:
    """A runtime that starts and stops a container."""

    def attach() -> Attachment:
        client("start", name)
        wanted = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}} {{{{.State.Pid}}}}'
        address, pid = client("inspect", "--format", wanted, name).split()
        return Attachment(address, f"/proc/{pid}/ns/net")

    return Runtime(name, attach, lambda: client("stop", "--time", "0", name))


def _by_hand(engine: Engine, conf_dir: Path) -> Runtime:
    environment = {"CNI_PATH": str(engine.plugin_path), "NETCONFPATH": str(conf_dir)}

    def cni(action: str) -> str:
        command = engine.shim_command("cni", action, _NETWORK, _SANDBOX)
        return engine.run(command, environment=environment).stdout

    def attach() -> Attachment:
        (ip,) = json.loads(cni("add"))["ips"]
        return Attachment(ip["address"].partition("/")[0], _SANDBOX)

    return Runtime("by hand", attach, lambda: cni("del"))


def test_all_lease_from_one_store_and_reach_each_other_whoever_goes_first(
    engine: Engine, runtimes: list[Runtime], eventually: Eventually
) -> None:
    _come_and_go(engine, runtimes)  # makes what is made once and stays
    nobody = engine_footprint(engine)
    for order in permutations(runtimes):
        _come_and_go(engine, order)
        eventually(lambda: nobody.difference(engine_footprint(engine)) == [])


def _come_and_go(engine: Engine, order: Sequence[Runtime]) -> None:
    """All come at once; they go one after the other, and the others stay as they were."""
    with ThreadPoolExecutor(len(order)) as pool:
        attached = list(pool.map(lambda one: one.attach(), order))
    for number, leaving in enumerate(order):
        present = attached[number:]
        assert _leases(engine) == sorted(one.address for one in present)
        for one, other in permutations(present, 2):
            _ping(engine, one, other.address)
        leaving.detach()
    assert _leases(engine) == []


def _ping(engine: Engine, attachment: Attachment, address: str) -> None:
    engine.run(["nsenter", f"--net={attachment.sandbox}", "busybox", "ping", "-c", "1", "-W", "2", address])


def _leases(engine: Engine) -> list[str]:
    """The addresses that host-local has given away, sorted as text."""
    folder = engine.path(f"/var/lib/cni/networks/{_NETWORK}")
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("10."))
