"""Whether labels reach a network driver."""

from collections.abc import Sequence

from experiments.bench import Bench
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
    id="E15",
    title="Labels",
    claim="Docker passes the labels of networks and containers on to its network drivers.",
    sources=(
        Source("Lee Calcote, The Container Networking Landscape, The New Stack", "2016-09"),
        issue("libnetwork#139: labels do not help, since Join does not carry them", "2015-05-08"),
    ),
    procedure="A driver of our own writes down every call while a network and a container with labels are "
    "made by the command "
    "line and by compose. The calls that contain a label are counted.",
    predictions=("No call contains a label.",),
    measured="Calls with a label, by where the label was given.",
    section="IDs and names",
)

_COMPOSE = """
services:
  one:
    image: busybox
    command: sleep 600
    labels: {{app: label-compose-service}}
    networks: [it]
networks:
  it:
    driver: {driver}
    labels: {{app: label-compose-network}}
    ipam: {{driver: "null"}}
"""
_LABELS = ("label-network", "label-container", "label-compose-network", "label-compose-service")


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    witness = bench.witness()
    label = ("--label", "app=label-network")
    bench.docker("network", "create", "-d", witness.name, "--ipam-driver", "null", *label, "it")
    bench.run("one", "it", "--label", "app=label-container")
    compose = _COMPOSE.format(driver=witness.name)
    bench.engine.compose(compose, "up", "--detach")
    bench.engine.compose(compose, "down", "--timeout", "0")
    calls = witness.calls
    found = {label: sum(label in entry["raw"] for entry in calls) for label in _LABELS}
    return {"version": bench.version, "calls": len(calls), "found": found}


def judge(data: Data) -> Judgement:
    """By the calls that contain a label."""
    counts = [sum(data[name]["found"].values()) for name in ENGINES]
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.PARTLY,
            "What belongs to a network is given by -o and driver-opt, which do reach the driver; labels are "
            "for people.",
        ),
        came_true=(not any(counts),),
    )


def _verdict(data: Data) -> Verdict:
    found = sum(data["found"].values())
    if not found:
        return refuted(f"Of {data['calls']} calls none contains a label.")
    if all(data["found"].values()):
        return stands(f"Of {data['calls']} calls {found} contain a label, wherever it was given.")
    return weakened(f"Of {data['calls']} calls {found} contain a label, but not of every kind.")


def show(data: Data) -> Sequence[Figure]:
    """Kinds of labels by engines."""
    rows = [[label, *(str(data[name]["found"][label]) for name in ENGINES)] for label in _LABELS]
    return [Table("Calls that contain the label", ["", *ENGINES], rows)]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
