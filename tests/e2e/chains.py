"""A CNI network with a bridge of its own, `chain`, and what tests see of its Docker networks."""

import json
import re
from collections.abc import Mapping
from subprocess import CompletedProcess
from typing import Any

from lab.engine import Engine

from tests.e2e.containers import inspected

SUBNET, SUBNET_V6 = "10.77.0.0/24", "fd00:77::/64"
GATEWAY, GATEWAY_V6 = "10.77.0.1", "fd00:77::1"

NULL = ("--ipam-driver", "null", "-o", "cni.network=chain")
"""The chain's IPAM plugin chooses, within the chain."""
CNI = ("--ipam-driver", "cni", "--ipam-opt", "cni.network=chain")
"""It chooses when Docker asks."""
DOCKER = ("-o", "cni.ipam=docker", "-o", "cni.network=chain")
"""Docker's IPAM chooses."""
BOTH_SUBNETS = ("--ipv6", "--subnet", SUBNET, "--subnet", SUBNET_V6)


def chain_plugins(*ranges: list[dict[str, str]]) -> list[dict[str, Any]]:
    """The plugins of a CNI network with these address ranges, one list for each address."""
    families = [6 if ":" in pool["subnet"] else 4 for pools in ranges for pool in pools]
    ipam = {
        "type": "host-local",
        "ranges": ranges,
        "routes": [{"dst": "::/0" if family == 6 else "0.0.0.0/0"} for family in families],
    }
    return [
        {"type": "bridge", "bridge": "chain0", "isGateway": True, "ipMasq": True, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
        {"type": "bandwidth", "capabilities": {"bandwidth": True}},
        {"type": "firewall"},
    ]


def create(engine: Engine, *flags: str, name: str = "net", check: bool = True) -> CompletedProcess[str]:
    return engine.docker("network", "create", "-d", "cni", *flags, name, check=check)


def start(engine: Engine, name: str, *flags: str, network: str = "net") -> str:
    """Start a container; its ID."""
    run = engine.docker("run", "-d", "--name", name, "--network", network, *flags, "busybox", "sleep", "600")
    return run.stdout.strip()


def addresses_in(engine: Engine, *flags: str, network: str = "net") -> list[str]:
    """The addresses that a container finds, IPv4 first."""
    command = ("busybox", "ip", "-o", "address", "show", "dev", "eth0", "scope", "global")
    shown = engine.docker("run", "--rm", "--network", network, *flags, *command).stdout
    return sorted(re.findall(r"inet6? (\S+)", shown), key=_family)


def _family(address: str) -> int:
    return 6 if ":" in address else 4


def families(addresses: list[str]) -> list[int]:
    return [_family(address) for address in addresses]


def routes_in(engine: Engine, network: str) -> str:
    """The routes of both families that a container finds."""
    command = ("busybox", "sh", "-c", "ip route; ip -6 route")
    return engine.docker("run", "--rm", "--network", network, *command).stdout


def leases_of(engine: Engine) -> set[str]:
    """The addresses that the chain's IPAM plugin has given out."""
    folder = engine.path("/var/lib/cni/networks/chain")
    return {path.name for path in folder.glob("*") if re.fullmatch("[0-9a-f.:]+", path.name)}


def address_of(engine: Engine, container: str) -> str:
    return str(inspected(engine, container, "net")["IPAddress"])


def network_of(engine: Engine, network: str = "net") -> Mapping[str, Any]:
    (found,) = json.loads(engine.docker("network", "inspect", network).stdout)
    return dict(found)


def ipam_of(engine: Engine, network: str = "net") -> Mapping[str, Any]:
    return dict(network_of(engine, network)["IPAM"])


def config_of(engine: Engine, network: str = "net") -> list[dict[str, str]]:
    """The subnets and gateways that Docker shows, without a prefix length behind a gateway."""
    return [
        {key: value.split("/")[0] if key == "Gateway" else value for key, value in item.items()}
        for item in ipam_of(engine, network)["Config"]
    ]
