"""`cnm-cni cni`: what plugins are given on behalf of the environment, what is printed, what is on record."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shim import cli
from shim.cni.cache import Cache
from shim.model import EndpointState
from shim.store import Store
from tests.unit.cni.scripted import ADD_ANSWER, ScriptedPlugins
from tests.unit.standins import endpoint

Capture = pytest.CaptureFixture[str]
Write = Callable[..., None]

NETNS = "/run/netns/a"
CONTAINER_ID = "cnitool-" + hashlib.sha512(NETNS.encode()).hexdigest()[:20]


@pytest.fixture
def plugins(tmp_path: Path) -> ScriptedPlugins:
    return ScriptedPlugins(tmp_path)


@pytest.fixture
def network(tmp_path: Path) -> Write:
    """Writes the configuration of the network "web", whose only plugin is "one"."""
    folder = tmp_path / "net.d"
    folder.mkdir()

    def write(version: str = "1.1.0", **members: Any) -> None:
        plugin = {"type": "one", "capabilities": {"mac": True}}
        value = {"cniVersion": version, "name": "web", "plugins": [plugin]} | members
        (folder / "web.conflist").write_text(json.dumps(value))

    return write


@pytest.fixture(autouse=True)
def environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugins: ScriptedPlugins, network: Write
) -> None:
    """The environment of cnitool, and a cache and a journal of the test's own."""
    network()
    for name in ("CNI_ARGS", "CAP_ARGS", "CNI_IFNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CNI_PATH", str(plugins.folder))
    monkeypatch.setenv("NETCONFPATH", str(tmp_path / "net.d"))
    settings = tmp_path / "config.yaml"
    settings.write_text(f"state_dir: {tmp_path / 'state'}\n")
    monkeypatch.setattr("shim.config.DEFAULT_FILE", settings)
    monkeypatch.setattr("shim.cni_command.Cache", lambda: Cache(tmp_path / "cni"))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cni")


def _refused(capture: Capture, *arguments: str) -> str:
    assert cli.main(["cni", *arguments]) == 1
    out, err = capture.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_add_prints_the_result_as_cnitool_does(plugins: ScriptedPlugins, capsys: Capture) -> None:
    plugins.write("one")

    assert cli.main(["cni", "add", "web", NETNS]) == 0

    assert capsys.readouterr().out == (
        "{\n"
        '    "cniVersion": "1.1.0",\n'
        '    "ips": [\n'
        "        {\n"
        '            "address": "10.1.0.5/16"\n'
        "        }\n"
        "    ]\n"
        "}\n"
    )


def test_the_environment_is_handed_to_the_plugins(
    plugins: ScriptedPlugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins.write("one")
    monkeypatch.setenv("CNI_ARGS", "K=V;L=W")
    monkeypatch.setenv("CAP_ARGS", '{"mac": "0a:00:00:00:00:01"}')
    monkeypatch.setenv("CNI_IFNAME", "net1")

    assert cli.main(["cni", "add", "web", "/run/../run/netns/a"]) == 0

    given = plugins.environment("one", "ADD")
    assert given["CNI_CONTAINERID"] == CONTAINER_ID
    assert (given["CNI_NETNS"], given["CNI_IFNAME"]) == (NETNS, "net1")
    assert given["CNI_ARGS"] == "IgnoreUnknown=1;K=V;L=W"
    assert plugins.request("one", "ADD")["runtimeConfig"] == {"mac": "0a:00:00:00:00:01"}


def test_the_flag_wins_over_the_environment(
    plugins: ScriptedPlugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins.write("one")
    monkeypatch.setenv("CNI_IFNAME", "net1")

    assert cli.main(["cni", "add", "-i", "net2", "web", NETNS]) == 0

    assert plugins.environment("one", "ADD")["CNI_IFNAME"] == "net2"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (("CNI_ARGS", "K"), "CNI_ARGS 'K': expected KEY=VALUE"),
        (("CNI_ARGS", "K=V;"), "CNI_ARGS 'K=V;'"),
        (("CNI_ARGS", "K=V=W"), "CNI_ARGS 'K=V=W'"),
        (("CAP_ARGS", "{"), "CAP_ARGS: not JSON"),
        (("CAP_ARGS", "[]"), "CAP_ARGS: expected a JSON object"),
        (("CAP_ARGS", '{"ips": ["10.0.0.1"]}'), 'no plugin of the chain takes the capability "ips"'),
        (("CNI_IFNAME", "a/b"), "interface name 'a/b'"),
        (("CNI_PATH", "/nowhere"), 'plugin "one" (network "web"): not found in /nowhere'),
        (("NETCONFPATH", "/nowhere"), 'no CNI network "web" in /nowhere'),
    ],
)
def test_what_is_wrong_in_the_environment_is_said_in_one_line(
    plugins: ScriptedPlugins,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    setting: tuple[str, str],
    said: str,
) -> None:
    plugins.write("one")
    monkeypatch.setenv(*setting)

    assert said in _refused(capsys, "add", "web", NETNS)
    assert plugins.calls == []


