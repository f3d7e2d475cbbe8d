"""Whether a driver can get its logical networks from Kubernetes."""

import json
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from lab.engine import IMAGE

from experiments.bench import Bench
from experiments.figures import Figure, Table
from experiments.model import (
    ENGINES,
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
from experiments.texts import hockin

CLAIM = Claim(
    id="E12",
    title="Logical networks from Kubernetes",
    claim=(
        "A local driver has to get what it knows of logical networks from Kubernetes, which makes it "
        "complicated and dependent."
    ),
    sources=(
        hockin(
            "Assuming this driver would declare itself local, we have to get info about logical networks "
            "from Kubernetes."
        ),
    ),
    procedure="Two NetworkAttachmentDefinitions of one name in two namespaces are used by two Docker "
    "networks on each engine, whose containers must get "
    "addresses of the right one. One is changed, and it is waited until new containers get the new range. "
    "Then the API server "
    "is killed: containers are run on the known networks, and a network is made on one that is not known.",
    predictions=(
        "Every container gets an address of its own logical network.",
        "A change arrives within a second.",
        "Without the API server known networks work, and an unknown one fails within 5 s.",
    ),
    measured="Right addresses; seconds until a change arrives; success and time without the API server.",
    section="IDs and names",
)

_RANGES = {"team-a/blue": "10.12.1.0/24", "team-b/blue": "10.12.2.0/24"}
_CHANGED = "10.12.3.0/24"


def measure(parts: Parts) -> Data:
    """On both engines together: there is one API server."""
    settings = parts.nodes()
    for name, subnet in _RANGES.items():
        _define(parts, name, subnet)
    try:
        return parts.together(lambda benches: _on(parts, benches, settings))
    finally:
        parts.cluster.kubectl("delete", "net-attach-def", "--all", "-A")


def _define(parts: Parts, name: str, subnet: str) -> None:
    namespace, _, short = name.partition("/")
    bridge = f"{namespace}0"
    ipam = {"type": "host-local", "ranges": [[{"subnet": subnet}]]}
    conflist = {
        "cniVersion": "1.0.0",
        "name": f"{namespace}-{short}",
        "plugins": [{"type": "bridge", "bridge": bridge, "ipam": ipam}],
    }
    definition = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": namespace, "name": short},
        "spec": {"config": json.dumps(conflist)},
    }
    parts.cluster.apply(definition)


def _on(parts: Parts, benches: Mapping[str, Bench], settings: Mapping[str, Any]) -> Data:
    found: Data = {name: {} for name in benches}
    for name, bench in benches.items():
        bench.restart_shim(kubernetes=settings[name])
        for number, logical in enumerate(_RANGES):
            bench.network(f"net{number}", logical)
        found[name]["right"] = [
            _address(bench, f"net{number}").startswith(subnet[:8])
            for number, subnet in enumerate(_RANGES.values())
            for _ in range(3)
        ]
    start = time.monotonic()
    _define(parts, "team-a/blue", _CHANGED)
    for name, bench in benches.items():
        arrived = bench.wait(partial(_has_changed, bench), within=20)
        found[name]["change"] = time.monotonic() - start if arrived else None
    parts.cluster.kill_api_server()
    try:
        for name, bench in benches.items():
            runs = [
                bench.attempt("run", "--rm", "--network", f"net{number}", IMAGE, "true")
                for number in range(len(_RANGES))
            ]
            unknown = bench.attempt(
                "network",
                "create",
                "-d",
                "cni",
                "--ipam-driver",
                "null",
                "-o",
                "cni.network=team-a/green",
                "green",
            )
            found[name]["away"] = [run["error"] for run in runs]
            found[name]["unknown"] = {"error": unknown["error"], "seconds": unknown["seconds"]}
    finally:
        parts.cluster.start_api_server()
    for bench in benches.values():
        bench.docker("network", "prune", "--force")
    benches[OLDER].wait(lambda: not parts.cluster.kubectl("get", "dnet", "-A", "-o", "name"), within=40)
    return found


def _has_changed(bench: Bench) -> bool:
    return _address(bench, "net0").startswith(_CHANGED[:8])


def _address(bench: Bench, network: str) -> str:
    printed = bench.once(network, "ip -4 -o address show eth0")
    return printed.split()[3]


def judge(data: Data) -> Judgement:
    """By what works with and without the API server."""
    right = [it for name in ENGINES for it in data[name]["right"]]
    changes = [data[name]["change"] for name in ENGINES]
    away = [error for name in ENGINES for error in data[name]["away"]]
    works = all(right) and not any(away) and all(change is not None for change in changes)
    text = (
        f"{sum(right)} of {len(right)} containers were on the right logical network, and "
        f"{away.count('')} of {len(away)} without the API server"
    )
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(Degree.FULLY if works else Degree.PARTLY, f"{text}."),
        came_true=(
            all(right),
            all(change is not None and change < 1 for change in changes),
            not any(away)
            and all(
                data[name]["unknown"]["error"] and data[name]["unknown"]["seconds"] < 5 for name in ENGINES
            ),
        ),
    )


def _verdict(data: Data) -> Verdict:
    right, away = data["right"], data["away"]
    change = "never arrived" if data["change"] is None else f"was used after {data['change']:.1f} s"
    text = (
        f"{sum(right)} of {len(right)} containers were on the right network; a change {change}; without "
        f"the API server "
        f"{away.count('')} of {len(away)} ran, and an unknown network failed after "
        f"{data['unknown']['seconds']:.1f} s"
    )
    if not all(right):
        return stands(f"{text}.")
    if any(away) or data["change"] is None:
        return weakened(f"{text}.")
    return refuted(f"{text}: it can be had, and works on without.")


def show(data: Data) -> Sequence[Figure]:
    """Counts by engine."""
    rows = [
        [
            "on the right logical network",
            *(f"{sum(data[name]['right'])} of {len(data[name]['right'])}" for name in ENGINES),
        ],
        [
            "a change is used after",
            *(
                "never" if data[name]["change"] is None else f"{data[name]['change']:.1f} s"
                for name in ENGINES
            ),
        ],
        [
            "run without the API server",
            *(f"{data[name]['away'].count('')} of {len(data[name]['away'])}" for name in ENGINES),
        ],
        [
            "an unknown network fails after",
            *(f"{data[name]['unknown']['seconds']:.1f} s" for name in ENGINES),
        ],
        ["and says", *(data[name]["unknown"]["error"] for name in ENGINES)],
    ]
    return [Table("Logical networks", ["", *ENGINES], rows)]


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
