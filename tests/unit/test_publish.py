"""Each published port gets one host port that nobody has; real sockets on the loopback decide."""

import errno
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

import pytest

from shim.errors import ConflictError, InvalidRequestError, ShimError
from shim.model import EndpointID, PortMapping
from shim.publish import HostPorts, refuse_unreachable, refuse_unshared, shared
from shim.wire.messages import PortBinding

LOOPBACK = "127.0.0.1"
ENDPOINT, OTHER = EndpointID("e" * 64), EndpointID("d" * 64)
NOT_OF_THIS_HOST = "192.0.2.1"  # RFC 5737: documentation only


def binding(
    host_port: int = 0, host_port_end: int = 0, *, host_ip: str = LOOPBACK, protocol: str = "tcp"
) -> PortBinding:
    return PortBinding(protocol, 80, host_ip, host_port, host_port_end or host_port)


def port_mappings(bindings: Sequence[PortBinding], taken: Iterable[PortMapping]) -> list[PortMapping]:
    """The mappings of one endpoint, whose ports are let go of at once."""
    ports = HostPorts()
    try:
        return ports.take(ENDPOINT, bindings, taken)
    finally:
        ports.close()


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
                    listener(socket.AF_INET6, kind, "::1", wanted).close()
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
    """The kernel cannot know them where another engine's shim holds them, or nobody does."""
    sockets = [socket.socket() for _ in range(3)]
    offers = iter([(port, [one]) for port, one in zip([5001, 5001, 5002], sockets, strict=True)])
    monkeypatch.setattr("shim.publish._hold", lambda *_: next(offers))
    ports = HostPorts()

    (mapping,) = ports.take(ENDPOINT, [binding()], [published(5001)])

    assert mapping["hostPort"] == 5002
    assert [one.fileno() < 0 for one in sockets] == [True, True, False]
    ports.close()


def test_the_search_for_any_free_port_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shim.publish._hold", lambda *_: (5001, []))
    others = [published(5001)]

    with pytest.raises(ConflictError, match="a container publishes it"):
        port_mappings([binding()], others)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_a_shim_that_may_open_no_more_files_says_so(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def exhausted(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("shim.publish._hold", exhausted)

    with pytest.raises(ShimError) as caught:
        port_mappings([binding(8080, 8090)], [])

    assert str(caught.value) == (
        f"the shim cannot hold another host port: {os.strerror(number)} "
        "(raise its limit of open files (systemd: LimitNOFILE), or publish fewer ports)"
    )


# Holding


def can_have(port: int, host_ip: str = LOOPBACK, kind: int = socket.SOCK_STREAM) -> bool:
    """Whether a server, as servers are written, could have the port now."""
    family = socket.AF_INET6 if ":" in host_ip else socket.AF_INET
    with socket.socket(family, kind) as server:
        if kind == socket.SOCK_STREAM:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            server.bind((host_ip, port))
            if kind == socket.SOCK_STREAM:
                server.listen()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        return True


@pytest.mark.parametrize(
    ("protocol", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)], ids=["tcp", "udp"]
)
@pytest.mark.parametrize(
    ("host_ip", "refused", "allowed"),
    [
        ("", ["0.0.0.0", LOOPBACK, "::", "::1"], []),
        (LOOPBACK, ["0.0.0.0", LOOPBACK], ["127.0.0.2", "::", "::1"]),
        ("0.0.0.0", ["0.0.0.0", LOOPBACK], ["::", "::1"]),
        ("::", ["::", "::1"], ["0.0.0.0", LOOPBACK]),
        ("::1", ["::", "::1"], ["0.0.0.0", LOOPBACK]),
    ],
    ids=["everywhere", "one address", "IPv4", "IPv6", "one IPv6 address"],
)
def test_a_published_port_is_held_on_its_addresses_until_it_is_released(  # noqa: PLR0917 - fixtures
    ports: HostPorts,
    free: int,
    protocol: str,
    kind: int,
    host_ip: str,
    refused: list[str],
    allowed: list[str],
) -> None:
    ports.take(ENDPOINT, [binding(free, host_ip=host_ip, protocol=protocol)], [])

    assert [can_have(free, address, kind) for address in refused] == [False] * len(refused)
    assert [can_have(free, address, kind) for address in allowed] == [True] * len(allowed)

    ports.release(ENDPOINT)
    assert [can_have(free, address, kind) for address in refused] == [True] * len(refused)


def test_a_held_port_refuses_connections_that_are_not_redirected(ports: HostPorts, free: int) -> None:
    ports.take(ENDPOINT, [binding(free)], [])

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, free))


def test_a_process_on_an_ipv6_address_takes_the_port_from_every_address(ports: HostPorts, free: int) -> None:
    with (
        closing(listener(socket.AF_INET6, socket.SOCK_STREAM, "::1", free)),
        pytest.raises(ConflictError, match=rf"host port \*:{free}/tcp is not free: Address already in use"),
    ):
        ports.take(ENDPOINT, [binding(free, host_ip="")], [])

    assert can_have(free)


def test_a_port_that_the_kernel_chooses_is_free_on_both_families(ports: HostPorts) -> None:
    (mapping,) = ports.take(ENDPOINT, [binding(host_ip="")], [])

    assert [can_have(mapping["hostPort"], address) for address in (LOOPBACK, "::1")] == [False, False]


def test_a_port_that_a_server_listens_on_is_refused_although_it_would_share_it(free: int) -> None:
    with closing(socket.create_server((LOOPBACK, free))), pytest.raises(ConflictError):
        port_mappings([binding(free)], [])


