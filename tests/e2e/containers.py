"""Containers of tests, and what can be seen of them, on a CNI network whose conflist has both families."""

import json
from typing import Any

from lab.engine import Engine

NAME = "flagged"
"""The CNI network."""
SUBNET, SUBNET_V6 = "10.77.0.0/24", "fd00:77::/64"
ROUTER, ROUTER_V6 = "10.77.0.1", "fd00:77::1"

_ROUTES = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
_RANGES = [[{"subnet": SUBNET}], [{"subnet": SUBNET_V6}]]
BRIDGE: dict[str, Any] = {
    "type": "bridge",
    "bridge": "flagged0",
    "isGateway": True,
    "ipam": {"type": "host-local", "ranges": _RANGES, "routes": _ROUTES},
}
BRIDGE_V4: dict[str, Any] = BRIDGE | {
    "ipam": {"type": "host-local", "ranges": _RANGES[:1], "routes": _ROUTES[:1]}
}
FIREWALL: dict[str, Any] = {"type": "firewall"}

BY_PLUGIN = ("--ipam-driver", "null", "-o", f"cni.network={NAME}")
BY_CNI = ("--ipam-driver", "cni", "--ipam-opt", f"cni.network={NAME}", "--subnet", SUBNET)
BY_DOCKER = ("-o", "cni.ipam=docker", "-o", f"cni.network={NAME}", "--subnet", SUBNET)
IPV6 = ("--ipv6", "--subnet", SUBNET_V6)
"""How a Docker network is made: who chooses its addresses, and that the engine asks for IPv6 as well."""


def network(engine: Engine, name: str, *options: str) -> str:
    """A new Docker network; its name."""
    engine.docker("network", "create", "-d", "cni", *options, name)
    return name


def start(engine: Engine, name: str, *options: str) -> None:
    """Run a container that stays."""
    engine.docker("run", "-d", "--name", name, *options, "busybox", "sleep", "600")


def remove_containers(engine: Engine) -> None:
    """Remove all containers, before what DEL needs of a test goes."""
    if containers := engine.docker("ps", "--all", "--quiet").stdout.split():
        engine.docker("rm", "--force", *containers)


def inside(engine: Engine, container: str, command: str) -> str:
    """What a shell command prints in a container. Raises `LabError` when it fails."""
    return engine.docker("exec", container, "sh", "-c", command).stdout


def once(engine: Engine, *options: str, command: str = "ip address", check: bool = True) -> str:
    """What a shell command prints in a container that is gone afterwards."""
    return engine.docker("run", "--rm", *options, "busybox", "sh", "-c", command, check=check).stdout


def inspected(engine: Engine, container: str, network_name: str) -> dict[str, Any]:
    """What `docker inspect` says of a container on a network."""
    (found,) = json.loads(engine.docker("inspect", container).stdout)
    return dict(found["NetworkSettings"]["Networks"][network_name])


def is_newest(engine: Engine) -> bool:
    """Whether it is the newest engine of the two, and not 20.10."""
    return int(engine.docker("version", "-f", "{{.Server.Version}}").stdout.partition(".")[0]) >= 28
