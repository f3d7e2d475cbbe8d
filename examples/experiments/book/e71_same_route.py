"""What happens when two networks of a container want the same route."""

from collections.abc import Sequence
from contextlib import suppress

from lab.engine import IMAGE
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
    Source,
    Verdict,
    refuted,
    stands,
    weakened,
)
from experiments.parts import Parts

CLAIM = Claim(
    id="E71",
    title="One route, two next hops",
    claim=(
        "libnetwork arbitrates between networks that give a container the same route, while CNI plugins "
        "overwrite each other."
    ),
    sources=(Source("Lee Calcote, The Container Networking Landscape, The New Stack", "2016-09"),),
    procedure="Two networks each bring a route to 198.51.100.0/24 by a gateway of their own. A container "
    "is put on both: by drivers of our "
    "own which return it as a static route, by the shim with two conflists, and by CNI alone with two ADDs.",
    predictions=(
        "Docker refuses to start the container.",
        "CNI alone fails at the second ADD, or the last one wins.",
    ),
    measured="Success, error, and the route that is there in the end.",
    section="Life cycle",
)

_ROUTE = "198.51.100.0/24"
_JOIN = {"InterfaceName": {"SrcName": "w{endpoint}", "DstPrefix": "eth"}, "Gateway": ""}
_MAKE = 'link=w$(printf %s "$ENDPOINT" | cut -c 1-10); ip link add "$link" type veth peer name "p${link#w}"'
_REMOVE = 'ip link del w$(printf %s "$ENDPOINT" | cut -c 1-10)'


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    for number in (1, 2):
        route = {"Destination": _ROUTE, "RouteType": 0, "NextHop": f"10.71.{number}.1"}
        witness = bench.witness(
            f"routes{number}",
            run={"NetworkDriver.Join": _MAKE, "NetworkDriver.DeleteEndpoint": _REMOVE},
            answers={"NetworkDriver.Join": {**_JOIN, "StaticRoutes": [route], "DisableGatewayService": True}},
        )
        bench.docker(
            "network", "create", "-d", witness.name, "--subnet", f"10.71.{number}.0/24", f"remote{number}"
        )
        ipam = {
            "type": "host-local",
            "ranges": [[{"subnet": f"10.71.{10 + number}.0/24"}]],
            "routes": [{"dst": _ROUTE}],
        }
        bench.conflist(
            f"cni{number}", {"type": "bridge", "bridge": f"route{number}", "isGateway": True, "ipam": ipam}
        )
        bench.network(f"cni{number}", f"cni{number}")
    return {
        "drivers of our own": _by_docker(bench, "remote"),
        "shim": _by_docker(bench, "cni"),
        "CNI alone": _alone(bench),
    }


def _by_docker(bench: Bench, kind: str) -> Data:
    bench.docker("create", "--name", "box", "--network", f"{kind}1", IMAGE, "sleep", "600")
    bench.docker("network", "connect", f"{kind}2", "box")
    started = bench.attempt("start", "box")
    routes = bench.inside("box", f"ip route show {_ROUTE}").split("\n") if started["status"] == 0 else []
    bench.docker("rm", "--force", "box")
    return {"error": started["error"], "routes": [route.strip() for route in routes if route.strip()]}


def _alone(bench: Bench) -> Data:
    bench.shell("ip netns add alone")
    error = ""
    try:
        for number in (1, 2):
            bench.cni("add", f"cni{number}", "/run/netns/alone", CNI_IFNAME=f"eth{number}")
    except LabError as failure:
        error = str(failure).rpartition("failed (1): ")[2]
    routes = bench.shell(f"ip netns exec alone ip route show {_ROUTE}").split("\n")
    for number in (1, 2):
        with suppress(LabError):
            bench.cni("del", f"cni{number}", "/run/netns/alone", CNI_IFNAME=f"eth{number}")
    bench.shell("ip netns delete alone")
    return {"error": error, "routes": [route.strip() for route in routes if route.strip()]}


def judge(data: Data) -> Judgement:
    """By whether Docker says so, and CNI does not."""
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=_bridge([data[name] for name in ENGINES]),
        came_true=(
            all(data[name]["drivers of our own"]["error"] for name in ENGINES),
            all(
                data[name]["CNI alone"]["error"] or len(data[name]["CNI alone"]["routes"]) == 1
                for name in ENGINES
            ),
        ),
    )


def _bridge(each: Sequence[Data]) -> Bridge:
    loud = sum(bool(it["shim"]["error"]) for it in each)
    if loud == len(each):
        return Bridge(
            Degree.FULLY, f"With the shim's networks docker start fails as well: {each[0]['shim']['error']}."
        )
    return Bridge(
        Degree.PARTLY,
        (
            f"With the shim's networks docker start failed on {loud} of {len(each)} engines; else the engine "
            f"chose."
        ),
    )


def _verdict(data: Data) -> Verdict:
    docker, alone = data["drivers of our own"], data["CNI alone"]
    said = docker["error"] or f"starts, with {' and '.join(docker['routes'])}"
    cni = alone["error"] or f"succeeds, with {' and '.join(alone['routes'])}"
    text = f"Docker: {said}; CNI alone: {cni}"
    if docker["error"] and not alone["error"]:
        return stands(f"{text}.")
    if docker["error"]:
        return weakened(f"Both fail. {text}.")
    return refuted(f"Docker does not arbitrate. {text}.")


def show(data: Data) -> Sequence[Figure]:
    """Outcomes by ways."""
    rows = [
        [way, name, data[name][way]["error"] or "none", ", ".join(data[name][way]["routes"]) or "none"]
        for way in data[OLDER]
        for name in ENGINES
    ]
    return [
        Table(
            "A container on two networks with the same route",
            ["way", "engine", "error", "routes that are there"],
            rows,
        )
    ]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
