"""What becomes of `docker run --publish` and its kin: a table of their own, by effect."""

import json
import re
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from lab.engine import Engine

from tests.e2e.flags import RUN, Verdict, flag, honoured, impossible, refused
from tests.e2e.publishing import (
    HOST,
    HOST_V6,
    attempt,
    dnat_rules,
    endpoints,
    get,
    get_from_container,
    get_from_outside,
    outside,
    published,
    serve,
    server,
)

Conflist = Callable[..., str]
Eventually = Callable[..., None]
Make = Callable[[str, str], str]

_NOWHERE = "192.0.2.77"
"""An address of no machine."""

_ECHO = """
import socket, sys
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
    server.bind(("::", int(sys.argv[1])))
    while True:
        datagram, client = server.recvfrom(100)
        server.sendto(b"back: " + datagram, client)
"""

_ASK_UDP = """
import socket, sys
with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(1)
    client.connect((sys.argv[1], int(sys.argv[2])))
    client.send(b"ping")
    try:
        print(client.recv(100).decode())
    except OSError:
        pass
"""

_SEND_SCTP = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP) as sender:
    sender.sendto(bytes.fromhex(sys.argv[2]), (sys.argv[1], 0))
"""


@pytest.fixture(autouse=True)
def another_machine(engine: Engine) -> Iterator[None]:
    with outside(engine):
        yield


@pytest.fixture
def dual(make: Make) -> str:
    """A Docker network with IPv4 and IPv6, whose chain publishes ports."""
    return make("dual", "cni-dual")


@flag(RUN, "--publish HOST:CONTAINER", honoured("on each IPv4 and IPv6 address of the host but `::1`"))
def test_a_port_is_published_on_every_address(engine: Engine, dual: str, eventually: Eventually) -> None:
    serve(engine, "one", dual, "-p", "8080:80")
    for host_ip in ("127.0.0.1", HOST, f"[{HOST_V6}]", "localhost"):
        eventually(lambda host_ip=host_ip: get(engine, f"{host_ip}:8080") == "served-by-one")
    for host_ip in (HOST, f"[{HOST_V6}]"):
        assert get_from_outside(engine, f"{host_ip}:8080") == "served-by-one"
        assert get_from_container(engine, dual, f"{host_ip}:8080") == "served-by-one"
        assert get_from_container(engine, "bridge", f"{HOST}:8080") == "served-by-one"


@flag(RUN, "--publish IP:HOST:CONTAINER", honoured("on that address alone"))
def test_a_host_ip_limits_the_port_to_it(engine: Engine, dual: str, eventually: Eventually) -> None:
    serve(engine, "one", dual, "-p", f"{HOST}:8080:80")
    eventually(lambda: get_from_outside(engine, f"{HOST}:8080") == "served-by-one")
    assert get(engine, f"{HOST}:8080") == "served-by-one"
    assert get(engine, "127.0.0.1:8080") == ""
    assert get_from_outside(engine, f"[{HOST_V6}]:8080") == ""


@flag(RUN, "--publish 127.0.0.1:HOST:CONTAINER", honoured("for this host alone"))
def test_a_port_of_the_loopback_is_for_this_host_alone(
    engine: Engine, dual: str, eventually: Eventually
) -> None:
    serve(engine, "one", dual, "-p", "127.0.0.1:8080:80")
    eventually(lambda: get(engine, "127.0.0.1:8080") == "served-by-one")
    assert get(engine, f"{HOST}:8080") == ""
    assert get_from_outside(engine, f"{HOST}:8080") == ""


@flag(RUN, "--publish 0.0.0.0:HOST:CONTAINER", honoured("on each IPv4 address of the host, and none of IPv6"))
def test_the_unspecified_ipv4_address_is_all_of_ipv4(
    engine: Engine, dual: str, eventually: Eventually
) -> None:
    serve(engine, "one", dual, "-p", "0.0.0.0:8080:80")
    eventually(lambda: get_from_outside(engine, f"{HOST}:8080") == "served-by-one")
    assert get(engine, "127.0.0.1:8080") == "served-by-one"
    assert get(engine, f"[{HOST_V6}]:8080") == ""


@flag(RUN, "--publish [IPv6]:HOST:CONTAINER", honoured("on that address alone"))
def test_an_ipv6_host_ip_limits_the_port_to_it(engine: Engine, dual: str, eventually: Eventually) -> None:
    serve(engine, "one", dual, "-p", f"[{HOST_V6}]:8080:80")
    eventually(lambda: get_from_outside(engine, f"[{HOST_V6}]:8080") == "served-by-one")
    assert get(engine, f"[{HOST_V6}]:8080") == "served-by-one"
    assert get_from_outside(engine, f"{HOST}:8080") == ""


@flag(
    RUN, "--publish [::]:HOST:CONTAINER", honoured("on each IPv6 address of the host but `::1`, none of IPv4")
)
def test_the_unspecified_ipv6_address_is_all_of_ipv6(
    engine: Engine, dual: str, eventually: Eventually
) -> None:
    serve(engine, "one", dual, "-p", "[::]:8080:80")
    eventually(lambda: get_from_outside(engine, f"[{HOST_V6}]:8080") == "served-by-one")
    assert get(engine, f"{HOST}:8080") == ""
    assert get(engine, "127.0.0.1:8080") == ""


@flag(
    RUN,
    "--publish [::1]:HOST:CONTAINER",
    refused(
        "network cni-dual: -p on ::1 cannot be honoured, the kernel routes nothing from IPv6's loopback to a "
        "container"
    ),
)
def test_the_loopback_of_ipv6_is_refused(engine: Engine, dual: str, verdict: Verdict) -> None:
    verdict.refuses(attempt(engine, "--network", dual, "-p", "[::1]:8080:80"))
    assert dnat_rules(engine) == []


@flag(
    RUN,
    "--publish [IPv6]:HOST:CONTAINER to a container without IPv6",
    refused(f"network cni-bridge: -p on {HOST_V6} cannot be honoured, the container has no IPv6 address"),
)
def test_a_host_ip_of_a_family_the_container_lacks_is_refused(
    engine: Engine, web: str, verdict: Verdict
) -> None:
    verdict.refuses(attempt(engine, "--network", web, "-p", f"[{HOST_V6}]:8080:80"))
    assert dnat_rules(engine) == []


@flag(
    RUN,
    "--publish IP:HOST:CONTAINER with an IP of no link",
    refused(f"host port {_NOWHERE}:8080/tcp is not free: Cannot assign requested address"),
)
def test_a_host_ip_of_another_machine_is_refused(engine: Engine, web: str, verdict: Verdict) -> None:
    run = attempt(engine, "--network", web, "-p", f"{_NOWHERE}:8080:80")
    verdict.refuses(run)
    assert "publish on an address of this host" in run.stderr


@flag(
    RUN,
    "--publish CONTAINER",
    honoured("on a free port that the shim chooses: `cnm-cni endpoint ls` tells it, docker cannot"),
)
def test_a_port_without_a_number_gets_a_free_one(engine: Engine, dual: str, eventually: Eventually) -> None:
    serve(engine, "one", dual, "-p", "80")
    ((port, container_port, protocol),) = published(engine)
    assert (container_port, protocol) == (80, "tcp")
    eventually(lambda: get_from_outside(engine, f"{HOST}:{port}") == "served-by-one")
    assert get(engine, f"[{HOST_V6}]:{port}") == "served-by-one"
    listed = engine.run(engine.shim_command("endpoint", "ls")).stdout
    assert re.findall(r" (\d+)->80/tcp", listed) == [str(port)]
    (endpoint,) = endpoints(engine)
    shown = json.loads(engine.run(engine.shim_command("endpoint", "show", endpoint["id"], "--json")).stdout)
    assert shown["portMappings"] == [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]
    assert engine.docker("port", "one").stdout == ""


@flag(RUN, "--publish IP::CONTAINER", honoured("on a free port of that address"))
def test_a_free_port_of_one_address(engine: Engine, web: str, eventually: Eventually) -> None:
    serve(engine, "one", web, "-p", f"{HOST}::80")
    ((port, _, _),) = published(engine)
    eventually(lambda: get_from_outside(engine, f"{HOST}:{port}") == "served-by-one")
    assert get(engine, f"127.0.0.1:{port}") == ""


@flag(RUN, "--publish RANGE:RANGE", honoured("port by port"))
def test_a_range_publishes_port_by_port(engine: Engine, web: str, eventually: Eventually) -> None:
    engine.docker(
        *("run", "-d", "--name", "one", "--network", web, "-p", "8080-8082:80-82", "busybox", "sh", "-c"),
        "for port in 80 81 82; do mkdir $port; echo $port > $port/index.html; httpd -h $port -p $port; done;"
        " exec sleep 600",
    )
    eventually(lambda: [get(engine, f"{HOST}:{port}") for port in (8080, 8081, 8082)] == ["80", "81", "82"])
    assert published(engine) == {(8080, 80, "tcp"), (8081, 81, "tcp"), (8082, 82, "tcp")}


@flag(RUN, "--publish RANGE:CONTAINER", honoured("on the first free port of the range"))
def test_a_range_for_one_port_takes_the_first_free_one(
    engine: Engine, web: str, eventually: Eventually
) -> None:
    engine.docker("run", "-d", "-p", "8080:80", "busybox", "sleep", "600")  # on Docker's own bridge
    serve(engine, "one", web, "-p", "8080-8082:80")
    serve(engine, "two", web, "-p", "8080-8082:80")
    eventually(lambda: get(engine, "127.0.0.1:8081") == "served-by-one")
    eventually(lambda: get(engine, "127.0.0.1:8082") == "served-by-two")


@flag(
    RUN,
    "--publish RANGE:CONTAINER used up",
    refused("host port *:8080-8081/tcp is not free: a container publishes it"),
)
def test_a_range_that_is_used_up_is_refused(engine: Engine, web: str, verdict: Verdict) -> None:
    range_ = [word for port in (80, 81, 82) for word in ("-p", f"8080-8081:{port}")]
    verdict.refuses(attempt(engine, "--network", web, *range_))
    assert published(engine) == set()
    assert dnat_rules(engine) == []
    serve(engine, "one", web, "-p", "8080-8081:80", "-p", "8080-8081:81")  # all that were tried are free


@flag(RUN, "--publish HOST:CONTAINER/udp", honoured("datagrams reach the container, and answers the client"))
def test_a_udp_port_is_published_in_both_directions(
    engine: Engine, dual: str, eventually: Eventually
) -> None:
    serve(engine, "one", dual, "-p", "9000:9001/udp")
    process = engine.docker("inspect", "one", "--format", "{{.State.Pid}}").stdout.strip()
    in_container = ["nsenter", "--target", process, "--net"]
    engine.start("echo", [*in_container, sys.executable, "-c", _ECHO, "9001"], lambda: True)
    try:
        for host_ip in ("127.0.0.1", HOST, HOST_V6):
            ask = [sys.executable, "-c", _ASK_UDP, host_ip, "9000"]
            eventually(lambda ask=ask: engine.run(ask).stdout == "back: ping\n")
        for host_ip in (HOST, HOST_V6):
            ask = ["ip", "netns", "exec", "outside", sys.executable, "-c", _ASK_UDP, host_ip, "9000"]
            assert engine.run(ask).stdout == "back: ping\n"
    finally:
        engine.stop("echo")


@flag(
    RUN, "--publish HOST:CONTAINER/sctp", honoured("packets reach the container; the kernels must know SCTP")
)
def test_an_sctp_port_is_published_where_the_kernel_follows_sctp(engine: Engine, web: str) -> None:
    """Kernels without SCTP sockets count it as of a protocol that nobody speaks."""
    serve(engine, "one", web, "-p", "9000:9001/sctp")
    before = _packets_of_unknown_protocols(engine, "one")
    outsider = ["ip", "netns", "exec", "outside", sys.executable, "-c", _SEND_SCTP]
    engine.run([*outsider, HOST, _sctp_init(9000).hex()])
    assert _packets_of_unknown_protocols(engine, "one") == before + 1
    engine.run([*outsider, HOST, _sctp_init(9002).hex()])
    assert _packets_of_unknown_protocols(engine, "one") == before + 1


@flag(RUN, "--publish-all", honoured("each exposed port on a free one, which `cnm-cni endpoint ls` tells"))
def test_publish_all_publishes_what_is_exposed(engine: Engine, web: str, eventually: Eventually) -> None:
    serve(engine, "one", web, "-P", "--expose", "80", "--expose", "90-91/udp")
    ports = {(container, protocol): host for host, container, protocol in published(engine)}
    assert set(ports) == {(80, "tcp"), (90, "udp"), (91, "udp")}
    eventually(lambda: get_from_outside(engine, f"{HOST}:{ports[80, 'tcp']}") == "served-by-one")
    assert engine.docker("port", "one").stdout == ""


@flag(RUN, "--expose PORT", honoured("names the port for `--publish-all`, and publishes nothing"))
def test_an_exposed_port_is_not_published(engine: Engine, web: str, eventually: Eventually) -> None:
    serve(engine, "one", web, "--expose", "80")
    eventually(lambda: get_from_container(engine, web, "one") == "served-by-one")
    assert published(engine) == set()
    assert dnat_rules(engine) == []


@flag(
    RUN,
    "--publish HOST:CONTAINER taken by a container",
    refused("host port *:8080/tcp is not free: a container publishes it"),
)
def test_a_port_of_another_container_is_refused(engine: Engine, web: str, verdict: Verdict) -> None:
    serve(engine, "one", web, "-p", "8080:80")
    verdict.refuses(attempt(engine, "--network", web, "-p", "8080:81"))
    assert get(engine, "127.0.0.1:8080") == "served-by-one"


@flag(
    RUN,
    "--publish HOST:CONTAINER taken by a process",
    refused("host port *:8080/tcp is not free: Address already in use"),
)
def test_a_port_of_a_process_is_refused(engine: Engine, web: str, verdict: Verdict) -> None:
    with server(engine, 8080, HOST):
        verdict.refuses(attempt(engine, "--network", web, "-p", "8080:80"))
        assert dnat_rules(engine) == []


@flag(
    RUN,
    "--publish HOST:CONTAINER without portmap",
    refused("network closed: no plugin of the chain can publish ports (-p)"),
)
def test_a_chain_that_cannot_publish_refuses(
    engine: Engine, conflist: Conflist, make: Make, verdict: Verdict
) -> None:
    conflist("closed", _bridge("test0", "10.77.0.0/24"))
    run = attempt(engine, "--network", make("net", "closed"), "-p", "8080:80")
    verdict.refuses(run)
    assert 'add {"type": "portmap", "capabilities": {"portMappings": true}} to its conflist' in run.stderr


@flag(
    RUN,
    "--publish HOST:CONTAINER on an internal network",
    impossible("the engine tells drivers no ports of internal networks; none is published, none reserved"),
)
def test_nothing_is_published_on_an_internal_network(engine: Engine, eventually: Eventually) -> None:
    create = ("network", "create", "-d", "cni", "--ipam-driver", "null", "--internal")
    engine.docker(*create, "-o", "cni.network=cni-bridge", "closed")
    serve(engine, "one", "closed", "-p", "8080:80")
    eventually(lambda: get_from_container(engine, "closed", "one") == "served-by-one")
    assert published(engine) == set()
    assert dnat_rules(engine) == []
    assert get(engine, f"{HOST}:8080") == ""


def _bridge(name: str, subnet: str) -> Mapping[str, Any]:
    return {
        "type": "bridge",
        "bridge": name,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]]},
    }


def _packets_of_unknown_protocols(engine: Engine, container: str) -> int:
    names, values = re.findall(
        r"^Ip: (.*)$", engine.docker("exec", container, "cat", "/proc/net/snmp").stdout, re.MULTILINE
    )
    return int(dict(zip(names.split(), values.split(), strict=True))["InUnknownProtos"])


def _sctp_init(port: int) -> bytes:
    """A packet that opens an association. Source: RFC 9260, sections 3.1 and 3.3.2."""
    init = struct.pack("!BBHIIHHI", 1, 0, 20, 1, 65536, 1, 1, 1)
    head = struct.pack("!HHI", 50000, port, 0)
    checksum = _crc32c(head + bytes(4) + init)
    return head + struct.pack("<I", checksum) + init


def _crc32c(data: bytes) -> int:
    """The checksum of SCTP. Source: RFC 9260, appendix A."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
