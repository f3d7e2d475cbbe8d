"""`cnm-cni endpoint check`: the chain's CHECK against real containers, however their links came to be."""

import json
from collections.abc import Callable, Iterator
from subprocess import CompletedProcess
from typing import Any

import pytest
from lab.engine import Engine

from tests.e2e.containers import BRIDGE, BY_PLUGIN, FIREWALL, NAME, inspected, network, start

Conflist = Callable[..., str]

IN_PLACE = ("-o", "cni.mode=inplace")
MAC = "02:00:00:00:00:77"
TUNING: dict[str, Any] = {"type": "tuning", "mtu": 1400}
PTP: dict[str, Any] = {"type": "ptp", "ipam": BRIDGE["ipam"]}
BANDWIDTH: dict[str, Any] = {"type": "bandwidth", "egressRate": 8_000_000, "egressBurst": 800_000}


def check(engine: Engine, *words: str) -> CompletedProcess[str]:
    command = engine.shim_command("endpoint", "check", *words, "--plugin-path", str(engine.plugin_path))
    return engine.run(command, check=False)


def within(engine: Engine, container: str, *options: str) -> list[str]:
    """`ip link` in the container, with more rights than the container has."""
    pid = engine.docker("inspect", "-f", "{{.State.Pid}}", container).stdout.strip()
    return ["nsenter", "--target", pid, "--net", "ip", *options, "link"]


@pytest.fixture(params=[(), IN_PLACE], ids=["handover", "in place"])
def net(engine: Engine, conflist: Conflist, request: pytest.FixtureRequest) -> str:
    """A Docker network that is a chain with CHECK."""
    conflist(NAME, BRIDGE, FIREWALL, BANDWIDTH, TUNING)
    return network(engine, "net", *BY_PLUGIN, *request.param)


def test_a_container_is_as_the_plugins_made_it(engine: Engine, net: str) -> None:
    start(engine, "one", "--network", net)
    start(engine, "two")
    engine.docker("network", "connect", net, "two")

    found = check(engine, "--all")

    assert found.returncode == 0, found.stdout + found.stderr
    head, *lines = found.stdout.splitlines()
    assert head.split() == ["ENDPOINT", "ID", "CNI", "NETWORK", "CHECK"]
    assert [line.split(maxsplit=2)[1:] for line in lines] == [[NAME, "as it was made"]] * 2


@pytest.mark.parametrize("mode", [(), IN_PLACE], ids=["handover", "in place"])
def test_a_point_to_point_link_is_as_its_plugin_made_it(
    engine: Engine, conflist: Conflist, mode: tuple[str, ...]
) -> None:
    conflist(NAME, PTP)
    network(engine, "net", *BY_PLUGIN, *mode)
    start(engine, "one")
    engine.docker("network", "connect", "net", "one")

    found = check(engine, "--all")

    assert found.returncode == 0, found.stdout + found.stderr


@pytest.fixture
def device(engine: Engine) -> Iterator[str]:
    """A link of the host to give away."""
    engine.run(["ip", "link", "add", "gift", "type", "veth", "peer", "name", "giver"])
    try:
        yield "gift"
    finally:
        engine.run(["ip", "link", "del", "giver"])


@pytest.mark.parametrize("mode", [(), IN_PLACE], ids=["handover", "in place"])
@pytest.mark.parametrize("kind", ["ptp", "host-device"])
def test_a_mac_address_that_no_plugin_takes_is_the_links_until_it_goes_back_to_the_host(
    engine: Engine, conflist: Conflist, device: str, kind: str, mode: tuple[str, ...]
) -> None:
    def mac(command: list[str]) -> str:
        return str(json.loads(engine.run(command).stdout)[0]["address"])

    own = mac(["ip", "-j", "link", "show", device])
    conflist(NAME, {"type": kind, "device": device, "ipam": BRIDGE["ipam"]})
    network(engine, "net", *BY_PLUGIN, *mode)
    start(engine, "one", "--network", "none")
    engine.docker("network", "disconnect", "none", "one")
    engine.docker("network", "connect", "--driver-opt", f"cni.mac={MAC}", "net", "one")

    assert inspected(engine, "one", "net")["MacAddress"] == MAC
    assert mac([*within(engine, "one", "-j"), "show", "eth0"]) == MAC
    found = check(engine, "--all")
    assert found.returncode == 0, found.stdout + found.stderr

    engine.docker("rm", "-f", "one")
    assert mac(["ip", "-j", "link", "show", device]) == own


def test_what_was_changed_by_hand_is_told_by_the_plugin_that_made_it(engine: Engine, net: str) -> None:
    start(engine, "one", "--network", net)
    start(engine, "two", "--network", net)
    engine.run([*within(engine, "one"), "set", "eth0", "mtu", "1300"])

    found = check(engine, "--all", "--json")

    assert found.returncode == 1
    assert found.stderr == (
        "cnm-cni: CHECK does not pass for 1 of 2 endpoints (start the container again, which makes it anew, "
        'unless the plugin is mistaken: docs/fidelity.md has such under "flawed")\n'
    )
    changed, other = json.loads(found.stdout)
    assert 'plugin "tuning" (network "flagged") CHECK: ' in changed["error"]
    assert other["error"] == ""
    assert check(engine, changed["id"][:12]).returncode == 1
    assert check(engine, other["id"][:12]).returncode == 0


def test_a_link_that_is_gone_is_told(engine: Engine, net: str) -> None:
    start(engine, "one", "--network", net)
    engine.run([*within(engine, "one"), "del", "eth0"])

    found = check(engine, "--all")

    assert found.returncode == 1
    assert "its link eth0 is gone from the container" in found.stdout


def test_an_endpoint_that_is_not_there_is_an_error(engine: Engine) -> None:
    found = check(engine, "abc")

    assert found.returncode == 1
    assert found.stderr == "cnm-cni: no endpoint begins with abc (see `cnm-cni endpoint ls`)\n"
