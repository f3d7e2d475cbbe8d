"""Published ports: from Docker's `-p` to the host ports that the chain maps (`portMappings`).

Docker leaves the choice among several host ports to the driver, and cannot show what was chosen:
`cnm-cni endpoint ls` does.
"""

import socket
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from itertools import repeat

from shim.errors import ConflictError
from shim.model import PortMapping
from shim.wire.messages import PortBinding

_KERNEL_CHOICES = 1000
"""How often the kernel is asked for a free port before the search is given up."""


def port_mappings(bindings: Sequence[PortBinding], taken: Iterable[PortMapping]) -> list[PortMapping]:
    """A mapping with one free host port for each binding; `taken` are those of all other endpoints.

    Raises `ConflictError` when no host port of a binding is free.
    """
    chosen: list[PortMapping] = []
    others = list(taken)
    for binding in bindings:
        chosen.append(_mapping(binding, _free_port(binding, others + chosen)))
    return chosen


def _mapping(binding: PortBinding, host_port: int) -> PortMapping:
    mapping: PortMapping = {
        "hostPort": host_port,
        "containerPort": binding.container_port,
        "protocol": binding.protocol,
    }
    return mapping | ({"hostIP": binding.host_ip} if binding.host_ip else {})


def _free_port(binding: PortBinding, taken: Sequence[PortMapping]) -> int:
    reason = ""
    for wanted_port in _candidates(binding):
        try:
            port = _listen(binding, wanted_port)
        except OSError as error:
            reason = error.strerror or str(error)
            continue
        if not _overlaps(binding, port, taken):
            return port
        reason = "a container publishes it"
    last = f"-{binding.host_port_end}" if binding.host_port_end > binding.host_port else ""
    wanted = f"{binding.host_ip or '*'}:{binding.host_port}{last}/{binding.protocol}"
    raise ConflictError(
        f"host port {wanted} is not free: {reason}",
        cure="publish another one with -p HOST:CONTAINER, or see `cnm-cni endpoint ls` and `ss -lnp`",
    )


def _candidates(binding: PortBinding) -> Iterable[int]:
    """The host ports to try, in order; 0 lets the kernel choose one."""
    if binding.host_port == 0:
        return repeat(0, _KERNEL_CHOICES)
    return range(binding.host_port, binding.host_port_end + 1)


def _overlaps(binding: PortBinding, port: int, taken: Iterable[PortMapping]) -> bool:
    return any(
        (other["hostPort"], other["protocol"]) == (port, binding.protocol)
        and _same_address(binding.host_ip, other.get("hostIP", ""))
        for other in taken
    )


def _same_address(one: str, other: str) -> bool:
    """Whether a packet can be meant for both host IPs; an empty one is every address of the host."""
    if not one or not other:
        return True
    first, second = ip_address(one), ip_address(other)
    same_family = first.version == second.version
    return same_family and (first == second or first.is_unspecified or second.is_unspecified)


def _listen(binding: PortBinding, port: int) -> int:
    """Bind the host port for a moment, as proof that no process of the host has it.

    Returns the port, which the kernel chooses when `port` is 0. Raises `OSError`.
    """
    if port and binding.protocol == "sctp":  # few kernels open such a socket, so nobody can have the port
        return port
    kind = socket.SOCK_DGRAM if binding.protocol == "udp" else socket.SOCK_STREAM
    family = socket.AF_INET6 if ":" in binding.host_ip else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # else a listener on the IPv4 side of the port would count
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind((binding.host_ip, port))
        return int(probe.getsockname()[1])
