"""Who moves the link into the container."""

import re
import time
from collections.abc import Callable, Sequence
from functools import partial

from lab.engine import IMAGE

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
    Source,
    Verdict,
    refuted,
    stands,
    weakened,
)
from experiments.parts import Parts
from experiments.texts import issue

CLAIM = Claim(
    id="E62",
    title="Who moves the link",
    claim=(
        "With Docker the engine moves a finished link into the container; with CNI the plugin makes it there."
    ),
    sources=(
        issue("moby#49302, the bridge driver makes the container's link in its namespace", "2025"),
        Source("libnetwork, docs/remote.md: SrcName is moved and renamed by libnetwork", "2015"),
    ),
    procedure="The kernel's messages about links in the host's namespace are recorded while a container "
    "starts on Docker's bridge, on the "
    "shim's network in each mode, and while CNI alone attaches a namespace. A link that leaves the host's "
    "namespace "
    "has been moved.",
    predictions=(
        "20.10: one link leaves for Docker's bridge; 28: none.",
        "Handover: one link comes to the host's namespace and leaves it. CNI alone: none.",
    ),
    measured="Links that left the host's namespace during the start, and their names.",
    section="Life cycle",
)

_DOCKER, _HANDOVER, _INPLACE, _ALONE = "Docker's bridge", "shim, handover", "shim, inplace", "CNI alone"
_FELL_BACK = "in place fell back to handover"


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    bench.docker("network", "create", "own")
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.62.0.0/24"}]]}
    bench.conflist("moved", {"type": "bridge", "bridge": "moved0", "ipam": ipam})
    bench.network("cni", "moved")
    bench.docker("run", "--rm", "--network", "cni", IMAGE, "true")  # makes the bridge

    def by(network: str) -> list[str]:
        remove = partial(bench.docker, "rm", "--force", "box")
        return _left(bench, partial(bench.run, "box", network), remove)

    found = {_DOCKER: by("own"), _HANDOVER: by("cni"), _ALONE: _alone(bench)}
    bench.network("inplace", "moved", "-o", "cni.mode=inplace")
    fell_back = bench.falls_back(lambda: found.update({_INPLACE: by("inplace")}))
    return {**found, _FELL_BACK: fell_back}


def _left(bench: Bench, start: Callable[[], object], end: Callable[[], object]) -> list[str]:
    """The links that leave the host's namespace at the start."""
    log = bench.engine.log("monitor")
    log.unlink(missing_ok=True)
    bench.engine.start("monitor", ["ip", "-o", "monitor", "link"], log.exists)
    time.sleep(0.3)
    start()
    time.sleep(0.3)
    bench.engine.kill("monitor")
    end()
    return re.findall(r"^Deleted \d+: ([^:@]+)", log.read_text(), re.MULTILINE)


def _alone(bench: Bench) -> list[str]:
    bench.shell("ip netns add alone")
    arguments = ("moved", "/run/netns/alone")
    left = _left(bench, partial(bench.cni, "add", *arguments), partial(bench.cni, "del", *arguments))
    bench.shell("ip netns delete alone")
    return left


def judge(data: Data) -> Judgement:
    """By the links that left."""
    handover = [len(data[name][_HANDOVER]) for name in ENGINES]
    inplace = data[NEWEST][_INPLACE]
    if not inplace:
        bridge = Bridge(
            Degree.FULLY, "In place, on the newest engine, no link is moved; with handover, one is."
        )
    else:
        bridge = Bridge(
            Degree.PARTLY,
            (
                f"The engine's move is kept, and the plugins do not see it: {max(handover)} link left the "
                f"host's namespace."
            ),
        )
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=bridge,
        came_true=(
            len(data[OLDER][_DOCKER]) == 1 and not data[NEWEST][_DOCKER],
            handover == [1, 1] and not any(data[name][_ALONE] for name in ENGINES),
        ),
    )


def _verdict(data: Data) -> Verdict:
    docker, alone = len(data[_DOCKER]), len(data[_ALONE])
    text = (
        f"Links that left the host's namespace: {docker} with Docker's bridge, {len(data[_HANDOVER])} with "
        f"the shim's handover, {alone} with CNI alone"
    )
    if docker and not alone:
        return stands(f"{text}.")
    if not docker:
        return weakened(
            f"{text}: Docker's own bridge makes its link inside, which remote drivers are not offered."
        )
    return refuted(f"{text}.")


def show(data: Data) -> Sequence[Figure]:
    """Links that left."""
    ways = [_DOCKER, _HANDOVER, _INPLACE, _ALONE]
    rows = [[way, *(", ".join(data[name][way]) or "none" for name in ENGINES)] for way in ways]
    rows.append([_FELL_BACK, *("yes" if data[name][_FELL_BACK] else "no" for name in ENGINES)])
    return [Table("Links that left the host's namespace while a container started", ["way", *ENGINES], rows)]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
