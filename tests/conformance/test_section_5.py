"""Result types: what the runtime reads of an answer, and of an error."""

import json
import logging
from typing import Any

import pytest

from shim.cni.errors import PluginError
from tests.conformance.chains import ATTACHMENT, answer, conf, runtime
from tests.conformance.table import sentence
from tests.unit.cni.scripted import ScriptedPlugins

OVERVIEW = "5 Result Types"
SUCCESS = "5 ADD Success"
VERSION = "5 Version"
ERROR = "5 Error"

RESULT: dict[str, Any] = {
    "cniVersion": "1.1.0",
    "interfaces": [
        {"name": "cni0", "mac": "00:11:22:33:44:55", "mtu": 1500, "sandbox": ""},
        {
            "name": "eth0",
            "mac": "99:88:77:66:55:44",
            "sandbox": "/run/netns/a",
            "socketPath": "/run/vhost.sock",
            "pciID": "0000:04:00.5",
        },
    ],
    "ips": [
        {"address": "192.168.1.3/24", "gateway": "192.168.1.1", "interface": 1},
        {"address": "fd00::3/64", "interface": 1},
    ],
    "routes": [
        {
            "dst": "0.0.0.0/0",
            "gw": "192.168.1.1",
            "mtu": 1400,
            "advmss": 1360,
            "priority": 10,
            "table": 100,
            "scope": 0,
        }
    ],
    "dns": {"nameservers": ["10.1.0.1"], "domain": "local", "search": ["a.local"], "options": ["ndots:2"]},
}
"""Every key that the section names."""


def _error(code: int, msg: str, details: str) -> str:
    said = {"cniVersion": "1.1.0", "code": code, "msg": msg, "details": details}
    return f"[ $CNI_COMMAND = DEL ] || {{ echo '{json.dumps(said)}'; exit 1; }}"


@sentence(
    OVERVIEW,
    "For certain operations, plugins must output result information. The output should be serialized as "
    "JSON on standard out.",
)
@pytest.mark.parametrize("said", ["", "nonsense", '{"ips": ', '"text"', "[]", "17"])
async def test_section_5_an_add_without_a_result_has_failed(plugins: ScriptedPlugins, said: str) -> None:
    plugins.write("one", f"printf '%s' '{said}'")

    with pytest.raises(PluginError, match="answer"):
        await runtime(plugins).add(conf("one"), ATTACHMENT)

    assert plugins.calls == ["one ADD", "one DEL"]


@sentence(
    SUCCESS,
    "Plugins must output a JSON object with the following keys upon a successful `ADD` operation: "
    "`cniVersion`, `interfaces`, `ips`, `routes`, `dns`",
)
async def test_section_5_every_key_of_a_result_is_read_and_passed_on(plugins: ScriptedPlugins) -> None:
    plugins.write("one", f"echo '{json.dumps(RESULT)}'")
    plugins.write("two", f"echo '{json.dumps(RESULT)}'")

    added = await runtime(plugins).add(conf("one", "two"), ATTACHMENT)

    assert plugins.request("two", "ADD")["prevResult"] == RESULT
    assert added.to_json() == RESULT
    assert [interface.name for interface in added.interfaces] == ["cni0", "eth0"]
    assert [ip.address for ip in added.addresses("eth0")] == ["192.168.1.3/24", "fd00::3/64"]
    assert [(route.dst, route.gw) for route in added.routes] == [("0.0.0.0/0", "192.168.1.1")]
    assert added.dns == RESULT["dns"]


@sentence(SUCCESS, '`address` (string): an IP address in CIDR notation (eg "192.168.1.3/24").')
@pytest.mark.parametrize("address", ["192.168.1.3", "192.168.1.300/24", "", "fd00::3/129", "eth0"])
async def test_section_5_an_address_without_cidr_notation_is_refused(
    plugins: ScriptedPlugins, address: str
) -> None:
    plugins.write("one", answer(address))

    with pytest.raises(PluginError, match="address"):
        await runtime(plugins).add(conf("one"), ATTACHMENT)


@sentence(SUCCESS, "`interface` (uint): the index into the `interfaces` list")
@pytest.mark.parametrize("index", [-1, 1, "0", True, 0.5])
async def test_section_5_an_index_that_points_to_no_interface_is_refused(
    plugins: ScriptedPlugins, index: object
) -> None:
    said = {"interfaces": [{"name": "eth0"}], "ips": [{"address": "10.1.0.5/16", "interface": index}]}
    plugins.write("one", f"echo '{json.dumps(said)}'")

    with pytest.raises(PluginError, match="interface"):
        await runtime(plugins).add(conf("one"), ATTACHMENT)


