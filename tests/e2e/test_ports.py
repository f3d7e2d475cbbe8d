"""Published ports, carried out by the chain's portmap plugin: whose they are, and for how long.

What becomes of each form of `--publish` is in `test_flags_of_publishing.py`.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.daemon import accepts
from lab.engine import Engine

from tests.e2e.publishing import (
    HOST,
    HOST_V6,
    attempt,
    can_listen,
    dnat_rules,
    endpoints,
    get,
    get_from_outside,
    outside,
    published,
    serve,
    server,
)

Conflist = Callable[..., str]
Eventually = Callable[..., None]
Make = Callable[[str, str], str]

_SUBNET = "10.89.0.0/24"
"""That of the conflist `cni-bridge`."""
_NULL = ("--ipam-driver", "null", "-o", "cni.network=cni-bridge")
_CNI = ("--ipam-driver", "cni", "--ipam-opt", "cni.network=cni-bridge", "--subnet", _SUBNET)
_DOCKER = ("-o", "cni.ipam=docker", "-o", "cni.network=cni-bridge", "--subnet", _SUBNET)


@pytest.fixture(autouse=True)
def another_machine(engine: Engine) -> Iterator[None]:
    with outside(engine):
        yield


@pytest.fixture
def second(conflist: Conflist, make: Make) -> str:
    """Another Docker network whose chain publishes ports."""
    routes = [{"dst": "0.0.0.0/0"}]
    subnet = {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]], "routes": routes}
    conflist(
        "second",
        {"type": "bridge", "bridge": "test0", "isGateway": True, "ipMasq": True, "ipam": subnet},
        {"type": "portmap", "capabilities": {"portMappings": True}},
        {"type": "firewall"},
    )
    return make("second", "second")


# Every way to a port


@pytest.mark.parametrize("ipam", [_NULL, _CNI, _DOCKER], ids=["null", "cni", "docker"])
def test_ports_are_published_whoever_chooses_the_address(
    engine: Engine, eventually: Eventually, ipam: tuple[str, ...]
) -> None:
    engine.docker("network", "create", "-d", "cni", *ipam, "net")
    serve(engine, "one", "net", "-p", "8080:80")
    eventually(lambda: get_from_outside(engine, f"{HOST}:8080") == "served-by-one")
    assert get(engine, "127.0.0.1:8080") == "served-by-one"


def test_ports_are_published_when_add_waits_for_join(engine: Engine, eventually: Eventually) -> None:
    engine.docker("network", "create", "-d", "cni", *_NULL, "-o", "cni.identity=docker", "net")
    serve(engine, "one", "net", "-p", "8080:80")
    eventually(lambda: get_from_outside(engine, f"{HOST}:8080") == "served-by-one")


def test_a_container_that_is_connected_later_gets_its_ports_then(
    engine: Engine, web: str, eventually: Eventually
) -> None:
    serve(engine, "one", "none", "-p", "8080:80")
    assert get(engine, f"{HOST}:8080") == ""
    engine.docker("network", "disconnect", "none", "one")
    engine.docker("network", "connect", web, "one")
    eventually(lambda: get_from_outside(engine, f"{HOST}:8080") == "served-by-one")


def test_one_host_port_is_two_for_tcp_and_udp(engine: Engine, web: str, eventually: Eventually) -> None:
    serve(engine, "one", web, "-p", "8080:80/udp")
    serve(engine, "two", web, "-p", "8080:80")
    eventually(lambda: get(engine, f"{HOST}:8080") == "served-by-two")
    assert published(engine) == {(8080, 80, "tcp"), (8080, 80, "udp")}


def test_one_host_port_is_two_on_two_host_ips(engine: Engine, web: str, eventually: Eventually) -> None:
    serve(engine, "one", web, "-p", f"{HOST}:8080:80")
    serve(engine, "two", web, "-p", "127.0.0.1:8080:80")
    eventually(lambda: get(engine, f"{HOST}:8080") == "served-by-one")
    eventually(lambda: get(engine, "127.0.0.1:8080") == "served-by-two")


def test_what_is_not_published_on_the_loopback_of_ipv6_is_refused_at_once(
    engine: Engine, make: Make, eventually: Eventually
) -> None:
    """A client of `localhost` tries IPv6 first, and would wait for an answer for minutes."""
    serve(engine, "one", make("dual", "cni-dual"), "-p", "8080:80")
    eventually(lambda: get(engine, f"[{HOST_V6}]:8080") == "served-by-one")
    asked = engine.run(["busybox", "wget", "-qO-", "http://[::1]:8080/"], check=False, timeout=10)
    assert "Connection refused" in asked.stderr


# Whose a port is


def test_a_chosen_port_is_reserved_until_its_container_is_gone(
    engine: Engine, web: str, eventually: Eventually, start_shim: Callable[..., None]
) -> None:
    """Also after a restart of the shim, which holds the ports."""
    serve(engine, "one", web, "-p", "80")
    ((port, _, _),) = published(engine)
    _assert_reserved(engine, port, web)
    engine.stop_shim()
    start_shim()
    _assert_reserved(engine, port, web)
    assert get_from_outside(engine, f"{HOST}:{port}") == "served-by-one"
    engine.docker("rm", "-f", "one")
    eventually(lambda: published(engine) == set())
    for address in ("0.0.0.0", "::"):
        assert can_listen(engine, port, address)
    serve(engine, "two", web, "-p", f"{port}:80")
    eventually(lambda: get(engine, f"{HOST}:{port}") == "served-by-two")


def test_a_udp_port_is_reserved(engine: Engine, web: str) -> None:
    serve(engine, "one", web, "-p", "9000:9000/udp")
    assert not can_listen(engine, 9000, protocol="udp")
    assert can_listen(engine, 9000, protocol="tcp")


def test_a_port_of_one_address_is_free_on_others(engine: Engine, web: str) -> None:
    serve(engine, "one", web, "-p", f"{HOST}:8080:80")
    assert not can_listen(engine, 8080, HOST)
    assert can_listen(engine, 8080, "127.0.0.1")
    assert can_listen(engine, 8080, "::")


def test_a_process_that_has_only_the_ipv6_side_keeps_it(
    engine: Engine, make: Make, eventually: Eventually
) -> None:
    dual = make("dual", "cni-dual")
    with server(engine, 8080, HOST_V6):
        refused = attempt(engine, "--network", dual, "-p", "8080:80")
        assert "host port *:8080/tcp is not free: Address already in use" in refused.stderr
        serve(engine, "one", dual, "-p", "0.0.0.0:8080:80")
        eventually(lambda: get(engine, f"{HOST}:8080") == "served-by-one")


def test_a_port_that_a_process_took_while_the_shim_was_away_is_told(
    engine: Engine, web: str, eventually: Eventually, start_shim: Callable[..., None]
) -> None:
    serve(engine, "one", web, "-p", "8080:80")
    eventually(lambda: get(engine, f"{HOST}:8080") == "served-by-one")
    engine.stop_shim()
    with server(engine, 8080, "127.0.0.1"):
        start_shim()
        assert get_from_outside(engine, f"{HOST}:8080") == "served-by-one"
        assert "host port 0.0.0.0:8080/tcp of endpoint" in engine.shim_log.read_text()
        assert not can_listen(engine, 8080, "::")


# Containers on several networks


def test_a_container_on_two_cni_networks_publishes_its_ports_once(
    engine: Engine, web: str, second: str, eventually: Eventually
) -> None:
    serve(engine, "one", web, "-p", "8080:80", "-p", "8081:80")
    engine.docker("network", "connect", second, "one")
    for _ in range(3):  # engines before 28 take the networks in any order
        eventually(lambda: get_from_outside(engine, f"{HOST}:8080") == "served-by-one")
        assert get(engine, "127.0.0.1:8081") == "served-by-one"
        assert sorted(len(endpoint["portMappings"]) for endpoint in endpoints(engine)) == [0, 2]
        assert not can_listen(engine, 8080)
        engine.docker("restart", "-t", "0", "one")


def test_ports_go_with_the_network_that_publishes_them_until_the_next_start(
    engine: Engine, web: str, second: str, eventually: Eventually
) -> None:
    serve(engine, "one", web, "-p", "8080:80")
    engine.docker("network", "connect", second, "one")
    engine.docker("network", "disconnect", web, "one")
    assert published(engine) == set()
    assert can_listen(engine, 8080)
    engine.docker("restart", "-t", "0", "one")
    eventually(lambda: get_from_outside(engine, f"{HOST}:8080") == "served-by-one")


def test_a_port_of_a_container_on_another_network_is_refused(
    engine: Engine, web: str, second: str, eventually: Eventually
) -> None:
    serve(engine, "one", web, "-p", "8080:80")
    refused = attempt(engine, "--network", second, "-p", "8080:80")
    assert refused.returncode == 125
    assert "host port *:8080/tcp is not free: a container publishes it" in refused.stderr
    eventually(lambda: get(engine, f"{HOST}:8080") == "served-by-one")
    assert [endpoint["network"]["name"] for endpoint in endpoints(engine)] == ["web"]


def test_every_network_of_a_container_with_ports_must_be_able_to_publish(
    engine: Engine, web: str, conflist: Conflist, make: Make
) -> None:
    """Which of them comes first at the next start is the engine's choice."""
    subnet = {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]]}
    conflist("closed", {"type": "bridge", "bridge": "test0", "ipam": subnet})
    serve(engine, "one", web, "-p", "8080:80")
    refused = engine.docker("network", "connect", make("net", "closed"), "one", check=False)
    assert refused.returncode != 0
    assert "network closed: no plugin of the chain can publish ports (-p)" in refused.stderr


