"""Whether global drivers need a key-value store, on the engine that still has them."""

from collections.abc import Sequence

from lab.engine import IMAGE

from experiments import kv
from experiments.bench import Bench
from experiments.figures import Figure, Listing, Table
from experiments.model import (
    OLDER,
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
from experiments.texts import hockin, issue

CLAIM = Claim(
    id="E02",
    title="Global drivers need a store",
    claim="A driver with the scope global cannot be used without a key-value store that all engines share.",
    sources=(
        hockin(
            'Global drivers (such as "overlay") rely on libkv (a key-value store abstraction) to '
            "coordinate across machines."
        ),
        issue("libnetwork#486, Remote drivers are (wrongly) assumed to be global", "2015-09-02"),
    ),
    procedure="On 20.10 a driver of our own says that its scope is global. A network is made on it, with "
    "Docker's IPAM driver and "
    "with null, without a store; then again with etcd 3.4 and its second API as --cluster-store, where a "
    "container is run.",
    predictions=(
        "Without a store it fails, and the error names the missing datastore.",
        "With etcd it works, and the network is in the store.",
    ),
    measured="Success and error of each; keys in the store.",
    section="Scope and key-value store",
)


def measure(parts: Parts) -> Data:
    """On 20.10 alone: later ones have no such option, see E03."""
    return parts.one(OLDER, _on)


def _on(bench: Bench) -> Data:
    bench.witness(
        "witness-global", scope="global", answers={"NetworkDriver.CreateEndpoint": {"Interface": {}}}
    )
    without = {ipam: _try(bench, ipam) for ipam in ("default", "null")}
    with kv.cluster_store(bench):
        bench.witness("witness-store", scope="global")
        create = ("network", "create", "-d", "witness-store", "--ipam-driver", "null", "shared")
        made = bench.attempt(*create)
        ran = bench.attempt("run", "--rm", "--network", "shared", IMAGE, "true")
        keys = sorted(kv.entries(bench)) if made["status"] == 0 else []
        if made["status"] == 0:
            bench.docker("network", "rm", "shared")
    return {
        "without": without,
        "with": {"create": made["error"], "run": ran["error"], "keys": keys},
        "shim_scope": "local",
    }


def _try(bench: Bench, ipam: str) -> Data:
    create = ("network", "create", "-d", "witness-global", "--ipam-driver", ipam, f"by-{ipam}")
    made = bench.attempt(*create)
    if made["status"] == 0:
        bench.docker("network", "rm", f"by-{ipam}")
    return {"status": made["status"], "error": made["error"]}


def judge(data: Data) -> Judgement:
    """By what can be made without a store."""
    without, store = data["without"], data["with"]
    failed = [each["error"] for each in without.values() if each["status"]]
    works = not store["create"] and not store["run"]
    if len(failed) == len(without):
        verdict = stands(
            f"Without a store both ways fail ({failed[0]}); with one, {len(store['keys'])} keys are in it."
        )
    elif failed:
        verdict = weakened(f"Without a store {len(failed)} of {len(without)} ways fail: {failed[0]}.")
    else:
        verdict = refuted("Without a store a network could be made in both ways.")
    return Judgement(
        verdicts={OLDER: verdict},
        bridge=Bridge(
            Degree.FULLY, "The shim declares the scope local, and needs no store of Docker's; see E01."
        ),
        surprise=""
        if any("datastore" in error for error in failed)
        else "The error does not name the store, but swarm, which is something else.",
        came_true=(
            len(failed) == len(without) and any("datastore" in error for error in failed),
            works and any("/network/" in key for key in store["keys"]),
        ),
    )


def show(data: Data) -> Sequence[Figure]:
    """What fails, and what is stored."""
    rows = [
        *([f"no store, --ipam-driver {ipam}", it["error"] or "made"] for ipam, it in data["without"].items()),
        ["etcd, create", data["with"]["create"] or "made"],
        ["etcd, run", data["with"]["run"] or "runs"],
    ]
    return [
        Table("A network with the scope global on 20.10", ["with", "outcome"], rows),
        Listing("Keys in the store", "\n".join(data["with"]["keys"])),
    ]


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
