"""Published ports: from Docker's `-p` to the host ports that the chain maps (`portMappings`).

Docker leaves the choice among several host ports to the driver, and cannot show what was chosen:
`cnm-cni endpoint ls` does.
"""

import socket
from collections.abc import Iterable, Sequence
from typing import Any

from shim.errors import ConflictError
from shim.wire.messages import PortBinding

_ANY = {"", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound

PortMapping = dict[str, Any]
"""One entry of CNI's `portMappings` capability: hostPort, containerPort, protocol, hostIP."""


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
    if binding.host_port == 0:
        while _overlaps(binding, port := _listen(binding, 0), taken):
            pass
        return port
    reason = ""
    for port in range(binding.host_port, binding.host_port_end + 1):
        if _overlaps(binding, port, taken):
            reason = "another container publishes it"
            continue
        try:
            return _listen(binding, port)
        except OSError as error:
            reason = error.strerror or str(error)
    last = f"-{binding.host_port_end}" if binding.host_port_end > binding.host_port else ""
    wanted = f"{binding.host_ip or '*'}:{binding.host_port}{last}/{binding.protocol}"
    raise ConflictError(
        f"host port {wanted} is not free: {reason}",
        cure="publish another one with -p HOST:CONTAINER, or see `cnm-cni endpoint ls` and `ss -lnp`",
    )


def _overlaps(binding: PortBinding, port: int, taken: Iterable[PortMapping]) -> bool:
    return any(
        (other["hostPort"], other["protocol"]) == (port, binding.protocol)
        and _same_address(binding.host_ip, other.get("hostIP", ""))
        for other in taken
    )


def _same_address(one: str, other: str) -> bool:
    return one == other or one in _ANY or other in _ANY


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
        probe.bind((binding.host_ip, port))
        return int(probe.getsockname()[1])
