"""`docker run`, stop, start, restart, kill, rm, and networks connected and disconnected."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from lab.engine import Engine

Eventually = Callable[[Callable[[], bool]], None]
Make = Callable[[str, str], str]


def test_a_foreground_run_sees_its_address_and_default_route(engine: Engine, web: str) -> None:
    shown = engine.docker("run", "--rm", "--network", web, "busybox", "sh", "-c", "ip -4 a; ip route").stdout
    (gateway,) = re.findall(r"default via (\S+) dev eth0", shown)
    assert f"inet {gateway.rpartition('.')[0]}." in shown


def test_inspect_shows_address_mac_and_gateway_as_they_are_in_the_container(engine: Engine, web: str) -> None:
    _run(engine, "one", web)
    shown = _settings(engine, "one", web)
    addresses = engine.docker("exec", "one", "ip", "-4", "address", "show", "eth0").stdout
    assert f"inet {shown['IPAddress']}/{shown['IPPrefixLen']} " in addresses
    assert shown["MacAddress"] in engine.docker("exec", "one", "ip", "link", "show", "eth0").stdout
    assert f"default via {shown['Gateway']} " in engine.docker("exec", "one", "ip", "route").stdout


def test_containers_reach_each_other_by_name_and_alias(engine: Engine, web: str) -> None:
    engine.docker(
        *(
            "run",
            "-d",
            "--name",
            "server",
            "--network",
            web,
            "--network-alias",
            "db",
            "busybox",
            "sleep",
            "600",
        )
    )
    for name in ("server", "db"):
        engine.docker("run", "--rm", "--network", web, "busybox", "ping", "-c", "1", name)


def test_the_outside_is_reached_through_masquerade(engine: Engine, web: str) -> None:
    engine.run(["ip", "address", "add", "192.0.2.1/32", "dev", "lo"])
    try:
        engine.docker("run", "--rm", "--network", web, "busybox", "ping", "-c", "1", "192.0.2.1")
    finally:
        engine.run(["ip", "address", "del", "192.0.2.1/32", "dev", "lo"])


def test_stop_gives_everything_back_and_start_attaches_anew(
    engine: Engine, web: str, eventually: Eventually
) -> None:
    _run(engine, "one", web)
    engine.docker("stop", "-t", "0", "one")
    eventually(lambda: _endpoints(engine) == [])
    engine.docker("start", "one")
    assert _settings(engine, "one", web)["IPAddress"] in engine.docker("exec", "one", "ip", "-4", "a").stdout


@pytest.mark.parametrize("command", [["restart", "-t", "0"], ["kill"], ["rm", "-f"]])
def test_each_way_to_end_a_container_gives_its_endpoint_back(
    engine: Engine, web: str, eventually: Eventually, command: list[str]
) -> None:
    _run(engine, "one", web)
    (before,) = _endpoints(engine)
    engine.docker(*command, "one")
    eventually(lambda: before not in _endpoints(engine))
    assert len(_endpoints(engine)) == (1 if "restart" in command else 0)


def test_a_restart_policy_attaches_the_container_again(
    engine: Engine, web: str, eventually: Eventually
) -> None:
    _run(engine, "one", web, "--restart", "always")
    (first,) = _endpoints(engine)
    engine.run(["kill", "-KILL", engine.docker("inspect", "-f", "{{.State.Pid}}", "one").stdout.strip()])
    eventually(lambda: _endpoints(engine) not in ([first], []))
    eventually(
        lambda: engine.docker("exec", "one", "ip", "link", "show", "eth0", check=False).returncode == 0
    )


def test_a_process_that_fails_gives_its_status_and_leaves_nothing(engine: Engine, web: str) -> None:
    assert (
        engine.docker(
            "run", "--rm", "--network", web, "busybox", "sh", "-c", "exit 7", check=False
        ).returncode
        == 7
    )


def test_a_command_that_cannot_start_leaves_nothing(engine: Engine, web: str, eventually: Eventually) -> None:
    failed = engine.docker("run", "--rm", "--network", web, "busybox", "/no/such/file", check=False)
    assert failed.returncode == 127
    eventually(lambda: _endpoints(engine) == [])


def test_a_container_on_a_cni_network_and_on_dockers_bridge_reaches_both(engine: Engine, web: str) -> None:
    _run(engine, "one", web)
    _run(engine, "two", "bridge")
    engine.docker("network", "connect", "bridge", "one")
    links = engine.docker("exec", "one", "ip", "-o", "link").stdout
    assert set(re.findall(r"\d+: (eth\d)", links)) == {"eth0", "eth1"}
    two = _settings(engine, "two", "bridge")["IPAddress"]
    engine.docker("exec", "one", "ping", "-c", "1", two)
    engine.docker("run", "--rm", "--network", web, "busybox", "ping", "-c", "1", "one")


def test_a_container_on_two_cni_networks_has_a_link_on_each(engine: Engine, web: str, make: Make) -> None:
    make("other", "cni-ptp")
    engine.docker("create", "--name", "one", "--network", web, "busybox", "sleep", "600")
    engine.docker("network", "connect", "other", "one")
    engine.docker("start", "one")
    shown = engine.docker("exec", "one", "ip", "-4", "address").stdout
    for network in (web, "other"):
        assert f"inet {_settings(engine, 'one', network)['IPAddress']}/" in shown


def test_connect_and_disconnect_on_a_running_container(engine: Engine, web: str) -> None:
    _run(engine, "one", "bridge")
    engine.docker("network", "connect", web, "one")
    address = _settings(engine, "one", web)["IPAddress"]
    assert f"inet {address}/" in engine.docker("exec", "one", "ip", "-4", "address").stdout
    engine.docker("run", "--rm", "--network", web, "busybox", "ping", "-c", "1", "one")
    engine.docker("network", "disconnect", web, "one")
    assert address not in engine.docker("exec", "one", "ip", "-4", "address").stdout
    assert _endpoints(engine) == []


def test_disconnect_of_the_first_network_leaves_the_second_working(engine: Engine, web: str) -> None:
    _run(engine, "one", web)
    engine.docker("network", "connect", "bridge", "one")
    engine.docker("network", "disconnect", web, "one")
    shown = engine.docker("exec", "one", "ip", "route").stdout
    assert f"default via {_settings(engine, 'one', 'bridge')['Gateway']} dev eth1" in shown
    engine.docker("network", "connect", web, "one")
    engine.docker("run", "--rm", "--network", web, "busybox", "ping", "-c", "1", "one")


def test_connect_and_disconnect_on_a_stopped_container_count_at_its_start(engine: Engine, web: str) -> None:
    engine.docker("create", "--name", "one", "busybox", "sleep", "600")
    engine.docker("network", "connect", web, "one")
    engine.docker("network", "disconnect", "bridge", "one")
    engine.docker("start", "one")
    assert (
        _settings(engine, "one", web)["IPAddress"]
        in engine.docker("exec", "one", "ip", "-4", "address").stdout
    )


def test_a_mac_address_that_is_asked_for_is_what_the_container_has(engine: Engine, web: str) -> None:
    wanted = "02:00:00:00:00:09"
    _run(engine, "one", web, "--mac-address", wanted)
    assert wanted in engine.docker("exec", "one", "ip", "link", "show", "eth0").stdout
    assert _settings(engine, "one", web)["MacAddress"] == wanted
    engine.docker("run", "--rm", "--network", web, "busybox", "ping", "-c", "1", "one")


def _run(engine: Engine, name: str, network: str, *options: str) -> None:
    engine.docker("run", "-d", "--name", name, "--network", network, *options, "busybox", "sleep", "600")


def _settings(engine: Engine, container: str, network: str) -> dict[str, Any]:
    (inspected,) = json.loads(engine.docker("inspect", container).stdout)
    return dict(inspected["NetworkSettings"]["Networks"][network])


def _endpoints(engine: Engine) -> list[str]:
    """The IDs of the endpoints in the shim's journal."""
    listed = json.loads(engine.run(engine.shim_command("endpoint", "ls", "--json")).stdout)
    return [endpoint["id"] for endpoint in listed]
