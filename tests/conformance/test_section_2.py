"""The execution protocol: what a plugin is given, and how its end is read."""

import os
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import pytest

from shim.cni.cache import Cache
from shim.cni.errors import ConfError, PluginError
from shim.cni.runtime import Attachment
from tests.conformance.chains import ATTACHMENT, FAIL, answer, conf, result, runtime
from tests.conformance.table import sentence
from tests.unit.cni.scripted import ScriptedPlugins

OVERVIEW = "2 Overview"
PARAMETERS = "2 Parameters"
ERRORS = "2 Errors"
ADD = "2 ADD"
DEL = "2 DEL"
CHECK = "2 CHECK"
STATUS = "2 STATUS"
VERSION = "2 VERSION"
GC = "2 GC"


@sentence(
    OVERVIEW,
    "The runtime passes parameters to the plugin via environment variables and configuration. It supplies "
    "configuration via stdin. [...] Configuration and results are encoded in JSON.",
)
async def test_section_2_parameters_come_as_environment_and_configuration_on_stdin(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("one", f"[ $# = 0 ] && {answer('10.1.0.5/16')}")

    added = await runtime(plugins).add(conf("one"), ATTACHMENT)

    assert plugins.environment("one", "ADD")["CNI_COMMAND"] == "ADD"
    assert plugins.request("one", "ADD")["type"] == "one"
    assert [ip.address for ip in added.ips] == ["10.1.0.5/16"]


@sentence(OVERVIEW, "The runtime must execute the plugin in the runtime's networking domain.")
async def test_section_2_a_plugin_runs_in_the_network_namespace_of_the_runtime(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("one", f"readlink /proc/self/ns/net > {plugins.folder}/domain; {answer('10.1.0.5/16')}")

    await runtime(plugins).add(conf("one"), ATTACHMENT)

    assert (plugins.folder / "domain").read_text().strip() == os.readlink("/proc/self/ns/net")  # noqa: PTH115 - it names no file


@sentence(
    PARAMETERS,
    "`CNI_CONTAINERID`: [...] Must not be empty. Must start with an alphanumeric character, optionally "
    "followed by any combination of one or more alphanumeric characters, underscore (), dot (.) or hyphen "
    "(-).",
)
def test_section_2_a_container_id_starts_with_a_letter_or_digit_and_is_never_empty() -> None:
    for container_id in ("a", "7", "Con_tainer.one-2", "4f1c09" * 10):
        assert Attachment(container_id, "/run/netns/a", "eth0").container_id == container_id
    for container_id in ("", "_a", ".a", "-a", "a/b", "a b", "a\n", "é"):
        with pytest.raises(ConfError, match="container ID"):
            Attachment(container_id, "/run/netns/a", "eth0")


@sentence(PARAMETERS, "`CNI_IFNAME`: Name of the interface to create inside the container")
def test_section_2_an_interface_name_is_one_the_kernel_takes() -> None:
    assert Attachment("a", "/run/netns/a", "a23456789012345").ifname == "a23456789012345"
    for ifname in ("", ".", "..", "a/b", "a:b", "a b", "a234567890123456", "a\n"):
        with pytest.raises(ConfError, match="interface name"):
            Attachment("a", "/run/netns/a", ifname)


@sentence(
    PARAMETERS,
    '`CNI_ARGS`: [...] Alphanumeric key-value pairs separated by semicolons; for example, "FOO=BAR;ABC=123"',
)
async def test_section_2_args_are_pairs_separated_by_semicolons(plugins: ScriptedPlugins) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    attachment = Attachment("a", "/run/netns/a", "eth0", args=(("FOO", "BAR"), ("ABC", "123")))

    await runtime(plugins).add(conf("one"), attachment)

    assert plugins.environment("one", "ADD")["CNI_ARGS"] == "IgnoreUnknown=1;FOO=BAR;ABC=123"
    for key, value in (("", "a"), ("a;b", "c"), ("a=b", "c"), ("a", "b;c"), ("a", "b=c"), ("a", "b\0c")):
        with pytest.raises(ConfError, match="CNI_ARGS"):
            Attachment("a", "/run/netns/a", "eth0", args=((key, value),))


@sentence(
    PARAMETERS,
    "`CNI_PATH`: List of paths to search for CNI plugin executables. Paths are separated by an "
    "OS-specific list separator; for example ':' on Linux",
)
async def test_section_2_the_plugin_path_is_passed_on_separated_by_colons(plugins: ScriptedPlugins) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    started = runtime(plugins)
    started._plugin_path = (plugins.folder / "none", plugins.folder)

    await started.add(conf("one"), ATTACHMENT)

    assert plugins.environment("one", "ADD")["CNI_PATH"] == f"{plugins.folder / 'none'}:{plugins.folder}"


@sentence(
    ERRORS,
    "A plugin must exit with a return code of 0 on success, and non-zero on failure. If the plugin "
    'encounters an error, it should output an "error" result structure',
)
async def test_section_2_the_exit_status_decides_and_the_error_is_told_in_the_plugins_words(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("one", "[ $CNI_COMMAND = DEL ] && exit 0; " + FAIL)
    plugins.write("two", f"[ $CNI_COMMAND = DEL ] && exit 0; {answer('10.1.0.5/16')}; exit 3")

    with pytest.raises(PluginError, match="it is broken") as told:
        await runtime(plugins).add(conf("one"), ATTACHMENT)
    with pytest.raises(PluginError, match="exit status 3"):
        await runtime(plugins).add(conf("two"), ATTACHMENT)

    assert told.value.code == 100


@sentence(
    ADD,
    "Required environment parameters: `CNI_COMMAND`, `CNI_CONTAINERID`, `CNI_NETNS`, `CNI_IFNAME`. "
    "Optional environment parameters: `CNI_ARGS`, `CNI_PATH`",
)
async def test_section_2_add_is_given_every_parameter(plugins: ScriptedPlugins) -> None:
    plugins.write("one", answer("10.1.0.5/16"))

    await runtime(plugins).add(conf("one"), ATTACHMENT)

    assert _parameters(plugins, "ADD") == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "4f1c09",
        "CNI_NETNS": "/run/netns/a",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "IgnoreUnknown=1;argA=foo",
        "CNI_PATH": str(plugins.folder),
    }


@sentence(
    ADD,
    "The runtime will provide a JSON-serialized plugin configuration object (defined below) on standard in.",
)
async def test_section_2_add_is_given_one_plugins_configuration(plugins: ScriptedPlugins) -> None:
    plugins.write("one", answer("10.1.0.5/16"))

    await runtime(plugins).add(conf({"type": "one", "mtu": 1400}), ATTACHMENT)

    expected = {"cniVersion": "1.1.0", "name": "web", "type": "one", "mtu": 1400}
    assert plugins.request("one", "ADD") == expected


@sentence(
    DEL,
    "Required environment parameters: `CNI_COMMAND`, `CNI_CONTAINERID`, `CNI_IFNAME`. Optional "
    "environment parameters: `CNI_NETNS`, `CNI_ARGS`, `CNI_PATH`",
)
async def test_section_2_del_is_given_every_parameter_and_an_empty_namespace_when_it_is_gone(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("one", "true")

    for netns in ("/run/netns/a", ""):
        attachment = Attachment("4f1c09", netns, "eth0", args=ATTACHMENT.args)
        await runtime(plugins).delete(conf("one"), attachment, result("10.1.0.5/16"))

        assert _parameters(plugins, "DEL") == {
            "CNI_COMMAND": "DEL",
            "CNI_CONTAINERID": "4f1c09",
            "CNI_NETNS": netns,
            "CNI_IFNAME": "eth0",
            "CNI_ARGS": "IgnoreUnknown=1;argA=foo",
            "CNI_PATH": str(plugins.folder),
        }


@sentence(
    DEL,
    "The runtime will provide a JSON-serialized plugin configuration object (defined below) on standard in.",
)
async def test_section_2_del_is_given_one_plugins_configuration(plugins: ScriptedPlugins) -> None:
    plugins.write("one", "true")

    await runtime(plugins).delete(conf({"type": "one", "mtu": 1400}), ATTACHMENT, None)

    expected = {"cniVersion": "1.1.0", "name": "web", "type": "one", "mtu": 1400}
    assert plugins.request("one", "DEL") == expected


@sentence(
    DEL,
    "Plugins MUST accept multiple `DEL` calls for the same (`CNI_CONTAINERID`, `CNI_IFNAME`) pair, and "
    "return success if the interface in question, or any modifications added, are missing.",
)
async def test_section_2_del_may_be_called_again_and_without_add(plugins: ScriptedPlugins) -> None:
    plugins.write("one", "true")
    started = runtime(plugins)

    await started.delete(conf("one"), ATTACHMENT, None)
    await started.delete(conf("one"), ATTACHMENT, None)

    assert plugins.calls == ["one DEL", "one DEL"]


@sentence(
    ADD,
    "A runtime should not call `ADD` twice (without an intervening DEL) for the same `(CNI_CONTAINERID, "
    "CNI_IFNAME)` tuple.",
)
async def test_section_2_add_of_the_same_attachment_is_refused_until_it_is_deleted(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    started = runtime(plugins)
    added = await started.add(conf("one"), ATTACHMENT)

    with pytest.raises(ConfError, match="already has an attachment eth0"):
        await started.add(conf("one"), ATTACHMENT)
    assert plugins.calls == ["one ADD"]

    await started.delete(conf("one"), ATTACHMENT, added)
    await started.add(conf("one"), ATTACHMENT)
    assert plugins.calls == ["one ADD", "one DEL", "one ADD"]


@sentence(
    ADD,
    "This implies that a given container ID may be added to a specific network more than once only if "
    "each addition is done with a different interface name.",
)
async def test_section_2_a_container_may_be_added_again_with_another_interface_name(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    started = runtime(plugins)

    await started.add(conf("one"), Attachment("4f1c09", "/run/netns/a", "eth0"))
    await started.add(conf("one"), Attachment("4f1c09", "/run/netns/a", "eth1"))

    assert plugins.calls == ["one ADD", "one ADD"]


@sentence(
    CHECK,
    "A runtime must not call `CHECK` for a container that has not been `ADD`ed, or has been `DEL`eted "
    "after its last `ADD`.",
)
def test_section_2_a_check_is_not_to_be_had_without_the_result_of_add(
    plugins: ScriptedPlugins, tmp_path: Path
) -> None:
    """The result is stored at ADD and forgotten at DEL, and CHECK cannot be called without it."""
    cache = Cache(tmp_path / "cache")

    assert cache.load("web", "4f1c09", "eth0") is None
    cache.save(conf("one"), ATTACHMENT, result("10.1.0.5/16"))
    assert cache.load("web", "4f1c09", "eth0") is not None
    cache.remove("web", "4f1c09", "eth0")
    assert cache.load("web", "4f1c09", "eth0") is None
    assert signature(runtime(plugins).check).parameters["result"].default is Parameter.empty


@sentence(CHECK, "A runtime must not call `CHECK` if `disableCheck` is set to `true` in the configuration.")
async def test_section_2_a_disabled_check_calls_no_plugin(plugins: ScriptedPlugins) -> None:
    plugins.write("one", "exit 1")

    await runtime(plugins).check(conf("one", disableCheck=True), ATTACHMENT, result("10.1.0.5/16"))

    assert plugins.calls == []


@sentence(
    CHECK,
    "A runtime must include a `prevResult` field in the network configuration containing the `Result` of "
    "the immediately preceding `ADD` for the container.",
)
async def test_section_2_check_is_given_the_result_of_add(plugins: ScriptedPlugins) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    started = runtime(plugins)

    await started.check(conf("one"), ATTACHMENT, await started.add(conf("one"), ATTACHMENT))

    assert plugins.request("one", "CHECK")["prevResult"] == result("10.1.0.5/16").to_json()


@sentence(
    CHECK,
    "Required environment parameters: `CNI_COMMAND`, `CNI_CONTAINERID`, `CNI_NETNS`, `CNI_IFNAME` [...] "
    "All parameters, with the exception of `CNI_PATH`, must be the same as the corresponding `ADD` for "
    "this container.",
)
async def test_section_2_check_is_given_the_parameters_of_add(plugins: ScriptedPlugins) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    started = runtime(plugins)

    await started.check(conf("one"), ATTACHMENT, await started.add(conf("one"), ATTACHMENT))

    assert _parameters(plugins, "CHECK") == _parameters(plugins, "ADD") | {"CNI_COMMAND": "CHECK"}


@sentence(CHECK, "A runtime may choose to stop executing `CHECK` for a chain when a plugin returns an error.")
async def test_section_2_check_stops_at_the_first_error(plugins: ScriptedPlugins) -> None:
    plugins.write("one", FAIL)
    plugins.write("two", "true")

    with pytest.raises(PluginError, match="it is broken"):
        await runtime(plugins).check(conf("one", "two"), ATTACHMENT, result("10.1.0.5/16"))

    assert plugins.calls == ["one CHECK"]


@sentence(
    STATUS,
    "A plugin must exit with a zero (success) return code if the plugin is ready to service ADD requests. "
    "If the plugin knows that it is not able to service ADD requests, it must exit with a non-zero return "
    "code and output an error on standard out",
)
@pytest.mark.parametrize("code", [50, 51])
async def test_section_2_status_is_an_error_with_the_code_of_the_plugin_that_is_not_ready(
    plugins: ScriptedPlugins, code: int
) -> None:
    plugins.write("ready", "true")
    plugins.write("busy", f"""echo '{{"code": {code}, "msg": "no address left"}}'; exit 1""")

    await runtime(plugins).status(conf("ready"))
    with pytest.raises(PluginError, match="no address left") as told:
        await runtime(plugins).status(conf("ready", "busy"))

    assert told.value.code == code
    assert plugins.calls == ["ready STATUS", "ready STATUS", "busy STATUS"]


@sentence(
    STATUS,
    "The runtime will provide a json-serialized plugin configuration object (defined below) on standard "
    "in. Optional environment parameters: `CNI_PATH`",
)
async def test_section_2_status_is_given_the_configuration_and_the_plugin_path(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("one", "true")

    await runtime(plugins).status(conf({"type": "one", "mtu": 1400, "capabilities": {"mac": True}}))

    expected = {"cniVersion": "1.1.0", "name": "web", "type": "one", "mtu": 1400}
    assert plugins.request("one", "STATUS") == expected
    assert _set_parameters(plugins, "STATUS") == {"CNI_COMMAND": "STATUS", "CNI_PATH": str(plugins.folder)}


@sentence(
    VERSION,
    "Input: A json-serialized object, with the following key: `cniVersion`: The version of the protocol "
    "in use. Required environment parameters: `CNI_COMMAND`",
)
async def test_section_2_version_is_asked_with_the_version_in_use(plugins: ScriptedPlugins) -> None:
    plugins.write("one", """echo '{"cniVersion": "1.1.0", "supportedVersions": ["1.1.0"]}'""")

    await runtime(plugins).versions("one", network="web")

    assert plugins.request("one", "VERSION") == {"cniVersion": "1.1.0"}
    assert plugins.environment("one", "VERSION")["CNI_COMMAND"] == "VERSION"


@sentence(GC, "The runtime MUST NOT use GC as a substitute for DEL.")
async def test_section_2_gc_is_never_called_where_del_is_due(plugins: ScriptedPlugins) -> None:
    plugins.write("one", f"[ $CNI_COMMAND = GC ] || {{ {FAIL}; }}")
    started = runtime(plugins)

    with pytest.raises(PluginError):
        await started.add(conf("one"), ATTACHMENT)
    with pytest.raises(PluginError):
        await started.delete(conf("one"), ATTACHMENT, None)

    assert plugins.calls == ["one ADD", "one DEL", "one DEL"]


@sentence(
    GC,
    "The runtime must provide a JSON-serialized plugin configuration object (defined below) on standard "
    "in. It contains an additional key; `cni.dev/valid-attachments` (array of objects): The list of "
    "**still valid** attachments to this network: `containerID`, `ifname`",
)
@pytest.mark.parametrize("valid", [[], [ATTACHMENT, Attachment("b", "", "eth1")]], ids=["none", "two"])
async def test_section_2_gc_is_given_the_valid_attachments(
    plugins: ScriptedPlugins, valid: list[Attachment]
) -> None:
    plugins.write("one", "true")

    await runtime(plugins).gc(conf({"type": "one", "mtu": 1400}), valid)

    request = plugins.request("one", "GC")
    assert request["cni.dev/valid-attachments"] == [
        {"containerID": attachment.container_id, "ifname": attachment.ifname} for attachment in valid
    ]
    assert (request["cniVersion"], request["name"], request["mtu"]) == ("1.1.0", "web", 1400)


@sentence(GC, "Required environment parameters: `CNI_COMMAND`, `CNI_PATH`")
async def test_section_2_gc_is_given_command_and_plugin_path(plugins: ScriptedPlugins) -> None:
    plugins.write("one", "true")

    await runtime(plugins).gc(conf("one"), [ATTACHMENT])

    assert _set_parameters(plugins, "GC") == {"CNI_COMMAND": "GC", "CNI_PATH": str(plugins.folder)}


def _set_parameters(plugins: ScriptedPlugins, command: str) -> dict[str, Any]:
    return {key: value for key, value in _parameters(plugins, command).items() if value}


def _parameters(plugins: ScriptedPlugins, command: str) -> dict[str, Any]:
    environment = plugins.environment("one", command)
    return {key: value for key, value in environment.items() if key.startswith("CNI_")}
