"""What each way to a network costs when a container starts and ends."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median

from experiments.bench import Bench
from experiments.figures import Distribution, Figure, Table
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
from experiments.naive import Naive
from experiments.parts import Parts
from experiments.spread import Spread, in_turns, milliseconds
from experiments.texts import hockin
from experiments.ways import BRIDGE, HOOK, INPLACE, NONE, PAUSE, SHIM, Way, ways

CLAIM = Claim(
    id="E35",
    title="What an attachment costs",
    claim="The price of CNI is in the plugins' work on links and iptables, not in the model: a bridge "
    "between the models "
    "costs little beside it.",
    sources=(
        Source(
            "Qi, Kulkarni, Ramakrishnan, Understanding Container Network Interface Plugins, IEEE LANMAN",
            "2020",
        ),
        hockin("follows the UNIX philosophy of doing one thing well."),
    ),
    procedure="In each round each way has its turn, in an order drawn anew: a container is started and "
    "ended again, with everything "
    "that was made for it. All ways by CNI plugins have the same conflist: bridge with masquerade, and "
    "firewall. "
    "Then ten at a time. The bare runs of the same plugins are measured as well.",
    predictions=(
        "The shim takes longer than Docker's bridge, and less than the pause container and the script.",
        "What the shim adds to no network is at most one and a half times the bare runs of the plugins.",
    ),
    measured="Seconds from the command to the end, one at a time; containers per second, ten at a time.",
    section="Daemons and wrapping",
)

_BARE = "bare plugins, without a container"
_WIDE = 10
_ABREAST = (NONE, BRIDGE, SHIM, INPLACE, PAUSE, HOOK)


def measure(parts: Parts) -> Data:
    """One engine after the other."""
    return parts.each(lambda bench: _on(bench, parts.rounds(8, 3), parts.rounds(2, 1)), at_once=False)


def _on(bench: Bench, rounds: int, wide_rounds: int) -> Data:
    left: dict[str, int] = {}
    with ways(bench, with_podman=bench.name == OLDER) as found:
        takers = {name: partial(_life, bench, way, name, left) for name, way in found.items()}
        takers[_BARE] = partial(_bare, bench)
        alone = in_turns(takers, rounds)
        abreast = {name: partial(_crowd, bench, found[name]) for name in _ABREAST if name in found}
        wide = in_turns(abreast, wide_rounds)
    rates = {name: [_WIDE / wall for wall in walls] for name, walls in wide.items()}
    return {"alone": alone, "wide": rates, "left": left}


def _life(bench: Bench, way: Way, name: str, left: dict[str, int]) -> float:
    """What a life takes; what it leaves is counted and removed, so that it does not slow the next one."""
    took = 0.0

    def live() -> None:
        nonlocal took
        start = time.perf_counter()
        way.start("box")
        way.end("box")
        took = time.perf_counter() - start

    found = bench.left_by(live, within=0.5)
    left[name] = sum(map(len, found.values()))
    return took


def _crowd(bench: Bench, way: Way) -> float:
    took = 0.0

    def one(number: int) -> None:
        way.start(f"box{number}")
        way.end(f"box{number}")

    def live() -> None:
        nonlocal took
        with ThreadPoolExecutor(_WIDE) as pool:
            start = time.perf_counter()
            list(pool.map(one, range(_WIDE)))
            took = time.perf_counter() - start

    bench.left_by(live, within=0.5)
    return took


def _bare(bench: Bench) -> float:
    naive = Naive(bench, "ways")
    took = 0.0

    def live() -> None:
        nonlocal took
        bench.shell("ip netns add bare")
        start = time.perf_counter()
        naive.run("ADD", "/run/netns/bare", "bare")
        naive.run("DEL", "/run/netns/bare", "bare")
        took = time.perf_counter() - start
        bench.shell("ip netns delete bare")

    bench.left_by(live, within=0.5)
    return took


def judge(data: Data) -> Judgement:
    """By what the shim adds, against the bare plugins."""
    alone = {name: data[name]["alone"] for name in ENGINES}
    return Judgement(
        verdicts={name: _verdict(alone[name]) for name in ENGINES},
        bridge=_bridge(alone),
        came_true=(
            all(_middle(it, BRIDGE) < _middle(it, SHIM) < _middle(it, PAUSE) for it in alone.values()),
            all(_added(it, SHIM) <= 1.5 * _middle(it, _BARE) for it in alone.values()),
        ),
    )


def _middle(alone: Mapping[str, Sequence[float]], way: str) -> float:
    return Spread.of(alone[way]).median


def _added(alone: Mapping[str, Sequence[float]], way: str) -> float:
    """The median of what a way takes more than no network, in the same round."""
    return median(one - none for one, none in zip(alone[way], alone[NONE], strict=True))


def _verdict(alone: Mapping[str, Sequence[float]]) -> Verdict:
    added, bare = _added(alone, SHIM), _middle(alone, _BARE)
    text = (
        f"The shim adds {milliseconds(added)} to a container's life, where the bare plugins take "
        f"{milliseconds(bare)}"
    )
    share = added / bare
    if share <= 1.5:
        return stands(f"{text}: {share:.1f} times as much.")
    if share <= 3:
        return weakened(f"{text}: {share:.1f} times as much.")
    return refuted(f"{text}: {share:.1f} times as much.")


def _bridge(alone: Mapping[str, Mapping[str, Sequence[float]]]) -> Bridge:
    against = {way: [_middle(it, way) for it in alone.values()] for way in (BRIDGE, SHIM, PAUSE)}
    text = "; ".join(f"{way} {' and '.join(map(milliseconds, values))}" for way, values in against.items())
    faster = all(ours < other for ours, other in zip(against[SHIM], against[PAUSE], strict=True))
    degree = Degree.FULLY if faster else Degree.PARTLY
    return Bridge(degree, f"A container's life on the two engines took: {text}.")


def show(data: Data) -> Sequence[Figure]:
    """Every single life, and what goes at once."""
    figures: list[Figure] = []
    for name in ENGINES:
        alone = {way: [1000 * value for value in values] for way, values in data[name]["alone"].items()}
        ordered = dict(sorted(alone.items(), key=lambda item: median(item[1])))
        figures.append(Distribution(f"A container's life, one at a time, Docker {name}", "ms", ordered))
        figures.append(
            Distribution(
                f"Containers per second, {_WIDE} at a time, Docker {name}", "per s", data[name]["wide"]
            )
        )
    every = sorted({way for name in ENGINES for way in data[name]["left"]})
    rows = [[way, *(str(data[name]["left"].get(way, "-")) for name in ENGINES)] for way in every]
    return [
        *figures,
        Table("Links, rules and leases that a single life leaves behind", ["way", *ENGINES], rows),
    ]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, timed=True)
