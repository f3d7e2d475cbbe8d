"""`docker network ...` with the CNI driver."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.engine import Engine

Conflist = Callable[..., str]
Make = Callable[[str, str], str]

_BRIDGE = {
    "type": "bridge",
    "bridge": "test0",
    "isGateway": True,
    "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.77.0.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    },
}


def test_a_network_is_created_listed_inspected_and_removed(engine: Engine, web: str) -> None:
    assert (
        f"{web} cni local"
        in engine.docker("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}").stdout
    )
    (network,) = json.loads(engine.docker("network", "inspect", web).stdout)
    assert network["Options"] == {"cni.network": "cni-bridge"}
    assert network["IPAM"]["Driver"] == "null"
    engine.docker("network", "rm", web)
    assert web not in engine.docker("network", "ls", "--format", "{{.Name}}").stdout.split()


def test_prune_removes_unused_networks(engine: Engine, web: str) -> None:
    assert web in engine.docker("network", "prune", "--force").stdout.split()


def test_inspect_shows_the_addresses_of_the_containers(engine: Engine, web: str) -> None:
    engine.docker("run", "-d", "--name", "one", "--network", web, "busybox", "sleep", "600")
    (network,) = json.loads(engine.docker("network", "inspect", web).stdout)
    (container,) = network["Containers"].values()
    shown = engine.docker("exec", "one", "ip", "-o", "-4", "address", "show", "eth0").stdout
    assert container["Name"] == "one"
    assert f"inet {container['IPv4Address']} " in shown
    assert container["MacAddress"] in engine.docker("exec", "one", "ip", "link", "show", "eth0").stdout


def test_without_an_option_the_networks_own_name_is_the_cni_networks(
    engine: Engine, conflist: Conflist
) -> None:
    conflist("plain", _BRIDGE)
    engine.docker("network", "create", "-d", "cni", "--ipam-driver", "null", "plain")
    shown = engine.docker("run", "--rm", "--network", "plain", "busybox", "ip", "-4", "address").stdout
    assert "inet 10.77.0." in shown


def test_an_unknown_name_given_as_option_is_refused_with_the_folders_and_the_names_there(
    engine: Engine, conf_dir: Path
) -> None:
    refused = engine.docker(
        "network",
        "create",
        "-d",
        "cni",
        "--ipam-driver",
        "null",
        "-o",
        "cni.network=nowhere",
        "web",
        check=False,
    )
    assert refused.returncode != 0
    assert 'no CNI network "nowhere"' in refused.stderr
    assert str(conf_dir) in refused.stderr
    assert "cni-bridge" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_an_unknown_own_name_fails_at_run_and_leaves_nothing(engine: Engine) -> None:
    engine.docker("network", "create", "-d", "cni", "--ipam-driver", "null", "nowhere")
    refused = engine.docker("run", "--rm", "--network", "nowhere", "busybox", "true", check=False)
    assert refused.returncode != 0
    assert 'no CNI network "nowhere"' in refused.stderr


def test_dockers_own_ipam_is_refused_with_the_command_that_works(engine: Engine) -> None:
    refused = engine.docker(
        "network", "create", "-d", "cni", "-o", "cni.network=cni-bridge", "web", check=False
    )
    assert refused.returncode != 0
    cure = "docker network create -d cni --ipam-driver null -o cni.network=cni-bridge NAME"
    assert cure in refused.stderr
    engine.docker(*cure.replace("NAME", "web").split()[1:])


@pytest.mark.parametrize(
    ("option", "cure"),
    [
        ("cni.netwrk=cni-bridge", "did you mean cni.network?"),
        ("parent=eth0", "it knows cni.network, cni.mode, cni.ipam"),
        ("cni.mode=fast", "it can be handover"),
        ("cni.args.A=b;c", "CNI_ARGS cannot carry"),
    ],
)
def test_a_bad_option_is_refused_with_the_cure(engine: Engine, option: str, cure: str) -> None:
    refused = engine.docker(
        "network", "create", "-d", "cni", "--ipam-driver", "null", "-o", option, "web", check=False
    )
    assert refused.returncode != 0
    assert cure in refused.stderr


def test_an_internal_network_has_no_default_route(engine: Engine) -> None:
    engine.docker(
        *("network", "create", "-d", "cni", "--ipam-driver", "null", "--internal"),
        *("-o", "cni.network=cni-bridge", "inner"),
    )
    routes = engine.docker("run", "--rm", "--network", "inner", "busybox", "ip", "route").stdout
    assert "default" not in routes
    assert "dev eth0 scope link" in routes


def test_two_docker_networks_may_be_the_same_cni_network(engine: Engine, web: str, make: Make) -> None:
    make("web2", "cni-bridge")
    engine.docker("run", "-d", "--name", "one", "--network", web, "busybox", "sleep", "600")
    (container,) = json.loads(engine.docker("inspect", "one").stdout)
    address = container["NetworkSettings"]["Networks"][web]["IPAddress"]
    engine.docker("run", "--rm", "--network", "web2", "busybox", "ping", "-c", "1", address)


@pytest.mark.parametrize("suffix", ["conf", "json"])
def test_a_single_configuration_is_a_network_too(
    engine: Engine, conf_dir: Path, make: Make, suffix: str
) -> None:
    single: dict[str, Any] = {"cniVersion": "0.4.0", "name": "single", **_BRIDGE}
    file = conf_dir / f"any-name.{suffix}"
    file.write_text(json.dumps(single))
    try:
        make("solo", "single")
        shown = engine.docker("run", "--rm", "--network", "solo", "busybox", "ip", "-4", "address").stdout
    finally:
        file.unlink()
    assert "inet 10.77.0." in shown


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_a_chain_of_each_spec_version_runs_if_its_plugins_know_it(
    engine: Engine, conflist: Conflist, make: Make, version: str
) -> None:
    conflist("versioned", _BRIDGE, {"type": "firewall"}, version=version)
    make("net", "versioned")
    run = engine.docker("run", "--rm", "--network", "net", "busybox", "ip", "-4", "address", check=False)
    unknown_to = [plugin for plugin in ("bridge", "firewall") if version not in _versions(engine, plugin)]
    if unknown_to:
        assert f'plugin "{unknown_to[0]}" (network "versioned")' in run.stderr
        assert "incompatible CNI versions" in run.stderr or f"not {version}" in run.stderr
    else:
        assert "inet 10.77.0." in run.stdout


def _versions(engine: Engine, plugin: str) -> list[str]:
    command = ["env", "CNI_COMMAND=VERSION", str(engine.plugin_path / plugin)]
    answer = json.loads(engine.run(command, stdin='{"cniVersion": "1.0.0"}').stdout)
    return list(answer["supportedVersions"])


def test_a_conflist_changed_meanwhile_does_not_disturb_running_containers(
    engine: Engine, conflist: Conflist, make: Make
) -> None:
    conflist("moving", _BRIDGE, {"type": "firewall"})
    make("net", "moving")
    engine.docker("run", "-d", "--name", "one", "--network", "net", "busybox", "sleep", "600")
    conflist("moving", {"type": "no-such-plugin"})
    engine.docker("rm", "-f", "one")