def test_a_second_add_is_refused_and_says_how_to_undo_the_first(
    plugins: ScriptedPlugins, capsys: Capture
) -> None:
    plugins.write("one")
    cli.main(["cni", "add", "web", NETNS])
    capsys.readouterr()

    assert f"(cnm-cni cni del web {NETNS})" in _refused(capsys, "add", "web", NETNS)
    assert plugins.calls == ["one ADD"]


def test_an_add_that_fails_is_undone_and_not_on_record(
    plugins: ScriptedPlugins, capsys: Capture, cache: Cache
) -> None:
    plugins.write("one", """[ $CNI_COMMAND = DEL ] || { echo '{"code": 7, "msg": "bad"}'; exit 1; }""")

    assert 'plugin "one" (network "web") ADD: bad' in _refused(capsys, "add", "web", NETNS)
    assert plugins.calls == ["one ADD", "one DEL"]
    assert cache.attachments("web") == []


def test_an_add_that_cannot_be_recorded_is_undone(
    plugins: ScriptedPlugins, capsys: Capture, tmp_path: Path
) -> None:
    plugins.write("one")
    (tmp_path / "cni").touch()

    assert "cannot be written" in _refused(capsys, "add", "web", NETNS)
    assert plugins.calls == ["one ADD", "one DEL"]


def test_del_uses_what_add_was_given_whatever_the_files_say_now(
    plugins: ScriptedPlugins, network: Write, monkeypatch: pytest.MonkeyPatch, cache: Cache
) -> None:
    plugins.write("one")
    network(plugins=[{"type": "one", "mark": "of ADD"}])
    monkeypatch.setenv("CNI_ARGS", "K=V")
    cli.main(["cni", "add", "web", NETNS])
    network(plugins=[{"type": "two"}])
    monkeypatch.delenv("CNI_ARGS")

    assert cli.main(["cni", "del", "web", NETNS]) == 0

    asked = plugins.request("one", "DEL")
    assert (asked["mark"], asked["prevResult"]["ips"]) == ("of ADD", json.loads(ADD_ANSWER)["ips"])
    assert plugins.environment("one", "DEL")["CNI_ARGS"] == "IgnoreUnknown=1;K=V"
    assert cache.attachments("web") == []


def test_del_without_add_is_harmless(plugins: ScriptedPlugins, capsys: Capture) -> None:
    plugins.write("one", "")

    assert cli.main(["cni", "del", "web", NETNS]) == 0

    assert plugins.calls == ["one DEL"]
    assert "prevResult" not in plugins.request("one", "DEL")
    assert capsys.readouterr().out == ""


def test_a_del_that_fails_stays_on_record(plugins: ScriptedPlugins, capsys: Capture, cache: Cache) -> None:
    plugins.write("one")
    cli.main(["cni", "add", "web", NETNS])
    capsys.readouterr()
    plugins.write("one", "exit 1")

    _refused(capsys, "del", "web", NETNS)

    assert len(cache.attachments("web")) == 1


def test_a_broken_record_does_not_stop_del(plugins: ScriptedPlugins, tmp_path: Path, cache: Cache) -> None:
    plugins.write("one")
    cli.main(["cni", "add", "web", NETNS])
    (record,) = (tmp_path / "cni" / "results").iterdir()
    record.write_text("")

    assert cli.main(["cni", "del", "web", NETNS]) == 0

    assert plugins.calls == ["one ADD", "one DEL"]
    assert not record.exists()
    assert cache.attachments("web") == []


def test_check_gives_the_result_on_record(plugins: ScriptedPlugins) -> None:
    plugins.write("one")
    cli.main(["cni", "add", "web", NETNS])

    assert cli.main(["cni", "check", "web", NETNS]) == 0

    assert plugins.request("one", "CHECK")["prevResult"]["ips"] == json.loads(ADD_ANSWER)["ips"]


