"""What became of the scope global, on the newest engine."""

from collections.abc import Sequence

from lab.engine import IMAGE
from lab.errors import LabError

from experiments.bench import Bench
from experiments.figures import Figure, Table
from experiments.model import (
    NEWEST,
    Bridge,
    Claim,
    Data,
    Degree,
    Experiment,
    Judgement,
    refuted,
    stands,
    weakened,
)
from experiments.parts import Parts
from experiments.swarm import swarm
from experiments.texts import hockin

CLAIM = Claim(
    id="E03",
    title="Global drivers today",
    claim="A driver with the scope global rests on a store that the engines share.",
    sources=(
        hockin(
            'Global drivers (such as "overlay") rely on libkv (a key-value store abstraction) to '
            "coordinate across machines."
        ),
    ),
    procedure="The newest engine is started with --cluster-store. Then, without any store, a network is "
    "made on a driver of our own "
    "with the scope global, and a container is run on it. Then the engine becomes a swarm of one, and it "
    "is tried again.",
    predictions=(
        "The engine does not start with a cluster store.",
        (
            "Without a store and without swarm the network is made, and listed as global, though nothing is "
            "shared."
        ),
        "With swarm it is refused, since socket plugins are not supported there.",
    ),
    measured="Success and error of each; the scope that Docker lists.",
    section="Scope and key-value store",
)


def measure(parts: Parts) -> Data:
    """On the newest engine alone."""
    return parts.one(NEWEST, _on)


def _on(bench: Bench) -> Data:
    option = _with_option(bench)
    bench.witness("witness-global", scope="global")
    alone = _try(bench, "alone")
    scope = bench.docker("network", "ls", "--filter", "name=alone", "--format", "{{.Scope}}").strip()
    if alone["status"] == 0:
        bench.docker("network", "rm", "alone")
    with swarm(bench):
        in_swarm = _try(bench, "swarm")
    return {
        "option": option,
        "alone": {"status": alone["status"], "error": alone["error"], "scope": scope},
        "swarm": {"status": in_swarm["status"], "error": in_swarm["error"]},
    }


def _with_option(bench: Bench) -> str:
    """What the engine says to a cluster store; empty when it starts."""
    bench.engine.stop_dockerd()
    try:
        bench.engine.start_dockerd(cluster_store="etcd://127.0.0.1:2379")
    except LabError as error:
        bench.engine.start_dockerd()
        return str(error).strip().splitlines()[-1]
    bench.engine.stop_dockerd()
    bench.engine.start_dockerd()
    return ""


def _try(bench: Bench, name: str) -> Data:
    made = bench.attempt("network", "create", "-d", "witness-global", "--ipam-driver", "null", name)
    if made["status"] == 0:
        return bench.attempt("run", "--rm", "--network", name, IMAGE, "true")
    return made


def judge(data: Data) -> Judgement:
    """By whether a global network needs anything shared."""
    alone, joined = data["alone"], data["swarm"]
    listed = alone["status"] == 0 and alone["scope"] == "global"
    if listed:
        verdict = refuted(
            "Without a store and without swarm a global network was made, listed with the scope global, "
            "and used; "
            "nothing of it is shared."
        )
    elif data["option"]:
        verdict = weakened(f"There is no store to rest on any more, and the network fails: {alone['error']}.")
    else:
        verdict = stands(
            f"The engine takes a cluster store, and without it the network fails: {alone['error']}."
        )
    return Judgement(
        verdicts={NEWEST: verdict},
        bridge=Bridge(
            Degree.NOT_AT_ALL,
            f"In swarm scope, a socket plugin such as the shim is refused: {joined['error']}.",
        )
        if joined["status"]
        else Bridge(Degree.PARTLY, "A socket plugin could be used in swarm scope."),
        came_true=(bool(data["option"]), listed, "not supported in swarm mode" in joined["error"]),
        surprise="A network that is listed as global, and is as local as any." if listed else "",
    )


def show(data: Data) -> Sequence[Figure]:
    """What each try led to."""
    rows = [
        ["dockerd with cluster-store", data["option"] or "starts"],
        [
            "global, without store and swarm",
            data["alone"]["error"] or f"runs, listed with the scope {data['alone']['scope']}",
        ],
        ["global, in a swarm", data["swarm"]["error"] or "runs"],
    ]
    return [Table("The scope global", ["try", "outcome"], rows)]


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
