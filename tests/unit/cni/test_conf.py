"""Network configuration lists: what is accepted, what is refused and how, and how they are found."""

import json
from pathlib import Path
from typing import Any

import pytest

from shim.cni.conf import NetworkConfigList, find
from shim.cni.errors import ConfError

BRIDGE: dict[str, Any] = {"type": "bridge", "bridge": "cni0", "ipam": {"type": "host-local"}}
PORTMAP: dict[str, Any] = {"type": "portmap", "capabilities": {"portMappings": True, "mac": False}}


def _list(name: object = "web", **members: Any) -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "name": name, "plugins": [BRIDGE, PORTMAP]} | members


def _write(folder: Path, file: str, value: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(json.dumps(value))


def test_a_list_is_read_with_its_plugins_in_order() -> None:
    conf = NetworkConfigList.from_json(_list(), "web.conflist")

    assert (conf.name, conf.cni_version, conf.plugins) == ("web", "1.0.0", (BRIDGE, PORTMAP))


def test_a_single_configuration_becomes_a_list_of_one() -> None:
    single = {"cniVersion": "0.4.0", "name": "web", **BRIDGE}

    conf = NetworkConfigList.from_json(single, "web.conf")

    assert (conf.name, conf.cni_version, conf.plugins) == ("web", "0.4.0", (single,))


def test_the_journalled_form_reads_back_the_same_with_members_unknown_here() -> None:
    value = _list(disableCheck="true", loadOnlyInlinedPlugins=True, futureMember={"a": [1]})
    conf = NetworkConfigList.from_json(value, "web.conflist")

    assert conf.to_json() == value
    assert NetworkConfigList.from_json(json.loads(json.dumps(conf.to_json())), "journal") == conf


def test_only_true_capabilities_count_as_declared() -> None:
    assert NetworkConfigList.from_json(_list(), "x").capabilities == {"portMappings"}


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ({"cniVersion": "0.3.1"}, "0.3.1"),
        ({"cniVersion": "0.4.0", "cniVersions": ["1.1.0", "1.0.0"]}, "1.1.0"),
        ({"cniVersion": "1.0.0", "cniVersions": ["2.0.0"]}, "1.0.0"),
        ({"cniVersion": "2.0.0", "cniVersions": ["0.4.0"]}, "0.4.0"),
        ({"cniVersion": None, "cniVersions": ["0.4.0"]}, "0.4.0"),
        ({"cniVersion": "0.1.0"}, "0.1.0"),
        ({"cniVersion": "1.0"}, "1.0.0"),
        ({"cniVersion": ""}, "0.2.0"),
    ],
)
def test_the_highest_supported_version_is_chosen(offered: dict[str, Any], chosen: str) -> None:
    assert NetworkConfigList.from_json(_list(**offered), "x").cni_version == chosen


def test_the_journalled_form_offers_only_the_version_that_was_chosen() -> None:
    conf = NetworkConfigList.from_json(_list(cniVersion="0.4.0", cniVersions=["0.3.1", "9.0.0"]), "x")

    assert conf.to_json()["cniVersion"] == "0.4.0"
    assert "cniVersions" not in conf.to_json()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "expected a JSON object"),
        ({"name": "web", "cniVersion": "1.0.0"}, 'neither "plugins"'),
        (_list(name=""), "name: expected letters"),
        (_list(name="../etc"), "name: expected letters"),
        (_list(name="web\n"), "name: expected letters"),
        (_list(name=7), "name: expected a string, found 7"),
        (_list(plugins=[]), "plugins: expected at least one plugin"),
        (_list(plugins={"type": "bridge"}), "plugins: expected a list"),
        (_list(plugins=["bridge"]), "plugins[0]: expected a JSON object"),
        (_list(plugins=[BRIDGE, {}]), "plugins[1]: type: expected the name of a plugin"),
        (_list(plugins=[{"type": "../../bin/sh"}]), "plugins[0]: type"),
        (_list(plugins=[{"type": "\ud800"}]), "plugins[0]: type"),
        (_list(plugins=[{"type": "a", "capabilities": ["mac"]}]), "capabilities: expected an object"),
        (_list(plugins=[{"type": "a", "capabilities": {"mac": 1}}]), "mac: expected true or false"),
        (_list(disableCheck="maybe"), "disableCheck: expected true or false, found 'maybe'"),
        (_list(disableGC=1), "disableGC"),
        (_list(cniVersion="2.0.0"), "cniVersion 2.0.0: not supported (supported are 0.1.0, 0.2.0, 0.3.0"),
        (_list(cniVersion="one"), "cniVersion: 'one' is no version: expected numbers"),
        (_list(cniVersions=["1.0.0", "1.x"]), "cniVersion: '1.x' is no version"),
        (_list(cniVersion=1.0), "cniVersion: expected a string, found 1.0"),
        (_list(cniVersions=[1]), "cniVersions: expected a list of strings"),
    ],
)
def test_a_bad_list_is_refused_with_place_and_expectation(value: object, said: str) -> None:
    with pytest.raises(ConfError) as refusal:
        NetworkConfigList.from_json(value, "web.conflist")

    assert str(refusal.value).startswith("web.conflist: ")
    assert said in str(refusal.value)


def test_networks_are_found_by_their_json_name_whatever_the_file_is_called(tmp_path: Path) -> None:
    _write(tmp_path, "10-first.conflist", _list("blue"))
    _write(tmp_path, "20-second.json", {"cniVersion": "1.0.0", "name": "green", **BRIDGE})

    assert find("green", [tmp_path]).plugins[0]["type"] == "bridge"
    assert find("blue", [tmp_path]).plugins[0]["type"] == "bridge"


