"""What is left when somebody is killed, by the place that ADD has in a container's start."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from lab.engine import IMAGE

from experiments.bench import Bench, Meddler
from experiments.figures import Cell, Figure, Matrix
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
from experiments.ways import BY_HAND, INPLACE, SHIM, SLEEP, ByHand, Way, namespace, placings

CLAIM = Claim(
    id="E87",
    title="Three places for ADD: who is killed",
    claim="A script that attaches containers after their start leaves links, rules or addresses behind when "
    "it is killed, or is not there when a container ends; a driver that the engine calls does not.",
    sources=(
        Source("CNI specification: the runtime must call DEL for each ADD, and may call it again", "2016"),
        Source(
            "containernetworking/cni, scripts/docker-run.sh: DEL is the last line of the script that ran ADD",
            "2016",
        ),
    ),
    procedure="With the same chain by handover, in place and after the start: whoever runs the plugins is "
    "killed in the midst of ADD, and the container removed; a container is removed while nobody watches; the "
    "engine is killed and started again, and the container removed. It is counted what is left, by the "
    "shim within two minutes.",
    predictions=(
        "After the start, something is left each time.",
        "By the shim nothing is left, in neither mode.",
    ),
    measured="Links, rules, leases and namespaces that are left.",
    section="Life cycle",
)

_ARMS = (INPLACE, SHIM, BY_HAND)
_IPAM = {"type": "host-local", "ranges": [[{"subnet": "10.87.0.0/24"}]]}
_PLUGINS = (
    {"type": "bridge", "bridge": "killed0", "isGateway": True, "ipMasq": True, "ipam": _IPAM},
    {"type": "firewall"},
    {"type": "meddler"},
)
_SLOW = 3.0
"""Seconds that the last plugin takes when somebody is to be killed meanwhile."""
_IN_ADD, _UNWATCHED, _ENGINE = "killed in ADD", "removed, nobody watches", "engine killed"
_PATIENCE = {_IN_ADD: 15.0, _UNWATCHED: 15.0, _ENGINE: 120.0}
"""Seconds until nothing may be left by the shim, which hears of what a killed engine lost a minute later."""
_SETTLING = 2.0
"""The same where nobody is there who could remove anything."""


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    meddler = Meddler(bench)
    settings: Data = {"plugin_path": meddler.plugin_path}
    bench.restart_shim(**settings)
    bench.conflist("killed", *_PLUGINS, version="0.4.0")
    path = ":".join(meddler.plugin_path)
    arms = placings(bench, "killed", CNI_PATH=path)

    def killed_in_add(way: Way) -> None:
        meddler.order(delay=_SLOW)
        if isinstance(way, ByHand):
            _kill_script(bench, meddler, path)
        else:
            _kill_shim(bench, meddler, way, settings)
        meddler.order()

    ends: dict[str, Callable[[Way], None]] = {
        _IN_ADD: killed_in_add,
        _UNWATCHED: partial(_unwatched, bench),
        _ENGINE: partial(_engine_killed, bench),
    }
    found: Data = {}
    for arm in _ARMS:
        within = dict.fromkeys(ends, _SETTLING) if arm == BY_HAND else _PATIENCE
        found[arm] = {
            what: bench.left_by(partial(end, arms[arm]), within=within[what]) for what, end in ends.items()
        }
    return found


def _kill_shim(bench: Bench, meddler: Meddler, way: Way, settings: Mapping[str, Any]) -> None:
    with ThreadPoolExecutor(1) as pool:
        count = meddler.commands().count("ADD")
        starting = pool.submit(way.start, "box")
        bench.wait(lambda: meddler.commands().count("ADD") > count)
        bench.engine.kill_shim()
        bench.restart_shim(**settings)
        starting.exception()  # the engine may try again, and the container run
    bench.docker("rm", "--force", "box", check=False)


def _kill_script(bench: Bench, meddler: Meddler, path: str) -> None:
    bench.docker("run", "-d", "--name", "box", "--network", "none", IMAGE, *SLEEP)
    count = meddler.commands().count("ADD")
    command = bench.engine.shim_command("cni", "add", "killed", namespace(bench, "box"))
    environment = {"CNI_PATH": path, "NETCONFPATH": str(bench.conf_dir)}
    bench.engine.start(
        "script", command, lambda: meddler.commands().count("ADD") > count, environment=environment
    )
    bench.engine.kill("script")
    bench.docker("rm", "--force", "box")


def _unwatched(bench: Bench, way: Way) -> None:
    way.start("box")
    bench.docker("rm", "--force", "box")


def _engine_killed(bench: Bench, way: Way) -> None:
    way.start("box")
    bench.engine.kill_dockerd()
    bench.engine.start_dockerd()
    bench.docker("rm", "--force", "box")


def judge(data: Data) -> Judgement:
    """By what is left."""
    leaking = [
        f"{arm}, {what} ({name})"
        for name in ENGINES
        for arm in (INPLACE, SHIM)
        for what, left in data[name][arm].items()
        if left
    ]
    total = sum(len(data[name][arm]) for name in ENGINES for arm in (INPLACE, SHIM))
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(Degree.FULLY, f"In none of {total} cases anything was left by the shim.")
        if not leaking
        else Bridge(
            Degree.PARTLY, f"In {len(leaking)} of {total} cases something was left: {', '.join(leaking)}."
        ),
        came_true=(all(all(data[name][BY_HAND].values()) for name in ENGINES), not leaking),
    )


def _verdict(data: Data) -> Verdict:
    counts = {arm: sum(bool(left) for left in data[arm].values()) for arm in _ARMS}
    text = (
        f"Of {len(data[BY_HAND])} cases each, something was left in {counts[BY_HAND]} after the start, in "
        f"{counts[SHIM]} by handover, in {counts[INPLACE]} in place"
    )
    if not counts[BY_HAND]:
        return refuted(f"{text}.")
    if counts[SHIM] or counts[INPLACE]:
        return weakened(f"{text}.")
    return stands(f"{text}.")


def show(data: Data) -> Sequence[Figure]:
    """Cases by arms."""
    rows = {
        what: [_cell(data[name][arm][what]) for arm in _ARMS for name in ENGINES]
        for what in (_IN_ADD, _UNWATCHED, _ENGINE)
    }
    return [Matrix("What is left", [f"{arm}, {name}" for arm in _ARMS for name in ENGINES], rows)]


def _cell(left: Mapping[str, Sequence[str]]) -> Cell:
    return Cell(
        ", ".join(f"{len(things)} {what}" for what, things in left.items()) or "nothing", good=not left
    )


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