def test_a_port_that_another_endpoint_holds_is_refused_whatever_the_journal_says(
    ports: HostPorts, free: int
) -> None:
    ports.take(OTHER, [binding(free)], [])

    with pytest.raises(ConflictError, match="Address already in use"):
        ports.take(ENDPOINT, [binding(free)], [])


def test_of_ports_that_are_not_all_free_none_is_held(ports: HostPorts, free: int, busy: int) -> None:
    with pytest.raises(ConflictError):
        ports.take(ENDPOINT, [binding(free), binding(busy)], [])

    assert can_have(free)


def test_an_endpoint_that_asks_again_lets_go_of_what_it_had(ports: HostPorts, free: int) -> None:
    ports.take(ENDPOINT, [binding(free), binding(free + 1)], [])

    ports.take(ENDPOINT, [binding(free)], [])

    assert (can_have(free), can_have(free + 1)) == (False, True)


def test_releasing_lets_go_of_one_endpoint_and_closing_of_all(ports: HostPorts, free: int) -> None:
    ports.take(ENDPOINT, [binding(free)], [])
    ports.take(OTHER, [binding(free + 1)], [])

    for _ in range(2):
        ports.release(ENDPOINT)
    assert (can_have(free), can_have(free + 1)) == (True, False)
    ports.close()

    assert can_have(free + 1)


def test_ports_are_held_again_after_a_restart(ports: HostPorts, free: int) -> None:
    mappings = [published(free, host_ip=LOOPBACK), published(free, protocol="sctp"), published(free + 1)]

    ports.retake(ENDPOINT, mappings)

    assert [can_have(free), can_have(free + 1), can_have(free + 1, "::1")] == [False] * 3
    ports.release(ENDPOINT)
    assert can_have(free)


def test_a_port_that_a_process_took_meanwhile_is_named_and_the_others_are_held(
    ports: HostPorts, free: int, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(listener(socket.AF_INET, socket.SOCK_STREAM, LOOPBACK, free)):
        ports.retake(ENDPOINT, [published(free), published(free + 1)])

    assert not can_have(free + 1)
    assert not can_have(free, "::1")
    assert caplog.messages == [
        f"host port 0.0.0.0:{free}/tcp of endpoint eeeeeeeeeeee cannot be held: Address already in use"
    ]


def test_ports_that_are_held_already_are_not_taken_twice(
    ports: HostPorts, free: int, caplog: pytest.LogCaptureFixture
) -> None:
    mappings = ports.take(ENDPOINT, [binding(free)], [])

    ports.retake(ENDPOINT, mappings)

    assert caplog.messages == []
    ports.release(ENDPOINT)
    assert can_have(free)


# Addresses that the container has


@pytest.mark.parametrize(
    ("host_ip", "addresses"),
    [
        ("", []),
        (LOOPBACK, ["10.1.0.5/16"]),
        ("0.0.0.0", ["fd00::5/64", "10.1.0.5/16"]),
        ("::", ["fd00::5/64"]),
        ("fd00::1", ["10.1.0.5/16", "fd00::5/64"]),
    ],
)
def test_a_port_can_be_published_on_an_address_of_the_containers_family(
    host_ip: str, addresses: list[str]
) -> None:
    refuse_unreachable([published(8080, host_ip=host_ip)], addresses, "web")


@pytest.mark.parametrize(
    ("host_ip", "addresses", "version"),
    [
        (LOOPBACK, ["fd00::5/64"], 4),
        ("::1", ["10.1.0.5/16"], 6),
        ("::", ["10.1.0.5/16"], 6),
        ("0.0.0.0", [], 4),
    ],
)
def test_a_port_on_an_address_of_another_family_is_refused(
    host_ip: str, addresses: list[str], version: int
) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        refuse_unreachable([published(8080), published(8080, host_ip=host_ip)], addresses, "web")

    assert str(refusal.value) == (
        f"network web: -p on {host_ip} cannot be honoured, the container has no IPv{version} address "
        "(publish on an address of its family, or on all: -p HOST:CONTAINER)"
    )


def test_a_port_on_the_loopback_of_ipv6_is_refused_since_nothing_leads_from_there() -> None:
    with pytest.raises(
        InvalidRequestError, match=r"^network web: -p on ::1 cannot be honoured, the kernel routes"
    ):
        refuse_unreachable([published(8080, host_ip="::1")], ["fd00::5/64"], "web")


# Several networks of one container


def test_a_port_that_is_published_exactly_so_is_shared() -> None:
    same, other = binding(8080), binding(8081)
    mine = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": LOOPBACK}

    assert shared([same, other], [mine, published(8081)]) == ([other], [mine])


@pytest.mark.parametrize(
    "one", [binding(8080, 8090), binding(0), binding(8080, host_ip=""), binding(8080, protocol="udp")]
)
def test_a_port_that_is_published_otherwise_is_not_shared(one: PortBinding) -> None:
    mine = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": LOOPBACK}

    assert shared([one], [mine]) == ([one], [])


def test_a_port_that_was_left_to_another_container_is_refused() -> None:
    refuse_unshared([published(8080)], [published(8081), published(8080)])
    for left, place in (
        (published(8080, host_ip="fd00::1"), r"\[fd00::1\]:8080"),
        (published(8080), r"\*:8080"),
    ):
        with pytest.raises(
            ConflictError, match=rf"^host port {place}/tcp is not free: a container publishes it"
        ):
            refuse_unshared([left], [published(8081)])
