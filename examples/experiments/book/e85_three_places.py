"""What survives of a chain, by the place that ADD has in a container's start."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from lab.errors import LabError

from experiments import chains
from experiments.bench import Bench, Meddler
from experiments.chains import CAPABILITIES, CHAINS, PUBLISHED, effects
from experiments.figures import Cell, Figure, Matrix, Table, Trace, yes_no
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
from experiments.ways import BY_HAND, INPLACE, SHIM, Way, namespace, placings

CLAIM = Claim(
    id="E85",
    title="Three places for ADD: what survives",
    claim="Only plugins that run in the container's own namespace before its start leave it all that they "
    "do: when the link is handed over, or attached after the start, something is missing.",
    sources=(
        issue("libnetwork#1939, the namespace is missing at Join", "2017"),
        Source("CNI specification: the runtime makes the namespace before it calls any plugin", "2016"),
    ),
    procedure="The same two chains are attached by the shim with handover, by the shim in place, and by "
    "cnm-cni cni after the container's start. A plugin of ours at the end of each chain notes the namespace "
    "that it runs in. Every effect is looked for when the container runs, and again after docker restart; "
    "and it is seen whether docker inspect shows the address, and whether anything is left when the "
    "container is gone.",
    predictions=(
        "In place, on the newest engine, every effect is there; 20.10 falls back to handover.",
        "With handover every effect is there as well, since the shim puts back what is lost.",
        "After the start every effect is there until docker restart, and none from then on.",
    ),
    measured="Effects found of those expected, at first and after a restart; whether ADD ran in the "
    "container's namespace; the address in docker inspect; what is left.",
    section="Life cycle",
)

_ARMS = (INPLACE, SHIM, BY_HAND)


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    meddler = Meddler(bench)
    bench.restart_shim(plugin_path=meddler.plugin_path)
    chains.write(bench, {"type": "meddler"})
    path = ":".join(meddler.plugin_path)
    found: Data = {
        arm: {"start": {}, "restart": {}, "inside": [], "shown": [], "traces": [], "left": []}
        for arm in _ARMS
    }
    for chain in CHAINS:
        arms = placings(bench, chain, *PUBLISHED[chain], **CAPABILITIES[chain], CNI_PATH=path)
        for arm in _ARMS:
            left = bench.left_by(partial(_try, bench, meddler, arms[arm], chain, found[arm]))
            found[arm]["left"].append({what: len(things) for what, things in left.items()})
    return found


def _try(bench: Bench, meddler: Meddler, way: Way, chain: str, found: Data) -> None:
    with bench.traced() as trace:
        way.start("box")
    found["traces"].append(trace)
    (inode,) = [run["namespace"] for run in meddler.runs if run["command"] == "ADD"][-1:]
    real = bench.shell(f"stat --dereference --format %i {namespace(bench, 'box')}").strip()
    found["inside"].append(str(inode) == real)
    found["shown"].append(any(_addresses(bench)))
    found["start"] |= effects(bench, namespace(bench, "box"), chain)
    bench.docker("restart", "--time", "0", "box")
    found["restart"] |= effects(bench, namespace(bench, "box"), chain)
    try:
        way.end("box")
    except LabError:  # DEL finds another namespace than ADD has seen
        bench.docker("rm", "--force", "box")


def _addresses(bench: Bench) -> list[str]:
    """What docker inspect shows."""
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    return bench.docker("inspect", "--format", form, "box").split()


def judge(data: Data) -> Judgement:
    """By the effects that are missing."""
    most = {name: max(_kept(data[name][arm]) for arm in _ARMS) for name in ENGINES}
    total = 2 * len(data[OLDER][BY_HAND]["start"])
    text = ", ".join(f"{count} of {total} on {name}" for name, count in most.items())
    inplace, fell_back = data[NEWEST][INPLACE], not any(data[OLDER][INPLACE]["inside"])
    after = [data[name][BY_HAND] for name in ENGINES]
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY if all(count == total for count in most.values()) else Degree.PARTLY,
            f"Effects at first and after a restart, in the best way: {text}.",
        ),
        came_true=(
            all(inplace["start"].values()) and all(inplace["inside"]) and fell_back,
            all(all(data[name][SHIM]["start"].values()) for name in ENGINES),
            all(all(it["start"].values()) and not any(it["restart"].values()) for it in after),
        ),
    )


def _kept(arm: Mapping[str, Any]) -> int:
    return [*arm["start"].values(), *arm["restart"].values()].count(True)


def _is_whole(arm: Mapping[str, Any]) -> bool:
    return all((*arm["start"].values(), *arm["restart"].values()))


def _verdict(data: Data) -> Verdict:
    total = len(data[BY_HAND]["start"])
    told = "; ".join(_told(arm, data[arm]) for arm in _ARMS)
    text = f"Of {total} effects, at first and after a restart: {told}"
    inside = [arm for arm in _ARMS if _is_whole(data[arm]) and all(data[arm]["inside"])]
    elsewhere = [arm for arm in _ARMS if _is_whole(data[arm]) and not all(data[arm]["inside"])]
    if elsewhere:
        return weakened(f"{text}; so what ran elsewhere can be made whole.")
    if inside:
        return stands(f"{text}.")
    return refuted(f"{text}; so nothing kept everything.")


def _told(arm: str, found: Mapping[str, Any]) -> str:
    first, then = (list(found[when].values()).count(True) for when in ("start", "restart"))
    return f"{_column(arm, found)} {first} and {then}"


def show(data: Data) -> Sequence[Figure]:
    """Effects by arms."""
    pairs = [(arm, name) for arm in _ARMS for name in ENGINES]
    columns = [f"{_column(arm, data[name][arm])}, {name}" for arm, name in pairs]
    found = [data[name][arm] for arm, name in pairs]
    effect_rows = {effect: [_cell(it, effect) for it in found] for effect in data[OLDER][BY_HAND]["start"]}
    others = {
        "ADD ran in the container's namespace": [Cell("yes" if all(it["inside"]) else "no") for it in found],
        "docker inspect shows the address": [yes_no(all(it["shown"])) for it in found],
        "nothing is left in the end": [yes_no(not any(it["left"])) for it in found],
    }
    counts = [
        [arm, name, *(f"{sum(it[when].values())} of {len(it[when])}" for when in ("start", "restart"))]
        for arm, name in pairs
        for it in [data[name][arm]]
    ]
    return [
        Matrix("Is the effect there, and after docker restart?", columns, effect_rows | others),
        Table("Effects found", ["ADD placed by", "engine", "at first", "after docker restart"], counts),
        *(
            Trace(f"A container starts: {arm}, Docker {NEWEST}", data[NEWEST][arm]["traces"][-1])
            for arm in (SHIM, INPLACE)
        ),
    ]


def _column(arm: str, found: Mapping[str, Any]) -> str:
    fell_back = arm == INPLACE and not all(found["inside"])
    return f"{arm} (fell back to handover)" if fell_back else arm


def _cell(found: Mapping[str, Any], effect: str) -> Cell:
    first, then = (found[when][effect] for when in ("start", "restart"))
    if first == then:
        return yes_no(first)
    return Cell("until restart" if first else "after restart", good=False)


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