@sentence(
    SUCCESS,
    "Delegated plugins may omit irrelevant sections.",
)
async def test_section_5_a_result_may_leave_everything_out(plugins: ScriptedPlugins) -> None:
    plugins.write("one", "echo '{}'")

    added = await runtime(plugins).add(conf("one"), ATTACHMENT)

    assert (added.interfaces, added.ips, added.routes, dict(added.dns)) == ((), (), (), {})


@sentence(
    ERROR,
    "Plugins should output a JSON object with the following keys if they encounter an error: "
    "`cniVersion`, `code`, `msg`, `details`",
)
async def test_section_5_an_error_is_told_with_its_message_and_details(plugins: ScriptedPlugins) -> None:
    plugins.write("one", _error(7, "Invalid Configuration", "Network 192.168.0.0/31 too small."))

    with pytest.raises(PluginError, match=r"Invalid Configuration; Network 192\.168\.0\.0/31 too small\."):
        await runtime(plugins).add(conf("one"), ATTACHMENT)


@sentence(
    ERROR,
    "Error codes 0-99 are reserved for well-known errors. Values of 100+ can be freely used for plugin "
    "specific errors.",
)
@pytest.mark.parametrize("code", [1, 2, 4, 5, 6, 7, 99, 100, 999])
async def test_section_5_the_code_is_kept_as_the_plugin_gave_it(plugins: ScriptedPlugins, code: int) -> None:
    plugins.write("one", _error(code, "it is broken", ""))

    with pytest.raises(PluginError) as told:
        await runtime(plugins).add(conf("one"), ATTACHMENT)

    assert told.value.code == code


@sentence(
    ERROR,
    "`3`: Container unknown or does not exist. This error implies the runtime does not need to perform "
    "any container network cleanup",
)
async def test_section_5_delete_of_an_unknown_container_is_done(plugins: ScriptedPlugins) -> None:
    plugins.write("one", "true")
    plugins.write("two", 'echo \'{"code": 3, "msg": "unknown container"}\'; exit 1')

    await runtime(plugins).delete(conf("one", "two"), ATTACHMENT, None)

    assert plugins.calls == ["two DEL", "one DEL"]


@sentence(ERROR, "In addition, stderr can be used for unstructured output such as logs.")
async def test_section_5_stderr_is_logged_and_no_part_of_the_answer(
    plugins: ScriptedPlugins, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    plugins.write("one", f"echo 'it goes well' >&2; {answer('10.1.0.5/16')}")

    added = await runtime(plugins).add(conf("one"), ATTACHMENT)

    assert [ip.address for ip in added.ips] == ["10.1.0.5/16"]
    assert "one ADD: it goes well" in caplog.messages


@sentence(
    ERROR,
    "`11`: Try again later. If the plugin detects some transient condition that should clear up, it can "
    "use this code to notify the runtime it should re-try the operation later.",
)
async def test_section_5_an_operation_to_be_tried_later_is_tried_again(plugins: ScriptedPlugins) -> None:
    later = """echo '{"code": 11, "msg": "not yet"}'; exit 1"""
    ready = plugins.folder / "ready"
    plugins.write("one", f"[ -e {ready} ] || {{ echo > {ready}; {later}; }}; {answer('10.1.0.5/16')}")

    added = await runtime(plugins).add(conf("one"), ATTACHMENT)

    assert [ip.address for ip in added.ips] == ["10.1.0.5/16"]
    assert plugins.calls == ["one ADD", "one ADD"]


@sentence(
    VERSION,
    "Plugins must output a JSON object with the following keys upon a `VERSION` operation: `cniVersion`: "
    "The value of `cniVersion` specified on input, `supportedVersions`: A list of supported specification "
    "versions",
)
async def test_section_5_the_versions_of_a_plugin_are_read_or_it_has_failed(plugins: ScriptedPlugins) -> None:
    example = {
        "cniVersion": "1.1.0",
        "supportedVersions": ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"],
    }
    plugins.write("one", f"echo '{json.dumps(example)}'")
    plugins.write("two", "echo '[]'")

    assert list(await runtime(plugins).versions("one", network="web")) == example["supportedVersions"]
    with pytest.raises(PluginError, match="answer"):
        await runtime(plugins).versions("two", network="web")
