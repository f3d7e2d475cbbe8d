"""Published ports: from Docker's `-p` to the host ports that the chain maps (`portMappings`).

Docker leaves the choice among several host ports to the driver, and cannot show what was chosen:
`cnm-cni endpoint ls` does. `portmap` redirects packets without opening the port, so each port is held open
here: no process of the host can take it, and wait in vain for what goes to the container.
"""

import errno
import logging
import socket
from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_interface
from itertools import repeat

from shim.errors import ConflictError, InvalidRequestError, ShimError
from shim.model import EndpointID, PortMapping
from shim.wire.messages import PortBinding

_log = logging.getLogger(__name__)

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - nothing listens
_LOOPBACK_V6 = "::1"
_PUBLISHED = "a container publishes it"

_KERNEL_CHOICES = 1000
"""How often the kernel is asked for a free port before the search is given up."""


class HostPorts:
    """The host ports of all endpoints, held open so that nobody else gets them."""

    def __init__(self) -> None:
        self._held: dict[EndpointID, list[socket.socket]] = {}

    def take(
        self, endpoint_id: EndpointID, bindings: Sequence[PortBinding], taken: Iterable[PortMapping]
    ) -> list[PortMapping]:
        """A mapping with one free host port for each binding; `taken` are those of all other endpoints.

        Raises `ConflictError` when no host port of a binding is free; then none is held.
        """
        self.release(endpoint_id)
        mappings: list[PortMapping] = []
        others = list(taken)
        held = self._held.setdefault(endpoint_id, [])
        try:
            for binding in bindings:
                port, sockets = _free_port(binding, others + mappings)
                held.extend(sockets)
                mappings.append(_mapping(binding, port))
        except BaseException:
            self.release(endpoint_id)
            raise
        return mappings

    def retake(self, endpoint_id: EndpointID, mappings: Iterable[PortMapping]) -> None:
        """Hold the ports of an endpoint whose chain publishes them already, as after a restart.

        One that a process has taken meanwhile goes to the container all the same; the log says so.
        """
        if self._held.get(endpoint_id):
            return
        held = self._held.setdefault(endpoint_id, [])
        for mapping in mappings:
            for host_ip in _addresses(mapping.get("hostIP", "")):
                try:
                    held.extend(_hold([host_ip], mapping["protocol"], mapping["hostPort"])[1])
                except OSError as error:
                    if error.errno == errno.EAFNOSUPPORT:  # a kernel without IPv6
                        continue
                    _log.warning(
                        "host port %s of endpoint %s cannot be held: %s",
                        _named(host_ip, mapping["hostPort"], mapping["protocol"]),
                        endpoint_id[:12],
                        error.strerror,
                    )

    def release(self, endpoint_id: EndpointID) -> None:
        """Let go of an endpoint's ports; harmless when it has none."""
        for held in self._held.pop(endpoint_id, ()):
            held.close()

    def close(self) -> None:
        """Let go of all."""
        for endpoint_id in list(self._held):
            self.release(endpoint_id)


def refuse_unreachable(mappings: Iterable[PortMapping], addresses: Iterable[str], cni_network: str) -> None:
    """Raises `InvalidRequestError` for a host IP from which no container address (CIDR) can be reached.

    `portmap` would pass over one of another family in silence. It would redirect what is for `::1`, but the
    kernel routes nothing that comes from there, and for IPv6 no setting allows it.
    """
    families = {ip_interface(address).version for address in addresses}
    for mapping in mappings:
        host_ip = mapping.get("hostIP", "")
        if host_ip and ip_address(host_ip).version not in families:
            raise InvalidRequestError(
                f"network {cni_network}: -p on {host_ip} cannot be honoured, the container has no "
                f"IPv{ip_address(host_ip).version} address",
                cure="publish on an address of its family, or on all: -p HOST:CONTAINER",
            )
        if host_ip == _LOOPBACK_V6:
            raise InvalidRequestError(
                f"network {cni_network}: -p on {host_ip} cannot be honoured, the kernel routes nothing from "
                "IPv6's loopback to a container",
                cure="publish on 127.0.0.1, or on another IPv6 address of this host",
            )


