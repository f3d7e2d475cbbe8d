"""Chains of plugins: what each is given, what follows a failure, and how DEL goes."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from shim.cni.conf import NetworkConfigList
from shim.cni.errors import ConfError, PluginError
from shim.cni.exec import Exec
from shim.cni.result import Result
from shim.cni.runtime import Attachment, Runtime
from tests.unit.cni.scripted import ADD_ANSWER, ScriptedPlugins

ATTACHMENT = Attachment("4f1c09", "/run/netns/a", "eth0")
FAIL = "exit 1"
FAIL_AT_ADD = f'[ "$CNI_COMMAND" != ADD ] || {FAIL}'


def _conf(*kinds: str, version: str = "1.0.0", **members: Any) -> NetworkConfigList:
    plugins = [{"type": kind, **members} for kind in kinds]
    return NetworkConfigList.from_json({"cniVersion": version, "name": "web", "plugins": plugins}, "x")


def _runtime(plugins: ScriptedPlugins, add_deadline: float = 60.0) -> Runtime:
    return Runtime(
        Exec(lambda *_: None),
        [plugins.folder, Path("/none")],
        add_deadline=add_deadline,
        delete_deadline=60.0,
    )


async def test_add_runs_the_plugins_in_order_and_returns_the_last_result(plugins: ScriptedPlugins) -> None:
    plugins.write("one")
    plugins.write("two", 'echo \'{"cniVersion": "1.0.0", "ips": [{"address": "10.2.0.2/16"}]}\'')

    result = await _runtime(plugins).add(_conf("one", "two"), ATTACHMENT)

    assert plugins.calls == ["one ADD", "two ADD"]
    assert [ip.address for ip in result.ips] == ["10.2.0.2/16"]
    assert "prevResult" not in plugins.request("one", "ADD")
    assert plugins.request("two", "ADD")["prevResult"] == json.loads(ADD_ANSWER)


async def test_a_plugin_is_told_everything_the_specification_asks_for(
    plugins: ScriptedPlugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    monkeypatch.setenv("CNI_COMMAND", "DEL")
    plugins.write("one")
    attachment = Attachment("4f1c09", "/run/netns/a", "eth0", args=(("MAC", "0a:00:00:00:00:01"), ("K", "")))

    await _runtime(plugins).add(_conf("one"), attachment)

    environment = plugins.environment("one", "ADD")
    assert environment["INHERITED"] == "yes"
    assert {key: value for key, value in environment.items() if key.startswith("CNI_")} == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "4f1c09",
        "CNI_NETNS": "/run/netns/a",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "IgnoreUnknown=1;MAC=0a:00:00:00:00:01;K=",
        "CNI_PATH": f"{plugins.folder}{os.pathsep}/none",
    }


async def test_the_lists_name_and_version_override_the_plugins(plugins: ScriptedPlugins) -> None:
    plugins.write("one")

    await _runtime(plugins).add(_conf("one", name="other", cniVersion="0.1.0", mtu=1400), ATTACHMENT)

    assert plugins.request("one", "ADD") == {"type": "one", "name": "web", "cniVersion": "1.0.0", "mtu": 1400}


async def test_each_plugin_gets_the_capability_data_it_declares_and_no_other(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("one")
    plugins.write("two")
    listed = [
        {"type": "one", "capabilities": {"mac": False, "ips": True}},
        {"type": "two", "capabilities": {"portMappings": True, "mac": True}},
    ]
    conf = NetworkConfigList.from_json({"cniVersion": "1.0.0", "name": "web", "plugins": listed}, "x")
    ports = [{"hostPort": 80, "containerPort": 80, "protocol": "tcp"}]
    attachment = Attachment(
        "4f1c09", "/run/netns/a", "eth0", capability_args={"portMappings": ports, "mac": "0a:00:00:00:00:01"}
    )

    await _runtime(plugins).add(conf, attachment)

    assert "runtimeConfig" not in plugins.request("one", "ADD")
    assert plugins.request("two", "ADD")["runtimeConfig"] == {
        "portMappings": ports,
        "mac": "0a:00:00:00:00:01",
    }
    assert "capabilities" not in plugins.request("two", "ADD")


async def test_an_answer_in_another_version_is_converted_for_the_next_plugin(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("one")  # answers in 1.0.0
    plugins.write("two", 'echo \'{"ips": [{"version": "4", "address": "10.2.0.2/16"}]}\'')

    result = await _runtime(plugins).add(_conf("one", "two", version="0.3.1"), ATTACHMENT)

    assert plugins.request("two", "ADD")["prevResult"] == {
        "cniVersion": "0.3.1",
        "ips": [{"address": "10.1.0.5/16", "version": "4"}],
    }
    assert result.raw["cniVersion"] == "0.3.1"


async def test_no_plugin_runs_while_one_of_the_chain_is_missing(plugins: ScriptedPlugins) -> None:
    plugins.write("one")

    with pytest.raises(PluginError, match=r'plugin "two" .*not found') as failure:
        await _runtime(plugins).add(_conf("one", "two"), ATTACHMENT)

    assert plugins.calls == []
    assert not failure.value.left_behind


async def test_add_without_a_namespace_is_refused_before_anything_runs(plugins: ScriptedPlugins) -> None:
    plugins.write("one")

    with pytest.raises(ConfError, match="needs a network namespace"):
        await _runtime(plugins).add(_conf("one"), Attachment("4f1c09", "", "eth0"))

    assert plugins.calls == []


async def test_what_only_the_runtime_may_say_is_not_taken_from_a_file(plugins: ScriptedPlugins) -> None:
    plugins.write("one")
    conf = _conf("one").to_json()
    reserved = {"prevResult": {}, "runtimeConfig": {"mac": "x"}, "cni.dev/attachments": []}
    conf["plugins"][0] |= {**reserved, "mtu": 9}

    await _runtime(plugins).add(NetworkConfigList.from_json(conf, "x"), ATTACHMENT)

    request = plugins.request("one", "ADD")
    assert not set(reserved) & set(request)
    assert request["mtu"] == 9


async def test_a_failed_add_is_followed_by_del_of_the_whole_chain(plugins: ScriptedPlugins) -> None:
    plugins.write("one")
    plugins.write("two", FAIL_AT_ADD)
    plugins.write("three")

    with pytest.raises(PluginError, match='plugin "two"') as failure:
        await _runtime(plugins).add(_conf("one", "two", "three"), ATTACHMENT)

    assert plugins.calls == ["one ADD", "two ADD", "three DEL", "two DEL", "one DEL"]
    assert plugins.request("two", "DEL")["prevResult"] == json.loads(ADD_ANSWER)
    assert not failure.value.left_behind


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("", "the answer: empty"),
        ("hello", "the answer: not JSON"),
        ("[]", "the answer: expected a JSON object"),
        ('{"ips": [{"address": "10.1.0.5"}]}', r"ips\[0\]: address"),
        ('{"cniVersion": "9.0.0"}', r"is of CNI version 9\.0\.0"),
    ],
)
async def test_an_unusable_answer_is_a_failed_add(plugins: ScriptedPlugins, answer: str, said: str) -> None:
    plugins.write("one", f"echo '{answer}'")

    with pytest.raises(PluginError, match=rf'plugin "one" \(network "web"\) ADD: .*{said}'):
        await _runtime(plugins).add(_conf("one"), ATTACHMENT)

    assert plugins.calls == ["one ADD", "one DEL"]


async def test_a_failed_add_says_when_its_clean_up_failed_too(plugins: ScriptedPlugins) -> None:
    plugins.write("one")
    plugins.write("two", FAIL)

    with pytest.raises(PluginError, match=r'plugin "two" .* ADD') as failure:
        await _runtime(plugins).add(_conf("one", "two"), ATTACHMENT)

    assert failure.value.left_behind
    assert "DEL" in str(failure.value.cleanup_error)
    assert plugins.calls == ["one ADD", "two ADD", "two DEL"]


async def test_a_plugin_that_refuses_its_configuration_does_not_stop_the_clean_up(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("one")
    plugins.write("two", """echo '{"code": 999, "msg": "invalid range"}'; exit 1""")

    with pytest.raises(PluginError, match="invalid range") as failure:
        await _runtime(plugins).add(_conf("one", "two"), ATTACHMENT)

    assert plugins.calls == ["one ADD", "two ADD", "two DEL", "one DEL"]
    assert not failure.value.left_behind


async def test_a_plugin_whose_add_never_ran_does_not_stop_the_clean_up(plugins: ScriptedPlugins) -> None:
    plugins.write("one")
    plugins.write("two", FAIL_AT_ADD)
    plugins.write("three", FAIL)

    with pytest.raises(PluginError, match='plugin "two"') as failure:
        await _runtime(plugins).add(_conf("one", "two", "three"), ATTACHMENT)

    assert plugins.calls == ["one ADD", "two ADD", "three DEL", "two DEL", "one DEL"]
    assert not failure.value.left_behind


async def test_the_clean_up_after_a_deadline_has_a_deadline_of_its_own(plugins: ScriptedPlugins) -> None:
    plugins.write("one", '[ "$CNI_COMMAND" != ADD ] || sleep 1000')

    with pytest.raises(PluginError, match=r"ADD: no answer within 1 s, killed") as failure:
        await _runtime(plugins, add_deadline=1.0).add(_conf("one"), ATTACHMENT)

    assert plugins.calls == ["one ADD", "one DEL"]
    assert not failure.value.left_behind


async def test_a_cancelled_add_is_cleaned_up_to_the_end_however_often_it_is_cancelled(
    plugins: ScriptedPlugins, tmp_path: Path
) -> None:
    running, go_on = tmp_path / "running", tmp_path / "go-on"
    os.mkfifo(running)
    os.mkfifo(go_on)
    plugins.write("one")
    plugins.write("two", f'echo "$CNI_COMMAND" > {running}; cat {go_on}')
    task = asyncio.create_task(_runtime(plugins).add(_conf("one", "two"), ATTACHMENT))

    for command in ("ADD", "DEL"):  # cancelled in the middle of both
        assert await asyncio.to_thread(running.read_text) == f"{command}\n"
        task.cancel()
    await asyncio.to_thread(go_on.write_text, "")

    with pytest.raises(asyncio.CancelledError):
        await task
    assert plugins.calls == ["one ADD", "two ADD", "two DEL", "one DEL"]


async def test_del_runs_in_reverse_with_the_final_result(plugins: ScriptedPlugins) -> None:
    plugins.write("one", "")
    plugins.write("two", "")
    result = Result.from_json(json.loads(ADD_ANSWER), "x")

    await _runtime(plugins).delete(_conf("one", "two"), ATTACHMENT, result)

    assert plugins.calls == ["two DEL", "one DEL"]
    assert plugins.request("one", "DEL")["prevResult"] == result.to_json()
    assert plugins.request("two", "DEL")["prevResult"] == result.to_json()


async def test_del_before_version_0_4_0_gives_no_result(plugins: ScriptedPlugins) -> None:
    plugins.write("one", "")

    await _runtime(plugins).delete(_conf("one", version="0.3.1"), ATTACHMENT, Result.from_json({}, "x"))

    assert "prevResult" not in plugins.request("one", "DEL")


async def test_del_works_without_result_and_without_namespace(plugins: ScriptedPlugins) -> None:
    plugins.write("one", "")

    await _runtime(plugins).delete(_conf("one"), Attachment("4f1c09", "", "eth0"), None)

    assert "prevResult" not in plugins.request("one", "DEL")
    assert plugins.environment("one", "DEL")["CNI_NETNS"] == ""


async def test_del_stops_at_the_first_plugin_that_fails(plugins: ScriptedPlugins) -> None:
    plugins.write("one", "")
    plugins.write("two", FAIL)

    with pytest.raises(PluginError, match='plugin "two"'):
        await _runtime(plugins).delete(_conf("one", "two"), ATTACHMENT, None)

    assert plugins.calls == ["two DEL"]


async def test_a_plugin_that_does_not_know_the_container_has_nothing_to_clean(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("one", "")
    plugins.write("two", 'echo \'{"code": 3, "msg": "unknown container"}\'; exit 1')

    await _runtime(plugins).delete(_conf("one", "two"), ATTACHMENT, None)

    assert plugins.calls == ["two DEL", "one DEL"]


@pytest.mark.parametrize(
    ("container_id", "ifname", "args"),
    [
        ("", "eth0", ()),
        ("../x", "eth0", ()),
        ("4f1c09\n", "eth0", ()),
        ("4f1c09", "", ()),
        ("4f1c09", "..", ()),
        ("4f1c09", "a/b", ()),
        ("4f1c09", "a b", ()),
        ("4f1c09", "a:b", ()),
        ("4f1c09", "a\u3000b", ()),
        ("4f1c09", "sixteen-letters-", ()),
        ("4f1c09", "äääääääää", ()),
        ("4f1c09", "\ud800", ()),
        ("4f1c09", "eth0", (("", "x"),)),
        ("4f1c09", "eth0", (("K", "a;IP=10.0.0.1"),)),
        ("4f1c09", "eth0", (("K", "a=b"),)),
        ("4f1c09", "eth0", (("K=V", "a"),)),
        ("4f1c09", "eth0", (("K", "a\0b"),)),
    ],
)
def test_an_attachment_that_plugins_would_misread_is_refused(
    container_id: str, ifname: str, args: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(ConfError):
        Attachment(container_id, "/run/netns/a", ifname, args)
