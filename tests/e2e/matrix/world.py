"""What is around the containers of the matrix: another machine, its LAN, and what single chains need."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.daemon import accepts
from lab.engine import Engine

from tests import dhcp
from tests.e2e.matrix.cells import BRIDGE
from tests.e2e.publishing import HOST, HOST_V6, outside

OUTSIDE, OUTSIDE_V6 = "198.51.100.1", "fd00:99::1"
"""The other machine. It sends what it knows no other way for to the room."""

LAN_LINK = "lan0"
"""The room's link on a LAN with the other machine."""
LAN, LAN_ROUTER = "10.62.0.0/24", "10.62.0.1"

GIFT, GIFT_MAC = "gift0", "02:00:00:00:00:90"
"""A link of the room's that can be given to a container; the other machine is at its other end."""
GIFT_ROUTER = "10.63.0.1"

DHCP_SERVER, DHCP_DAEMON = "dhcp server", "dhcp daemon"
"""What runs in the room, by these names."""
DHCP_SOCKET = Path("/run/dhcp.sock")
DHCP_ROUTER = "10.113.0.1"
"""The other machine, as its DHCP server says."""
RENEWAL = 2
"""Seconds after which a client has to renew its lease."""

_MACHINE = f"""
    ip -n outside route add default via {HOST}
    ip -n outside route add default via {HOST_V6}
    ip link add {LAN_LINK} type veth peer name lan netns outside
    ip link set {LAN_LINK} up
    ip -n outside address add {LAN_ROUTER}/24 dev lan
    ip -n outside address add {DHCP_ROUTER}/24 dev lan
    ip -n outside link set lan up
"""
_GIVING = f"""
    ip link add {GIFT} address {GIFT_MAC} type veth peer name giver netns outside
    ip -n outside address add {GIFT_ROUTER}/24 dev giver
    ip -n outside link set giver up
"""
_BRIDGING = f"""
    ip link add {BRIDGE} type bridge
    ip address add 10.61.0.1/24 dev {BRIDGE}
    ip address add 10.61.0.9/24 dev {BRIDGE}
    ip address add 10.61.1.1/24 dev {BRIDGE}
    ip address add fd00:61::1/64 dev {BRIDGE} nodad
    ip address add fd00:62::1/64 dev {BRIDGE} nodad
    ip link set {BRIDGE} up
"""
_WHO = "#!/bin/sh\necho\necho $REMOTE_ADDR\n"


@dataclass(frozen=True, slots=True)
class World:
    """A room with the other machine, and the plugins that the shim runs."""

    engine: Engine
    plugin_path: Path

    @contextmanager
    def namespace(self, name: str) -> Iterator[None]:
        """A network namespace of that name."""
        self.engine.run(["ip", "netns", "add", name])
        try:
            yield
        finally:
            self.engine.run(["ip", "netns", "del", name])


@contextmanager
def other_machine(engine: Engine) -> Iterator[None]:
    """It serves a page that tells callers their address, and a megabyte."""
    folder = engine.folder / "www"
    (folder / "cgi-bin").mkdir(parents=True)
    (folder / "megabyte").write_bytes(bytes(1 << 20))
    (folder / "cgi-bin" / "who").write_text(_WHO)
    (folder / "cgi-bin" / "who").chmod(0o755)
    with outside(engine):
        _do(engine, _MACHINE)
        serve = ["busybox", "httpd", "-f", "-p", "[::]:80", "-h", str(folder)]
        answers = ["busybox", "wget", "-qO-", f"http://{OUTSIDE}/cgi-bin/who"]
        engine.start(
            "machine",
            ["ip", "netns", "exec", "outside", *serve],
            lambda: engine.run(answers, check=False).returncode == 0,
        )
        try:
            yield
        finally:
            engine.stop("machine")
            engine.run(["ip", "link", "del", LAN_LINK])
            engine.run(["rm", "-r", str(folder)])


@contextmanager
def gift(world: World) -> Iterator[None]:
    """The link that can be given away."""
    _do(world.engine, _GIVING)
    try:
        yield
    finally:
        world.engine.run(["ip", "-n", "outside", "link", "del", "giver"])


@contextmanager
def bridge(world: World) -> Iterator[None]:
    """A bridge with the addresses of several gateways, which the bridge plugin cannot give it."""
    _do(world.engine, _BRIDGING)
    yield  # it is removed with the bridges of plugins


@contextmanager
def dhcp_server(world: World) -> Iterator[None]:
    """A DHCP server on the LAN, whose clients soon have to renew, and the dhcp plugin's daemon."""
    engine = world.engine
    folder = dhcp_folder(engine)
    folder.mkdir()
    for name in (DHCP_SERVER, DHCP_DAEMON):
        engine.log(name).unlink(missing_ok=True)  # it tells of this cell only
    server = dhcp.server(folder, "lan", renewal=RENEWAL)
    engine.start(DHCP_SERVER, ["ip", "netns", "exec", "outside", *server], (folder / "pid").exists)
    engine.start(
        DHCP_DAEMON,
        dhcp.daemon(world.plugin_path, DHCP_SOCKET),
        lambda: accepts(engine.path(str(DHCP_SOCKET))),
    )
    try:
        yield
    finally:
        engine.kill(DHCP_DAEMON)  # it takes its time to stop
        engine.stop(DHCP_SERVER)
        engine.run(["rm", "-rf", str(folder), str(DHCP_SOCKET)])


def dhcp_folder(engine: Engine) -> Path:
    """Where the DHCP server has its files."""
    return engine.folder / "dhcp"


def _do(engine: Engine, commands: str) -> None:
    for command in filter(None, map(str.strip, commands.splitlines())):
        engine.run(command.split())
