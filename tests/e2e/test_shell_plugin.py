"""A plugin in a few lines of shell, which wraps another one, works under Docker as it does by hand."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from lab.engine import Engine

from tests.e2e.containers import remove_containers

_EXAMPLE = Path(__file__).parents[2] / "examples/plugins"
_LOG = "/run/logged-bridge.log"
_SANDBOX = "/run/netns/hand"
_ROUTE = "10.200.0.0/16 dev eth0"
"""What the script adds."""

Cni = Callable[..., CompletedProcess[str]]


@pytest.fixture
def logged(
    engine: Engine, conf_dir: Path, restart_shim: Callable[..., None], make: Callable[[str, str], str]
) -> Iterator[str]:
    """A Docker network on the example's conflist; the shim runs the script from where it is."""
    conflist = Path(shutil.copy(_EXAMPLE / "logged.conflist", conf_dir))
    restart_shim(plugin_path=[str(engine.plugin_path), str(_EXAMPLE)])
    engine.run(["ip", "netns", "add", "hand"])
    yield make("logged", "logged")
    remove_containers(engine)  # while the script can be found
    conflist.unlink()
    engine.run(["ip", "netns", "del", "hand"])
    engine.run(["rm", "-f", _LOG])


@pytest.fixture
def cni(engine: Engine, logged: str) -> Iterator[Cni]:
    """Runs `cnm-cni cni ACTION` with the same folders."""
    environment = {"CNI_PATH": f"{engine.plugin_path}:{_EXAMPLE}", "NETCONFPATH": str(_EXAMPLE)}

    def run(action: str, *, check: bool = True) -> CompletedProcess[str]:
        command = engine.shim_command("cni", action, logged, _SANDBOX)
        return engine.run(command, environment=environment, check=check)

    yield run
    run("del")  # what a failing test has left


def test_it_has_fifteen_lines_at_most() -> None:
    assert len((_EXAMPLE / "logged-bridge").read_text().splitlines()) <= 15


def test_a_container_has_its_route_and_its_log_has_the_endpoint(engine: Engine, logged: str) -> None:
    engine.docker("run", "-d", "--name", "one", "--network", logged, "busybox", "sleep", "600")
    routes = engine.docker("exec", "one", "ip", "route").stdout
    (inspected,) = json.loads(engine.docker("inspect", "one").stdout)
    settings = inspected["NetworkSettings"]["Networks"][logged]
    engine.docker("run", "--rm", "--network", logged, "busybox", "ping", "-c", "1", "one")
    engine.docker("rm", "--force", "one")

    assert _ROUTE in routes
    assert _runs_of(engine, settings["EndpointID"]) == ["ADD", "DEL"]


def test_by_hand_a_namespace_has_its_route_and_the_log_has_each_run(engine: Engine, cni: Cni) -> None:
    (ip,) = json.loads(cni("add").stdout)["ips"]
    cni("check")
    shown = engine.run(["ip", "-n", "hand", "address"]).stdout
    routes = engine.run(["ip", "-n", "hand", "route"]).stdout
    cni("del")

    assert _ROUTE in routes
    assert f"inet {ip['address']} " in shown
    (container,) = {line.split()[1] for line in engine.path(_LOG).read_text().splitlines() if "CHECK" in line}
    assert _runs_of(engine, container) == ["ADD", "CHECK", "DEL"]


def test_both_at_once_reach_each_other(engine: Engine, logged: str, cni: Cni) -> None:
    (ip,) = json.loads(cni("add").stdout)["ips"]
    ping = ["busybox", "ping", "-c", "1", "-W", "1", ip["address"].partition("/")[0]]
    engine.docker("run", "--rm", "--network", logged, *ping)
    cni("del")


def test_what_the_wrapped_plugin_complains_of_reaches_the_user(engine: Engine, cni: Cni) -> None:
    engine.run(["ip", "link", "add", "logged0", "type", "veth", "peer", "name", "logged1"])
    refused = cni("add", check=False)
    engine.run(["ip", "link", "del", "logged0"])

    assert refused.returncode == 1
    assert '"logged0" already exists but is not a bridge' in refused.stdout + refused.stderr


def _runs_of(engine: Engine, container: str) -> list[str]:
    """The script's runs for a container, in order."""
    lines = [line.split() for line in engine.path(_LOG).read_text().splitlines()]
    return [command for command, *containers in lines if containers == [container]]
