"""Execution of network configurations: the order of things, and what each request is made of."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from shim.cni.cache import Cache
from shim.cni.conf import NetworkConfigList
from shim.cni.errors import ConfError, GCError, PluginError
from shim.cni.result import Result
from shim.cni.runtime import Attachment
from tests.conformance.chains import ATTACHMENT, FAIL, answer, conf, result, runtime
from tests.conformance.table import sentence
from tests.unit.cni.scripted import ScriptedPlugins

LIFECYCLE = "3 Lifecycle & Ordering"
PARAMETERS = "3 Attachment Parameters"
ADDING = "3 Adding an attachment"
DELETING = "3 Deleting an attachment"
CHECKING = "3 Checking an attachment"
COLLECTING = "3 Garbage-collecting a network"
DERIVING = "3 Deriving request configuration"
RUNTIME_CONFIG = "3 Deriving runtimeConfig"

_ALONE = "mkdir {folder}/busy && seq 300000 >/dev/null && rmdir {folder}/busy"
"""What a plugin runs to fail when it is not the only one; it counts to give others the time to meet it."""
FAIL_AT_ADD = f"[ $CNI_COMMAND = DEL ] && exit 0; {FAIL}"


CONFIGURATION: dict[str, Any] = {"type": "one", "mtu": 1400}


def _derived(previous: Result) -> dict[str, Any]:
    """The request of DEL or CHECK that is derived from `CONFIGURATION`."""
    return {"cniVersion": "1.1.0", "name": "web", **CONFIGURATION, "prevResult": previous.to_json()}


@sentence(
    LIFECYCLE,
    "The container runtime must create a new network namespace for the container before invoking any "
    "plugins.",
)
async def test_section_3_no_plugin_runs_without_a_namespace(plugins: ScriptedPlugins) -> None:
    plugins.write("one", answer("10.1.0.5/16"))

    with pytest.raises(ConfError, match="needs a network namespace"):
        await runtime(plugins).add(conf("one"), Attachment("4f1c09", "", "eth0"))

    assert plugins.calls == []


@sentence(
    LIFECYCLE,
    "The container runtime [...] is allowed to invoke parallel operations for different containers.",
)
async def test_section_3_operations_for_different_containers_run_at_the_same_time(
    plugins: ScriptedPlugins, tmp_path: Path
) -> None:
    """Each plugin waits for the other: one after the other would never end."""
    meet = f"echo > {tmp_path}/$CNI_CONTAINERID; until [ -e {tmp_path}/a ] && [ -e {tmp_path}/b ]; do :; done"
    plugins.write("one", f"{meet}; {answer('10.1.0.5/16')}")
    started = runtime(plugins)

    async with asyncio.TaskGroup() as group:
        for container in ("a", "b"):
            group.create_task(
                started.add(conf("one"), Attachment(container, f"/run/netns/{container}", "eth0"))
            )


@sentence(
    LIFECYCLE,
    "The container runtime must not invoke parallel operations for the same container [...] This includes "
    "across multiple attachments.",
)
async def test_section_3_operations_for_one_container_run_one_after_the_other(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("one", f"{_ALONE.format(folder=plugins.folder)} && {answer('10.1.0.5/16')}")
    started = runtime(plugins)
    attachments = [Attachment("4f1c09", "/run/netns/a", f"eth{number}") for number in range(4)]
    added = [await started.add(conf("one"), attachment) for attachment in attachments[:2]]

    async with asyncio.TaskGroup() as group:
        for attachment, result_of_add in zip(attachments, added, strict=False):
            group.create_task(started.check(conf("one"), attachment, result_of_add))
            group.create_task(started.delete(conf("one"), attachment, result_of_add))
        for attachment in attachments[2:]:
            group.create_task(started.add(conf("one"), attachment))

    assert len(plugins.calls) == 8


@sentence(
    LIFECYCLE,
    "Exception: The runtime must exclusively execute either _gc_ or _add_ and _delete_. The runtime must "
    "ensure that no _add_ or _delete_ operations are in progress before executing _gc_, and must wait for "
    "_gc_ to complete before issuing new _add_ or _delete_ commands.",
)
async def test_section_3_gc_runs_alone(plugins: ScriptedPlugins) -> None:
    """GC makes a folder that no other run may find, and finds none that the others make."""
    home = plugins.folder
    plugins.write(
        "one",
        f"if [ $CNI_COMMAND = GC ]; then mkdir {home}/gc && rmdir {home}/busy.* 2>/dev/null && exit 9; "
        f"rmdir {home}/gc; "
        f"else [ ! -e {home}/gc ] && mkdir {home}/busy.$$ && {{ {answer('10.1.0.5/16')}; "
        f"[ ! -e {home}/gc ] && rmdir {home}/busy.$$; }}; fi",
    )
    started = runtime(plugins)

    async with asyncio.TaskGroup() as group:
        for number in range(12):
            attachment = Attachment(f"c{number}", "/run/netns/a", "eth0")
            group.create_task(started.add(conf("one"), attachment))
            if number % 4 == 2:
                group.create_task(started.gc(conf("one"), []))

    assert sorted(set(plugins.calls)) == ["one ADD", "one GC"]
    assert plugins.calls.count("one GC") == 3


@sentence(
    LIFECYCLE,
    "The container runtime must ensure that _add_ is eventually followed by a corresponding _delete_. "
    "[...] A _delete_ must still be executed even if the _add_ fails.",
)
async def test_section_3_a_failed_add_is_followed_by_delete_of_the_chain(plugins: ScriptedPlugins) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    plugins.write("two", FAIL_AT_ADD)
    plugins.write("three", answer("10.1.0.5/16"))

    with pytest.raises(PluginError):
        await runtime(plugins).add(conf("one", "two", "three"), ATTACHMENT)

    assert plugins.calls == ["one ADD", "two ADD", "three DEL", "two DEL", "one DEL"]


@sentence(
    LIFECYCLE,
    "The container runtime must ensure that _add_ is eventually followed by a corresponding _delete_.",
)
async def test_section_3_a_cancelled_add_is_followed_by_delete_before_the_caller_hears_of_it(
    plugins: ScriptedPlugins,
) -> None:
    os.mkfifo(plugins.folder / "begun")
    plugins.write("one", f"[ $CNI_COMMAND = DEL ] && exit 0; echo > {plugins.folder}/begun; sleep 600")
    adding = asyncio.create_task(runtime(plugins).add(conf("one"), ATTACHMENT))
    await asyncio.to_thread((plugins.folder / "begun").read_bytes)

    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding

    assert plugins.calls == ["one ADD", "one DEL"]


@sentence(LIFECYCLE, "_delete_ may be followed by additional _deletes_.")
async def test_section_3_delete_may_be_repeated_after_add(plugins: ScriptedPlugins) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    started = runtime(plugins)
    added = await started.add(conf("one"), ATTACHMENT)

    await started.delete(conf("one"), ATTACHMENT, added)
    await started.delete(conf("one"), ATTACHMENT, added)

    assert plugins.calls == ["one ADD", "one DEL", "one DEL"]


@sentence(LIFECYCLE, "The network configuration should not change between _add_ and _delete_.")
async def test_section_3_delete_speaks_from_the_stored_configuration_as_add_did(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    listed = conf({"type": "one", "mtu": 1400}, cniVersion="0.4.0", cniVersions=["0.3.1", "1.0.0"])
    started = runtime(plugins)
    added = await started.add(listed, ATTACHMENT)

    await started.delete(NetworkConfigList.from_json(listed.to_json(), "stored"), ATTACHMENT, added)

    deleted = plugins.request("one", "DEL")
    assert deleted.pop("prevResult") == added.to_json()
    assert deleted == plugins.request("one", "ADD")


@sentence(LIFECYCLE, "The network configuration should not change between _attachments_.")
async def test_section_3_an_attachment_leaves_the_configuration_as_it_was(plugins: ScriptedPlugins) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    listed = conf({"type": "one", "capabilities": {"mac": True}, "ipam": {"subnet": "10.1.0.0/16"}})
    before = listed.to_json()

    await runtime(plugins).add(
        listed, Attachment("a", "/run/netns/a", "eth0", capability_args={"mac": "0a:00:00:00:00:01"})
    )

    assert listed.to_json() == before


@pytest.mark.parametrize("command", ["ADD", "DEL"])
@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        pytest.param("CNI_CONTAINERID", "4f1c09", id="container"),
        pytest.param("CNI_NETNS", "/run/netns/a", id="namespace"),
        pytest.param("CNI_IFNAME", "eth0", id="ifname"),
        pytest.param("CNI_ARGS", "IgnoreUnknown=1;argA=foo", id="args"),
    ],
)
@sentence(
    PARAMETERS,
    "Container ID: [...] During execution, always set as the `CNI_CONTAINERID` parameter. Namespace: "
    "[...] always set as the `CNI_NETNS` parameter. Container interface name: [...] always set as the "
    "`CNI_IFNAME` parameter. Generic Arguments: [...] always set as the `CNI_ARGS` parameter.",
)
async def test_section_3_every_plugin_of_the_chain_is_given_the_attachment(
    plugins: ScriptedPlugins, command: str, parameter: str, value: str
) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    plugins.write("two", answer("10.1.0.5/16"))
    started = runtime(plugins)

    await started.delete(conf("one", "two"), ATTACHMENT, await started.add(conf("one", "two"), ATTACHMENT))

    for kind in ("one", "two"):
        assert plugins.environment(kind, command)[parameter] == value


@sentence(
    PARAMETERS,
    "Capability Arguments: [...] The key is a string, whereas the value is any JSON-serializable type. "
    "The keys and values are defined by convention.",
)
async def test_section_3_capability_arguments_of_any_json_type_reach_the_plugin(
    plugins: ScriptedPlugins,
) -> None:
    args = {
        "mac": "0a:00:00:00:00:01",
        "ips": ["10.1.0.5/16"],
        "bandwidth": {"ingressRate": 2048, "ingressBurst": 1600},
    }
    plugins.write("one", answer("10.1.0.5/16"))

    await runtime(plugins).add(
        conf({"type": "one", "capabilities": dict.fromkeys(args, True)}),
        Attachment("a", "/run/netns/a", "eth0", capability_args=args),
    )

    assert plugins.request("one", "ADD")["runtimeConfig"] == args


@sentence(
    PARAMETERS,
    "Furthermore, the runtime must be provided a list of paths to search for CNI plugins. This must also "
    "be provided to plugins during execution via the `CNI_PATH` environment variable.",
)
async def test_section_3_plugins_are_told_where_the_runtime_looks_for_plugins(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("one", f'"$CNI_PATH/delegated"; [ -e {plugins.folder}/seen ] && {answer("10.1.0.5/16")}')
    delegated = plugins.write("delegated", f"echo > {plugins.folder}/seen")

    await runtime(plugins).add(conf("one"), ATTACHMENT)

    assert delegated.parent == plugins.folder
    assert plugins.environment("one", "ADD")["CNI_PATH"] == str(plugins.folder)


@sentence(
    ADDING,
    "1. Look up the executable specified in the `type` field. If this does not exist, then this is an error.",
)
async def test_section_3_add_looks_up_every_plugin_before_it_runs_one(plugins: ScriptedPlugins) -> None:
    plugins.write("one", answer("10.1.0.5/16"))

    with pytest.raises(PluginError, match=r'"missing".* not found'):
        await runtime(plugins).add(conf("one", "missing"), ATTACHMENT)

    assert plugins.calls == []


@sentence(
    ADDING,
    "2. Derive request configuration from the plugin configuration, with the following parameters: If "
    "this is the first plugin in the list, no previous result is provided, For all additional plugins, "
    "the previous result is the result of the previous plugins.",
)
async def test_section_3_add_hands_each_result_to_the_next_plugin(plugins: ScriptedPlugins) -> None:
    for kind, address in (("one", "10.1.0.1/16"), ("two", "10.1.0.2/16"), ("three", "10.1.0.3/16")):
        plugins.write(kind, answer(address))

    await runtime(plugins).add(conf("one", "two", "three"), ATTACHMENT)

    assert "prevResult" not in plugins.request("one", "ADD")
    assert plugins.request("two", "ADD")["prevResult"] == result("10.1.0.1/16").to_json()
    assert plugins.request("three", "ADD")["prevResult"] == result("10.1.0.2/16").to_json()


@sentence(
    ADDING,
    "3. Execute the plugin binary, with `CNI_COMMAND=ADD`. Provide parameters defined above as "
    "environment variables. Supply the derived configuration via standard in.",
)
async def test_section_3_add_executes_the_plugins_in_their_order(plugins: ScriptedPlugins) -> None:
    for kind in ("one", "two", "three"):
        plugins.write(kind, answer("10.1.0.5/16"))

    await runtime(plugins).add(conf("two", "three", "one"), ATTACHMENT)

    assert plugins.calls == ["two ADD", "three ADD", "one ADD"]


@sentence(ADDING, "4. If the plugin returns an error, halt execution and return the error to the caller.")
async def test_section_3_add_halts_at_the_first_error_and_returns_it(plugins: ScriptedPlugins) -> None:
    plugins.write("one", FAIL_AT_ADD)
    plugins.write("two", answer("10.1.0.5/16"))

    with pytest.raises(PluginError, match=r'"one".*it is broken') as told:
        await runtime(plugins).add(conf("one", "two"), ATTACHMENT)

    assert told.value.code == 100
    assert "two ADD" not in plugins.calls


@sentence(
    ADDING,
    "The runtime must store the result returned by the final plugin persistently, as it is required for "
    "_check_ and _delete_ operations.",
)
async def test_section_3_a_stored_result_serves_check_and_delete_of_another_process(
    plugins: ScriptedPlugins, tmp_path: Path
) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    Cache(tmp_path).save(conf("one"), ATTACHMENT, await runtime(plugins).add(conf("one"), ATTACHMENT))

    stored = Cache(tmp_path).load("web", ATTACHMENT.container_id, ATTACHMENT.ifname)
    assert stored is not None
    assert stored.conf is not None
    assert stored.result is not None
    await runtime(plugins).check(stored.conf, stored.attachment, stored.result)
    await runtime(plugins).delete(stored.conf, stored.attachment, stored.result)

    for command in ("CHECK", "DEL"):
        assert plugins.request("one", command)["prevResult"] == result("10.1.0.5/16").to_json()
        assert plugins.environment("one", command)["CNI_ARGS"] == "IgnoreUnknown=1;argA=foo"


@sentence(DELETING, "The list of plugins is executed in **reverse order**")
async def test_section_3_delete_executes_the_plugins_in_reverse_order(plugins: ScriptedPlugins) -> None:
    for kind in ("one", "two", "three"):
        plugins.write(kind, "true")

    await runtime(plugins).delete(conf("one", "two", "three"), ATTACHMENT, result("10.1.0.5/16"))

    assert plugins.calls == ["three DEL", "two DEL", "one DEL"]


@sentence(DELETING, "The previous result provided is always the final result of the _add_ operation.")
async def test_section_3_delete_hands_the_final_result_to_every_plugin(plugins: ScriptedPlugins) -> None:
    plugins.write("one", answer("10.1.0.1/16"))
    plugins.write("two", answer("10.1.0.2/16"))
    started = runtime(plugins)

    await started.delete(conf("one", "two"), ATTACHMENT, await started.add(conf("one", "two"), ATTACHMENT))

    for kind in ("one", "two"):
        assert plugins.request(kind, "DEL")["prevResult"] == result("10.1.0.2/16").to_json()


@sentence(
    DELETING,
    "1. Look up the executable specified in the `type` field. If this does not exist, then this is an error.",
)
async def test_section_3_delete_of_a_missing_plugin_is_an_error(plugins: ScriptedPlugins) -> None:
    plugins.write("one", "true")

    with pytest.raises(PluginError, match=r'"missing".* not found'):
        await runtime(plugins).delete(conf("one", "missing"), ATTACHMENT, None)


@sentence(
    DELETING,
    "2. Derive request configuration from the plugin configuration, with the previous result from the "
    "initial _add_ operation.",
)
async def test_section_3_delete_asks_with_the_configuration_of_add_and_its_result(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("one", "true")

    await runtime(plugins).delete(conf(CONFIGURATION), ATTACHMENT, result("10.1.0.5/16"))

    assert plugins.request("one", "DEL") == _derived(result("10.1.0.5/16"))


@sentence(
    DELETING,
    "3. Execute the plugin binary, with `CNI_COMMAND=DEL`. Provide parameters defined above as "
    "environment variables. Supply the derived configuration via standard in. [...] If all plugins return "
    "success, return success to the caller.",
)
async def test_section_3_delete_succeeds_when_every_plugin_does_whatever_it_prints(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("one", "true")
    plugins.write("two", "echo this is no JSON")

    await runtime(plugins).delete(conf("one", "two"), ATTACHMENT, None)

    assert plugins.calls == ["two DEL", "one DEL"]


@sentence(DELETING, "4. If the plugin returns an error, halt execution and return the error to the caller.")
async def test_section_3_delete_halts_at_the_first_error_and_returns_it(plugins: ScriptedPlugins) -> None:
    plugins.write("one", "true")
    plugins.write("two", FAIL)

    with pytest.raises(PluginError, match=r'"two".*it is broken'):
        await runtime(plugins).delete(conf("one", "two"), ATTACHMENT, None)

    assert plugins.calls == ["two DEL"]


@sentence(
    CHECKING,
    "The runtime may also ask every plugin to confirm that a given attachment is still functional. The "
    "runtime must use the same attachment parameters as it did for the _add_ operation.",
)
async def test_section_3_check_asks_every_plugin_with_the_parameters_of_add(
    plugins: ScriptedPlugins,
) -> None:
    for kind in ("one", "two"):
        plugins.write(kind, answer("10.1.0.5/16"))
    started = runtime(plugins)

    await started.check(conf("one", "two"), ATTACHMENT, await started.add(conf("one", "two"), ATTACHMENT))

    assert plugins.calls == ["one ADD", "two ADD", "one CHECK", "two CHECK"]
    for kind in ("one", "two"):
        at_add, at_check = (plugins.environment(kind, command) for command in ("ADD", "CHECK"))
        for parameter in ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"):
            assert at_check[parameter] == at_add[parameter]


@sentence(CHECKING, "the previous result provided is always the final result of the _add_ operation.")
async def test_section_3_check_hands_the_final_result_to_every_plugin(plugins: ScriptedPlugins) -> None:
    plugins.write("one", answer("10.1.0.1/16"))
    plugins.write("two", answer("10.1.0.2/16"))
    started = runtime(plugins)

    await started.check(conf("one", "two"), ATTACHMENT, await started.add(conf("one", "two"), ATTACHMENT))

    for kind in ("one", "two"):
        assert plugins.request(kind, "CHECK")["prevResult"] == result("10.1.0.2/16").to_json()


@sentence(
    CHECKING,
    "If the network configuration defines `disableCheck`, then always return success to the caller.",
)
async def test_section_3_a_disabled_check_succeeds_even_without_its_plugins(plugins: ScriptedPlugins) -> None:
    await runtime(plugins).check(conf("missing", disableCheck=True), ATTACHMENT, result("10.1.0.5/16"))

    assert plugins.calls == []


@sentence(
    CHECKING,
    "1. Look up the executable specified in the `type` field. If this does not exist, then this is an error.",
)
async def test_section_3_check_of_a_missing_plugin_is_an_error(plugins: ScriptedPlugins) -> None:
    with pytest.raises(PluginError, match=r'"missing".* not found'):
        await runtime(plugins).check(conf("missing"), ATTACHMENT, result("10.1.0.5/16"))


@sentence(
    CHECKING,
    "2. Derive request configuration from the plugin configuration, with the previous result from the "
    "initial _add_ operation.",
)
async def test_section_3_check_asks_with_the_configuration_of_add_and_its_result(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("one", "true")

    await runtime(plugins).check(conf(CONFIGURATION), ATTACHMENT, result("10.1.0.5/16"))

    assert plugins.request("one", "CHECK") == _derived(result("10.1.0.5/16"))


@sentence(
    CHECKING,
    "3. Execute the plugin binary, with `CNI_COMMAND=CHECK`. [...] If all plugins return success, return "
    "success to the caller.",
)
async def test_section_3_check_succeeds_when_every_plugin_does_whatever_it_prints(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("one", "true")
    plugins.write("two", "echo this is no JSON")

    await runtime(plugins).check(conf("one", "two"), ATTACHMENT, result("10.1.0.5/16"))

    assert plugins.calls == ["one CHECK", "two CHECK"]


@sentence(CHECKING, "4. If the plugin returns an error, halt execution and return the error to the caller.")
async def test_section_3_check_halts_at_the_first_error_and_returns_it(plugins: ScriptedPlugins) -> None:
    plugins.write("one", FAIL)
    plugins.write("two", "true")

    with pytest.raises(PluginError, match=r'"one".*it is broken') as told:
        await runtime(plugins).check(conf("one", "two"), ATTACHMENT, result("10.1.0.5/16"))

    assert told.value.code == 100
    assert plugins.calls == ["one CHECK"]


@sentence(
    COLLECTING,
    "When garbage-collecting a configuration, there are no Attachment Parameters.",
)
async def test_section_3_gc_is_about_no_attachment(plugins: ScriptedPlugins) -> None:
    plugins.write("one", "true")

    await runtime(plugins).gc(conf("one"), [ATTACHMENT])

    environment = plugins.environment("one", "GC")
    for parameter in ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"):
        assert not environment.get(parameter)


@sentence(
    COLLECTING,
    "1. Look up the executable specified in the `type` field. If this does not exist, then this is an error.",
)
async def test_section_3_gc_of_a_missing_plugin_is_an_error(plugins: ScriptedPlugins) -> None:
    plugins.write("one", "true")

    with pytest.raises(GCError, match=r'"missing".* not found'):
        await runtime(plugins).gc(conf("missing", "one"), [])

    assert plugins.calls == ["one GC"]


@sentence(
    COLLECTING,
    "2. Derive request configuration from the plugin configuration. 3. Execute the plugin binary, with "
    "`CNI_COMMAND=GC`. Supply the derived configuration via standard in. [...] If all plugins return "
    "success, return success to the caller.",
)
async def test_section_3_gc_asks_every_plugin_with_its_configuration(plugins: ScriptedPlugins) -> None:
    plugins.write("one", "true")
    plugins.write("two", "true")

    await runtime(plugins).gc(conf("one", {"type": "two", "mtu": 1400}), [])

    assert plugins.calls == ["one GC", "two GC"]
    assert plugins.request("two", "GC")["mtu"] == 1400
    assert "prevResult" not in plugins.request("two", "GC")


@sentence(
    COLLECTING,
    "4. If the plugin returns an error, **continue** with execution, returning all errors to the caller.",
)
async def test_section_3_gc_goes_on_after_errors_and_returns_all(plugins: ScriptedPlugins) -> None:
    plugins.write("one", FAIL)
    plugins.write("two", "true")
    plugins.write("three", FAIL)

    with pytest.raises(GCError) as told:
        await runtime(plugins).gc(conf("one", "two", "three"), [])

    assert plugins.calls == ["one GC", "two GC", "three GC"]
    assert [(error.plugin, error.code) for error in told.value.errors] == [("one", 100), ("three", 100)]


@pytest.mark.parametrize("command", ["ADD", "DEL"])
@sentence(
    DERIVING,
    "The following fields are always to be inserted into the request configuration by the runtime: "
    "`cniVersion`: the protocol version selected by the runtime; `name`: taken from the `name` field of "
    "the network configuration",
)
async def test_section_3_version_and_name_are_inserted_whatever_the_plugin_says(
    plugins: ScriptedPlugins, command: str
) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    listed = conf({"type": "one", "cniVersion": "0.1.0", "name": "other"}, cniVersion="1.0.0")
    started = runtime(plugins)

    await started.delete(listed, ATTACHMENT, await started.add(listed, ATTACHMENT))

    request = plugins.request("one", command)
    assert (request["cniVersion"], request["name"]) == ("1.0.0", "web")


@sentence(
    DERIVING,
    "`runtimeConfig`: the runtime must insert an object consisting of the union of capabilities provided "
    "by the plugin and requested by the runtime",
)
async def test_section_3_runtime_config_holds_what_is_declared_and_asked_for(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    plugins.write("two", answer("10.1.0.5/16"))
    listed = conf(
        {"type": "one", "capabilities": {"mac": True, "portMappings": True, "ips": False}},
        {"type": "two", "capabilities": {"ips": True}},
    )
    args = {"mac": "0a:00:00:00:00:01", "ips": ["10.1.0.5/16"]}

    await runtime(plugins).add(listed, Attachment("a", "/run/netns/a", "eth0", capability_args=args))

    assert plugins.request("one", "ADD")["runtimeConfig"] == {"mac": "0a:00:00:00:00:01"}
    assert plugins.request("two", "ADD")["runtimeConfig"] == {"ips": ["10.1.0.5/16"]}


@sentence(
    DERIVING,
    "`prevResult`: [...] This field must not be set for the first _add_ in a chain.",
)
async def test_section_3_the_first_add_has_no_previous_result(plugins: ScriptedPlugins) -> None:
    plugins.write("one", answer("10.1.0.5/16"))

    await runtime(plugins).add(conf("one"), ATTACHMENT)

    assert "prevResult" not in plugins.request("one", "ADD")


@pytest.mark.parametrize("command", ["ADD", "DEL"])
@sentence(DERIVING, "`capabilities`: must not be set")
async def test_section_3_capabilities_are_kept_from_the_plugin(
    plugins: ScriptedPlugins, command: str
) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    listed = conf({"type": "one", "capabilities": {"mac": True}})
    started = runtime(plugins)

    await started.delete(listed, ATTACHMENT, await started.add(listed, ATTACHMENT))

    assert "capabilities" not in plugins.request("one", command)


@sentence(DERIVING, "All other fields not prefixed with `cni.dev/` should be passed through unaltered.")
async def test_section_3_the_plugins_own_fields_are_passed_through(plugins: ScriptedPlugins) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    own: dict[str, Any] = {
        "type": "one",
        "bridge": "cni0",
        "args": {"cni": {"ips": []}},
        "dns": {},
        "null": None,
        "nested": [{}],
    }

    await runtime(plugins).add(conf(own), ATTACHMENT)

    assert plugins.request("one", "ADD") == {"cniVersion": "1.1.0", "name": "web", **own}


@sentence(
    RUNTIME_CONFIG,
    "Specifically, any capability supported by the plugin configuration and provided by the runtime "
    "should be inserted in the `runtimeConfig`.",
)
async def test_section_3_the_example_of_port_mappings_is_derived(plugins: ScriptedPlugins) -> None:
    plugins.write("myPlugin", answer("10.1.0.5/16"))
    ports = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]

    await runtime(plugins).add(
        conf({"type": "myPlugin", "capabilities": {"portMappings": True}}),
        Attachment("a", "/run/netns/a", "eth0", capability_args={"portMappings": ports}),
    )

    request = plugins.request("myPlugin", "ADD")
    assert {"type": request["type"], "runtimeConfig": request["runtimeConfig"]} == {
        "type": "myPlugin",
        "runtimeConfig": {"portMappings": ports},
    }


@sentence(DERIVING, "For GC operations: `cni.dev/valid-attachments`: as specified in section 2.")
async def test_section_3_only_gc_is_told_the_valid_attachments(plugins: ScriptedPlugins) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    started = runtime(plugins)

    await started.gc(conf("one"), [ATTACHMENT])
    await started.add(conf("one"), ATTACHMENT)

    assert plugins.request("one", "GC")["cni.dev/valid-attachments"] == [
        {"containerID": "4f1c09", "ifname": "eth0"}
    ]
    assert not [key for key in plugins.request("one", "ADD") if key.startswith("cni.dev/")]
