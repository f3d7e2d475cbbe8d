"""Names on CNI networks: what Docker's own DNS server in each container knows, and whom else it asks."""

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.engine import Engine

from tests.e2e.containers import (
    BRIDGE,
    BRIDGE_V4,
    BY_CNI,
    BY_DOCKER,
    BY_PLUGIN,
    FIREWALL,
    NAME,
    ROUTER,
    inside,
    inspected,
    is_newest,
    network,
    once,
    start,
)

Conflist = Callable[..., str]

_IDENTITY = ("-o", "cni.identity=docker")

_HOSTS = "192.0.2.53"
"""A DNS server that the host itself asks."""
_GIVEN = "192.0.2.54"
"""Another one, for `--dns`."""
_LOOPBACK = "127.0.0.54"
"""One that only the host can reach."""
_SERVERS = (_HOSTS, _GIVEN, _LOOPBACK, ROUTER)

_SERVE = """
import selectors, socket, sys
IP_FREEBIND = 15
ready, addresses = sys.argv[1], sys.argv[2:]
selector = selectors.DefaultSelector()
for address in addresses:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    server.bind((address, 53))
    selector.register(server, selectors.EVENT_READ, address)
open(ready, "w").close()
while True:
    for key, _ in selector.select():
        query, client = key.fileobj.recvfrom(512)
        end = query.index(0, 12) + 5
        name, kind = query[12:end - 4], query[end - 4:end - 2]
        known = name == b"\\x07outside\\x04test\\x00"
        told = [client[0], key.data] if known and kind == b"\\0\\1" else []
        code = b"\\x81\\x80" if known else b"\\x81\\x83"
        reply = query[:2] + code + b"\\0\\1" + bytes([0, len(told), 0, 0, 0, 0]) + query[12:end]
        for address in told:
            reply += b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\1\\0\\4" + socket.inet_aton(address)
        key.fileobj.sendto(reply, client)
"""
"""A DNS server that answers for `outside.test`, and for no other name, who asked and at which address."""

_ASK = "ip -o -4 address show eth0; timeout 4 nslookup outside.test 127.0.0.11"
_PING_SHORT = "cat /etc/resolv.conf; timeout 2 ping -c 1 outside"
"""Needs the search domain `test`."""


@pytest.fixture(autouse=True)
def chain(conflist: Conflist) -> None:
    """The CNI network that the Docker networks of these tests are: it has a gateway."""
    conflist(NAME, BRIDGE_V4, FIREWALL)


@pytest.fixture
def net(engine: Engine) -> str:
    """A Docker network with a gateway."""
    return network(engine, "net", *BY_PLUGIN)


@pytest.fixture(params=["no default route", "internal"])
def closed(engine: Engine, conflist: Conflist, request: pytest.FixtureRequest) -> str:
    """A Docker network without a gateway, by its conflist or by `--internal`."""
    if request.param == "internal":
        return network(engine, "closed", *BY_PLUGIN, "--internal")
    section = {key: value for key, value in BRIDGE_V4["ipam"].items() if key != "routes"}
    conflist(NAME, BRIDGE_V4 | {"ipam": section}, FIREWALL)
    return network(engine, "closed", *BY_PLUGIN)


@pytest.fixture
def servers(engine: Engine, tmp_path: Path) -> Iterator[None]:
    """The DNS servers, on the host; the host's own is the one of 192.0.2.53."""
    ready = tmp_path / "ready"
    for address in (_HOSTS, _GIVEN):
        engine.run(["ip", "address", "add", f"{address}/32", "dev", "lo"])
    try:
        engine.start("dns", [sys.executable, "-c", _SERVE, ready, *_SERVERS], ready.exists)
        with _host_asks(engine, _HOSTS):
            yield
        engine.stop("dns")
    finally:
        for address in (_HOSTS, _GIVEN):
            engine.run(["ip", "address", "del", f"{address}/32", "dev", "lo"])


# Names of containers


