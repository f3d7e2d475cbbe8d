"""Whether Docker's own commands manage CNI networks as they do others."""

import json
import time
from collections.abc import Sequence

from experiments.bench import Bench
from experiments.figures import Figure, Matrix, yes_no
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
    id="E76",
    title="Managing networks",
    claim="A network that is run by CNI plugins is foreign to Docker's own commands.",
    sources=(Source("weaveworks/scope#2164: tools that read Docker's API break on CNI networks", "2017"),),
    procedure="The same commands are given on a CNI network and on Docker's bridge: list and inspect the "
    "network with a container on it, remove "
    "it while it is used, prune, disconnect by force, remove it, and follow the events.",
    predictions=("Every command has the same outcome on both.",),
    measured="Outcomes that are the same, of all.",
    section="Side effects",
)

_NETWORKS = {"CNI network": "cni", "Docker's bridge": "own"}


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    return {kind: _managed(bench, network) for kind, network in _NETWORKS.items()}


def _managed(bench: Bench, network: str) -> Data:
    since = str(int(time.time()))
    if network == "cni":
        bench.network("cni", "cni-bridge")
    else:
        bench.docker("network", "create", "own")
    bench.run("box", network)
    (described,) = json.loads(bench.docker("network", "inspect", network))
    containers = list(described["Containers"].values())
    address = bench.inspect("box", network)["IPAddress"]
    found = {
        "listed": network in bench.docker("network", "ls", "--format", "{{.Name}}").split(),
        "container in inspect": [it["Name"] for it in containers] == ["box"],
        "its address in inspect": bool(address) and containers[0]["IPv4Address"].startswith(f"{address}/"),
        "found by a filter": "box"
        in bench.docker("ps", "--filter", f"network={network}", "--format", "{{.Names}}"),
        "not removed while used": bench.attempt("network", "rm", network)["status"] != 0,
        "not pruned while used": network not in bench.docker("network", "prune", "--force"),
    }
    bench.docker("network", "disconnect", "--force", network, "box")
    found["disconnected by force"] = address not in bench.inside("box", "ip address")
    bench.docker("network", "connect", network, "box")
    bench.docker("rm", "--force", "box")
    found["pruned when unused"] = network in bench.docker("network", "prune", "--force")
    events = bench.docker(
        "events",
        "--since",
        since,
        "--until",
        str(int(time.time()) + 1),
        "--filter",
        f"network={network}",
        "--format",
        "{{.Action}}",
    )
    found["events"] = {"create", "connect", "disconnect", "destroy"} <= set(events.split())
    return found


def judge(data: Data) -> Judgement:
    """By outcomes that differ from those on Docker's bridge."""
    differing = sorted({what for name in ENGINES for what in _differing(data[name])})
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(Degree.FULLY, "Docker's commands manage a CNI network as they do a bridge of Docker's.")
        if not differing
        else Bridge(Degree.PARTLY, f"These differ: {', '.join(differing)}."),
        came_true=(not differing,),
    )


def _differing(data: Data) -> list[str]:
    cni, docker = data["CNI network"], data["Docker's bridge"]
    return [what for what in cni if cni[what] != docker[what]]


def _verdict(data: Data) -> Verdict:
    total, differing = len(data["CNI network"]), _differing(data)
    if not differing:
        return refuted(f"All {total} outcomes were those of Docker's bridge.")
    if len(differing) < total / 2:
        return weakened(
            f"{total - len(differing)} of {total} outcomes were those of Docker's bridge, but not: "
            f"{', '.join(differing)}."
        )
    return stands(
        f"{len(differing)} of {total} outcomes were not those of Docker's bridge: {', '.join(differing)}."
    )


def show(data: Data) -> Sequence[Figure]:
    """Outcomes by networks."""
    columns = [f"{kind}, {name}" for kind in _NETWORKS for name in ENGINES]
    whats = list(data[OLDER]["CNI network"])
    return [
        Matrix(
            "Docker's commands",
            columns,
            {
                what: [yes_no(data[name][kind][what]) for kind in _NETWORKS for name in ENGINES]
                for what in whats
            },
        )
    ]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
