"""The ways by which a container of Docker's comes to a network, side by side.

Each starts a container that stays and ends it again with all that belongs to it, and runs one to its end.
"""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lab.engine import IMAGE

from experiments.model import NEWEST
from experiments.naive import Naive
from experiments.podman import Podman, podman

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from experiments.bench import Bench

_HERE = Path(__file__).parent
SLEEP = ("sleep", "600")
"""A command that stays."""

NONE = "no network"
BRIDGE = "Docker's bridge"
MACVLAN = "Docker's macvlan"
SHIM = "shim, handover"
INPLACE = "shim, inplace"
PAUSE = "pause container and script"
HOOK = "OCI hook"
BY_HAND = "cnm-cni cni, after the start"
PODMAN = "podman's CNI backend"


class Way(Protocol):
    """How a container comes to a network and goes again."""

    def start(self, name: str, *options: str, command: Sequence[str] = SLEEP) -> None:
        """Have a container of that name running, attached."""

    def end(self, name: str) -> None:
        """Have it gone, with everything that was made for it."""


class ByNetwork:
    """A Docker network."""

    def __init__(self, bench: Bench, network: str, *options: str) -> None:
        self._bench = bench
        self.network = network
        self._options = options

    def start(self, name: str, *options: str, command: Sequence[str] = SLEEP) -> None:
        """Run it."""
        self._bench.docker(
            *("run", "-d", "--name", name, "--network", self.network),
            *(*self._options, *options, IMAGE, *command),
        )

    def end(self, name: str) -> None:
        """Remove it."""
        self._bench.docker("rm", "--force", name)


class ByPause:
    """A pause container without network, which a script attaches, and the container in its namespace."""

    def __init__(self, bench: Bench, naive: Naive) -> None:
        self._bench = bench
        self._naive = naive

    def start(self, name: str, *options: str, command: Sequence[str] = SLEEP) -> None:
        """Run both."""
        pause = f"{name}-pause"
        self._bench.docker("run", "-d", "--name", pause, "--network", "none", IMAGE, *SLEEP)
        self._naive.run("ADD", namespace(self._bench, pause), pause)
        self._bench.docker(
            "run", "-d", "--name", name, "--network", f"container:{pause}", *options, IMAGE, *command
        )

    def end(self, name: str) -> None:
        """Remove both."""
        pause = f"{name}-pause"
        self._bench.docker("rm", "--force", name)
        self._naive.run("DEL", namespace(self._bench, pause), pause)
        self._bench.docker("rm", "--force", pause)


class ByHand:
    """A container that starts without network, and is attached when it runs."""

    def __init__(self, bench: Bench, cni_network: str, **environment: str) -> None:
        self._bench = bench
        self._network = cni_network
        self._environment = environment

    def start(self, name: str, *options: str, command: Sequence[str] = SLEEP) -> None:
        """Run it, then attach it."""
        self._bench.docker("run", "-d", "--name", name, "--network", "none", *options, IMAGE, *command)
        self.attach(name)

    def end(self, name: str) -> None:
        """Detach it, then remove it."""
        self._bench.cni("del", self._network, namespace(self._bench, name), **self._environment)
        self._bench.docker("rm", "--force", name)

    def attach(self, name: str) -> None:
        """Attach a running container."""
        self._bench.cni("add", self._network, namespace(self._bench, name), **self._environment)


class ByPodman:
    """A container of podman's."""

    def __init__(self, client: Podman, network: str) -> None:
        self._client = client
        self._network = network

    def start(self, name: str, *options: str, command: Sequence[str] = SLEEP) -> None:
        """Run it."""
        self._client.run(self._network, "-d", "--name", name, *options, IMAGE, *command)

    def end(self, name: str) -> None:
        """Remove it."""
        self._client("rm", "--force", "--time", "0", name)


def chain(name: str, subnet: str) -> dict[str, Any]:
    """The conflist that all ways by CNI plugins share: bridge with masquerade, and firewall."""
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": subnet}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": f"{name}0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": ipam,
    }
    return {"cniVersion": "0.4.0", "name": name, "plugins": [bridge, {"type": "firewall"}]}


def placings(bench: Bench, cni_network: str, *options: str, **environment: str) -> dict[str, Way]:
    """The three ways to place ADD on one conflist: each mode of the shim, and after the start.

    `options` are for `docker run` on a network of the shim, `environment` for `cnm-cni cni`.
    """
    found: dict[str, Way] = {BY_HAND: ByHand(bench, cni_network, **environment)}
    for name, mode in ((SHIM, "handover"), (INPLACE, "inplace")):
        network = f"{cni_network}-{mode}"
        bench.network(network, cni_network, "-o", f"cni.mode={mode}")
        found[name] = ByNetwork(bench, network, *options)
    return found


@contextmanager
def ways(bench: Bench, *, with_podman: bool) -> Iterator[dict[str, Way]]:
    """Every way that this engine can go, by name; all those by CNI plugins on one conflist."""
    conflist = chain("ways", "10.35.0.0/16")
    (bench.conf_dir / "ways.conflist").write_text(json.dumps(conflist))
    with ExitStack() as stack:
        naive = Naive(bench, "ways")
        naive.configure(conflist)
        stack.callback(naive.remove)
        stack.enter_context(_hooked_runtime(bench, naive))
        _parent_link(bench)
        stack.callback(lambda: bench.shell("ip link del lan0"))
        bench.docker("network", "create", "own")
        macvlan = ("-o", "parent=lan0", "--subnet", "10.36.0.0/16")
        bench.docker("network", "create", "-d", "macvlan", *macvlan, "lan")
        bench.network("cni", "ways")
        found: dict[str, Way] = {
            NONE: ByNetwork(bench, "none"),
            BRIDGE: ByNetwork(bench, "own"),
            MACVLAN: ByNetwork(bench, "lan"),
            SHIM: ByNetwork(bench, "cni"),
            PAUSE: ByPause(bench, naive),
            HOOK: ByNetwork(bench, "none", "--runtime", "cni"),
            BY_HAND: ByHand(bench, "ways"),
        }
        if bench.name == NEWEST:  # older engines have no namespace when it would work in place
            bench.network("inplace", "ways", "-o", "cni.mode=inplace")
            found[INPLACE] = ByNetwork(bench, "inplace")
        if with_podman:
            found[PODMAN] = ByPodman(stack.enter_context(podman(bench)), "ways")
        yield found
        bench.remove_containers()
        bench.docker("network", "prune", "--force")


@contextmanager
def _hooked_runtime(bench: Bench, naive: Naive) -> Iterator[None]:
    """Let the engine know the runtime with hooks, as `cni`."""
    inside = "/run/hooked"
    folder = bench.engine.path(inside)
    shutil.copytree(naive.folder, folder / "conf")
    for script in ("hooked-runc", "hook", "naive.sh"):
        shutil.copy(_HERE / script, folder)
    try:
        with bench.dockerd(runtimes={"cni": {"path": f"{inside}/hooked-runc"}}):
            yield
    finally:
        shutil.rmtree(folder)


def _parent_link(bench: Bench) -> None:
    """A LAN's link for macvlan."""
    bench.shell("ip link add lan0 type veth peer name lan1 && ip link set lan0 up && ip link set lan1 up")


def namespace(bench: Bench, container: str) -> str:
    """Where the network namespace of a running container is, in the engine's room."""
    return f"/proc/{bench.pid(container)}/ns/net"
