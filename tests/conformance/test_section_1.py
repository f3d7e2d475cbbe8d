"""Network configuration: which are accepted, and what becomes of their members."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from shim.cni.conf import NetworkConfigList, find
from shim.cni.errors import ConfError
from tests.conformance.chains import ATTACHMENT, answer, conf, result, runtime
from tests.conformance.table import sentence
from tests.unit.cni.scripted import ScriptedPlugins

FORMAT = "1 Configuration format"
OBJECTS = "1 Plugin configuration objects"
VERSION = "1 Version considerations"


def _write(file: Path, value: object) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(value))


def _list(name: str, *kinds: str, **members: Any) -> dict[str, Any]:
    return {"cniVersion": "1.1.0", "name": name, "plugins": [{"type": kind} for kind in kinds], **members}


def _types(found: NetworkConfigList) -> list[str]:
    return [plugin["type"] for plugin in found.plugins]


@sentence(
    FORMAT,
    "`name`: [...] Must start with an alphanumeric character, optionally followed by any combination of "
    "one or more alphanumeric characters, underscore, dot (.) or hyphen (-).",
)
def test_section_1_a_name_starts_with_a_letter_or_digit_and_goes_on_with_more_and_underscore_dot_hyphen() -> (
    None
):
    for name in ("a", "7", "Net_work.one-2"):
        assert conf("one", name=name).name == name
    for refused in ("", "_a", ".a", "-a", "a b", "a:b", "é", "a\n", None, 7):
        with pytest.raises(ConfError, match="name"):
            conf("one", name=refused)


@sentence(FORMAT, "`name`: [...] Must not contain characters disallowed in file paths.")
def test_section_1_a_name_cannot_leave_its_folder() -> None:
    for name in ("a/b", "../a", "/a", "a\0b", ".."):
        with pytest.raises(ConfError, match="name"):
            conf("one", name=name)


@sentence(
    FORMAT,
    "`name`: [...] This should be unique across all network configurations on a host (or other "
    "administrative domain).",
)
def test_section_1_of_two_networks_with_one_name_the_first_file_is_meant_and_both_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _write(tmp_path / "10-a.conflist", _list("web", "first"))
    _write(tmp_path / "20-b.conflist", _list("web", "second"))

    assert _types(find("web", [tmp_path])) == ["first"]
    (warning,) = caplog.messages
    assert all(str(file) in warning for file in tmp_path.iterdir())


@sentence(
    FORMAT,
    "`disableCheck`: [...] If `disableCheck` is `true`, runtimes must not call `CHECK` for this network "
    "configuration list.",
)
@pytest.mark.parametrize("disabled", [True, "true"])
async def test_section_1_a_list_that_disables_check_is_never_checked(
    plugins: ScriptedPlugins, disabled: object
) -> None:
    plugins.write("one", "exit 1")

    await runtime(plugins).check(conf("one", disableCheck=disabled), ATTACHMENT, result("10.1.0.5/16"))

    assert plugins.calls == []


@sentence(
    FORMAT,
    "`disableGC`: [...] If `disableGC` is `true`, runtimes must not call `GC` for this network "
    "configuration list.",
)
@pytest.mark.parametrize("disabled", [True, "true"])
async def test_section_1_a_list_that_disables_gc_is_never_garbage_collected(
    plugins: ScriptedPlugins, disabled: object
) -> None:
    plugins.write("one", "exit 1")

    await runtime(plugins).gc(conf("one", disableGC=disabled), [])

    assert plugins.calls == []


@sentence(
    FORMAT,
    "Any valid plugin configuration objects aggregated from other sources must be appended to the final "
    "list of `plugins` for that network name.",
)
def test_section_1_plugins_of_the_networks_folder_are_appended(tmp_path: Path) -> None:
    _write(tmp_path / "10-web.conflist", _list("web", "inlined"))
    _write(tmp_path / "web/20-b.conf", {"type": "second"})
    _write(tmp_path / "web/10-a.conf", {"type": "first"})

    assert _types(find("web", [tmp_path])) == ["inlined", "first", "second"]


@sentence(
    FORMAT,
    "If [`loadOnlyInlinedPlugins` is] set to `true`, indicates that valid plugin configuration objects "
    "aggregated from sources other than the main network configuration will be ignored.",
)
@pytest.mark.parametrize("declined", [True, "true"])
def test_section_1_a_list_of_inlined_plugins_only_ignores_the_folder(
    tmp_path: Path, declined: object
) -> None:
    _write(tmp_path / "10-web.conflist", _list("web", "inlined", loadOnlyInlinedPlugins=declined))
    _write(tmp_path / "web/10-a.conf", {"type": "other"})

    assert _types(find("web", [tmp_path])) == ["inlined"]


@sentence(
    FORMAT,
    "If `plugins` is not present in the network configuration, `loadOnlyInlinedPlugins` cannot be set to "
    "`true`.",
)
def test_section_1_a_list_without_plugins_cannot_decline_the_folder(tmp_path: Path) -> None:
    value = {"cniVersion": "1.1.0", "name": "web", "loadOnlyInlinedPlugins": True}
    _write(tmp_path / "10-web.conflist", value)
    _write(tmp_path / "web/10-a.conf", {"type": "other"})

    with pytest.raises(ConfError, match="plugins"):
        find("web", [tmp_path])


@sentence(
    FORMAT,
    "If this key [`plugins`] is populated with inlined plugin objects, and `loadOnlyInlinedPlugins` is "
    "true [sic: false is meant, as the key's own description and libcni say], the final set of plugins "
    "for a network must consist of all the plugin objects in this list, merged with all the plugins "
    "loaded from the sibling folder with the same name as the network.",
)
def test_section_1_the_folder_of_another_network_adds_nothing(tmp_path: Path) -> None:
    _write(tmp_path / "10-file.conflist", _list("web", "inlined"))
    for folder in ("web", "db", "10-file"):
        _write(tmp_path / folder / "10-a.conf", {"type": f"of-{folder}"})

    assert _types(find("web", [tmp_path])) == ["inlined", "of-web"]


@sentence(
    OBJECTS,
    "Runtimes may aggregate plugin configuration objects from multiple sources, and must unambiguously "
    "associate each loaded plugin configuration object with a single, valid network configuration.",
)
def test_section_1_each_folder_of_plugins_belongs_to_the_network_of_its_name(tmp_path: Path) -> None:
    for name in ("web", "db"):
        _write(tmp_path / f"{name}.conflist", _list(name, "inlined"))
        _write(tmp_path / name / "10-a.conf", {"type": f"of-{name}"})

    assert _types(find("web", [tmp_path])) == ["inlined", "of-web"]
    assert _types(find("db", [tmp_path])) == ["inlined", "of-db"]


@sentence(
    OBJECTS,
    "All aggregated plugin configuration objects must be validated, and each plugin with a valid "
    "configuration object must be invoked.",
)
async def test_section_1_an_aggregated_plugin_is_validated_and_then_invoked(
    plugins: ScriptedPlugins, tmp_path: Path
) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    plugins.write("two", answer("10.1.0.5/16"))
    _write(tmp_path / "conf/web.conflist", _list("web", "one"))
    _write(tmp_path / "conf/web/10-a.conf", {"type": "../two"})

    with pytest.raises(ConfError, match="type"):
        find("web", [tmp_path / "conf"])

    _write(tmp_path / "conf/web/10-a.conf", {"type": "two"})
    await runtime(plugins).add(find("web", [tmp_path / "conf"]), ATTACHMENT)
    assert plugins.calls == ["one ADD", "two ADD"]


@sentence(
    OBJECTS,
    "Plugin configuration objects may contain additional fields beyond the ones defined here. The runtime "
    "MUST pass through these fields, unchanged, to the invoked plugin, as defined in section 3.",
)
async def test_section_1_additional_fields_reach_the_plugin_unchanged(plugins: ScriptedPlugins) -> None:
    fields = {
        "bridge": "cni0",
        "keyA": ["some more", {"deep": [None, True, 1, 1.5, "ünïcode", {}]}],
        "ipam": {"type": "host-local", "subnet": "10.1.0.0/16"},
        "dns": {"nameservers": ["10.1.0.1"]},
        "big": 2**63,
        "": "an empty key",
    }
    plugins.write("one", answer("10.1.0.5/16"))

    await runtime(plugins).add(conf({"type": "one", **deepcopy(fields)}), ATTACHMENT)

    request = plugins.request("one", "ADD")
    assert {key: request[key] for key in fields} == fields


@sentence(
    OBJECTS,
    "Runtimes must preserve unknown fields in plugin configuration objects when transforming for execution.",
)
async def test_section_1_unknown_fields_survive_storing_and_reading_back(plugins: ScriptedPlugins) -> None:
    stored = conf({"type": "one", "future": {"of": ["this", "plugin"]}}, futureOption=1).to_json()
    plugins.write("one", answer("10.1.0.5/16"))

    await runtime(plugins).add(NetworkConfigList.from_json(stored, "stored"), ATTACHMENT)

    assert plugins.request("one", "ADD")["future"] == {"of": ["this", "plugin"]}
    assert stored["futureOption"] == 1


@sentence(
    OBJECTS,
    "`type`: Matches the name of the CNI plugin binary on disk. Must not contain characters disallowed in "
    "file paths for the system (e.g. / or \\\\).",
)
def test_section_1_a_type_names_a_file_and_cannot_leave_the_plugin_path() -> None:
    for kind in ("", "/bin/sh", "../sh", "a/b", "a\0b", None, 7):
        with pytest.raises(ConfError, match="type"):
            conf({"type": kind})


@sentence(
    VERSION,
    "CNI runtimes MUST select the highest supported version from the set of network configuration "
    "versions given by the `cniVersion` and `cniVersions` fields.",
)
@pytest.mark.parametrize(
    ("single", "several", "selected"),
    [
        ("1.1.0", ["0.3.1", "0.4.0", "1.0.0", "1.1.0"], "1.1.0"),
        ("1.0.0", ["1.1.0", "0.4.0"], "1.1.0"),
        ("1.1.0", ["0.4.0"], "1.1.0"),
        ("0.4.0", ["0.3.1", "0.3.0"], "0.4.0"),
        ("0.3.1", ["99.0.0", "1.0.0"], "1.0.0"),
    ],
)
async def test_section_1_the_highest_supported_version_is_spoken(
    plugins: ScriptedPlugins, single: str, several: list[str], selected: str
) -> None:
    plugins.write("one", "echo '{}'")

    await runtime(plugins).add(conf("one", cniVersion=single, cniVersions=several), ATTACHMENT)

    assert plugins.request("one", "ADD")["cniVersion"] == selected


@sentence(
    VERSION,
    "The CNI protocol follows Semantic Versioning principles, so the configuration format MUST remain "
    "backwards and forwards compatible within major versions.",
)
def test_section_1_a_list_of_a_later_minor_version_is_read_by_what_it_offers() -> None:
    later = conf("one", cniVersion="1.0.0", cniVersions=["1.0.0", "1.2.0"], keyOfVersion12=True)

    assert later.cni_version == "1.0.0"
    assert later.to_json()["keyOfVersion12"] is True


@sentence(
    VERSION,
    "Plugins indicate their set of supported versions through the VERSION command, while network "
    "configurations indicate their set of supported versions through the `cniVersion` and `cniVersions` "
    "fields.",
)
async def test_section_1_a_plugin_tells_its_versions(plugins: ScriptedPlugins) -> None:
    plugins.write("one", """echo '{"cniVersion": "1.1.0", "supportedVersions": ["0.4.0", "1.0.0"]}'""")

    assert await runtime(plugins).versions("one", network="web") == ("0.4.0", "1.0.0")


@sentence(
    VERSION,
    "Runtimes MAY consider the set of supported plugin versions as reported by the VERSION command when "
    "determining available versions.",
)
async def test_section_1_a_version_that_a_plugin_does_not_speak_is_passed_over(
    plugins: ScriptedPlugins,
) -> None:
    for kind, spoken in (("new", '["0.4.0", "1.0.0", "1.1.0"]'), ("old", '["0.3.1", "0.4.0"]')):
        plugins.write(kind, f"""echo '{{"cniVersion": "1.1.0", "supportedVersions": {spoken}}}'""")
    listed = conf("new", "old", cniVersions=["0.3.1", "0.4.0", "1.0.0"])

    assert listed.cni_version == "1.1.0"
    assert (await runtime(plugins).negotiated(listed)).cni_version == "0.4.0"
