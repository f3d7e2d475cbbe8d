"""What has to run, listen and be set for a network on several nodes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lab.engine import IMAGE

from experiments import kv
from experiments.bench import Bench
from experiments.figures import Figure, Table
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
    Verdict,
    refuted,
    stands,
    weakened,
)
from experiments.parts import Parts
from experiments.swarm import swarm
from experiments.texts import hockin

CLAIM = Claim(
    id="E06",
    title="The whole system",
    claim="With Docker's global drivers beside Kubernetes the whole system gets more complicated.",
    sources=(
        hockin(
            "The net result is that the whole system would significantly be more complicated, when the "
            "goal of using Docker networking "
            "is to simplify things."
        ),
    ),
    procedure="On one node, what is there more than on a bare engine is counted: processes, listening "
    "sockets, settings of the engine, and objects or "
    "keys that nodes share. For overlay with etcd on 20.10, for overlay with swarm on the newest engine, "
    "and for the shim as a "
    "node of a Kubernetes cluster that is there anyway.",
    predictions=(
        "Overlay needs one more store or cluster, and listening sockets.",
        "The shim needs one process, no listening socket, and no setting of the engine.",
    ),
    measured="Processes, listening sockets, settings, and the shared state's place.",
    section="Scope and key-value store",
)

_ETCD, _SWARM, _SHIM = "overlay with etcd", "overlay with swarm", "shim with Kubernetes"


def measure(parts: Parts) -> Data:
    """Each on its engine; the shim on both."""
    settings = parts.nodes()
    etcd = parts.one(OLDER, _etcd)
    by_swarm = parts.one(NEWEST, _swarm)
    definition = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": "team-a", "name": "simple"},
        "spec": {"config": json.dumps(_CONF)},
    }
    parts.cluster.apply(definition)
    try:
        shims = parts.each(lambda bench: _shim(bench, settings[bench.name]))
    finally:
        parts.cluster.kubectl("delete", "net-attach-def", "-n", "team-a", "simple")
    return {OLDER: {_ETCD: etcd, _SHIM: shims[OLDER]}, NEWEST: {_SWARM: by_swarm, _SHIM: shims[NEWEST]}}


_CONF = {
    "cniVersion": "1.0.0",
    "name": "simple",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "simple0",
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.6.0.0/24"}]]},
        }
    ],
}


def _etcd(bench: Bench) -> Data:
    before = _counted(bench)
    with kv.cluster_store(bench):
        bench.docker("network", "create", "-d", "overlay", "over")
        ran = bench.attempt("run", "-d", "--network", "over", IMAGE, "sleep", "600")
        after = _counted(bench)
        bench.remove_containers()
        bench.docker("network", "rm", "over")
    bench.attempt("network", "rm", "docker_gwbridge")
    return {
        **_more(before, after),
        "settings": 2,
        "works": ran["error"] or "yes",
        "shared": "etcd, Docker's schema",
    }


def _swarm(bench: Bench) -> Data:
    before = _counted(bench)
    with swarm(bench):
        bench.docker("network", "create", "-d", "overlay", "--attachable", "over")
        ran = bench.attempt("run", "-d", "--network", "over", IMAGE, "sleep", "600")
        after = _counted(bench)
    return {
        **_more(before, after),
        "settings": 0,
        "works": ran["error"] or "yes",
        "shared": "swarm's Raft log",
    }


def _shim(bench: Bench, settings: Mapping[str, Any]) -> Data:
    bench.engine.stop_shim()
    before = _counted(bench)
    bench.restart_shim(kubernetes=settings)
    bench.network("simple", "team-a/simple")
    ran = bench.attempt("run", "-d", "--network", "simple", IMAGE, "sleep", "600")
    after = _counted(bench)
    bench.remove_containers()
    bench.docker("network", "rm", "simple")
    return {
        **_more(before, after),
        "settings": 0,
        "works": ran["error"] or "yes",
        "shared": "objects of Kubernetes",
    }


def _counted(bench: Bench) -> dict[str, int]:
    """Processes that are not of a container, and sockets that listen."""
    processes = bench.shell("ps -e -o comm=").split()
    ours = [name for name in processes if name in ("dockerd", "containerd", "etcd", "python", "python3")]
    listening = bench.shell("ss -H -l -t -u -n").splitlines()
    return {"processes": len(ours), "listening": len(listening)}


def _more(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    return {what: after[what] - before[what] for what in before}


def judge(data: Data) -> Judgement:
    """By what each needs more."""
    others = {OLDER: data[OLDER][_ETCD], NEWEST: data[NEWEST][_SWARM]}
    shims = {name: data[name][_SHIM] for name in ENGINES}
    simple = all(
        it["listening"] == 0 and it["processes"] == 1 and it["works"] == "yes" for it in shims.values()
    )
    return Judgement(
        verdicts={name: _verdict(others[name], shims[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY,
            "Where Kubernetes is there anyway, a node needs one process more, and no listening socket.",
        )
        if simple
        else Bridge(Degree.PARTLY, f"A node needs: {'; '.join(_text(it) for it in shims.values())}."),
        came_true=(all(it["listening"] > 0 for it in others.values()), simple),
    )


def _text(it: Mapping[str, Any]) -> str:
    return (
        f"{it['processes']} processes, {it['listening']} listening sockets and {it['settings']} "
        f"settings of the engine more"
    )


def _verdict(other: Mapping[str, Any], shim: Mapping[str, Any]) -> Verdict:
    text = f"Overlay: {_text(other)}, shared state in {other['shared']}; the shim: {_text(shim)}"
    weights = [it["processes"] + it["listening"] + it["settings"] for it in (other, shim)]
    if weights[0] > weights[1]:
        return stands(f"{text}.")
    if weights[0] == weights[1]:
        return weakened(f"{text}.")
    return refuted(f"{text}.")


def show(data: Data) -> Sequence[Figure]:
    """Ways by what they need."""
    rows = [
        [way, name, *(str(it[what]) for what in ("processes", "listening", "settings", "shared", "works"))]
        for name in ENGINES
        for way, it in data[name].items()
    ]
    columns = [
        "way",
        "engine",
        "processes",
        "listening sockets",
        "settings of the engine",
        "shared state",
        "works",
    ]
    return [Table("More than on a bare engine, on each node", columns, rows)]


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
