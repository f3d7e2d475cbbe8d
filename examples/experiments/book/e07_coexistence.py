"""Whether networks of several kinds can be in one container."""

import re
from collections.abc import Sequence
from contextlib import nullcontext

from lab.engine import IMAGE

from experiments.bench import Bench
from experiments.figures import Figure, Table
from experiments.model import (
    ENGINES,
    NEWEST,
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
from experiments.swarm import swarm
from experiments.texts import hockin

CLAIM = Claim(
    id="E07",
    title="Networks beside each other",
    claim="Docker's networks and those of others get in each other's way.",
    sources=(
        hockin(
            "Kubernetes will not get in the way of such a setup, and no matter what direction the project "
            "goes, that option should be available."
        ),
    ),
    procedure="One container is put on a bridge of Docker's and on two CNI networks, and on the newest "
    "engine on an overlay network as well. On each "
    "network another container is pinged. The names of the links and the default route are looked at, and "
    "once more after a "
    "restart.",
    predictions=("All are reached, the links have names of their own, and there is one default route.",),
    measured="Networks whose neighbour answers; names of links; default routes; before and after a restart.",
    section="Scope and key-value store",
)


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    with swarm(bench) if bench.name == NEWEST else nullcontext():
        networks = _networks(bench)
        bench.docker("create", "--name", "box", "--network", networks[0], IMAGE, "sleep", "600")
        for network in networks[1:]:
            bench.docker("network", "connect", network, "box")
        for network in networks:
            bench.run(f"beside-{network}", network)
        bench.docker("start", "box")
        first = _looked(bench, networks)
        bench.docker("restart", "--time", "0", "box")
        second = _looked(bench, networks)
    return {"networks": networks, "started": first, "restarted": second}


def _networks(bench: Bench) -> list[str]:
    """One of each kind that this engine has."""
    bench.docker("network", "create", "own")
    bench.network("cni1", "cni-bridge")
    bench.network("cni2", "cni-routed")
    if bench.name != NEWEST:
        return ["own", "cni1", "cni2"]
    bench.docker("network", "create", "-d", "overlay", "--attachable", "over")
    return ["own", "cni1", "cni2", "over"]


def _looked(bench: Bench, networks: Sequence[str]) -> Data:
    reached = {}
    for network in networks:
        address = bench.inspect(f"beside-{network}", network)["IPAddress"]
        reached[network] = "1 packets received" in bench.inside(
            "box", f"ping -c 1 -W 2 {address}", check=False
        )
    links = re.findall(r"^\d+: (\w+)", bench.inside("box", "ip -o link"), re.MULTILINE)
    routes = bench.inside("box", "ip route").splitlines()
    return {
        "reached": reached,
        "links": links,
        "default": [route.strip() for route in routes if route.startswith("default")],
    }


def judge(data: Data) -> Judgement:
    """By networks that are reached."""
    whole = all(_whole(data[name]) for name in ENGINES)
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY, "A CNI network may stand beside Docker's own in one container, in any order."
        )
        if whole
        else Bridge(Degree.PARTLY, "Beside Docker's own networks some of it does not work."),
        came_true=(whole,),
    )


def _whole(data: Data) -> bool:
    return all(
        all(it["reached"].values()) and len(set(it["links"])) == len(it["links"]) and len(it["default"]) == 1
        for it in (data["started"], data["restarted"])
    )


def _verdict(data: Data) -> Verdict:
    tries = [reached for it in (data["started"], data["restarted"]) for reached in it["reached"].values()]
    text = (
        f"In one container, on {len(data['networks'])} networks, {sum(tries)} of {len(tries)} "
        f"neighbours answered, with {len(data['started']['default'])} default route"
    )
    if _whole(data):
        return refuted(f"{text}.")
    if all(tries):
        return weakened(f"{text}, by the links {', '.join(data['started']['links'])}.")
    return stands(f"{text}.")


def show(data: Data) -> Sequence[Figure]:
    """What is reached."""
    rows = [
        [
            name,
            when,
            ", ".join(network for network, reached in it["reached"].items() if reached),
            ", ".join(it["links"]),
            ", ".join(it["default"]),
        ]
        for name in ENGINES
        for when, it in (("started", data[name]["started"]), ("restarted", data[name]["restarted"]))
    ]
    return [
        Table("One container on several networks", ["engine", "", "reached", "links", "default route"], rows)
    ]


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