@pytest.mark.parametrize(
    "options",
    [BY_PLUGIN, BY_CNI, BY_DOCKER, BY_PLUGIN + _IDENTITY, BY_CNI + _IDENTITY],
    ids=["null", "cni", "docker", "null and identity", "cni and identity"],
)
def test_names_aliases_and_addresses_of_others_are_known_whoever_gives_the_addresses(
    engine: Engine, options: tuple[str, ...]
) -> None:
    net = network(engine, "net", *options)
    start(engine, "one", "--network", net, "--network-alias", "db")
    start(engine, "two", "--network", net)
    address = inspected(engine, "one", net)["IPAddress"]

    assert f"inet {address}/24 " in inside(engine, "one", "ip -4 address show eth0")
    assert _servers_in(inside(engine, "two", "cat /etc/resolv.conf")) == ["127.0.0.11"]
    for name in ("one", "db"):
        assert _addresses(inside(engine, "two", f"nslookup {name}")) == [address]
        inside(engine, "two", f"ping -c 1 {name}")
    assert "name = one.net" in inside(engine, "two", f"nslookup {address}")


def test_a_name_goes_with_its_container_and_comes_back_with_its_new_address(engine: Engine, net: str) -> None:
    start(engine, "one", "--network", net)
    start(engine, "two", "--network", net)
    engine.docker("stop", "-t", "0", "one")
    start(engine, "three", "--network", net)
    assert (
        _addresses(engine.docker("exec", "two", "timeout", "2", "nslookup", "one", check=False).stdout) == []
    )
    engine.docker("start", "one")
    address = inspected(engine, "one", net)["IPAddress"]
    assert _addresses(inside(engine, "two", "nslookup one")) == [address]
    inside(engine, "two", "ping -c 1 one")


def test_names_of_another_network_of_the_same_conflist_are_unknown(engine: Engine, net: str) -> None:
    other = network(engine, "other", *BY_PLUGIN)
    start(engine, "one", "--network", net)
    start(engine, "two", "--network", other)
    address = inspected(engine, "one", net)["IPAddress"]
    inside(engine, "two", f"ping -c 1 {address}")
    asked = engine.docker("exec", "two", "timeout", "2", "nslookup", "one", check=False)
    assert _addresses(asked.stdout) == []


def test_a_container_with_both_families_is_known_by_both(engine: Engine, conflist: Conflist) -> None:
    conflist(NAME, BRIDGE, FIREWALL)
    net = network(engine, "net", *BY_PLUGIN)
    start(engine, "one", "--network", net)
    start(engine, "two", "--network", net)
    shown = inspected(engine, "one", net)
    found = _addresses(inside(engine, "two", "nslookup one"))
    assert sorted(found) == sorted([shown["IPAddress"], shown["GlobalIPv6Address"]])
    inside(engine, "two", "ping -6 -c 1 one")


# External names on a network with a gateway


@pytest.mark.usefixtures("servers")
def test_with_a_gateway_the_hosts_server_is_asked(engine: Engine, net: str) -> None:
    own, told = _asked(engine, net)
    assert told == {_HOSTS, _HOSTS if is_newest(engine) else own}


@pytest.mark.usefixtures("servers")
def test_with_a_gateway_the_hosts_server_is_asked_from_the_host_if_only_the_host_can(
    engine: Engine, net: str
) -> None:
    with _host_asks(engine, _LOOPBACK):
        _, told = _asked(engine, net)
    assert told == {_LOOPBACK, "127.0.0.1"}


@pytest.mark.usefixtures("servers")
def test_with_a_gateway_a_server_given_by_dns_is_asked_by_the_container_itself(
    engine: Engine, net: str
) -> None:
    own, told = _asked(engine, net, "--dns", _GIVEN)
    assert told == {_GIVEN, own}


# External names without a gateway


@pytest.mark.usefixtures("servers")
def test_without_a_gateway_nobody_is_asked_whom_the_container_cannot_reach(
    engine: Engine, closed: str
) -> None:
    for options in ((), ("--dns", _GIVEN)):
        _, told = _asked(engine, closed, *options)
        assert told == set()


