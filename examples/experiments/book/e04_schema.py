"""What Docker keeps in a key-value store, and who can read it."""

from collections.abc import Sequence

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
from experiments.texts import hockin

CLAIM = Claim(
    id="E04",
    title="What is in the store",
    claim="What Docker keeps in the key-value store is low-level, and its schema is Docker's own.",
    sources=(
        hockin("the libkv interface is very low-level, and the schema is defined internally to Docker."),
    ),
    procedure="On 20.10, with etcd as its cluster store, ten networks are made on a driver with the scope "
    "global, and a container is run on each. "
    "Keys, bytes and writes are counted, and values that hold further JSON as text. For the same, in "
    "Kubernetes, the shim's "
    "objects are counted: one DockerNetwork for each network.",
    predictions=(
        "Each network and endpoint is one opaque JSON value of Go's, with JSON inside of its texts.",
    ),
    measured="Keys, bytes and writes; values with JSON in their texts; documented fields.",
    section="Scope and key-value store",
)

_COUNT = 10


def measure(parts: Parts) -> Data:
    """On 20.10 alone."""
    return parts.one(OLDER, _on)


def _on(bench: Bench) -> Data:
    with kv.cluster_store(bench):
        bench.witness("witness-schema", scope="global")
        before = kv.writes(bench)
        for number in range(_COUNT):
            bench.docker("network", "create", "-d", "witness-schema", "--ipam-driver", "null", f"net{number}")
            bench.run(f"box{number}", f"net{number}")
        writes = kv.writes(bench) - before
        values = {key: value for key, value in kv.entries(bench).items() if "/network/v1.0/" in key}
        bench.remove_containers()
        bench.docker("network", "prune", "--force")
        for number in range(_COUNT):
            bench.docker("network", "rm", f"net{number}", check=False)
    kinds = sorted({key.split("/")[4] for key in values})
    return {
        "keys": {kind: sum(f"/{kind}/" in key for key in values) for kind in kinds},
        "bytes": {
            kind: sum(len(value) for key, value in values.items() if f"/{kind}/" in key) for kind in kinds
        },
        "writes": writes,
        "nested": sum(_has_nested(value) for value in values.values()),
        "objects": sum(value.startswith("{") for value in values.values()),
        "example": next((value for key, value in values.items() if "/network/v1.0/network/" in key), ""),
    }


def _has_nested(value: str) -> bool:
    """Whether JSON is inside of a text of the value."""
    return '\\"' in value


def judge(data: Data) -> Judgement:
    """By values that nobody but Docker can read."""
    keys, nested = sum(data["keys"].values()), data["nested"]
    text = (
        f"{_COUNT} networks and {_COUNT} containers made {keys} keys of {sum(data['bytes'].values())} "
        f"bytes by {data['writes']} writes; "
        f"{nested} of {data['objects']} objects have JSON inside of their texts"
    )
    if nested:
        verdict = stands(f"{text}.")
    elif data["objects"]:
        verdict = weakened(f"{text}.")
    else:
        verdict = refuted(f"{text}.")
    return Judgement(
        verdicts={OLDER: verdict},
        bridge=Bridge(
            Degree.FULLY,
            (
                "The shim keeps nothing there: what others may know is a typed object of Kubernetes, with "
                "RBAC "
                "and a schema."
            ),
        ),
        came_true=(nested > 0,),
    )


def show(data: Data) -> Sequence[Figure]:
    """Keys and an example."""
    rows = [[kind, str(count), str(data["bytes"][kind])] for kind, count in data["keys"].items()]
    return [
        Table("Keys below /docker/network/v1.0", ["kind", "keys", "bytes"], rows),
        Listing("The value of a network", data["example"]),
    ]


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
