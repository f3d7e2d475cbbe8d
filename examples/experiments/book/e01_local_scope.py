"""Whether local drivers coordinate nodes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lab.engine import IMAGE

from experiments.bench import Bench
from experiments.figures import Figure, Matrix, Table, yes_no
from experiments.model import (
    ENGINES,
    NEWEST,
    OLDER,
    Bridge,
    Claim,
    Data,
    Degree,
    Experiment,
    Judgement,
    alike,
    refuted,
    stands,
    weakened,
)
from experiments.parts import Parts
from experiments.texts import hockin, issue

CLAIM = Claim(
    id="E01",
    title="Local drivers and other nodes",
    claim=(
        "Local drivers are machine-centric: the same network on two nodes has nothing in common but its name."
    ),
    sources=(
        hockin(
            'Local drivers (such as "bridge") are machine-centric and don\'t do any cross-node coordination.'
        ),
        issue("libnetwork#486, Remote drivers are (wrongly) assumed to be global", "2015-09-02"),
    ),
    procedure="On two engines a network of one name is made on a driver of our own with the scope local, "
    "and a container is run "
    "on it on one. Then both shims are nodes of a Kubernetes cluster, with one "
    "NetworkAttachmentDefinition; each "
    "engine makes a network on it and runs a container; each node is asked what the other's ID is, and "
    "Kubernetes, which containers are on the network.",
    predictions=(
        "The engines give the network two IDs, and the other node's driver gets no call.",
        "Each node resolves both IDs to the one logical network.",
    ),
    measured=(
        "IDs; calls on the node where nothing was done; IDs that each node resolves; containers that "
        "Kubernetes knows."
    ),
    section="Scope and key-value store",
)

_SUBNETS = {OLDER: "10.60.1.0/24", NEWEST: "10.60.2.0/24"}
_LOGICAL = "team-a/blue"


def measure(parts: Parts) -> Data:
    """On both engines together."""
    settings = parts.nodes()
    definition = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": "team-a", "name": "blue"},
        "spec": {},
    }
    parts.cluster.apply(definition)
    try:
        return parts.together(lambda benches: {**_local(benches), **_logical(parts, benches, settings)})
    finally:
        parts.cluster.kubectl("delete", "net-attach-def", "-n", "team-a", "blue")


def _local(benches: Mapping[str, Bench]) -> Data:
    witnesses = {name: bench.witness() for name, bench in benches.items()}
    create = ("network", "create", "--ipam-driver", "null", "blue", "-d")
    ids = {name: bench.docker(*create, witnesses[name].name).strip() for name, bench in benches.items()}
    for witness in witnesses.values():
        witness.forget()
    benches[OLDER].docker("run", "--rm", "--network", "blue", IMAGE, "true")
    return {
        "ids": ids,
        "calls": {name: len(witness.calls) for name, witness in witnesses.items()},
    }


def _logical(parts: Parts, benches: Mapping[str, Bench], settings: Mapping[str, Any]) -> Data:
    ids = {}
    for name, bench in benches.items():
        ipam = {"type": "host-local", "ranges": [[{"subnet": _SUBNETS[name]}]]}
        bench.conflist("blue", {"type": "bridge", "bridge": "blue0", "isGateway": True, "ipam": ipam})
        bench.restart_shim(kubernetes=settings[name])
        ids[name] = bench.network("shared", _LOGICAL)
        bench.run(f"box-{name.replace('.', '-')}", "shared")
    node_of = {name: settings[name]["node"] for name in benches}

    def containers() -> list[str]:
        items = json.loads(parts.cluster.kubectl("get", "dnet", "-n", "team-a", "-o", "json"))["items"]
        found = [it for item in items for it in item.get("status", {}).get("endpoints", ())]
        return sorted(it.get("container", "") for it in found)

    expected = sorted(f"box-{name.replace('.', '-')}" for name in benches)
    benches[OLDER].wait(lambda: containers() == expected)
    resolved = {
        f"{here} of {there}": _resolved(benches[here], ids[there]) == [(node_of[there], _LOGICAL)]
        for here in benches
        for there in benches
    }
    known = containers()
    for bench in benches.values():
        bench.docker("rm", "--force", *bench.docker("ps", "-aq").split())
        bench.docker("network", "rm", "shared")
    benches[OLDER].wait(lambda: not parts.cluster.kubectl("get", "dnet", "-A", "-o", "name"))
    return {"logical_ids": ids, "resolved": resolved, "containers": known}


def _resolved(bench: Bench, network: str) -> list[tuple[str, str]]:
    answer = bench.engine.resolve(network, "--json", check=False).stdout
    return [(item["node"], item["cniNetwork"]) for item in json.loads(answer or "[]")]


def judge(data: Data) -> Judgement:
    """By the IDs and the calls; the bridge by what is resolved."""
    different = len(set(data["ids"].values())) == len(ENGINES)
    here, there = (data["calls"][name] for name in ENGINES)
    if different and not there:
        verdict = stands(f"The two IDs differ, and {here} calls on one node caused none on the other.")
    elif different:
        verdict = weakened(f"The two IDs differ, but the other node's driver got {there} calls.")
    else:
        verdict = refuted("Both engines gave the network the same ID.")
    right, total = sum(data["resolved"].values()), len(data["resolved"])
    known = len(data["containers"])
    text = (
        f"{right} of {total} pairs of node and ID led to the one logical network, on which Kubernetes "
        f"knew {known} of 2 containers"
    )
    degree = Degree.FULLY if right == total and known == 2 else Degree.PARTLY if right else Degree.NOT_AT_ALL
    return Judgement(
        verdicts=alike(verdict),
        bridge=Bridge(degree, f"With Kubernetes: {text}."),
        came_true=(different and not there, right == total),
    )


def show(data: Data) -> Sequence[Figure]:
    """IDs, and who resolves what."""
    rows = [
        [name, data["ids"][name][:12], str(data["calls"][name]), data["logical_ids"][name][:12]]
        for name in ENGINES
    ]
    pairs = {here: [yes_no(data["resolved"][f"{here} of {there}"]) for there in ENGINES] for here in ENGINES}
    return [
        Table(
            "The same network on two engines",
            ["engine", "ID", "calls when 20.10 ran a container", "ID of the shim's"],
            rows,
        ),
        Matrix("Does the node in the row resolve the ID of the engine in the column?", ENGINES, pairs),
    ]


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
