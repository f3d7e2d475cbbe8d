"""`docker run -p`, carried out by the chain's portmap plugin."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab.engine import Engine

Conflist = Callable[..., str]
Eventually = Callable[[Callable[[], bool]], None]
Make = Callable[[str, str], str]

_ADDRESS = "192.0.2.1"
"""An address of the room that is not a loopback one."""

_SERVE = "echo served-by-$(hostname) > index.html; exec httpd -f -p {port}"

_SEND_UDP = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.sendto(b"ping", (sys.argv[1], int(sys.argv[2])))
"""


@pytest.fixture(autouse=True)
def host_address(engine: Engine) -> Iterator[None]:
    """The room has an address that others could reach."""
    engine.run(["ip", "address", "add", f"{_ADDRESS}/32", "dev", "lo"])
    yield
    engine.run(["ip", "address", "del", f"{_ADDRESS}/32", "dev", "lo"])


@pytest.mark.parametrize("address", ["127.0.0.1", _ADDRESS])
def test_a_published_port_reaches_the_container(
    engine: Engine, web: str, eventually: Eventually, address: str
) -> None:
    _serve(engine, "one", web, "-p", "8080:80")
    eventually(lambda: _get(engine, f"{address}:8080") == "served-by-one")


def test_a_published_port_reaches_the_container_from_another_one(
    engine: Engine, web: str, eventually: Eventually
) -> None:
    _serve(engine, "one", web, "-p", "8080:80")
    ask = ["run", "--rm", "--network", web, "busybox", "wget", "-qO-", f"http://{_ADDRESS}:8080/"]
    eventually(lambda: "served-by-one" in engine.docker(*ask, check=False).stdout)


def test_a_host_address_limits_the_port_to_it(engine: Engine, web: str, eventually: Eventually) -> None:
    _serve(engine, "one", web, "-p", f"{_ADDRESS}:8080:80")
    eventually(lambda: _get(engine, f"{_ADDRESS}:8080") == "served-by-one")
    assert _get(engine, "127.0.0.1:8080") == ""


def test_a_range_publishes_port_by_port(engine: Engine, web: str, eventually: Eventually) -> None:
    engine.docker(
        *("run", "-d", "--name", "one", "--network", web, "-p", "8080-8082:80-82", "busybox", "sh", "-c"),
        "echo served > index.html; httpd -p 80; httpd -p 81; httpd -f -p 82",
    )
    places = [f"127.0.0.1:{port}" for port in (8080, 8081, 8082)]
    eventually(lambda: {_get(engine, place) for place in places} == {"served"})
    assert _published(engine) == {(8080, 80, "tcp"), (8081, 81, "tcp"), (8082, 82, "tcp")}


def test_a_udp_port_reaches_the_container(engine: Engine, web: str) -> None:
    _serve(engine, "one", web, "-p", "9000:9001/udp")
    refused = _refused_datagrams(engine, "one")
    engine.run([sys.executable, "-c", _SEND_UDP, _ADDRESS, "9000"])
    assert _refused_datagrams(engine, "one") == refused + 1


def test_a_range_of_host_ports_for_one_port_takes_a_free_one(engine: Engine, web: str) -> None:
    for name in ("one", "two"):
        _serve(engine, name, web, "-p", "8080-8085:80")
    assert {container for _, container, _ in _published(engine)} == {80}
    assert len({host for host, _, _ in _published(engine)} & set(range(8080, 8086))) == 2


def test_a_port_without_a_number_gets_one_that_endpoint_ls_shows(
    engine: Engine, web: str, eventually: Eventually
) -> None:
    _serve(engine, "one", web, "-p", "80")
    listed = engine.run(engine.shim_command("endpoint", "ls")).stdout
    (port,) = re.findall(r" (\d+)->80/tcp", listed)
    eventually(lambda: _get(engine, f"127.0.0.1:{port}") == "served-by-one")


def test_a_port_that_a_container_has_is_refused_to_another(engine: Engine, web: str) -> None:
    _serve(engine, "one", web, "-p", "8080:80")
    refused = engine.docker("run", "--rm", "--network", web, "-p", "8080:80", "busybox", "true", check=False)
    assert refused.returncode == 125
    assert "host port *:8080/tcp is not free: a container publishes it" in refused.stderr


def test_a_port_that_a_process_of_the_host_has_is_refused(engine: Engine, web: str) -> None:
    engine.docker("run", "-d", "-p", "8080:80", "busybox", "sleep", "600")  # held by docker-proxy
    refused = engine.docker("run", "--rm", "--network", web, "-p", "8080:80", "busybox", "true", check=False)
    assert refused.returncode == 125
    assert "host port *:8080/tcp is not free: Address already in use" in refused.stderr


def test_a_port_is_free_again_when_its_container_is_gone(
    engine: Engine, web: str, eventually: Eventually
) -> None:
    _serve(engine, "one", web, "-p", "8080:80")
    engine.docker("rm", "-f", "one")
    eventually(lambda: _published(engine) == set())
    _serve(engine, "two", web, "-p", "8080:80")
    eventually(lambda: _get(engine, "127.0.0.1:8080") == "served-by-two")


def test_a_chain_that_cannot_publish_refuses_and_says_what_to_add(
    engine: Engine, conflist: Conflist, make: Make
) -> None:
    subnet = {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]]}
    conflist("closed", {"type": "bridge", "bridge": "test0", "ipam": subnet})
    make("net", "closed")
    refused = engine.docker(
        "run", "--rm", "--network", "net", "-p", "8080:80", "busybox", "true", check=False
    )
    assert refused.returncode == 125
    assert "network closed: -p cannot be honoured" in refused.stderr
    assert '{"type": "portmap", "capabilities": {"portMappings": true}}' in refused.stderr


def test_endpoint_show_tells_the_mappings_in_cnis_shape(engine: Engine, web: str) -> None:
    _serve(engine, "one", web, "-p", "127.0.0.1:8080:80/tcp")
    (endpoint,) = _endpoints(engine)
    command = engine.shim_command("endpoint", "show", endpoint["id"][:6], "--json")
    shown = json.loads(engine.run(command).stdout)
    assert shown["portMappings"] == [
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"}
    ]


def _serve(engine: Engine, name: str, network: str, *options: str) -> None:
    engine.docker(
        *("run", "-d", "--name", name, "--hostname", name, "--network", network, *options),
        *("busybox", "sh", "-c", _SERVE.format(port=80)),
    )


def _get(engine: Engine, place: str) -> str:
    """The page at `place`, empty when nothing answers."""
    return engine.run(["busybox", "wget", "-qO-", f"http://{place}/"], check=False).stdout.strip()


def _refused_datagrams(engine: Engine, container: str) -> int:
    """How many datagrams came for a port where nothing listens; no applet of busybox listens for any."""
    names, values = re.findall(
        r"^Udp: (.*)$", engine.docker("exec", container, "cat", "/proc/net/snmp").stdout, re.MULTILINE
    )
    return int(dict(zip(names.split(), values.split(), strict=True))["NoPorts"])


def _endpoints(engine: Engine) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(
        engine.run(engine.shim_command("endpoint", "ls", "--json")).stdout
    )
    return listed


def _published(engine: Engine) -> set[tuple[int, int, str]]:
    return {
        (mapping["hostPort"], mapping["containerPort"], mapping["protocol"])
        for endpoint in _endpoints(engine)
        for mapping in endpoint["portMappings"]
    }
