"""`cnm-cni cni` with real plugins, in a folder without Docker or Kubernetes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.host import addresses, footprint, links


class Network:
    """A bridge network's file, and the command as a user runs it."""

    def __init__(self, folder: Path) -> None:
        self.leases = folder / "leases"
        self._folder = folder

    def write(self, *more: dict[str, Any], version: str = "1.0.0", **members: Any) -> None:
        """Write the network's file; `more` plugins follow the bridge, `members` are the list's."""
        ipam = {"type": "host-local", "ranges": [[{"subnet": "10.112.0.0/24"}]], "dataDir": str(self.leases)}
        bridge = {"type": "bridge", "bridge": "cni-hand0", "isGateway": True, "ipMasq": True, "ipam": ipam}
        value = {"cniVersion": version, "name": "byhand", "plugins": [bridge, *more], **members}
        (self._folder / "byhand.conflist").write_text(json.dumps(value))

    def cni(self, action: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run `cnm-cni cni` with an environment that has nothing but what cnitool reads."""
        return subprocess.run(
            [sys.executable, "-m", "shim.cli", "cni", action, "byhand", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "CNI_PATH": "/usr/lib/cni",
                "NETCONFPATH": str(self._folder),
                **environment,
            },
        )


@pytest.fixture
def network(tmp_path: Path) -> Network:
    network = Network(tmp_path)
    network.write()
    return network


def test_add_check_and_del_of_a_bridge_leave_nothing(network: Network, sandbox: Path) -> None:
    network.cni("add", str(sandbox))  # makes the bridge, which stays
    network.cni("del", str(sandbox))
    before = footprint(network.leases)

    added = network.cni("add", str(sandbox), CNI_IFNAME="net1")

    assert (added.returncode, added.stderr) == (0, "")
    (ip,) = json.loads(added.stdout)["ips"]
    assert addresses(links(sandbox)["net1"]) == [ip["address"]]
    assert len(list(Path("/var/lib/cni/results").glob("byhand-cnitool-*-net1"))) == 1

    checked = network.cni("check", str(sandbox), CNI_IFNAME="net1")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")

    deleted = network.cni("del", str(sandbox), CNI_IFNAME="net1")
    assert (deleted.returncode, deleted.stdout, deleted.stderr) == (0, "", "")
    assert footprint(network.leases) == before
    assert "net1" not in links(sandbox)
    assert list(Path("/var/lib/cni/results").iterdir()) == []


def test_check_finds_what_somebody_broke(network: Network, sandbox: Path) -> None:
    network.cni("add", str(sandbox))
    subprocess.run(["ip", "-n", sandbox.name, "address", "flush", "dev", "eth0"], check=True)

    checked = network.cni("check", str(sandbox))

    assert (checked.returncode, checked.stdout) == (1, "")
    assert checked.stderr.startswith('cnm-cni: plugin "bridge" (network "byhand") CHECK: ')
    assert checked.stderr.count("\n") == 1
    assert network.cni("del", str(sandbox)).returncode == 0


def test_capability_arguments_reach_the_plugin_that_declares_them(network: Network, sandbox: Path) -> None:
    network.write({"type": "portmap", "snat": True, "capabilities": {"portMappings": True}})
    ports = json.dumps([{"hostPort": 19090, "containerPort": 80, "protocol": "tcp"}])

    added = network.cni("add", str(sandbox), CAP_ARGS=f'{{"portMappings": {ports}}}')

    assert added.returncode == 0, added.stderr
    assert any("--dport 19090" in rule for rule in footprint(network.leases).rules)
    assert network.cni("del", str(sandbox)).returncode == 0  # with the arguments of ADD
    assert not any("--dport 19090" in rule for rule in footprint(network.leases).rules)


def test_an_argument_that_no_plugin_takes_changes_nothing(network: Network, sandbox: Path) -> None:
    before = footprint(network.leases)

    added = network.cni("add", str(sandbox), CAP_ARGS='{"aliases": ["db"]}')

    assert added.returncode == 1
    assert 'no plugin of the chain takes the capability "aliases"' in added.stderr
    assert footprint(network.leases) == before


def test_gc_gives_back_the_address_of_a_namespace_that_is_gone(network: Network, sandbox: Path) -> None:
    subprocess.run(["ip", "netns", "add", "gone"], check=True)
    network.cni("add", "/run/netns/gone")
    kept = json.loads(network.cni("add", str(sandbox)).stdout)["ips"][0]["address"]
    subprocess.run(["ip", "netns", "delete", "gone"], check=True)
    assert len(footprint(network.leases).leases) == 2

    collected = network.cni("gc")

    assert (collected.returncode, collected.stdout, collected.stderr) == (0, "", "")
    assert footprint(network.leases).leases == [kept.partition("/")[0]]
    assert network.cni("del", str(sandbox)).returncode == 0


def test_version_tells_what_the_plugins_speak(network: Network) -> None:
    told = network.cni("version", "--json")

    assert {"0.4.0", "1.0.0"} <= set(json.loads(told.stdout)["bridge"])


def test_the_oldest_versions_work_with_todays_plugins(network: Network, sandbox: Path) -> None:
    for version in ("0.1.0", "0.2.0"):
        network.write(version=version)

        added = network.cni("add", str(sandbox))

        assert added.returncode == 0, added.stderr
        assert json.loads(added.stdout)["ip4"]["ip"] == addresses(links(sandbox)["eth0"])[0]
        assert network.cni("del", str(sandbox)).returncode == 0
        assert footprint(network.leases).leases == []


def test_a_network_of_several_versions_is_run_in_one_that_its_plugins_speak(
    network: Network, sandbox: Path
) -> None:
    network.write(version="0.4.0", cniVersions=["0.4.0", "1.0.0", "1.1.0"])
    spoken = json.loads(network.cni("version", "--json").stdout)["bridge"]

    added = network.cni("add", str(sandbox))

    assert json.loads(added.stdout)["cniVersion"] == ("1.1.0" if "1.1.0" in spoken else "1.0.0")
    assert network.cni("del", str(sandbox)).returncode == 0
