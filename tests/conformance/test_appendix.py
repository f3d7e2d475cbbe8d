"""The examples of the appendix: each request as the specification prints it.

Two liberties. The example network in section 1 has `routes` in its `ipam` that the requests of the appendix
lack; they are left out here. And the results of the appendix lack the `cniVersion` that section 5 asks
for; the runtime inserts it.
"""

import json
from typing import Any

import pytest

from shim.cni.result import Result
from shim.cni.runtime import Attachment
from shim.model import JSONObject
from tests.conformance.chains import conf, runtime
from tests.conformance.table import sentence
from tests.unit.cni.scripted import ScriptedPlugins

ADD = "Appendix Add example"
CHECK = "Appendix Check example"
DELETE = "Appendix Delete example"

PORTS = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
BRIDGE: dict[str, Any] = {
    "type": "bridge",
    "bridge": "cni0",
    "keyA": ["some more", "plugin specific", "configuration"],
    "ipam": {"type": "host-local", "subnet": "10.1.0.0/16", "gateway": "10.1.0.1"},
    "dns": {"nameservers": ["10.1.0.1"]},
}
TUNING: dict[str, Any] = {"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}}
PORTMAP: dict[str, Any] = {"type": "portmap"}
DBNET = conf(
    BRIDGE,
    TUNING | {"capabilities": {"mac": True}},
    PORTMAP | {"capabilities": {"portMappings": True}},
    name="dbnet",
    cniVersions=["0.3.1", "0.4.0", "1.0.0", "1.1.0"],
)
ATTACHMENT = Attachment(
    "4f1c09",
    "/var/run/netns/blue",
    "eth0",
    args=(("argA", "foo"),),
    capability_args={"mac": "00:11:22:33:44:66", "portMappings": PORTS},
)


def result_of_bridge(mac: str = "99:88:77:66:55:44") -> dict[str, Any]:
    return {
        "ips": [{"address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 2}],
        "routes": [{"dst": "0.0.0.0/0"}],
        "interfaces": [
            {"name": "cni0", "mac": "00:11:22:33:44:55"},
            {"name": "veth3243", "mac": "55:44:33:22:11:11"},
            {"name": "eth0", "mac": mac, "sandbox": "/var/run/netns/blue"},
        ],
        "dns": {"nameservers": ["10.1.0.1"]},
    }


FINAL = result_of_bridge(mac="00:11:22:33:44:66")


def request(
    plugin: dict[str, Any], previous: JSONObject | None = None, **runtime_config: Any
) -> dict[str, Any]:
    """A request as the appendix prints it, with the version in its result."""
    value = {"cniVersion": "1.1.0", "name": "dbnet", **plugin}
    if runtime_config:
        value["runtimeConfig"] = runtime_config
    if previous is not None:
        value["prevResult"] = {"cniVersion": "1.1.0", **previous}
    return value


FINAL_REQUESTS = {
    "bridge": request(BRIDGE, FINAL),
    "tuning": request(TUNING, FINAL, mac="00:11:22:33:44:66"),
    "portmap": request(PORTMAP, FINAL, portMappings=PORTS),
}
"""The requests of CHECK and DEL, which are the same."""


@pytest.fixture
def dbnet(plugins: ScriptedPlugins) -> ScriptedPlugins:
    """Plugins that answer as those of the appendix."""
    answers = {"bridge": result_of_bridge(), "tuning": FINAL, "portmap": FINAL}
    for kind, value in answers.items():
        plugins.write(kind, f"[ $CNI_COMMAND != ADD ] || echo '{json.dumps(value)}'")
    return plugins


@sentence(ADD, "The container runtime would perform the following steps for the `add` operation.")
async def test_appendix_add_asks_bridge_tuning_and_portmap_as_printed(dbnet: ScriptedPlugins) -> None:
    added = await runtime(dbnet).add(DBNET, ATTACHMENT)

    assert dbnet.calls == ["bridge ADD", "tuning ADD", "portmap ADD"]
    assert dbnet.request("bridge", "ADD") == request(BRIDGE)
    assert dbnet.request("tuning", "ADD") == request(TUNING, result_of_bridge(), mac="00:11:22:33:44:66")
    assert dbnet.request("portmap", "ADD") == request(PORTMAP, FINAL, portMappings=PORTS)
    assert added.to_json() == {"cniVersion": "1.1.0", **FINAL}


@sentence(
    DELETE,
    "Given the same network configuration JSON list, the container runtime would perform the following "
    "steps for the _Delete_ action. Note that plugins are executed in reverse order from the _Add_ and "
    "_Check_ actions.",
)
async def test_appendix_delete_asks_portmap_tuning_and_bridge_as_printed(dbnet: ScriptedPlugins) -> None:
    await runtime(dbnet).delete(
        DBNET, ATTACHMENT, Result.from_json({"cniVersion": "1.1.0", **FINAL}, "final")
    )

    assert dbnet.calls == ["portmap DEL", "tuning DEL", "bridge DEL"]
    assert {kind: dbnet.request(kind, "DEL") for kind in FINAL_REQUESTS} == FINAL_REQUESTS


@sentence(
    CHECK,
    "Given the previous _Add_, the container runtime would perform the following steps for the _Check_ "
    "action: [...] including the `prevResult` field containing the final JSON response from the _Add_ "
    "operation, including the changed mac.",
)
async def test_appendix_check_asks_bridge_tuning_and_portmap_as_printed(dbnet: ScriptedPlugins) -> None:
    final = Result.from_json({"cniVersion": "1.1.0", **FINAL}, "final")

    await runtime(dbnet).check(DBNET, ATTACHMENT, final)

    assert dbnet.calls == ["bridge CHECK", "tuning CHECK", "portmap CHECK"]
    assert {kind: dbnet.request(kind, "CHECK") for kind in FINAL_REQUESTS} == FINAL_REQUESTS
