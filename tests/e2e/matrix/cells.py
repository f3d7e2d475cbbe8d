"""A cell of the matrix: a container on a chain, what its first process sees, and ways to look further."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lab.engine import IMAGE, Engine
from lab.footprint import Footprint, engine_footprint, plugin_bridges

from tests.e2e.matrix.columns import Column

if TYPE_CHECKING:
    from subprocess import CompletedProcess

NETWORK = "matrix"
"""The CNI network of the chain, and the Docker network on it."""
BRIDGE = "matrix0"
HOST_PORT = 8081
"""Published, where a case publishes port 80."""
SYSCTLS = ("net/core/somaxconn", "net/ipv4/conf/all/log_martians", "net/ipv4/conf/eth0/arp_filter")
"""Those that chains set."""

_LOOK = f"""
look() {{
    grep . {" ".join(f"/proc/sys/{key}" for key in SYSCTLS)}
    for file in flags address mtu tx_queue_len; do
        read -r value < /sys/class/net/eth0/$file && echo "$file = $value"
    done
    ip rule; ip route show table all; ip -6 rule; ip -6 route show table all; ip address
}}
look > /tmp/looking 2>&1
mv /tmp/looking /tmp/look
"""
"""What the engine's early start may outrun comes first."""

_SERVE = """
mkdir /www
echo served > /www/index.html
dd if=/dev/zero of=/www/megabyte bs=1024 count=1024 2> /dev/null
exec httpd -f -p [::]:80 -h /www
"""

_PATIENCE = 10.0
"""Seconds in which a container must have looked, and all of it must be gone."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A running container."""

    engine: Engine
    pid: int
    """Its first process, as the engine's room numbers it."""
    look: str
    """What that process saw as soon as it ran; or the first one after the network was connected."""
    told: Mapping[str, Any]
    """What `docker inspect` says of it on the network."""
    before: Footprint
    """The room before it was there."""

    def inside(self, *command: str) -> "CompletedProcess[str]":
        """Run a command of this machine with the container's network; it may fail."""
        enter = ["nsenter", "--target", str(self.pid), "--net", "--"]
        return self.engine.run([*enter, *command], check=False)

    def outside(self, *command: str) -> "CompletedProcess[str]":
        """Run a command on the other machine; it may fail."""
        return self.engine.run(["ip", "netns", "exec", "outside", *command], check=False)

    def link(self) -> Mapping[str, Any]:
        """The container's link, in the words of `ip -details`."""
        (link,) = json.loads(self.inside("ip", "-json", "-details", "link", "show", "eth0").stdout)
        return dict(link)

    def host_end(self) -> str:
        """The name of the host's end of that link."""
        index = self.link()["link_index"]
        links = json.loads(self.engine.run(["ip", "-json", "link"]).stdout)
        (name,) = (link["ifname"] for link in links if link["ifindex"] == index)
        return str(name)

    def leaks(self) -> list[str]:
        """What is left of it in the room, once there was time for everything to go."""
        deadline = time.monotonic() + _PATIENCE
        while leaks := self.before.difference(engine_footprint(self.engine)):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        return leaks


def create_network(engine: Engine, mode: str) -> None:
    """Make a Docker network on the chain. Raises `LabError` with what the user sees."""
    options = ["--ipam-driver", "null", "-o", f"cni.network={NETWORK}", "-o", f"cni.mode={mode}"]
    engine.docker("network", "create", "-d", "cni", *options, NETWORK)


@contextmanager
def cleared(engine: Engine) -> Iterator[None]:
    """Container and network are removed at the end, and what plugins let stand."""
    try:
        yield
    finally:
        engine.docker("rm", "--force", "one", check=False)
        engine.docker("network", "rm", NETWORK, check=False)
        for bridge in plugin_bridges(engine):
            engine.run(["ip", "link", "del", bridge])
        engine.run(["rm", "-rf", f"/var/lib/cni/networks/{NETWORK}"])


def started(engine: Engine, column: Column, options: Sequence[str]) -> Cell:
    """A container on the network, started or connected; it serves a page, and a megabyte.

    Raises `LabError` with what the user sees.
    """
    before = engine_footprint(engine)
    if column.is_hot_plugged:
        _run(engine, "bridge", options, _SERVE)
        engine.docker("network", "disconnect", "bridge", "one")
        engine.docker("network", "connect", NETWORK, "one")
        _look_again(engine)
    else:
        _run(engine, NETWORK, options, _LOOK + _SERVE)
    (inspected,) = json.loads(engine.docker("inspect", "one").stdout)
    pid, told = inspected["State"]["Pid"], inspected["NetworkSettings"]["Networks"][NETWORK]
    return Cell(engine, pid, _look(engine, pid), told, before)


def a_little_later(cell: Cell) -> Cell:
    """The same cell, with what the container's processes see now."""
    time.sleep(0.1)
    _look_again(cell.engine)
    return replace(cell, look=_look(cell.engine, cell.pid))


def _look_again(engine: Engine) -> None:
    engine.docker("exec", "one", "sh", "-c", _LOOK)


def remove(engine: Engine) -> None:
    """Remove the container."""
    engine.docker("rm", "--force", "one")


def _run(engine: Engine, network: str, options: Sequence[str], script: str) -> None:
    engine.docker("run", "-d", "--name", "one", "--network", network, *options, IMAGE, "sh", "-c", script)


def _look(engine: Engine, pid: int) -> str:
    """What the container has written down."""
    path = engine.path(f"/proc/{pid}/root/tmp/look")
    deadline = time.monotonic() + _PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, "the container did not look"
        time.sleep(0.02)
    return path.read_text()