def test_check_before_add_is_refused(plugins: ScriptedPlugins, capsys: Capture) -> None:
    plugins.write("one")

    assert "no ADD of eth0 in /run/netns/a is on record" in _refused(capsys, "check", "web", NETNS)
    assert plugins.calls == []


def test_gc_deletes_what_is_on_record_of_namespaces_that_are_gone_and_spares_the_others(
    plugins: ScriptedPlugins, tmp_path: Path, cache: Cache
) -> None:
    plugins.write("one")
    alive = tmp_path / "alive"
    alive.touch()
    cli.main(["cni", "add", "web", str(alive)])
    cli.main(["cni", "add", "web", "/run/netns/gone"])

    assert cli.main(["cni", "gc", "web"]) == 0

    (kept,) = cache.attachments("web")
    assert kept.attachment.netns == str(alive)
    assert plugins.calls == ["one ADD", "one ADD", "one DEL", "one GC"]
    assert plugins.request("one", "GC")["cni.dev/valid-attachments"] == [
        {"containerID": kept.attachment.container_id, "ifname": "eth0"}
    ]


async def _journal(folder: Path) -> None:
    store = Store(folder)
    await store.open()
    await store.save_endpoint(
        endpoint(EndpointState.JOINED, conflist={"cniVersion": "1.1.0", "name": "web", "plugins": []})
    )
    await store.close()


def test_gc_spares_the_attachments_of_the_daemon(plugins: ScriptedPlugins, tmp_path: Path) -> None:
    asyncio.run(_journal(tmp_path / "state"))
    plugins.write("one", "")

    assert cli.main(["cni", "gc", "web"]) == 0

    daemons = endpoint(EndpointState.JOINED)
    assert plugins.request("one", "GC")["cni.dev/valid-attachments"] == [
        {"containerID": daemons.id, "ifname": daemons.ifname}
    ]


def test_gc_tells_every_failure_in_one_line_and_keeps_what_could_not_be_deleted(
    plugins: ScriptedPlugins, capsys: Capture, cache: Cache
) -> None:
    plugins.write("one")
    cli.main(["cni", "add", "web", "/run/netns/gone"])
    capsys.readouterr()
    plugins.write("one", "exit 1")

    said = _refused(capsys, "gc", "web")

    assert "DEL: exit status 1" in said
    assert "GC: exit status 1" in said
    assert len(cache.attachments("web")) == 1


def test_a_disabled_gc_touches_nothing(plugins: ScriptedPlugins, network: Write, cache: Cache) -> None:
    plugins.write("one")
    cli.main(["cni", "add", "web", "/run/netns/gone"])
    network(disableGC=True)

    assert cli.main(["cni", "gc", "web"]) == 0

    assert plugins.calls == ["one ADD"]
    assert len(cache.attachments("web")) == 1


def test_status_is_the_exit_status(plugins: ScriptedPlugins, capsys: Capture) -> None:
    plugins.write("one", "")
    assert cli.main(["cni", "status", "web", NETNS]) == 0
    plugins.write("one", """echo '{"code": 50, "msg": "no daemon"}'; exit 1""")

    assert 'plugin "one" (network "web") STATUS: no daemon' in _refused(capsys, "status", "web", NETNS)


def test_version_prints_what_each_plugin_speaks(plugins: ScriptedPlugins, capsys: Capture) -> None:
    plugins.write("one", """echo '{"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}'""")

    assert cli.main(["cni", "version", "web"]) == 0
    assert capsys.readouterr().out == "one: 0.4.0, 1.0.0\n"
    assert cli.main(["cni", "version", "web", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"one": ["0.4.0", "1.0.0"]}


@pytest.mark.parametrize(
    ("script", "arguments", "expected"),
    [
        ("""echo '{"code": 50, "msg": "no daemon"}'; exit 1""", ["status", "web"], (50, "no daemon")),
        ("exit 1", ["status", "web"], (999, "exit status 1")),
        ("", ["status", "nowhere"], (7, 'no CNI network "nowhere"')),
        ("", ["check", "web", NETNS], (7, "on record")),
    ],
)
def test_an_error_is_written_as_cni_writes_one_when_json_is_wanted(
    plugins: ScriptedPlugins, capsys: Capture, script: str, arguments: list[str], expected: tuple[int, str]
) -> None:
    code, said = expected
    plugins.write("one", script)

    assert cli.main(["cni", *arguments, "--json"]) == 1

    out, err = capsys.readouterr()
    error = json.loads(out)
    assert (error["cniVersion"], error["code"]) == ("1.1.0", code)
    assert said in error["msg"]
    assert said in err
    assert error["details"] in err