def test_lists_come_before_single_configurations_and_files_in_byte_order(tmp_path: Path) -> None:
    for file, mark in (("B.conflist", 1), ("a.conflist", 2), ("A.conf", 3), ("A.txt", 4)):
        _write(tmp_path, file, _list("web", mark=mark))
    (tmp_path / "A.conflist").mkdir()

    assert find("web", [tmp_path]).options["mark"] == 1


def test_a_second_file_of_one_network_is_named_in_a_warning_and_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _write(tmp_path, "a.conflist", _list("web", mark=1))
    _write(tmp_path, "b.conflist", _list("web", mark=2))

    assert find("web", [tmp_path]).options["mark"] == 1
    assert caplog.messages == [
        f'network "web" is in two files: {tmp_path}/a.conflist is used, {tmp_path}/b.conflist is not'
    ]


def test_a_file_that_is_no_json_is_named_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.conflist").write_text('{\n  "name": "web"\n  "plugins": []\n}\n')

    with pytest.raises(ConfError, match=r"a\.conflist: not JSON: .* line 3 column 3"):
        find("web", [tmp_path])


def test_a_change_on_disk_is_seen_at_the_next_use(tmp_path: Path) -> None:
    _write(tmp_path, "a.conflist", _list("web", mark=1))
    find("web", [tmp_path])
    _write(tmp_path, "a.conflist", _list("web", mark=2))

    assert find("web", [tmp_path]).options["mark"] == 2


def test_check_and_gc_can_be_disabled_by_a_truth_value_or_a_word() -> None:
    conf = NetworkConfigList.from_json(_list(disableCheck=True, disableGC="True"), "x")
    plain = NetworkConfigList.from_json(_list(disableGC="false"), "x")

    assert (conf.disables_check, conf.disables_gc) == (True, True)
    assert (plain.disables_check, plain.disables_gc) == (False, False)


def test_an_earlier_folder_wins_and_a_missing_one_counts_as_empty(tmp_path: Path) -> None:
    _write(tmp_path / "two", "z.conf", _list("web", mark=2))
    _write(tmp_path / "three", "a.conflist", _list("web", mark=3))

    folders = [tmp_path / "one", tmp_path / "two", tmp_path / "three"]

    assert find("web", folders).options["mark"] == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b'{"name": ', "not JSON"),
        (b'{"name": "\xff"}', "not UTF-8"),
        (b'{"mtu": NaN}', "NaN is no JSON number"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"mtu": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"name": "x", "plugins": []}', "plugins: expected at least one plugin"),
    ],
)
def test_a_broken_file_hides_no_other_network_and_is_named_when_nothing_is_found(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "00-broken.conflist").write_bytes(content)
    _write(tmp_path, "10-web.conflist", _list("web"))

    assert find("web", [tmp_path]).name == "web"
    with pytest.raises(ConfError) as refusal:
        find("blue", [tmp_path])
    assert f"broken: {tmp_path}/00-broken.conflist: " in str(refusal.value)
    assert reason in str(refusal.value)


def test_an_unknown_network_is_answered_with_folders_names_and_cure(tmp_path: Path) -> None:
    _write(tmp_path / "one", "a.conflist", _list("blue"))
    _write(tmp_path / "two", "a.conflist", _list("green"))

    with pytest.raises(ConfError) as refusal:
        find("web", [tmp_path / "one", tmp_path / "two"])

    assert str(refusal.value) == (
        f'no CNI network "web" in {tmp_path}/one, {tmp_path}/two; found there: blue, green (put a conflist '
        f"of that name in {tmp_path}/one, or use one of those found)"
    )


def test_an_unknown_network_among_none_is_answered_without_a_choice(tmp_path: Path) -> None:
    with pytest.raises(ConfError) as refusal:
        find("web", [tmp_path])

    assert "found there: none (put a conflist of that name in" in str(refusal.value)
    assert "choose" not in str(refusal.value)


def test_a_folder_that_is_a_file_is_named_as_broken(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfError, match=r"broken: .*/file: Not a directory"):
        find("web", [tmp_path / "file"])


def test_the_plugins_of_the_folder_with_the_lists_name_are_appended(tmp_path: Path) -> None:
    _write(tmp_path, "web.conflist", {"cniVersion": "1.0.0", "name": "web"})
    _write(tmp_path / "web", "20-portmap.conf", PORTMAP)
    _write(tmp_path / "web", "10-bridge.conf", BRIDGE)
    _write(tmp_path / "web", "30-other.json", {"type": "never"})

    conf = find("web", [tmp_path])

    assert conf.plugins == (BRIDGE, PORTMAP)
    assert NetworkConfigList.from_json(conf.to_json(), "journal") == conf


def test_a_list_can_decline_the_folder_of_plugins(tmp_path: Path) -> None:
    _write(tmp_path, "web.conflist", _list("web", loadOnlyInlinedPlugins="True"))
    _write(tmp_path / "web", "10-more.conf", {"type": "more"})

    assert find("web", [tmp_path]).plugins == (BRIDGE, PORTMAP)


def test_a_list_without_plugins_anywhere_is_broken(tmp_path: Path) -> None:
    _write(tmp_path, "web.conflist", {"cniVersion": "1.0.0", "name": "web"})

    with pytest.raises(ConfError, match="expected at least one plugin"):
        find("web", [tmp_path])
