"""Which version a conflist is run in, when its plugins are asked whether they are ready, and how they end.

What the handover does to namespaces and links is proven in `tests/integration/test_handover.py`.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from shim.cni.conf import NetworkConfigList
from shim.cni.errors import PluginError
from shim.cni.exec import Exec
from shim.cni.runtime import Runtime
from shim.handover import Handover
from shim.model import Endpoint, EndpointState
from shim.net.links import Links
from shim.net.namespaces import Namespaces
from shim.net.thread import NetlinkThread
from tests.unit.cni.scripted import ScriptedPlugins
from tests.unit.standins import LINK, endpoint

NOT_READY = """[ "$CNI_COMMAND" != STATUS ] || { echo '{"code": 50, "msg": "no uplink"}'; exit 1; }"""
SPEAKS = """[ "$CNI_COMMAND" != VERSION ] || echo '{"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]}'"""

FAILS = """echo '{"code": 100, "msg": "device busy"}'; exit 1"""


@pytest.fixture
async def handover(tmp_path: Path, plugins: ScriptedPlugins) -> AsyncIterator[Handover]:
    runtime = Runtime(Exec(lambda *_: None), [plugins.folder], add_deadline=60.0, delete_deadline=60.0)
    thread = NetlinkThread()
    yield Handover(runtime, Namespaces(thread, tmp_path / "netns"), Links(thread))
    thread.close()


@pytest.fixture
def plugins(tmp_path: Path) -> ScriptedPlugins:
    return ScriptedPlugins(tmp_path)


async def test_the_plugins_of_a_conflist_are_asked_once_and_again_when_it_has_changed(
    handover: Handover, plugins: ScriptedPlugins
) -> None:
    plugins.write("one")

    for mtu in (1500, 1500, 1400):
        await handover.prepare(_conflist(mtu=mtu))

    assert plugins.calls == ["one STATUS", "one STATUS"]


async def test_a_plugin_that_is_not_ready_is_quoted_and_asked_again(
    handover: Handover, plugins: ScriptedPlugins
) -> None:
    plugins.write("one", NOT_READY)

    for _ in range(2):
        with pytest.raises(PluginError, match=r'plugin "one" \(network "web"\) STATUS: no uplink'):
            await handover.prepare(_conflist())

    assert plugins.calls == ["one STATUS", "one STATUS"]


async def test_a_plugin_too_old_for_the_conflist_is_told_so(
    handover: Handover, plugins: ScriptedPlugins
) -> None:
    plugins.write("one", f"{SPEAKS}; [ $CNI_COMMAND != STATUS ] || exit 1")

    with pytest.raises(
        PluginError, match=r"speaks CNI versions 1\.0\.0, not 1\.1\.0 \(install newer plugins"
    ):
        await handover.prepare(_conflist())


async def test_a_conflist_that_offers_versions_is_run_in_one_that_its_plugins_speak(
    handover: Handover, plugins: ScriptedPlugins
) -> None:
    plugins.write("one", SPEAKS)

    prepared = await handover.prepare(_conflist(versions=["1.0.0", "1.1.0"]))

    assert prepared.cni_version == "1.0.0"
    assert plugins.calls == ["one VERSION"]  # 1.0.0 has no STATUS


async def test_addresses_are_given_back_once_only_the_first_plugin_is_left(
    handover: Handover, plugins: ScriptedPlugins
) -> None:
    plugins.write("one")
    plugins.write("two")
    given = asyncio.Event()

    async def give_back() -> None:
        assert plugins.calls[:1] == ["two DEL"]
        given.set()

    await handover.detach(_attached("one", "two"), LINK, give_back)

    assert given.is_set()
    assert plugins.calls == ["two DEL", "one DEL"]


async def test_while_a_later_plugin_fails_addresses_are_kept(
    handover: Handover, plugins: ScriptedPlugins
) -> None:
    plugins.write("one")
    plugins.write("two", FAILS)

    async def give_back() -> None:
        pytest.fail("it was given back")

    with pytest.raises(PluginError, match=r'plugin "two" .* DEL: device busy'):
        await handover.detach(_attached("one", "two"), LINK, give_back)

    assert plugins.calls == ["two DEL"]


async def test_a_first_plugin_that_fails_is_the_error_once_addresses_are_given_back(
    handover: Handover, plugins: ScriptedPlugins
) -> None:
    plugins.write("one", FAILS)
    given = asyncio.Event()

    async def give_back() -> None:
        await asyncio.sleep(0.2)  # longer than the plugin takes
        given.set()

    with pytest.raises(PluginError, match=r'plugin "one" .* DEL: device busy'):
        await handover.detach(_attached("one"), LINK, give_back)

    assert given.is_set()


async def test_a_link_that_cannot_get_its_own_mac_address_back_is_deleted_none_the_less(
    handover: Handover, plugins: ScriptedPlugins, caplog: pytest.LogCaptureFixture
) -> None:
    plugins.write("one")
    found = replace(LINK, mac="02:00:00:00:00:99")

    await handover.detach(replace(_attached("one"), sandbox_key="/nowhere"), found, _nothing)

    assert plugins.calls == ["one DEL"]
    assert f"cannot give eth0 in /nowhere MAC address {LINK.mac}" in caplog.text


async def _nothing() -> None:
    """Give nothing back."""


def _attached(*plugins: str) -> Endpoint:
    """An endpoint that is in a live sandbox with such a chain."""
    conflist = {"cniVersion": "1.0.0", "name": "web", "plugins": [{"type": name} for name in plugins]}
    return endpoint(EndpointState.LEAVING, conflist=conflist, sandbox_key="/proc/self/ns/net")


def _conflist(*, mtu: int = 1500, versions: list[str] | None = None) -> NetworkConfigList:
    value = {
        "name": "web",
        "cniVersion": "1.1.0",
        "plugins": [{"type": "one", "mtu": mtu}],
        **({"cniVersions": versions} if versions else {}),
    }
    return NetworkConfigList.from_json(value, "x")
