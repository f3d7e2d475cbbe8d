"""How long a container runs without its network, by the place that ADD has in its start."""

import re
import time
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import median

from experiments.bench import Bench
from experiments.figures import Distribution, Figure, Table
from experiments.model import (
    ENGINES,
    NEWEST,
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
from experiments.spread import in_turns, milliseconds
from experiments.ways import BY_HAND, INPLACE, SHIM, Way, placings

CLAIM = Claim(
    id="E86",
    title="Three places for ADD: race windows",
    claim="A container that is attached after its start runs without its network for a while; one that is "
    "attached before does not, but starts later.",
    sources=(
        Source(
            "containernetworking/cni, scripts/docker-run.sh: a pause container is attached first, and the "
            "process started then",
            "2016",
        ),
    ),
    procedure="The first process of a container notes when it starts, when it has its address, and when all "
    "is there that the chain does in its namespace: a sysctl by tuning, a rule by sbr. The chain is attached "
    "by the shim with handover, in place, and by cnm-cni cni after the start, in turns. Where an engine "
    "makes the namespace too late, in place is handover.",
    predictions=(
        "After the start, no first process has its address at once; before it, all have.",
        "Everything is there at once on the newest engine, whichever mode; on 20.10 not always.",
        "The first process starts earlier when it is attached after its start.",
    ),
    measured="Time from the command to the first process; from there to the address, and to everything. The "
    "process's clock ticks every 10 ms.",
    section="Life cycle",
)

_ARMS = (INPLACE, SHIM, BY_HAND)
_IPAM = {"type": "host-local", "ranges": [[{"subnet": "10.86.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}
_PLUGINS = (
    {"type": "bridge", "bridge": "race0", "isGateway": True, "ipam": _IPAM},
    {"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}},
    {"type": "sbr"},
)
_LOOKS = {
    "everything": "grep -q 500 /proc/sys/net/core/somaxconn && ip rule | grep -q 'from 10.86'",
    "address": "ip -4 -o address show dev eth0 2>/dev/null | grep -q inet",
}
"""In this order, since everything comes last and is to be looked for at once."""
_FIRST = (
    "at() { read now rest < /proc/uptime; echo $1 $now; }; at start; "
    + " ".join(f"if {look}; then at {name}-first; fi;" for name, look in _LOOKS.items())
    + " ".join(
        f"tries=0; until {look} || [ $tries = 3000 ]; do tries=$((tries+1)); done; at {name};"
        for name, look in reversed(_LOOKS.items())
    )
    + " echo end; exec sleep 600"
)
"""What the first process does: look once, and then until it is there."""
_PATIENCE = 60.0


def measure(parts: Parts) -> Data:
    """One engine after the other."""
    return parts.each(lambda bench: _on(bench, parts.rounds(12, 4)), at_once=False)


def _on(bench: Bench, rounds: int) -> Data:
    bench.conflist("race", *_PLUGINS, version="0.4.0")
    arms = placings(bench, "race")
    return {
        arm: {what: [each[what] for each in found] for what in found[0]}
        for arm, found in in_turns({arm: partial(_start, bench, arms[arm]) for arm in _ARMS}, rounds).items()
    }


def _start(bench: Bench, way: Way) -> dict[str, float]:
    began = time.clock_gettime(time.CLOCK_BOOTTIME)
    way.start("box", command=("sh", "-c", _FIRST))
    bench.wait(lambda: "end" in bench.docker("logs", "box"), within=_PATIENCE)
    printed = bench.docker("logs", "box")
    way.end("box")
    seen = {name: float(at) for name, at in re.findall(r"^(\S+) ([\d.]+)$", printed, re.MULTILINE)}
    return {
        "started": max(0.0, seen["start"] - began),
        **{name: seen[name] - seen["start"] for name in _LOOKS},
        **{f"{name}, at once": float(f"{name}-first" in seen) for name in _LOOKS},
    }


def judge(data: Data) -> Judgement:
    """By first looks."""
    address = {name: {arm: _at_once(data[name][arm], "address") for arm in _ARMS} for name in ENGINES}
    every = {name: [_at_once(data[name][arm], "everything") for arm in (INPLACE, SHIM)] for name in ENGINES}
    before = all(address[name][arm] == 1 for name in ENGINES for arm in (INPLACE, SHIM))
    whole = all(share == 1 for shares in every.values() for share in shares)
    rounds = sum(len(data[name][arm]["address"]) for name in ENGINES for arm in (INPLACE, SHIM))
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY, f"Of {rounds} containers of the shim, each found everything at its first look."
        )
        if whole and before
        else Bridge(
            Degree.PARTLY,
            f"Of {rounds} containers of the shim, {_found(data, 'address')} found their address at the first "
            f"look, and {_found(data, 'everything')} everything else.",
        ),
        came_true=(
            before and not any(shares[BY_HAND] for shares in address.values()),
            all(share == 1 for share in every[NEWEST]) and not whole,
            all(
                median(data[name][BY_HAND]["started"]) < median(data[name][arm]["started"])
                for name in ENGINES
                for arm in (INPLACE, SHIM)
            ),
        ),
    )


def _found(data: Data, what: str) -> int:
    """How many containers of the shim found it at their first look."""
    return round(sum(sum(data[name][arm][f"{what}, at once"]) for name in ENGINES for arm in (INPLACE, SHIM)))


def _at_once(arm: Mapping[str, Sequence[float]], what: str) -> float:
    """The share of processes that found it at their first look."""
    found = arm[f"{what}, at once"]
    return sum(found) / len(found)


def _verdict(data: Data) -> Verdict:
    first = {arm: _at_once(data[arm], "address") for arm in _ARMS}
    text = (
        f"At their first look {first[BY_HAND]:.0%} had their address when attached after the start, "
        f"{first[SHIM]:.0%} by handover, {first[INPLACE]:.0%} in place; after the start it took "
        f"{milliseconds(median(data[BY_HAND]['address']))}"
    )
    if first[BY_HAND] > 0.5:
        return refuted(f"{text}.")
    if first[SHIM] == first[INPLACE] == 1 and not first[BY_HAND]:
        return stands(f"{text}.")
    return weakened(f"{text}.")


def show(data: Data) -> Sequence[Figure]:
    """When it starts, and for how long something is missing."""
    figures: list[Figure] = []
    for what, title in (
        ("started", "From the command to the first process"),
        ("address", "From the first process to its address"),
        ("everything", "From the first process to everything"),
    ):
        series = {
            f"{arm}, {name}": [1000 * seconds for seconds in data[name][arm][what]]
            for name in ENGINES
            for arm in _ARMS
        }
        figures.append(Distribution(title, "ms", series))
    rows = [
        [arm, name, *(_share(data[name][arm][f"{what}, at once"]) for what in ("address", "everything"))]
        for name in ENGINES
        for arm in _ARMS
    ]
    columns = ["ADD placed by", "engine", "their address", "everything"]
    return [*figures, Table("First processes that found it at their first look", columns, rows)]


def _share(found: Sequence[float]) -> str:
    return f"{sum(found):.0f} of {len(found)}"


EXPERIMENT = Experiment(CLAIM, measure, judge, show, timed=True)