@pytest.mark.parametrize("bridge", ["a-bridge", "z-bridge"])
def test_a_container_on_dockers_bridge_as_well_is_reached_whoever_publishes(
    engine: Engine, web: str, eventually: Eventually, bridge: str
) -> None:
    """The engine passes the ports to both; its own bridge takes them when it has the default route."""
    engine.docker("network", "create", bridge)
    serve(engine, "one", web, "-p", "8080:80")
    engine.docker("network", "connect", bridge, "one")
    for _ in range(3):
        for ask in (get, get_from_outside):
            eventually(lambda ask=ask: ask(engine, f"{HOST}:8080") == "served-by-one")
        assert get(engine, "127.0.0.1:8080") == "served-by-one"
        assert not can_listen(engine, 8080)
        engine.docker("restart", "-t", "0", "one")


def test_ports_that_dockers_bridge_gives_back_are_reserved_again(
    engine: Engine, web: str, eventually: Eventually
) -> None:
    engine.docker("network", "create", "a-bridge")
    serve(engine, "one", web, "-p", "8080:80")
    engine.docker("network", "connect", "a-bridge", "one")
    assert "0.0.0.0:8080" in engine.docker("port", "one").stdout
    engine.docker("network", "disconnect", "a-bridge", "one")
    assert not can_listen(engine, 8080)
    eventually(lambda: get_from_outside(engine, f"{HOST}:8080") == "served-by-one")


