"""The conventions beyond the specification: capabilities, `args`, and `CNI_ARGS`."""

from typing import Any

import pytest

from shim.cni.errors import ConfError
from shim.cni.runtime import Attachment
from tests.conformance.chains import ATTACHMENT, answer, conf, runtime
from tests.conformance.table import sentence
from tests.unit.cni.scripted import ScriptedPlugins

RUNTIMES = "CONVENTIONS Runtimes"
CAPABILITIES = "CONVENTIONS Dynamic Plugin specific fields"
WELL_KNOWN_TABLE = "CONVENTIONS Well-known Capabilities"
ARGS = 'CONVENTIONS "args" in network config'
CNI_ARGS = "CONVENTIONS CNI_ARGS"

WELL_KNOWN: dict[str, Any] = {
    "portMappings": [
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 8000, "containerPort": 8001, "protocol": "udp"},
    ],
    "ipRanges": [
        [
            {
                "subnet": "10.1.2.0/24",
                "rangeStart": "10.1.2.3",
                "rangeEnd": "10.1.2.99",
                "gateway": "10.1.2.254",
            }
        ]
    ],
    "bandwidth": {"ingressRate": 2048, "ingressBurst": 1600, "egressRate": 4096, "egressBurst": 1600},
    "dns": {"searches": ["internal.yoyodyne.net", "corp.tyrell.net"], "servers": ["8.8.8.8", "10.0.0.10"]},
    "ips": ["192.168.0.1", "10.10.0.1/24", "3ffe:ffff:0:01ff::2", "3ffe:ffff:0:01ff::1/64"],
    "mac": "c2:11:22:33:44:55",
    "infinibandGUID": "c2:11:22:33:44:55:66:77",
    "deviceID": "0000:04:00.5",
    "aliases": ["my-container", "primary-db"],
    "cgroupPath": "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice",
}
"""The examples of the table "Well-known Capabilities"."""


@sentence(
    RUNTIMES,
    "Runtime authors should follow these conventions if they want to pass additional information to plugins.",
)
@pytest.mark.parametrize("capability", WELL_KNOWN)
async def test_conventions_a_well_known_capability_reaches_the_plugin_as_in_its_example(
    plugins: ScriptedPlugins, capability: str
) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    args = {capability: WELL_KNOWN[capability]}

    await runtime(plugins).add(
        conf({"type": "one", "capabilities": {capability: True}}),
        Attachment("a", "/run/netns/a", "eth0", capability_args=args),
    )

    assert plugins.request("one", "ADD")["runtimeConfig"] == args


@sentence(
    CAPABILITIES,
    "Dynamic information (i.e. data that a runtime fills out) should be placed in a `runtimeConfig` section.",
)
async def test_conventions_dynamic_information_is_in_runtime_config_and_nowhere_else(
    plugins: ScriptedPlugins,
) -> None:
    plugins.write("port-mapper", answer("10.1.0.5/16"))

    await runtime(plugins).add(
        conf({"type": "port-mapper", "capabilities": {"portMappings": True}}),
        Attachment("a", "/run/netns/a", "eth0", capability_args={"portMappings": WELL_KNOWN["portMappings"]}),
    )

    assert plugins.request("port-mapper", "ADD") == {
        "cniVersion": "1.1.0",
        "name": "web",
        "type": "port-mapper",
        "runtimeConfig": {"portMappings": WELL_KNOWN["portMappings"]},
    }


@sentence(
    CAPABILITIES,
    "Plugins can request that the runtime insert this dynamic configuration by explicitly listing their "
    "`capabilities` in the network configuration.",
)
async def test_conventions_a_plugin_that_lists_no_capability_is_given_none(plugins: ScriptedPlugins) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    plugins.write("two", answer("10.1.0.5/16"))

    await runtime(plugins).add(
        conf("one", {"type": "two", "capabilities": {"mac": True}}),
        Attachment("a", "/run/netns/a", "eth0", capability_args={"mac": WELL_KNOWN["mac"]}),
    )

    assert "runtimeConfig" not in plugins.request("one", "ADD")
    assert plugins.request("two", "ADD")["runtimeConfig"] == {"mac": WELL_KNOWN["mac"]}


@sentence(
    ARGS,
    "Runtimes should not require that a plugin understands or consumes that data provided, and so a "
    "runtime should not expect to receive an error if the data could not be acted on.",
)
async def test_conventions_args_reach_a_plugin_that_may_ignore_them(plugins: ScriptedPlugins) -> None:
    plugins.write("one", answer("10.1.0.5/16"))
    args = {"cni": {"labels": [{"key": "app", "value": "myapp"}], "ips": ["10.2.2.42/24", "2001:db8::5"]}}

    await runtime(plugins).add(conf({"type": "one", "args": args}), ATTACHMENT)

    assert plugins.request("one", "ADD")["args"] == args


@sentence(
    CNI_ARGS,
    "`CNI_ARGS`: Extra arguments passed in by the user at invocation time. `IP`: Request a specific IP "
    "from IPAM plugins. Spec: IP=<ip>[/<prefix>]",
)
async def test_conventions_an_ip_can_be_asked_for_by_args_of_the_attachment(plugins: ScriptedPlugins) -> None:
    plugins.write("one", answer("192.168.10.4/24"))

    await runtime(plugins).add(
        conf("one"), Attachment("a", "/run/netns/a", "eth0", args=(("IP", "192.168.10.4/24"),))
    )

    assert plugins.environment("one", "ADD")["CNI_ARGS"] == "IgnoreUnknown=1;IP=192.168.10.4/24"


MISSHAPEN: dict[str, Any] = {
    "portMappings": [{"hostPort": 70000, "containerPort": 80, "protocol": "tcp"}],
    "ipRanges": [{"subnet": "10.1.2.0/24"}],
    "bandwidth": {"ingressRate": "2048", "ingressBurst": 1600},
    "dns": {"servers": "8.8.8.8"},
    "ips": ["192.168.0.300"],
    "mac": "c2:11:22:33:44",
    "infinibandGUID": "c2:11:22:33:44:55",
    "deviceID": 4,
    "aliases": "my-container",
    "cgroupPath": ["/kubelet.slice"],
}


@sentence(
    WELL_KNOWN_TABLE,
    '[The column "Spec and Example" gives each capability a shape; arguments out of shape are refused.]',
)
@pytest.mark.parametrize("capability", MISSHAPEN)
async def test_conventions_a_misshapen_capability_is_refused_before_a_plugin_reads_it(
    plugins: ScriptedPlugins, capability: str
) -> None:
    plugins.write("one", answer("10.1.0.5/16"))

    with pytest.raises(ConfError, match=capability):
        await runtime(plugins).add(
            conf({"type": "one", "capabilities": {capability: True}}),
            Attachment("a", "/run/netns/a", "eth0", capability_args={capability: MISSHAPEN[capability]}),
        )

    assert plugins.calls == []
