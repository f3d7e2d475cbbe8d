"""The verbs beside ADD and DEL, what of them a version has, and calls that have to wait or to be repeated."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from shim.cni.conf import NetworkConfigList
from shim.cni.errors import ConfError, GCError, PluginError
from shim.cni.exec import Exec
from shim.cni.result import Result
from shim.cni.runtime import Attachment, Runtime
from tests.unit.cni.scripted import ADD_ANSWER, ScriptedPlugins

ATTACHMENT = Attachment("4f1c09", "/run/netns/a", "eth0", (("K", "V"),))
RESULT = Result.from_json(json.loads(ADD_ANSWER), "x")
OLD_VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1")
BEFORE_GC = (*OLD_VERSIONS, "0.4.0", "1.0.0")


def _conf(*kinds: str, version: str = "1.1.0", **members: Any) -> NetworkConfigList:
    plugins = [{"type": kind, "capabilities": {"mac": True}} for kind in kinds]
    value = {"cniVersion": version, "name": "web", "plugins": plugins}
    return NetworkConfigList.from_json(value | members, "x")


@pytest.fixture
def runtime(plugins: ScriptedPlugins) -> Runtime:
    return Runtime(Exec(lambda *_: None), [plugins.folder], add_deadline=60.0, delete_deadline=60.0)


def _failing(command: str, code: int) -> str:
    said = json.dumps({"cniVersion": "1.1.0", "code": code, "msg": f"code {code}"})
    return f"""[ "$CNI_COMMAND" != {command} ] || {{ echo '{said}'; exit 1; }}; echo '{ADD_ANSWER}'"""


async def test_check_asks_every_plugin_in_order_with_the_final_result_and_all_parameters(
    runtime: Runtime, plugins: ScriptedPlugins
) -> None:
    plugins.write("one", "")
    plugins.write("two", "")

    await runtime.check(_conf("one", "two"), ATTACHMENT, RESULT)

    assert plugins.calls == ["one CHECK", "two CHECK"]
    for kind in ("one", "two"):
        assert plugins.request(kind, "CHECK")["prevResult"] == RESULT.to_json() | {"cniVersion": "1.1.0"}
        environment = plugins.environment(kind, "CHECK")
        assert environment["CNI_NETNS"] == "/run/netns/a"
        assert environment["CNI_ARGS"] == "IgnoreUnknown=1;K=V"


async def test_check_stops_at_the_first_plugin_that_fails_and_keeps_its_code(
    runtime: Runtime, plugins: ScriptedPlugins
) -> None:
    plugins.write("one", _failing("CHECK", 104))
    plugins.write("two", "")

    with pytest.raises(PluginError, match=r'plugin "one" .* CHECK: code 104') as failure:
        await runtime.check(_conf("one", "two"), ATTACHMENT, RESULT)

    assert failure.value.code == 104
    assert plugins.calls == ["one CHECK"]


@pytest.mark.parametrize("version", OLD_VERSIONS)
async def test_check_is_refused_in_versions_that_have_none(
    runtime: Runtime, plugins: ScriptedPlugins, version: str
) -> None:
    plugins.write("one", "")

    with pytest.raises(ConfError, match=rf"CNI version {version} has no CHECK \(it came with 0\.4\.0\)"):
        await runtime.check(_conf("one", version=version), ATTACHMENT, RESULT)

    assert plugins.calls == []


async def test_a_disabled_check_succeeds_and_asks_nobody(runtime: Runtime, plugins: ScriptedPlugins) -> None:
    plugins.write("one", "exit 1")

    await runtime.check(_conf("one", disableCheck="true"), ATTACHMENT, RESULT)

    assert plugins.calls == []


async def test_check_without_a_namespace_is_refused(runtime: Runtime) -> None:
    with pytest.raises(ConfError, match="CHECK needs a network namespace"):
        await runtime.check(_conf("one"), Attachment("4f1c09", "", "eth0"), RESULT)


async def test_status_asks_every_plugin_about_the_network_alone(
    runtime: Runtime, plugins: ScriptedPlugins
) -> None:
    plugins.write("one", "")
    plugins.write("two", "")

    await runtime.status(_conf("one", "two"))

    assert plugins.calls == ["one STATUS", "two STATUS"]
    assert plugins.request("one", "STATUS") == {"type": "one", "name": "web", "cniVersion": "1.1.0"}
    parameters = ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS")
    assert [plugins.environment("one", "STATUS")[name] for name in parameters] == ["", "", "", ""]


@pytest.mark.parametrize("code", [50, 51])
async def test_a_plugin_that_is_not_ready_says_so_by_its_code(
    runtime: Runtime, plugins: ScriptedPlugins, code: int
) -> None:
    plugins.write("one", _failing("STATUS", code))

    with pytest.raises(PluginError) as failure:
        await runtime.status(_conf("one"))

    assert failure.value.code == code


@pytest.mark.parametrize("version", BEFORE_GC)
async def test_versions_without_status_and_gc_are_not_asked(
    runtime: Runtime, plugins: ScriptedPlugins, version: str
) -> None:
    plugins.write("one", "exit 1")

    await runtime.status(_conf("one", version=version))
    await runtime.gc(_conf("one", version=version), [ATTACHMENT])

    assert plugins.calls == []


async def test_gc_gives_the_valid_attachments_under_both_names(
    runtime: Runtime, plugins: ScriptedPlugins
) -> None:
    plugins.write("one", "")

    await runtime.gc(_conf("one"), [ATTACHMENT])

    valid = [{"containerID": "4f1c09", "ifname": "eth0"}]
    assert plugins.request("one", "GC") == {
        "type": "one",
        "name": "web",
        "cniVersion": "1.1.0",
        "cni.dev/valid-attachments": valid,
        "cni.dev/attachments": valid,
    }


async def test_gc_asks_the_others_after_a_failure_and_returns_all_errors(
    runtime: Runtime, plugins: ScriptedPlugins
) -> None:
    plugins.write("one", _failing("GC", 101))
    plugins.write("two", "")
    plugins.write("three", _failing("GC", 103))

    with pytest.raises(GCError, match=r"code 101.*code 103") as failure:
        await runtime.gc(_conf("one", "two", "three", "missing"), [])

    assert plugins.calls == ["one GC", "two GC", "three GC"]
    assert [error.code for error in failure.value.errors] == [101, 103, 0]


async def test_a_disabled_gc_asks_nobody(runtime: Runtime, plugins: ScriptedPlugins) -> None:
    plugins.write("one", "exit 1")

    await runtime.gc(_conf("one", disableGC="True"), [])

    assert plugins.calls == []


async def _add_under_way(
    runtime: Runtime, plugins: ScriptedPlugins, folder: Path
) -> tuple[asyncio.Task[Result], Path]:
    """An ADD whose plugin runs now, and ends when something is written to the path."""
    running, go_on = folder / "running", folder / "go-on"
    os.mkfifo(running)
    os.mkfifo(go_on)
    plugins.write("slow", f"echo here > {running}; cat {go_on}; echo '{ADD_ANSWER}'")
    add = asyncio.create_task(runtime.add(_conf("slow"), ATTACHMENT))
    await asyncio.to_thread(running.read_text)
    return add, go_on


async def test_gc_waits_for_an_add_and_lets_no_other_begin(
    runtime: Runtime, plugins: ScriptedPlugins, tmp_path: Path
) -> None:
    plugins.write("one")
    first, go_on = await _add_under_way(runtime, plugins, tmp_path)

    known: list[Attachment] = []
    gc = asyncio.create_task(runtime.gc(_conf("one"), known))
    await asyncio.sleep(0)
    known.append(ATTACHMENT)  # what is added meanwhile counts
    second = asyncio.create_task(runtime.add(_conf("one"), Attachment("other", "/run/netns/b", "eth0")))
    await asyncio.to_thread(go_on.write_text, "")
    await asyncio.gather(first, gc, second)

    assert plugins.calls == ["slow ADD", "one GC", "one ADD"]
    assert len(plugins.request("one", "GC")["cni.dev/valid-attachments"]) == 1


async def test_calls_for_one_container_wait_for_each_other_and_those_for_others_do_not(
    runtime: Runtime, plugins: ScriptedPlugins, tmp_path: Path
) -> None:
    plugins.write("one")
    first, go_on = await _add_under_way(runtime, plugins, tmp_path)

    second = asyncio.create_task(runtime.add(_conf("one"), Attachment("4f1c09", "/run/netns/a", "eth1")))
    await runtime.add(_conf("one"), Attachment("other", "/run/netns/b", "eth0"))
    assert plugins.calls == ["slow ADD", "one ADD"]
    await asyncio.to_thread(go_on.write_text, "")
    await asyncio.gather(first, second)

    assert plugins.calls == ["slow ADD", "one ADD", "one ADD"]


async def test_an_attachment_is_not_added_twice_until_it_is_deleted(
    runtime: Runtime, plugins: ScriptedPlugins
) -> None:
    plugins.write("one")
    await runtime.add(_conf("one"), ATTACHMENT)

    with pytest.raises(ConfError, match="container 4f1c09 already has an attachment eth0"):
        await runtime.add(_conf("one"), ATTACHMENT)
    assert plugins.calls == ["one ADD"]

    await runtime.delete(_conf("one"), ATTACHMENT, RESULT)
    await runtime.add(_conf("one"), ATTACHMENT)


async def test_an_add_that_failed_may_be_repeated_once_it_is_cleaned_up(
    runtime: Runtime, plugins: ScriptedPlugins
) -> None:
    plugins.write("one", "exit 1")
    with pytest.raises(PluginError) as failure:
        await runtime.add(_conf("one"), ATTACHMENT)
    assert failure.value.left_behind
    with pytest.raises(ConfError, match="delete that first"):
        await runtime.add(_conf("one"), ATTACHMENT)

    plugins.write("one")
    await runtime.delete(_conf("one"), ATTACHMENT, None)
    await runtime.add(_conf("one"), ATTACHMENT)


async def test_a_capability_that_nobody_declares_is_refused_before_anything_runs(
    runtime: Runtime, plugins: ScriptedPlugins
) -> None:
    plugins.write("one")
    attachment = Attachment("4f1c09", "/run/netns/a", "eth0", capability_args={"ips": ["10.0.0.5"]})

    with pytest.raises(ConfError, match='takes the capability "ips"'):
        await runtime.add(_conf("one"), attachment)

    assert plugins.calls == []


async def test_a_plugin_that_says_to_try_later_is_tried_again(
    runtime: Runtime, plugins: ScriptedPlugins, tmp_path: Path
) -> None:
    tried = tmp_path / "tried"
    later = """echo '{"code": 11, "msg": "not yet"}'; exit 1"""
    plugins.write("one", f"[ -e {tried} ] || {{ touch {tried}; {later}; }}; echo '{ADD_ANSWER}'")

    await runtime.add(_conf("one"), ATTACHMENT)

    assert plugins.calls == ["one ADD", "one ADD"]


async def test_trying_again_has_an_end(
    runtime: Runtime, plugins: ScriptedPlugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shim.cni.runtime._PAUSES", (0.0, 0.0))
    plugins.write("one", _failing("CHECK", 11))

    with pytest.raises(PluginError) as failure:
        await runtime.check(_conf("one"), ATTACHMENT, RESULT)

    assert failure.value.code == 11
    assert plugins.calls == ["one CHECK"] * 3


async def test_trying_again_does_not_go_beyond_the_deadline(
    runtime: Runtime, plugins: ScriptedPlugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shim.cni.runtime._PAUSES", (61.0,))
    plugins.write("one", _failing("DEL", 11))

    with pytest.raises(PluginError, match="code 11"):
        await runtime.delete(_conf("one"), ATTACHMENT, None)

    assert plugins.calls == ["one DEL"]


async def test_del_goes_without_a_result_that_the_lists_version_cannot_say(
    runtime: Runtime, plugins: ScriptedPlugins, caplog: pytest.LogCaptureFixture
) -> None:
    plugins.write("one", "")

    await runtime.delete(_conf("one"), ATTACHMENT, Result.from_json({"cniVersion": "7.0.0"}, "x"))

    assert "prevResult" not in plugins.request("one", "DEL")
    assert "DEL goes without the result of ADD" in caplog.text


@pytest.mark.parametrize(
    ("answer", "spoken"),
    [
        ('{"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}', ("0.4.0", "1.0.0")),
        ('{"cniVersion": "0.2.0"}', ("0.1.0", "0.2.0")),
    ],
)
async def test_a_plugin_says_which_versions_it_speaks(
    runtime: Runtime, plugins: ScriptedPlugins, answer: str, spoken: tuple[str, ...]
) -> None:
    plugins.write("one", f"echo '{answer}'")

    assert await runtime.versions("one", network="web") == spoken
    assert plugins.request("one", "VERSION") == {"cniVersion": "1.1.0"}


async def test_a_plugin_older_than_the_question_speaks_the_first_version(
    runtime: Runtime, plugins: ScriptedPlugins
) -> None:
    plugins.write("one", """echo '{"code": 4, "msg": "unknown CNI_COMMAND: VERSION"}'; exit 1""")

    assert await runtime.versions("one", network="web") == ("0.1.0",)


@pytest.mark.parametrize(
    "body", ["exit 1", "echo '{}'", "echo '[]'", """echo '{"supportedVersions": [1]}'"""]
)
async def test_a_plugin_that_does_not_say_what_it_speaks_is_an_error(
    runtime: Runtime, plugins: ScriptedPlugins, body: str
) -> None:
    plugins.write("one", body)

    with pytest.raises(PluginError, match=r'plugin "one" .* VERSION: '):
        await runtime.versions("one", network="web")


async def test_a_plugin_is_asked_for_its_versions_once_until_its_file_changes(
    runtime: Runtime, plugins: ScriptedPlugins
) -> None:
    plugins.write("one", """echo '{"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]}'""")
    await runtime.versions("one", network="web")
    await runtime.versions("one", network="web")
    assert plugins.calls == ["one VERSION"]

    plugins.write("one", """echo '{"cniVersion": "1.1.0", "supportedVersions": ["1.0.0", "1.1.0"]}'""")

    assert await runtime.versions("one", network="web") == ("1.0.0", "1.1.0")


def _speaking(*spoken: str) -> str:
    return f"echo '{json.dumps({'cniVersion': '1.0.0', 'supportedVersions': spoken})}'"


async def test_the_highest_version_that_all_plugins_speak_is_chosen_of_those_offered(
    runtime: Runtime, plugins: ScriptedPlugins
) -> None:
    plugins.write("one", _speaking("0.4.0", "1.0.0", "1.1.0"))
    plugins.write("two", _speaking("0.3.1", "0.4.0", "1.0.0"))
    conf = _conf("one", "two", "one", cniVersions=["0.3.1", "0.4.0", "1.0.0"])
    assert conf.cni_version == "1.1.0"

    assert (await runtime.negotiated(conf)).cni_version == "1.0.0"
    assert plugins.calls == ["one VERSION", "two VERSION"]


async def test_plugins_without_a_version_in_common_are_told_with_what_they_speak(
    runtime: Runtime, plugins: ScriptedPlugins
) -> None:
    plugins.write("one", _speaking("0.3.1"))

    with pytest.raises(
        ConfError, match=r"no version that it offers \(1\.0\.0, 1\.1\.0\) .* one speaks 0\.3\.1"
    ):
        await runtime.negotiated(_conf("one", cniVersions=["1.0.0"]))


async def test_a_list_that_offers_one_version_is_run_in_it_without_asking(
    runtime: Runtime, plugins: ScriptedPlugins
) -> None:
    plugins.write("one", "exit 1")
    conf = _conf("one")

    assert await runtime.negotiated(conf) is conf
    assert plugins.calls == []
