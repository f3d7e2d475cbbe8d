"""Whether a driver can know whose link it makes."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from lab.engine import IMAGE

from experiments.bench import Bench, Meddler
from experiments.figures import Figure, Table
from experiments.model import (
    ENGINES,
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
from experiments.texts import issue

CLAIM = Claim(
    id="E65",
    title="Whose link it is",
    claim="A network driver is not told which container an endpoint is for, so plugins that need to know "
    "cannot be run.",
    sources=(
        issue("libnetwork#234, host name and container ID are missing", "2015"),
        Source("CNI specification: CNI_CONTAINERID is required", "2016"),
    ),
    procedure="The calls that contain a container's ID or name are counted while it is run, by a driver of "
    "our own. Then ten "
    "containers at a time start on a network of the shim with cni.identity=docker, whose chain has a plugin "
    "of ours "
    "that writes down K8S_POD_NAME and K8S_POD_INFRA_CONTAINER_ID.",
    predictions=(
        "No call contains the container's ID or name.",
        "The shim tells the plugins the right name and ID in every case, on both engines.",
    ),
    measured="Calls with an identity; names and IDs that plugins were told, against the truth.",
    section="Life cycle",
)

_WIDE = 10


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(lambda bench: _on(bench, parts.rounds(3, 2)), at_once=False)


def _on(bench: Bench, rounds: int) -> Data:
    witness = bench.witness()
    bench.docker("network", "create", "-d", witness.name, "--ipam-driver", "null", "it")
    bench.run("name-of-container", "it")
    identity = bench.docker("inspect", "--format", "{{.Id}}", "name-of-container").strip()
    raw = [entry["raw"] for entry in witness.calls]
    return {
        "calls": len(raw),
        "with_id": sum(identity[:12] in text for text in raw),
        "with_name": sum("name-of-container" in text for text in raw),
        **_by_shim(bench, rounds),
    }


def _by_shim(bench: Bench, rounds: int) -> Data:
    meddler = Meddler(bench)
    bench.restart_shim(plugin_path=meddler.plugin_path)
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.65.0.0/24"}]]}
    bench.conflist("noted", {"type": "bridge", "bridge": "noted0", "ipam": ipam}, {"type": "meddler"})
    bench.network("noted", "noted", "-o", "cni.identity=docker")
    truth: dict[str, str] = {}

    def start(name: str) -> None:
        truth[name] = bench.docker(
            "run", "-d", "--name", name, "--network", "noted", IMAGE, "sleep", "600"
        ).strip()

    for number in range(rounds):
        names = [f"box{number}-{each}" for each in range(_WIDE)]
        with ThreadPoolExecutor(_WIDE) as pool:
            list(pool.map(start, names))
        bench.docker("rm", "--force", *names)
    told = [
        dict(item.partition("=")[::2] for item in run["args"].split(";"))
        for run in meddler.runs
        if run["command"] == "ADD"
    ]
    ids = {each.get("K8S_POD_NAME"): each.get("K8S_POD_INFRA_CONTAINER_ID") for each in told}
    return {
        "containers": len(truth),
        "names_right": sum(name in ids for name in truth),
        "ids_right": sum(ids.get(name) == identity for name, identity in truth.items()),
    }


def judge(data: Data) -> Judgement:
    """By the calls, and by what plugins were told."""
    total, names, ids = (
        sum(data[name][what] for name in ENGINES) for what in ("containers", "names_right", "ids_right")
    )
    text = (
        f"Of {total} containers, the plugins were told the right name for {names} and the right ID for {ids}"
    )
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(Degree.FULLY, f"{text}.")
        if names == ids == total
        else Bridge(Degree.PARTLY, f"{text}."),
        came_true=(
            not any(data[name]["with_id"] or data[name]["with_name"] for name in ENGINES),
            names == ids == total,
        ),
    )


def _verdict(data: Data) -> Verdict:
    told = data["with_id"] + data["with_name"]
    if told:
        return refuted(f"Of {data['calls']} calls {told} contain the container's ID or name.")
    if data["names_right"] == data["containers"]:
        return weakened(
            f"Of {data['calls']} calls none contains the container's ID or name, yet at Join it can be found "
            f"out: "
            f"{data['names_right']} of {data['containers']} plugin runs were told the right one."
        )
    return stands(f"Of {data['calls']} calls none contains the container's ID or name.")


def show(data: Data) -> Sequence[Figure]:
    """Counts by engine."""
    rows = [
        [
            "calls with the container's ID or name",
            *(
                f"{data[name]['with_id'] + data[name]['with_name']} of {data[name]['calls']}"
                for name in ENGINES
            ),
        ],
        [
            "plugins told the right name",
            *(f"{data[name]['names_right']} of {data[name]['containers']}" for name in ENGINES),
        ],
        [
            "plugins told the right ID",
            *(f"{data[name]['ids_right']} of {data[name]['containers']}" for name in ENGINES),
        ],
    ]
    return [Table("Who knows the container", ["", *ENGINES], rows)]


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
