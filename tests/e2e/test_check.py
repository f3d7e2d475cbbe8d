"""`cnm-cni endpoint check`: the chain's CHECK against real containers, however their links came to be."""

import json
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import pytest
from lab.engine import Engine

from tests.e2e.containers import BRIDGE, BY_PLUGIN, FIREWALL, NAME, network, start

Conflist = Callable[..., str]

IN_PLACE = ("-o", "cni.mode=inplace")
TUNING: dict[str, Any] = {"type": "tuning", "mtu": 1400}
PTP: dict[str, Any] = {"type": "ptp", "ipam": BRIDGE["ipam"]}
BANDWIDTH: dict[str, Any] = {"type": "bandwidth", "egressRate": 8_000_000, "egressBurst": 800_000}


def check(engine: Engine, *words: str) -> CompletedProcess[str]:
    command = engine.shim_command("endpoint", "check", *words, "--plugin-path", str(engine.plugin_path))
    return engine.run(command, check=False)


def within(engine: Engine, container: str) -> list[str]:
    """`ip link` in the container, with more rights than the container has."""
    pid = engine.docker("inspect", "-f", "{{.State.Pid}}", container).stdout.strip()
    return ["nsenter", "--target", pid, "--net", "ip", "link"]


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
