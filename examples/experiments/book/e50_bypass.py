"""Whether a remote driver can be driven without libnetwork, and what is left to do then."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lab.errors import LabError

from experiments.bench import Bench
from experiments.figures import Figure, Table
from experiments.model import (
    ENGINES,
    OLDER,
    Bridge,
    Claim,
    Data,
    Degree,
    Experiment,
    Judgement,
    Verdict,
    refuted,
    stands,
    weakened,
)
from experiments.parts import Parts
from experiments.texts import hockin
from experiments.witness import Connection

CLAIM = Claim(
    id="E50",
    title="Remote drivers without libnetwork",
    claim="Docker's remote drivers can be driven directly, without libnetwork.",
    sources=(
        hockin(
            "We investigated whether we could bypass libnetwork (and thereby skip the issues above) and "
            "drive Docker remote plugins directly."
        ),
    ),
    procedure="A namespace is made by hand. A client speaks to the shim's socket as the engine does: "
    "Activate, CreateNetwork, CreateEndpoint, Join. "
    "What Join leaves to the caller is done by hand and counted; then the gateway is pinged. "
    "Leave, DeleteEndpoint and DeleteNetwork follow.",
    predictions=(
        (
            "It works, and the caller has to move the link, rename it, set address and MAC address, switch "
            "it "
            "on and add the routes."
        ),
    ),
    measured="Calls; steps that are left to the caller; whether the gateway answers; what is left.",
    section="In-process and remote drivers",
)

_NETWORK, _ENDPOINT = "a" * 64, "b" * 64
_SANDBOX = "/run/netns/direct"


def measure(parts: Parts) -> Data:
    """In both rooms, with the plugins of each."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    calls: list[str] = []

    def call(name: str, **body: Any) -> dict[str, Any]:
        connection = Connection(str(bench.engine.path("/run/docker/plugins/cni.sock")), timeout=60)
        connection.request("POST", f"/{name}", json.dumps(body))
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
        connection.close()
        if response.status != 200:
            raise LabError(f"{name}: {answer}")
        calls.append(name.partition(".")[2])
        return answer

    bench.shell("ip netns add direct")
    try:
        call("Plugin.Activate")
        pools = [{"AddressSpace": "null", "Pool": "0.0.0.0/0"}]
        options = {"com.docker.network.generic": {"cni.network": "cni-bridge"}}
        call("NetworkDriver.CreateNetwork", NetworkID=_NETWORK, Options=options, IPv4Data=pools, IPv6Data=[])
        of = {"NetworkID": _NETWORK, "EndpointID": _ENDPOINT}
        interface = {"Address": "", "AddressIPv6": "", "MacAddress": ""}
        endpoint = call("NetworkDriver.CreateEndpoint", **of, Interface=interface, Options={})["Interface"]
        joined = call("NetworkDriver.Join", **of, SandboxKey=_SANDBOX, Options={})
        steps = _steps(endpoint, joined)
        for step in steps.values():
            bench.shell(step)
        answered = "1 packets received" in bench.shell(
            f"ip netns exec direct busybox ping -c 1 -W 2 {joined['Gateway']}", check=False
        )
        call("NetworkDriver.Leave", **of)
        call("NetworkDriver.DeleteEndpoint", **of)
        call("NetworkDriver.DeleteNetwork", NetworkID=_NETWORK)
    finally:
        bench.shell("ip netns delete direct")
    return {"calls": calls, "steps": steps, "answered": answered}


def _steps(endpoint: Mapping[str, Any], joined: Mapping[str, Any]) -> dict[str, str]:
    """What the engine would do after Join, by name."""
    link = joined["InterfaceName"]["SrcName"]
    inside = "ip netns exec direct ip"
    steps = {
        "move the link": f"ip link set {link} netns direct",
        "rename it": f"{inside} link set {link} name eth0",
        "set its MAC address": f"{inside} link set eth0 address {endpoint['MacAddress']}",
        "set its address": f"{inside} address add {endpoint['Address']} dev eth0",
        "switch it on": f"{inside} link set eth0 up",
        "add the default route": f"{inside} route add default via {joined['Gateway']}",
    }
    for route in joined.get("StaticRoutes") or ():
        steps[f"add the route to {route['Destination']}"] = (
            f"{inside} route add {route['Destination']} via {route['NextHop']}"
        )
    return steps


def judge(data: Data) -> Judgement:
    """By whether the gateway answered."""
    works = all(data[name]["answered"] for name in ENGINES)
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.NO_NEED,
            "The shim can be driven by others than Docker; whoever can run CNI plugins has no need to.",
        ),
        came_true=(works and all(len(data[name]["steps"]) >= 6 for name in ENGINES),),
    )


def _verdict(data: Data) -> Verdict:
    calls, steps = len(data["calls"]), len(data["steps"])
    if not data["answered"]:
        return refuted(f"After {calls} calls and {steps} steps of the caller the gateway did not answer.")
    if steps:
        return weakened(
            f"It worked, in {calls} calls, but {steps} steps were left to the caller: "
            f"{', '.join(data['steps'])}."
        )
    return stands(f"It worked, in {calls} calls.")


def show(data: Data) -> Sequence[Figure]:
    """What is left to the caller."""
    steps = [[step, command] for step, command in data[OLDER]["steps"].items()]
    return [Table("What Join leaves to the caller", ["step", "command"], steps)]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
