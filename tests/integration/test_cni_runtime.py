"""Chains of Debian's own plugins: what ADD brings is there, and after DEL it is gone."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shim.cni.conf import NetworkConfigList
from shim.cni.errors import PluginError
from shim.cni.exec import Exec
from shim.cni.result import Result
from shim.cni.runtime import Attachment, Runtime
from shim.model import JSONObject
from tests.integration.host import addresses, footprint, links, run

PORT_MAPPING: dict[str, Any] = {"hostPort": 18080, "containerPort": 80, "protocol": "tcp"}
FIREWALL: dict[str, Any] = {"type": "firewall", "backend": "iptables"}
PORTMAP: dict[str, Any] = {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}}

_SERVER = """
import socket
with socket.create_server(("", 80)) as server:
    print("listening", flush=True)
    with server.accept()[0] as client:
        client.sendall(b"hello from the sandbox")
"""


@pytest.fixture
def runtime() -> Runtime:
    plugin_path = [Path("/opt/cni/bin"), Path("/usr/lib/cni")]
    return Runtime(Exec(lambda *_: None), plugin_path, add_deadline=60.0, delete_deadline=60.0)


@pytest.fixture
def leases(tmp_path: Path) -> Path:
    """host-local's `dataDir`."""
    return tmp_path / "leases"