def shared(
    bindings: Iterable[PortBinding], published: Sequence[PortMapping]
) -> tuple[list[PortBinding], list[PortMapping]]:
    """The bindings that are to be published, and the mappings of those that are `published` exactly so."""
    left: list[PortBinding] = []
    found: list[PortMapping] = []
    for binding in bindings:
        mapping = _mapping(binding, binding.host_port)
        if binding.host_port == binding.host_port_end and mapping in published:
            found.append(mapping)
        else:
            left.append(binding)
    return left, found


def refuse_unshared(wanted: Iterable[PortMapping], published: Sequence[PortMapping]) -> None:
    """Raises `ConflictError` for a mapping that is not among those that the same container has already."""
    for mapping in wanted:
        if mapping not in published:
            raise _not_free(
                _named(mapping.get("hostIP", ""), mapping["hostPort"], mapping["protocol"]), _PUBLISHED
            )


def _mapping(binding: PortBinding, host_port: int) -> PortMapping:
    mapping: PortMapping = {
        "hostPort": host_port,
        "containerPort": binding.container_port,
        "protocol": binding.protocol,
    }
    return mapping | ({"hostIP": binding.host_ip} if binding.host_ip else {})


def _free_port(binding: PortBinding, taken: Sequence[PortMapping]) -> tuple[int, list[socket.socket]]:
    last = f"-{binding.host_port_end}" if binding.host_port_end > binding.host_port else ""
    wanted = _named(binding.host_ip, f"{binding.host_port}{last}", binding.protocol)
    reason = ""
    for wanted_port in _candidates(binding):
        if wanted_port and _overlaps(binding, wanted_port, taken):
            reason = _PUBLISHED
            continue
        try:
            port, held = _hold(_addresses(binding.host_ip), binding.protocol, wanted_port)
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                raise ShimError(
                    f"the shim cannot hold another host port: {error.strerror}",
                    cure="raise its limit of open files (systemd: LimitNOFILE), or publish fewer ports",
                ) from error
            reason = error.strerror or str(error)
            if error.errno == errno.EADDRNOTAVAIL:
                raise _not_free(
                    wanted, reason, "publish on an address of this host, or on all: -p HOST:CONTAINER"
                ) from error
            continue
        if wanted_port or not _overlaps(binding, port, taken):
            return port, held
        for one in held:
            one.close()
        reason = _PUBLISHED
    raise _not_free(wanted, reason)


def _not_free(
    wanted: str,
    reason: str,
    cure: str = "publish another one with -p HOST:CONTAINER, or see `cnm-cni endpoint ls` and `ss -lnp`",
) -> ConflictError:
    return ConflictError(f"host port {wanted} is not free: {reason}", cure=cure)


def _named(host_ip: str, port: int | str, protocol: str) -> str:
    """A host port as users write it."""
    place = f"[{host_ip}]" if ":" in host_ip else host_ip or "*"
    return f"{place}:{port}/{protocol}"


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


def _addresses(host_ip: str) -> Sequence[str]:
    """The addresses to hold a port on: both families when none is given, as `portmap` redirects both.

    Where the container has no IPv6 address, the IPv6 side is held in vain; it is not known yet.
    """
    return [host_ip] if host_ip else _EVERYWHERE


def _hold(addresses: Sequence[str], protocol: str, port: int) -> tuple[int, list[socket.socket]]:
    """Hold a host port on all addresses, one that the kernel chooses when `port` is 0.

    Raises `OSError` when somebody has it on one of them; then it is held on none.
    """
    if port and protocol == "sctp":  # few kernels open such a socket, so nobody can have the port
        return port, []
    held: list[socket.socket] = []
    try:
        for address in addresses:
            try:
                held.append(_bound(address, protocol, port))
            except OSError as error:
                if not held or error.errno != errno.EAFNOSUPPORT:  # a kernel without IPv6
                    raise
            port = int(held[0].getsockname()[1])
    except BaseException:
        for one in held:
            one.close()
        raise
    return port, held


def _bound(host_ip: str, protocol: str, port: int) -> socket.socket:
    """A socket that has the port and never listens, so that what `portmap` does not redirect is refused."""
    family = socket.AF_INET6 if ":" in host_ip else socket.AF_INET
    holder = socket.socket(family, socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM)
    try:
        if protocol != "udp":  # connections that have just ended are no obstacle, but another holder is
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # else the IPv4 side of the port would count
            holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        holder.bind((host_ip, port))
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except BaseException:
        holder.close()
        raise
    return holder
