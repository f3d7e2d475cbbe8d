"""What the properties of a chain's work come down to: conditions, each true or false of a cell."""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests import dhcp
from tests.e2e.matrix.cells import BRIDGE, HOST_PORT, Cell
from tests.e2e.matrix.world import DHCP_SERVER, GIFT, OUTSIDE, RENEWAL, dhcp_folder
from tests.e2e.publishing import get, get_from_outside

Condition = Callable[[Cell], bool]

NEIGHBOUR = "10.61.0.99"

_NEIGHBOUR = f"""
ip netns add neighbour
ip link add near0 type veth peer name eth0 netns neighbour
ip link set near0 master {BRIDGE} up
ip -n neighbour address add {NEIGHBOUR}/24 dev eth0
ip -n neighbour link set eth0 up
"""
_NO_NEIGHBOUR = "ip link del near0; ip netns del neighbour"

_ASK = """
import sys
from http.client import HTTPConnection
connection = HTTPConnection(sys.argv[2], 80, timeout=5, source_address=(sys.argv[1], 0))
connection.request("GET", "/cgi-bin/who")
print(connection.getresponse().read().decode())
"""
"""Programs that fetch pages do not let one choose the address to call from."""

_TRIES = 3
"""Pings until it is plain that nobody answers: the first ones may be lost while addresses are settled."""

_MEGABYTE = 8 * (1 << 20)
"""In bits."""


# Seen by the first process


def seen(pattern: str) -> Condition:
    """A line that it saw."""
    return lambda cell: re.search(f"^ *{pattern}", cell.look, re.MULTILINE) is not None


def unseen(pattern: str) -> Condition:
    """A line that it did not see."""
    return lambda cell: not seen(pattern)(cell)


def flagged(bit: int) -> Condition:
    """A flag of the link, as in the kernel's `if.h`."""

    def holds(cell: Cell) -> bool:
        flags = re.search(r"^flags = (\w+)$", cell.look, re.MULTILINE)
        return flags is not None and bool(int(flags[1], 16) & bit)

    return holds


def sysctl(key: str, value: str) -> Condition:
    """A kernel parameter, with `/` between its words."""
    return seen(f"/proc/sys/{key}:{value}$")


# Told to the engine


def told(**settings: str) -> Condition:
    """What `docker inspect` says of the container on the network."""
    return lambda cell: settings.items() <= cell.told.items()


def told_mac(cell: Cell) -> bool:
    """The MAC address that `docker inspect` says is the one that the container has."""
    return seen(f"address = {cell.told['MacAddress'] or 'none'}$")(cell)


# As it is in the container, a little later


def link(**members: Any) -> Condition:
    """What `ip -details` says of the link."""
    return lambda cell: members.items() <= cell.link().items()


def kind(name: str, **data: Any) -> Condition:
    """The kind of the link, and what belongs to that."""

    def holds(cell: Cell) -> bool:
        info = cell.link().get("linkinfo", {})
        found: Mapping[str, Any] = info.get("info_data", {})
        return bool(info.get("info_kind") == name) and data.items() <= found.items()

    return holds


# Reached


def pings(address: str, *, source: str = "") -> Condition:
    """The container reaches the address."""

    def holds(cell: Cell) -> bool:
        command = ["busybox", "ping", "-c", "1", "-W", "1", *(["-I", source] if source else []), address]
        return any(cell.inside(*command).returncode == 0 for _ in range(_TRIES))

    return holds


def is_pinged(address: str) -> Condition:
    """The other machine reaches the container there."""
    return lambda cell: cell.outside("busybox", "ping", "-c", "1", "-W", "1", address).returncode == 0


def appears_as(address: str, *, source: str, to: str = OUTSIDE) -> Condition:
    """The other machine sees this address when the container calls from `source`."""
    ask = [sys.executable, "-c", _ASK, source, to]
    return lambda cell: cell.inside(*ask).stdout.strip() in {f"[{address}]", f"[::ffff:{address}]"}


def reaches_neighbour(cell: Cell) -> bool:
    """The container reaches another one on the bridge."""
    cell.engine.run(["sh", "-ec", _NEIGHBOUR])
    try:
        return pings(NEIGHBOUR)(cell)
    finally:
        cell.engine.run(["sh", "-c", _NO_NEIGHBOUR])


def serves_outside(host: str) -> Condition:
    """The published port answers the other machine."""
    place = f"[{host}]:{HOST_PORT}" if ":" in host else f"{host}:{HOST_PORT}"
    return lambda cell: get_from_outside(cell.engine, place) == "served"


def serves_host(cell: Cell) -> bool:
    """The published port answers the room itself."""
    return get(cell.engine, f"127.0.0.1:{HOST_PORT}") == "served"


