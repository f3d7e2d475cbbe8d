"""Each shipped conflist does under dockerd, as it is, what `cni_conf/README.md` says it is for."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.engine import Engine

Make = Callable[[str, str], str]
Eventually = Callable[[Callable[[], bool]], None]

_OUTSIDE = "192.0.2.1"
"""An address outside of the containers' networks, with no route back to them."""
_OUTSIDE_V6 = "2001:db8::1"


@pytest.fixture(autouse=True)
def outside(engine: Engine) -> Iterator[None]:
    """A host behind a link of the room: it answers only to the room's own addresses."""
    engine.run(["ip", "netns", "add", "outside"])
    commands = """
        ip link add out0 type veth peer name eth0 netns outside
        ip address add 192.0.2.254/24 dev out0
        ip address add 2001:db8::fe/64 dev out0 nodad
        ip link set out0 up
        ip -n outside address add 192.0.2.1/24 dev eth0
        ip -n outside address add 2001:db8::1/64 dev eth0 nodad
        ip -n outside link set eth0 up
        ip -n outside link set lo up
    """
    for command in filter(None, map(str.strip, commands.splitlines())):
        engine.run(command.split())
    yield
    engine.run(["ip", "link", "del", "out0"])
    engine.run(["ip", "netns", "del", "outside"])


@pytest.mark.parametrize("network", ["cni-bridge", "cni-routed", "cni-ptp", "cni-dual"])
def test_containers_reach_each_other_through_dockers_forward_policy(
    engine: Engine, make: Make, network: str
) -> None:
    make("net", network)
    _run(engine, "one", "net")
    engine.docker("run", "--rm", "--network", "net", "busybox", "ping", "-c", "1", "one")


@pytest.mark.parametrize("network", ["cni-bridge", "cni-ptp", "cni-dual"])
def test_masquerade_gives_a_way_to_the_outside_and_back(engine: Engine, make: Make, network: str) -> None:
    make("net", network)
    engine.docker("run", "--rm", "--network", "net", "busybox", "ping", "-c", "1", _OUTSIDE)


def test_without_masquerade_the_outside_sees_the_containers_own_address(engine: Engine, make: Make) -> None:
    make("net", "cni-routed")
    _run(engine, "one", "net")
    ping = ["exec", "one", "ping", "-c", "1", "-W", "1", _OUTSIDE]
    assert engine.docker(*ping, check=False).returncode == 1
    engine.run(["ip", "-n", "outside", "route", "add", "default", "via", "192.0.2.254"])
    engine.docker(*ping)


@pytest.mark.parametrize("network", ["cni-bridge", "cni-routed", "cni-ptp", "cni-dual"])
def test_a_port_is_published_to_the_outside(
    engine: Engine, make: Make, eventually: Eventually, network: str
) -> None:
    make("net", network)
    engine.run(["ip", "-n", "outside", "route", "add", "default", "via", "192.0.2.254"])
    engine.docker(
        *("run", "-d", "--name", "one", "--network", "net", "-p", "8080:80", "busybox"),
        *("sh", "-c", "echo served > index.html; exec httpd -f"),
    )
    ask = [
        "ip",
        "netns",
        "exec",
        "outside",
        "timeout",
        "2",
        "busybox",
        "wget",
        "-qO-",
        "http://192.0.2.254:8080/",
    ]
    eventually(lambda: engine.run(ask, check=False).stdout == "served\n")


def test_ptp_gives_each_container_a_link_of_its_own(engine: Engine, make: Make) -> None:
    make("net", "cni-ptp")
    _run(engine, "one", "net")
    address = _settings(engine, "one")["IPAddress"]
    assert f"inet {address}/" in engine.docker("exec", "one", "ip", "-4", "address").stdout
    assert re.search(rf"^{address} dev veth\w+ ", engine.run(["ip", "route"]).stdout, re.MULTILINE)


def test_dual_stack_gives_an_address_and_a_gateway_of_each_family(engine: Engine, make: Make) -> None:
    make("net", "cni-dual")
    _run(engine, "one", "net")
    shown = _settings(engine, "one")
    assert shown["GlobalIPv6Address"] in engine.docker("exec", "one", "ip", "-6", "address").stdout
    assert f"default via {shown['IPv6Gateway']} " in engine.docker("exec", "one", "ip", "-6", "route").stdout
    engine.docker("exec", "one", "ping", "-6", "-c", "1", shown["IPv6Gateway"])
    engine.docker("exec", "one", "ping", "-6", "-c", "1", _OUTSIDE_V6)


def test_macvlan_puts_containers_on_the_links_own_network(engine: Engine, conf_dir: Path, make: Make) -> None:
    shipped = Path(__file__).resolve().parents[2] / "cni_conf" / "cni-macvlan.conflist"
    conflist = json.loads(shipped.read_text())
    conflist["name"] = "on-out0"
    conflist["plugins"][0]["master"] = "out0"
    mine = conf_dir / "on-out0.conflist"
    mine.write_text(json.dumps(conflist))
    try:
        make("net", "on-out0")
        _run(engine, "one", "net")
        address = _settings(engine, "one")["IPAddress"]
        router = _settings(engine, "one")["Gateway"]
        engine.run(["ip", "-n", "outside", "address", "add", f"{router}/24", "dev", "eth0"])
        engine.run(["ip", "netns", "exec", "outside", "busybox", "ping", "-c", "1", address])
        engine.docker("run", "--rm", "--network", "net", "busybox", "ping", "-c", "1", "one")
        engine.docker("rm", "-f", "one")
    finally:
        mine.unlink()


def _run(engine: Engine, name: str, network: str) -> None:
    engine.docker("run", "-d", "--name", name, "--network", network, "busybox", "sleep", "600")


def _settings(engine: Engine, container: str) -> dict[str, Any]:
    (inspected,) = json.loads(engine.docker("inspect", container).stdout)
    return dict(inspected["NetworkSettings"]["Networks"]["net"])