@pytest.fixture
def uplink() -> Iterator[str]:
    """A link of the host that macvlan can share."""
    run("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "uplink-peer")
    run("ip", "link", "set", "uplink", "up")
    yield "uplink"
    run("ip", "link", "delete", "uplink")


def _ipam(leases: Path) -> dict[str, Any]:
    return {
        "type": "host-local",
        "ranges": [[{"subnet": "10.111.0.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(leases),
    }


def _bridge(leases: Path) -> dict[str, Any]:
    return {
        "type": "bridge",
        "bridge": "cni-test0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": _ipam(leases),
    }


def _conf(*plugins: JSONObject, version: str = "1.0.0") -> NetworkConfigList:
    value = {"cniVersion": version, "name": "test", "plugins": list(plugins)}
    return NetworkConfigList.from_json(value, "test")


def _attachment(sandbox: Path, number: int = 0, mapping: dict[str, Any] | None = PORT_MAPPING) -> Attachment:
    return Attachment(
        f"container{number}",
        str(sandbox),
        "eth0",
        args=(("UNKNOWN", "ignored"),),
        capability_args={"portMappings": [mapping]} if mapping else {},
    )


async def _cycle(runtime: Runtime, conf: NetworkConfigList, attachment: Attachment) -> Result:
    """ADD and DEL once: makes what plugins make once and for all, such as the bridge."""
    result = await runtime.add(conf, attachment)
    await runtime.delete(conf, attachment, result)
    return result


@pytest.mark.parametrize(
    ("version", "chained"),
    [
        ("0.3.0", [PORTMAP]),  # firewall speaks 0.4.0 and later
        ("0.3.1", [PORTMAP]),
        ("0.4.0", [PORTMAP, FIREWALL]),
        ("1.0.0", [PORTMAP, FIREWALL]),
    ],
)
async def test_a_bridge_chain_of_every_version_brings_a_link_and_leaves_nothing(
    runtime: Runtime, sandbox: Path, leases: Path, version: str, chained: list[dict[str, Any]]
) -> None:
    conf = _conf(_bridge(leases), *chained, version=version)
    await _cycle(runtime, conf, _attachment(sandbox, 1))
    before = footprint(leases)

    result = await runtime.add(conf, _attachment(sandbox, 2))

    during = footprint(leases)
    (ip,) = result.addresses("eth0")
    assert (ip.address, ip.gateway) == (addresses(links(sandbox)["eth0"])[0], "10.111.0.1")
    assert result.raw["cniVersion"] == version
    assert len(during.links) == len(before.links) + 1
    assert len(during.rules) > len(before.rules)
    assert during.leases == [ip.address.partition("/")[0]]

    await runtime.delete(conf, _attachment(sandbox, 2), result)

    assert footprint(leases) == before
    assert "eth0" not in links(sandbox)


async def test_a_published_port_reaches_the_sandbox(runtime: Runtime, sandbox: Path, leases: Path) -> None:
    conf = _conf(_bridge(leases), PORTMAP, FIREWALL)
    result = await runtime.add(conf, _attachment(sandbox))
    command = ["ip", "netns", "exec", sandbox.name, sys.executable, "-c", _SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: ASYNC220 - it starts at once
        assert server.stdout
        assert await asyncio.to_thread(server.stdout.readline) == "listening\n"
        reader, writer = await asyncio.open_connection("10.111.0.1", PORT_MAPPING["hostPort"])
        assert await reader.read() == b"hello from the sandbox"
        writer.close()
        await writer.wait_closed()

    await runtime.delete(conf, _attachment(sandbox), result)


async def test_ptp_brings_a_link_and_leaves_nothing(runtime: Runtime, sandbox: Path, leases: Path) -> None:
    conf = _conf({"type": "ptp", "ipMasq": True, "ipam": _ipam(leases)}, PORTMAP, FIREWALL)
    await _cycle(runtime, conf, _attachment(sandbox, 1))
    before = footprint(leases)

    result = await runtime.add(conf, _attachment(sandbox, 2))

    assert [ip.address for ip in result.addresses("eth0")] == addresses(links(sandbox)["eth0"])
    assert len(footprint(leases).links) == len(before.links) + 1

    await runtime.delete(conf, _attachment(sandbox, 2), result)

    assert footprint(leases) == before


async def test_macvlan_brings_a_link_and_leaves_nothing(
    runtime: Runtime, sandbox: Path, leases: Path, uplink: str
) -> None:
    conf = _conf({"type": "macvlan", "master": uplink, "mode": "bridge", "ipam": _ipam(leases)})
    before = footprint(leases)

    result = await runtime.add(conf, _attachment(sandbox, mapping=None))

    link = links(sandbox)["eth0"]
    assert [ip.address for ip in result.addresses("eth0")] == addresses(link)
    assert result.interfaces[0].mac == link["address"]

    await runtime.delete(conf, _attachment(sandbox, mapping=None), result)

    assert footprint(leases) == before
    assert "eth0" not in links(sandbox)


async def test_an_add_that_fails_at_its_last_plugin_leaves_nothing(
    runtime: Runtime, sandbox: Path, leases: Path
) -> None:
    failing = {"type": "tuning", "sysctl": {"net.no.such": "1"}}
    conf = _conf(_bridge(leases), PORTMAP, FIREWALL)
    await _cycle(runtime, conf, _attachment(sandbox, 1))
    before = footprint(leases)

    with pytest.raises(PluginError, match=r'plugin "tuning" \(network "test"\) ADD: ') as failure:
        await runtime.add(_conf(*conf.plugins, failing), _attachment(sandbox, 2))

    assert not failure.value.left_behind
    assert footprint(leases) == before
    assert "eth0" not in links(sandbox)


async def test_a_plugin_that_refuses_its_configuration_at_del_too_leaves_nothing_of_the_others(
    runtime: Runtime, sandbox: Path, leases: Path
) -> None:
    conf = _conf(_bridge(leases), PORTMAP)
    await _cycle(runtime, conf, _attachment(sandbox, 1))
    before = footprint(leases)
    unusable = PORTMAP | {"externalSetMarkChain": "CNI-MARK", "markMasqBit": 13}  # portmap wants one of them

    with pytest.raises(PluginError, match=r'plugin "portmap" \(network "test"\) ADD: ') as failure:
        await runtime.add(_conf(_bridge(leases), unusable), _attachment(sandbox, 2))

    assert not failure.value.left_behind
    assert footprint(leases) == before


async def test_a_cancelled_add_leaves_nothing(runtime: Runtime, sandbox: Path, leases: Path) -> None:
    conf = _conf(_bridge(leases), PORTMAP, FIREWALL)
    await _cycle(runtime, conf, _attachment(sandbox, 1))
    before = footprint(leases)
    task = asyncio.create_task(runtime.add(conf, _attachment(sandbox, 2)))
    # Half way, and past host-local: killed between making a lease and writing it, that one leaves it behind.
    while not addresses((await asyncio.to_thread(links, sandbox)).get("eth0", {"addr_info": []})):
        assert not task.done()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert footprint(leases) == before


async def test_a_version_the_plugins_do_not_speak_fails_in_their_words_and_leaves_nothing(
    runtime: Runtime, sandbox: Path, leases: Path
) -> None:
    before = footprint(leases)
    conf = _conf(_bridge(leases) | {"bridge": "cni-test1"}, version="1.1.0")

    with pytest.raises(PluginError, match="incompatible CNI versions"):
        await runtime.add(conf, _attachment(sandbox, mapping=None))

    assert footprint(leases) == before


async def test_a_plugin_that_does_not_speak_the_version_does_not_keep_the_others_from_cleaning_up(
    runtime: Runtime, sandbox: Path, leases: Path
) -> None:
    conf = _conf(_bridge(leases), PORTMAP, version="0.3.1")
    await _cycle(runtime, conf, _attachment(sandbox, 1))
    before = footprint(leases)

    with pytest.raises(PluginError, match='plugin "firewall"') as failure:
        await runtime.add(_conf(*conf.plugins, FIREWALL, version="0.3.1"), _attachment(sandbox, 2))

    assert not failure.value.left_behind
    assert footprint(leases) == before


async def test_del_can_be_repeated(runtime: Runtime, sandbox: Path, leases: Path) -> None:
    conf = _conf(_bridge(leases), PORTMAP, FIREWALL)
    result = await _cycle(runtime, conf, _attachment(sandbox))
    before = footprint(leases)

    await runtime.delete(conf, _attachment(sandbox), result)

    assert footprint(leases) == before


async def test_ten_containers_at_a_time_get_addresses_of_their_own_and_leave_nothing(
    runtime: Runtime, sandbox: Path, leases: Path
) -> None:
    conf = _conf(_bridge(leases), PORTMAP, FIREWALL)
    await _cycle(runtime, conf, _attachment(sandbox))
    before = footprint(leases)
    names = [f"many{number}" for number in range(10)]
    for name in names:
        run("ip", "netns", "add", name)
    attachments = [
        _attachment(Path("/run/netns") / name, number, PORT_MAPPING | {"hostPort": 18081 + number})
        for number, name in enumerate(names)
    ]

    results = await asyncio.gather(*(runtime.add(conf, attachment) for attachment in attachments))

    assert len({result.ips[0].address for result in results}) == 10

    await asyncio.gather(*map(runtime.delete, [conf] * 10, attachments, results))
    for name in names:
        run("ip", "netns", "delete", name)

    assert footprint(leases) == before