def serves_itself(host: str) -> Condition:
    """The published port answers the container that published it."""
    ask = ["timeout", "3", "busybox", "wget", "-qO-", f"http://{host}:{HOST_PORT}/"]
    return lambda cell: cell.inside(*ask).stdout.strip() == "served"


def receives_at(rate: int) -> Condition:
    """A megabyte takes its time to come in, at that many bits per second."""
    fetch = ["timeout", "4", "busybox", "wget", "-qO", "/dev/null", f"http://{OUTSIDE}/megabyte"]
    return lambda cell: _takes_its_time(lambda: cell.inside(*fetch).returncode, rate)


def sends_at(rate: int, address: str) -> Condition:
    """A megabyte takes its time to come out, at that many bits per second."""
    fetch = ["timeout", "4", "busybox", "wget", "-qO", "/dev/null", f"http://{address}/megabyte"]
    return lambda cell: _takes_its_time(lambda: cell.engine.run(fetch, check=False).returncode, rate)


def _takes_its_time(fetch: Callable[[], int], rate: int) -> bool:
    """Coarsely: a tenth may pass at once, and no machine is so slow that it takes five times as long."""
    start = time.monotonic()
    status = fetch()
    seconds = time.monotonic() - start
    return status == 0 and 0.8 * _MEGABYTE / rate < seconds < 5 * _MEGABYTE / rate


# On the host


def host_end(**members: Any) -> Condition:
    """What `bridge -details` says of the host's end of the link."""

    def holds(cell: Cell) -> bool:
        (shown,) = _json(cell, "bridge", "-json", "-details", "link", "show", "dev", cell.host_end())
        return members.items() <= shown.items()

    return holds


def host_end_shapes(cell: Cell) -> bool:
    """A queueing discipline that limits is on the host's end of the link, and on that of its mirror."""
    name = cell.host_end()
    limiting = {item["dev"] for item in _json(cell, "tc", "-json", "qdisc") if item["kind"] in _LIMITING}
    redirects = cell.engine.run(["tc", "filter", "show", "dev", name, "ingress"]).stdout
    mirror = re.search(r"to device (\w+)\)", redirects)
    return mirror is not None and limiting == {name, mirror[1]}


_LIMITING = {"tbf", "htb"}
"""What the plugins of 1.1.1 and of the newest set use."""


def bridge_link(flag: str) -> Condition:
    """A flag of the bridge."""
    return lambda cell: flag in _json(cell, "ip", "-json", "link", "show", BRIDGE)[0]["flags"]


def host_route(address: str) -> Condition:
    """The host has a route to the address by the link's end."""
    show = ["ip", "-json", "route", "show", address]
    return lambda cell: [item["dev"] for item in _json(cell, *show)] == [cell.host_end()]


def host_lacks_gift(cell: Cell) -> bool:
    """The link that was given away is not the host's any more."""
    return cell.engine.run(["ip", "link", "show", GIFT], check=False).returncode != 0


def _json(cell: Cell, *command: str) -> list[Mapping[str, Any]]:
    shown: list[Mapping[str, Any]] = json.loads(cell.engine.run(command).stdout)
    return shown


# In time, and after the end


def leased(cell: Cell) -> bool:
    """The address is the one that the DHCP server gave, and the engine knows it."""
    address = _given(cell)[0]
    return seen(rf"inet {address}/24 ")(cell) and told(IPAddress=address)(cell)


def lease_renewed(cell: Cell) -> bool:
    """The DHCP server is asked for the same address again in time."""
    before, deadline = len(_given(cell)), time.monotonic() + RENEWAL + 1
    while len(_given(cell)) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    return len(_given(cell)) > before and len(set(_given(cell))) == 1


def lease_released(cell: Cell) -> bool:
    """The DHCP server was told that the address is free, long before the lease's end."""
    folder = dhcp_folder(cell.engine)
    os.kill(cell.engine.daemon(DHCP_SERVER).pid, signal.SIGUSR1)
    deadline = time.monotonic() + 1
    while not dhcp.leases(folder).stat().st_size and time.monotonic() < deadline:
        time.sleep(0.05)
    dumped = cell.engine.run(["busybox", "dumpleases", "-f", str(dhcp.leases(folder))]).stdout
    return "expired" in dumped


def _given(cell: Cell) -> list[str]:
    """The addresses that the DHCP server has acknowledged."""
    return re.findall(r"sending ACK to (\S+)", cell.engine.log(DHCP_SERVER).read_text())


def passes_check(cell: Cell) -> bool:
    """Every plugin of the chain finds what it made; on old engines that takes a moment."""
    words = ["endpoint", "check", "--all", "--config", str(cell.engine.shim_config)]
    for _ in range(_TRIES):
        if cell.engine.run(cell.engine.shim_command(*words), check=False).returncode == 0:
            return True
        time.sleep(0.2)
    return False


def leaves_nothing(cell: Cell) -> bool:
    """No link, rule, lease, namespace or record of it is left."""
    return cell.leaks() == []
