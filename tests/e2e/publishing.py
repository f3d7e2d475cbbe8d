"""Published ports as others find them: servers in containers, and who asks for them from where."""

import contextlib
import errno
import json
import sys
from collections.abc import Iterator
from typing import Any

from lab.engine import Engine

HOST = "198.51.100.254"
HOST_V6 = "fd00:99::fe"
"""The room's addresses on its way to the outside."""

_OUTSIDE = """
    ip netns add outside
    ip link add out0 type veth peer name eth0 netns outside
    ip address add 198.51.100.254/24 dev out0
    ip address add fd00:99::fe/64 dev out0 nodad
    ip link set out0 up
    ip -n outside address add 198.51.100.1/24 dev eth0
    ip -n outside address add fd00:99::1/64 dev eth0 nodad
    ip -n outside link set eth0 up
"""

_SERVE = "echo served-by-$(hostname) > index.html; exec httpd -f -p [::]:80"

_LISTEN = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.socket(family, socket.SOCK_STREAM if sys.argv[3] == "tcp" else socket.SOCK_DGRAM) as server:
    if sys.argv[3] == "tcp":
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        server.bind((sys.argv[1], int(sys.argv[2])))
        if sys.argv[3] == "tcp":
            server.listen()
    except OSError as error:
        print(error.errno)
    else:
        print(0)
"""
"""What a server of the host does to listen, and how it ends."""


@contextlib.contextmanager
def outside(engine: Engine) -> Iterator[None]:
    """Another machine, which knows the way to none but the room's addresses."""
    try:
        for command in filter(None, map(str.strip, _OUTSIDE.splitlines())):
            engine.run(command.split())
        yield
    finally:
        engine.run(["ip", "link", "del", "out0"], check=False)
        engine.run(["ip", "netns", "del", "outside"], check=False)


def serve(engine: Engine, name: str, network: str, *options: str) -> None:
    """Run a container that serves a page with its name on port 80, by IPv4 and IPv6."""
    engine.docker(
        *("run", "-d", "--name", name, "--hostname", name, "--network", network, *options),
        *("busybox", "sh", "-c", _SERVE),
    )


@contextlib.contextmanager
def server(engine: Engine, port: int, address: str) -> Iterator[None]:
    """A process of the host that listens there."""
    place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    command = ["busybox", "httpd", "-f", "-p", place]
    engine.start("server", command, lambda: not can_listen(engine, port, address))
    try:
        yield
    finally:
        engine.stop("server")


def attempt(engine: Engine, *options: str) -> Any:
    """Try to run a container that ends at once."""
    return engine.docker("run", "--rm", *options, "busybox", "true", check=False)


def get(engine: Engine, place: str) -> str:
    """The page that the host finds at `place`, empty when nothing answers."""
    return engine.run(_asking(place), check=False).stdout.strip()


def get_from_outside(engine: Engine, place: str) -> str:
    """The page that another machine finds there."""
    return engine.run(["ip", "netns", "exec", "outside", *_asking(place)], check=False).stdout.strip()


def get_from_container(engine: Engine, network: str, place: str) -> str:
    """The page that another container of `network` finds there."""
    run = ("run", "--rm", "--network", network, "busybox")
    return engine.docker(*run, *_asking(place), check=False).stdout.strip()


def endpoints(engine: Engine) -> list[dict[str, Any]]:
    """What `cnm-cni endpoint ls` lists."""
    listed: list[dict[str, Any]] = json.loads(
        engine.run(engine.shim_command("endpoint", "ls", "--json")).stdout
    )
    return listed


def published(engine: Engine) -> set[tuple[int, int, str]]:
    """The ports of all endpoints: host port, container port, protocol."""
    return {
        (mapping["hostPort"], mapping["containerPort"], mapping["protocol"])
        for endpoint in endpoints(engine)
        for mapping in endpoint["portMappings"]
    }


def can_listen(engine: Engine, port: int, address: str = "0.0.0.0", protocol: str = "tcp") -> bool:
    """Whether a process of the host could have the port now."""
    command = [sys.executable, "-c", _LISTEN, address, str(port), protocol]
    number = int(engine.run(command).stdout)
    assert number in {0, errno.EADDRINUSE}
    return number == 0


def dnat_rules(engine: Engine) -> list[str]:
    """The rules by which ports are redirected, of both families."""
    return [
        line
        for command in ("iptables-save", "ip6tables-save")
        for line in engine.run([command, "--table", "nat"]).stdout.splitlines()
        if line.startswith("-A CNI-DN-")
    ]


def _asking(place: str) -> list[str]:
    return ["timeout", "3", "busybox", "wget", "-qO-", f"http://{place}/"]
