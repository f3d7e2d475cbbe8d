"""Which version a conflist is run in, and when its plugins are asked whether they are ready.

What the handover does to namespaces and links is proven in `tests/integration/test_handover.py`.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shim.cni.conf import NetworkConfigList
from shim.cni.errors import PluginError
from shim.cni.exec import Exec
from shim.cni.runtime import Runtime
from shim.handover import Handover
from shim.net.links import Links
from shim.net.namespaces import Namespaces
from shim.net.thread import NetlinkThread
from tests.unit.cni.scripted import ScriptedPlugins

NOT_READY = """[ "$CNI_COMMAND" != STATUS ] || { echo '{"code": 50, "msg": "no uplink"}'; exit 1; }"""
SPEAKS = """[ "$CNI_COMMAND" != VERSION ] || echo '{"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]}'"""


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


def _conflist(*, mtu: int = 1500, versions: list[str] | None = None) -> NetworkConfigList:
    value = {
        "name": "web",
        "cniVersion": "1.1.0",
        "plugins": [{"type": "one", "mtu": mtu}],
        **({"cniVersions": versions} if versions else {}),
    }
    return NetworkConfigList.from_json(value, "x")