@pytest.mark.parametrize("bridge", ["a-bridge", "z-bridge"])
def test_ports_that_dockers_bridge_publishes_stay_with_it(
    engine: Engine, web: str, eventually: Eventually, bridge: str
) -> None:
    """The default route too: the engine would take the ports away with it."""
    engine.docker("network", "create", bridge)
    serve(engine, "one", bridge, "-p", "8080:80")
    engine.docker("network", "connect", web, "one")
    eventually(lambda: get_from_outside(engine, f"{HOST}:8080") == "served-by-one")
    assert "0.0.0.0:8080" in engine.docker("port", "one").stdout
    assert published(engine) == set()
    assert dnat_rules(engine) == []


# Many


def test_two_hundred_ports_work_and_leave_no_file_open(
    engine: Engine, web: str, eventually: Eventually, start_shim: Callable[..., None]
) -> None:
    """Each takes two files: the shim raises its own limit as far as it may."""
    _start_shim_with_open_files(engine, "256:4096")
    try:
        serve(engine, "first", web)
        engine.docker("rm", "-f", "first")
        before = _open_files(engine)
        engine.docker(
            *("run", "-d", "--name", "one", "--network", web, "-p", "20000-20199:20000-20199", "busybox"),
            *("sh", "-c"),
            "echo served > index.html; for port in 20000 20100 20199; do httpd -p $port; done; sleep 600",
        )
        assert _open_files(engine) >= before + 400
        for port in (20000, 20100, 20199):
            eventually(lambda port=port: get_from_outside(engine, f"{HOST}:{port}") == "served")
        assert not can_listen(engine, 20150)
        engine.docker("rm", "-f", "one")
        eventually(lambda: _open_files(engine) <= before)
    finally:
        engine.stop_shim()
        start_shim()


def test_more_ports_than_the_shim_may_have_open_files_are_refused(
    engine: Engine, web: str, eventually: Eventually, start_shim: Callable[..., None]
) -> None:
    _start_shim_with_open_files(engine, "256:256")
    try:
        refused = attempt(engine, "--network", web, "-p", "20000-20199:20000-20199")
        assert refused.returncode == 125
        assert "the shim cannot hold another host port: Too many open files" in refused.stderr
        assert "LimitNOFILE" in refused.stderr
        assert can_listen(engine, 20000)
        serve(engine, "one", web, "-p", "20000:80")
        eventually(lambda: get(engine, f"{HOST}:20000") == "served-by-one")
        engine.docker("rm", "-f", "one")
    finally:
        engine.stop_shim()
        start_shim()


def test_endpoint_show_tells_the_mappings_in_cnis_shape(engine: Engine, web: str) -> None:
    serve(engine, "one", web, "-p", "127.0.0.1:8080:80/tcp")
    (endpoint,) = endpoints(engine)
    command = engine.shim_command("endpoint", "show", endpoint["id"][:6], "--json")
    shown = json.loads(engine.run(command).stdout)
    assert shown["portMappings"] == [
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"}
    ]


def _assert_reserved(engine: Engine, port: int, network: str) -> None:
    """Nobody else gets the port: no process, no container on Docker's own bridge, none on a CNI network."""
    for address in ("0.0.0.0", "127.0.0.1", HOST, "::", HOST_V6):
        assert not can_listen(engine, port, address)
    by_docker = attempt(engine, "-p", f"{port}:80")
    assert by_docker.returncode == 125
    assert "address already in use" in by_docker.stderr
    by_cni = attempt(engine, "--network", network, "-p", f"{port}:80")
    assert f"host port *:{port}/tcp is not free: a container publishes it" in by_cni.stderr


def _start_shim_with_open_files(engine: Engine, limits: str) -> None:
    """Restart the shim with these limits of open files, the soft and the hard one."""
    engine.stop_shim()
    serve_command = engine.shim_command("serve", "--config", str(engine.folder / "config.yaml"))
    socket = engine.path("/run/docker/plugins/cni.sock")
    engine.start("shim", ["prlimit", f"--nofile={limits}", "--", *serve_command], lambda: accepts(socket))


def _open_files(engine: Engine) -> int:
    return len(list(Path(f"/proc/{engine.shim.pid}/fd").iterdir()))
