"""Whether the container's network namespace exists when a driver is asked to join it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.bench import Bench
from experiments.figures import (
    Cell,
    Figure,
    Matrix,
)
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
    fixed,
    stands,
    weakened,
)
from experiments.parts import Parts
from experiments.texts import hockin, issue

CLAIM = Claim(
    id="E60",
    title="The sandbox at Join",
    claim="A network driver is called before the container's network namespace exists, so that it cannot do "
    "what a CNI plugin does: work inside of it.",
    sources=(
        hockin('the CNM and CNI models are very different, so none of the "methods" lined up.'),
        issue("libnetwork#1939, the namespace is missing at Join", "2017"),
        Source("CNI specification: the runtime makes the namespace before it calls any plugin", "2016"),
    ),
    procedure="A driver of our own looks at the SandboxKey within each Join: whether the path exists, "
    "whether it is a "
    "network namespace (by the type of its file system), and which links are in it. The container is run, "
    "restarted, "
    "connected to a second network while it runs, connected while it is stopped, and started by compose. "
    "Then the shim attaches a container, whose first process looks for its address.",
    predictions=(
        "20.10: it is no namespace, except for a container that runs already.",
        "28: it always is one.",
        "Connecting a stopped container calls no driver.",
    ),
    measured="For each action, the Joins, and how many of them found a namespace.",
    section="Life cycle",
)

_COMPOSE = """
services:
  one:
    image: busybox
    command: sleep 600
    networks: [it]
networks:
  it:
    external: true
    name: first
"""


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    witness = bench.witness()
    for name in ("first", "second"):
        bench.docker("network", "create", "-d", witness.name, "--ipam-driver", "null", name)
    actions: dict[str, Callable[[], object]] = {
        "run": lambda: bench.run("one", "first"),
        "restart": lambda: bench.docker("restart", "--time", "0", "one"),
        "connect, running": lambda: bench.docker("network", "connect", "second", "one"),
        "connect, stopped": lambda: _connect_stopped(bench),
        "start": lambda: bench.docker("start", "one"),
        "compose up": lambda: bench.engine.compose(_COMPOSE, "up", "--detach"),
    }
    joins: Data = {}
    for action, do in actions.items():
        if action == "connect, stopped":
            bench.docker("network", "disconnect", "second", "one")
            bench.docker("stop", "--time", "0", "one")
        witness.forget()
        do()
        seen = [entry["sandbox"] for entry in witness.of("NetworkDriver.Join")]
        joins[action] = {
            "joins": len(seen),
            "exists": sum(each["exists"] for each in seen),
            "namespace": sum(each["namespace"] for each in seen),
            "links": sorted({link for each in seen for link in each.get("links", ())}),
        }
    return {"actions": joins, "shim_address": "inet 10.89.0." in _by_shim(bench)}


def _connect_stopped(bench: Bench) -> None:
    bench.docker("network", "connect", "second", "one")


def _by_shim(bench: Bench) -> str:
    bench.network("web", "cni-bridge")
    return bench.once("web", "ip -4 address show eth0")


def judge(data: Data) -> Judgement:
    """By the share of Joins of starts that found a namespace."""
    works = all(data[name]["shim_address"] for name in ENGINES)
    older, newest = (data[name]["actions"] for name in ENGINES)
    return Judgement(
        verdicts={name: _verdict(data[name]["actions"]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY, "On each engine the first process of a container on a CNI network had its address."
        )
        if works
        else Bridge(Degree.PARTLY, "On one engine the first process of a container had no address."),
        came_true=(
            all((each["namespace"] > 0) == (action == "connect, running") for action, each in older.items()),
            all(each["namespace"] == each["joins"] for each in newest.values()),
            all(actions["connect, stopped"]["joins"] == 0 for actions in (older, newest)),
        ),
    )


def _verdict(actions: Mapping[str, Any]) -> Verdict:
    starts = [each for action, each in actions.items() if not action.startswith("connect")]
    joins, found = (sum(each[what] for each in starts) for what in ("joins", "namespace"))
    if found == 0:
        running = actions["connect, running"]["namespace"]
        return stands(
            f"Of {joins} Joins of starting containers none found a namespace; of a running one, {running}."
        )
    if found < joins:
        return weakened(f"Of {joins} Joins of starting containers {found} found a namespace.")
    return fixed("28.0", f"All {joins} Joins of starting containers found a namespace to work in.")


def show(data: Data) -> Sequence[Figure]:
    """Actions by engines."""
    rows = {
        action: [_cell(data[name]["actions"][action]) for name in ENGINES]
        for action in data[ENGINES[0]]["actions"]
    }
    return [Matrix("Joins that found a network namespace", ENGINES, rows)]


def _cell(seen: Mapping[str, Any]) -> Cell:
    if not seen["joins"]:
        return Cell("no Join")
    return Cell(f"{seen['namespace']} of {seen['joins']}", good=seen["namespace"] == seen["joins"])


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