@pytest.mark.usefixtures("servers")
def test_without_a_gateway_an_old_engine_asks_the_hosts_loopback_and_the_newest_does_not(
    engine: Engine, closed: str
) -> None:
    with _host_asks(engine, _LOOPBACK):
        _, told = _asked(engine, closed)
    assert told == (set() if is_newest(engine) else {_LOOPBACK, "127.0.0.1"})


@pytest.mark.usefixtures("servers")
def test_without_a_gateway_a_server_on_the_network_itself_is_asked(engine: Engine, closed: str) -> None:
    own, told = _asked(engine, closed, "--dns", ROUTER)
    assert told == {ROUTER, own}


@pytest.mark.usefixtures("servers")
def test_a_second_network_with_a_gateway_opens_the_way_to_external_names(engine: Engine, closed: str) -> None:
    start(engine, "one", "--network", closed)
    engine.docker("network", "connect", "bridge", "one")
    assert _HOSTS in _addresses(inside(engine, "one", "nslookup outside.test 127.0.0.11"))


# What a conflist says


@pytest.mark.parametrize("options", [BY_PLUGIN, BY_CNI], ids=["null", "cni"])
@pytest.mark.usefixtures("servers")
def test_the_dns_of_a_conflist_reaches_the_container_by_flags_alone_and_the_log_says_which(
    engine: Engine, conflist: Conflist, options: tuple[str, ...]
) -> None:
    dns = {"nameservers": [_GIVEN], "domain": "domain.example", "search": ["test"], "options": ["ndots:7"]}
    conflist(NAME, BRIDGE_V4 | {"dns": dns}, FIREWALL)
    net = network(engine, "net", *options)
    logged = len(_warnings(engine))

    _, told = _asked(engine, net)
    assert _GIVEN not in told
    (warning,) = _warnings(engine)[logged:]
    (flags,) = re.findall(r"DNS of the conflist \(.*; cure: (.*)\)$", warning)

    shown = once(engine, "--network", net, command=_PING_SHORT, check=False)
    assert _servers_in(shown) == ["127.0.0.11"]
    for word in ("domain.example", "test", "ndots:7"):
        assert not re.search(rf"^(search|domain|options) .*\b{word}\b", shown, re.MULTILINE)
    assert "PING" not in shown

    shown = once(engine, "--network", net, *flags.split(), command=_PING_SHORT, check=False)
    assert re.search(r"^search domain\.example test$", shown, re.MULTILINE)
    assert re.search(r"^options .*\bndots:7\b", shown, re.MULTILINE)
    assert "PING outside (" in shown
    own, told = _asked(engine, net, *flags.split())
    assert told == {_GIVEN, own}


@pytest.mark.usefixtures("net")
def test_a_conflist_without_dns_is_not_spoken_of(engine: Engine) -> None:
    logged = len(_warnings(engine))
    once(engine, "--network", "net")
    assert _warnings(engine)[logged:] == []


@contextlib.contextmanager
def _host_asks(engine: Engine, address: str) -> Iterator[None]:
    """Let the engine's `/etc/resolv.conf` name that server.

    It may be a link to a file of the machine, so it is put aside and not written to.
    """
    file = Path(f"/proc/{engine.dockerd.pid}/root/etc/resolv.conf")
    kept = file.with_name(f"resolv.conf.before.{address}")
    file.rename(kept)
    try:
        file.write_text(f"nameserver {address}\n")
        yield
    finally:
        kept.replace(file)


def _asked(engine: Engine, net: str, *options: str) -> tuple[str, set[str]]:
    """A new container's address, and what it is told for `outside.test`: who asked, and which server."""
    shown = once(engine, "--network", net, *options, command=_ASK, check=False)
    (own,) = re.findall(r"inet (\S+)/", shown)
    return own, set(_addresses(shown))


def _addresses(shown: str) -> list[str]:
    """The addresses that `nslookup` found."""
    return re.findall(r"^Address: (\S+)$", shown, re.MULTILINE)


def _servers_in(shown: str) -> list[str]:
    return re.findall(r"^nameserver (\S+)$", shown, re.MULTILINE)


def _warnings(engine: Engine) -> list[str]:
    """What the shim has said that the engine does not carry over."""
    return [line for line in engine.shim_log.read_text().splitlines() if "does not carry over" in line]
