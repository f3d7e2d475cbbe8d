"""Each published port gets one host port that nobody has; real sockets on the loopback decide."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from shim.errors import ConflictError
from shim.model import PortMapping
from shim.publish import port_mappings
from shim.wire.messages import PortBinding

LOOPBACK = "127.0.0.1"
NOT_OF_THIS_HOST = "192.0.2.1"  # RFC 5737: documentation only


def binding(
    host_port: int = 0, host_port_end: int = 0, *, host_ip: str = LOOPBACK, protocol: str = "tcp"
) -> PortBinding:
    return PortBinding(protocol, 80, host_ip, host_port, host_port_end or host_port)


def published(host_port: int, *, protocol: str = "tcp", host_ip: str = "") -> PortMapping:
    """The mapping of another container; without a host IP, for every address of the host."""
    mapping: PortMapping = {"hostPort": host_port, "containerPort": 1, "protocol": protocol}
    return mapping | ({"hostIP": host_ip} if host_ip else {})


def listener(family: int, kind: int, host_ip: str, port: int = 0) -> socket.socket:
    """A socket of another process of the host, as good as."""
    taken = socket.socket(family, kind)
    try:
        taken.bind((host_ip, port))
        if kind == socket.SOCK_STREAM:
            taken.listen()
    except OSError:
        taken.close()
        raise
    return taken


@pytest.fixture
def free() -> int:
    """A port that was free a moment ago, and whose two successors were too."""
    while True:
        with closing(listener(socket.AF_INET, socket.SOCK_STREAM, LOOPBACK)) as probe:
            port = int(probe.getsockname()[1])
        try:
            for wanted in range(port, port + 3):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    listener(socket.AF_INET, kind, LOOPBACK, wanted).close()
        except (OSError, OverflowError):
            continue
        return port


@pytest.fixture
def busy() -> Iterator[int]:
    """A TCP port that a process of the host listens on."""
    with closing(listener(socket.AF_INET, socket.SOCK_STREAM, LOOPBACK)) as taken:
        yield int(taken.getsockname()[1])


def test_nothing_published_is_nothing_mapped() -> None:
    assert port_mappings([], []) == []


def test_a_mapping_has_the_members_of_the_capability(free: int) -> None:
    assert port_mappings([binding(free)], []) == [
        {"hostPort": free, "containerPort": 80, "protocol": "tcp", "hostIP": LOOPBACK}
    ]


def test_every_address_of_the_host_is_said_by_leaving_the_host_ip_out(free: int) -> None:
    assert port_mappings([binding(free, host_ip="")], []) == [
        {"hostPort": free, "containerPort": 80, "protocol": "tcp"}
    ]


def test_a_host_port_of_0_is_never_passed_on() -> None:
    first, second = port_mappings([binding(), binding()], [])

    assert 0 < first["hostPort"] <= 65535
    assert first["hostPort"] != second["hostPort"]


def test_a_port_that_a_process_listens_on_is_refused_with_a_cure(busy: int) -> None:
    with pytest.raises(ConflictError) as caught:
        port_mappings([binding(busy)], [])

    assert caught.value.cause == f"host port {LOOPBACK}:{busy}/tcp is not free: Address already in use"
    assert "-p HOST:CONTAINER" in caught.value.cure


def test_a_process_on_one_address_takes_the_port_from_every_address(busy: int) -> None:
    with pytest.raises(ConflictError, match=rf"host port \*:{busy}/tcp is not free"):
        port_mappings([binding(busy, host_ip="")], [])


def test_a_udp_port_is_another_port_than_the_tcp_one(busy: int) -> None:
    listener(socket.AF_INET, socket.SOCK_DGRAM, LOOPBACK, busy).close()

    (mapping,) = port_mappings([binding(busy, protocol="udp")], [])

    assert (mapping["hostPort"], mapping["protocol"]) == (busy, "udp")


def test_a_udp_port_that_a_process_has_is_refused() -> None:
    with closing(listener(socket.AF_INET, socket.SOCK_DGRAM, LOOPBACK)) as taken:
        port = int(taken.getsockname()[1])

        with pytest.raises(ConflictError, match=f"{port}/udp is not free"):
            port_mappings([binding(port, protocol="udp")], [])


def test_an_sctp_port_needs_no_sctp_in_the_kernel(free: int) -> None:
    (mapping,) = port_mappings([binding(free, protocol="sctp")], [])

    assert (mapping["hostPort"], mapping["protocol"]) == (free, "sctp")


def test_a_connection_that_just_ended_does_not_take_its_port(free: int) -> None:
    with closing(socket.create_server((LOOPBACK, free))) as server:
        client = socket.create_connection((LOOPBACK, free))
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first waits in TIME_WAIT
        assert client.recv(1) == b""
        client.close()

    assert port_mappings([binding(free)], [])[0]["hostPort"] == free


def test_a_range_gives_the_first_free_port(free: int) -> None:
    with closing(listener(socket.AF_INET, socket.SOCK_STREAM, LOOPBACK, free)):
        others = [published(free + 1)]

        assert port_mappings([binding(free, free + 2)], others)[0]["hostPort"] == free + 2


def test_a_range_that_is_used_up_is_refused_as_a_range(free: int) -> None:
    same = binding(free, free + 1)

    with pytest.raises(ConflictError, match=f"{LOOPBACK}:{free}-{free + 1}/tcp is not free: a container"):
        port_mappings([same, same, same], [])


def test_the_same_port_published_twice_is_refused(free: int) -> None:
    with pytest.raises(ConflictError, match="a container publishes it"):
        port_mappings([binding(free), binding(free)], [])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("", ""),
        ("", LOOPBACK),
        ("", "::1"),
        ("0.0.0.0", LOOPBACK),
        (LOOPBACK, "0.0.0.0"),
        (LOOPBACK, LOOPBACK),
        ("::", "::1"),
        ("::1", "::1"),
    ],
)
def test_a_port_of_another_container_is_refused_where_the_host_ips_meet(
    free: int, one: str, other: str
) -> None:
    others = [published(free, host_ip=other)]

    with pytest.raises(ConflictError, match="a container publishes it"):
        port_mappings([binding(free, host_ip=one)], others)


@pytest.mark.parametrize(
    ("one", "other"),
    [(LOOPBACK, "127.0.0.2"), ("0.0.0.0", "::"), ("::", "0.0.0.0"), (LOOPBACK, "::1"), ("::1", "0.0.0.0")],
)
def test_a_port_can_be_shared_where_the_host_ips_do_not_meet(free: int, one: str, other: str) -> None:
    others = [published(free, host_ip=other)]

    assert port_mappings([binding(free, host_ip=one)], others)[0]["hostPort"] == free


def test_a_port_of_another_container_is_free_for_another_protocol(free: int) -> None:
    others = [published(free, protocol="udp")]

    assert port_mappings([binding(free)], others)[0]["hostPort"] == free


def test_an_ipv4_listener_does_not_take_the_ipv6_port(free: int) -> None:
    with closing(listener(socket.AF_INET, socket.SOCK_STREAM, "0.0.0.0", free)):
        assert port_mappings([binding(free, host_ip="::")], [])[0]["hostPort"] == free


@pytest.mark.parametrize("port", [0, 8080])
def test_a_host_ip_of_another_machine_is_refused(port: int) -> None:
    with pytest.raises(
        ConflictError, match=r"192\.0\.2\.1:\d+/tcp is not free: Cannot assign requested address"
    ):
        port_mappings([binding(port, host_ip=NOT_OF_THIS_HOST)], [])


def test_a_chosen_port_avoids_those_of_other_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel cannot know them: the plugins map ports without a listening socket."""
    offers = iter([5001, 5001, 5002])
    monkeypatch.setattr("shim.publish._listen", lambda _binding, _port: next(offers))
    others = [published(5001)]

    assert port_mappings([binding()], others)[0]["hostPort"] == 5002


def test_the_search_for_any_free_port_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shim.publish._listen", lambda _binding, _port: 5001)
    others = [published(5001)]

    with pytest.raises(ConflictError, match="a container publishes it"):
        port_mappings([binding()], others)


def test_the_probe_leaves_the_port_free(free: int) -> None:
    port_mappings([binding(free)], [])

    listener(socket.AF_INET, socket.SOCK_STREAM, LOOPBACK, free).close()
