"""What is left when an attachment is interrupted."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from lab.engine import IMAGE

from experiments.bench import Bench, Meddler
from experiments.figures import Cell, Figure, Matrix, Table
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
from experiments.naive import Naive
from experiments.parts import Parts
from experiments.texts import issue

CLAIM = Claim(
    id="E69",
    title="Interrupted attachments",
    claim=(
        "An attachment that is interrupted, by a failure, a crash or a kill, leaves links, rules and "
        "addresses behind."
    ),
    sources=(
        Source("CNI specification: a failed ADD must be followed by DEL", "2016"),
        issue("libnetwork: after a crash of the engine Leave and DeleteEndpoint are not sent", "2025"),
    ),
    procedure="A plugin of ours at the end of the chain fails, or takes its time while the shim, the "
    "engine or both are killed, or longer than "
    "the shim's deadline. Both are started again, the container is removed, and within two minutes it is "
    "counted "
    "what "
    "is left. The same interruptions of a simple script, for comparison: killed in the midst of ADD.",
    predictions=(
        "By the shim nothing is left, and DEL has run for each ADD.",
        "By the script, what the first plugins made is left.",
    ),
    measured="What is left after each interruption; ADDs and DELs of the last plugin.",
    section="Life cycle",
)

_IPAM = {"type": "host-local", "ranges": [[{"subnet": "10.69.0.0/24"}]]}
_PLUGINS = (
    {"type": "bridge", "bridge": "crash0", "isGateway": True, "ipMasq": True, "ipam": _IPAM},
    {"type": "firewall"},
    {"type": "meddler"},
)
_SLOW = 3.0


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    meddler = Meddler(bench)
    settings: Data = {"plugin_path": meddler.plugin_path, "deadlines": {"add": 6}}
    bench.restart_shim(**settings)
    bench.conflist("crash", *_PLUGINS, version="0.4.0")
    bench.network("crash", "crash")
    found = {}
    for what, (delay, fail, kill, patience) in _INTERRUPTIONS.items():
        before = len(meddler.runs)
        meddler.order(delay=delay, fail=fail)
        ended = 0.0

        def interrupt(kill: str = kill) -> None:
            nonlocal ended
            _interrupted(bench, kill, settings)
            ended = time.monotonic()

        left = bench.left_by(interrupt, within=patience)
        seconds = time.monotonic() - ended
        meddler.order()
        found[what] = {"left": left, "seconds": seconds, "runs": meddler.commands()[before:]}
    return {"shim": found, "script": bench.left_by(partial(_by_script, bench, meddler))}


_INTERRUPTIONS: dict[str, tuple[float, bool, str, float]] = {
    "a plugin fails": (0, True, "", 10),
    "a plugin hangs": (30, False, "", 10),
    "the shim is killed": (_SLOW, False, "shim", 10),
    "the engine is killed": (_SLOW, False, "engine", 120),
    "both are killed": (_SLOW, False, "both", 10),
}
"""What the last plugin does, who is killed, and the seconds until nothing may be left.

The shim leaves an endpoint that waits for Join alone for a minute, as the engine lists none before.
"""


def _interrupted(bench: Bench, kill: str, settings: Mapping[str, Any]) -> None:
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(
            bench.attempt, "run", "-d", "--name", "box", "--network", "crash", IMAGE, "sleep", "600"
        )
        time.sleep(_SLOW / 2)
        if kill in ("shim", "both"):
            bench.engine.kill_shim()
        if kill in ("engine", "both"):
            bench.engine.kill_dockerd()
        if kill:
            time.sleep(_SLOW)  # the plugin, which nobody killed, comes to its end
        if kill in ("shim", "both"):
            bench.restart_shim(**settings)
        if kill in ("engine", "both"):
            bench.engine.start_dockerd()
        run.result()
    bench.docker("rm", "--force", "box", check=False)


def _by_script(bench: Bench, meddler: Meddler) -> None:
    naive = Naive(bench, "crash")
    naive.configure({"cniVersion": "0.4.0", "name": "crash", "plugins": _PLUGINS})
    bench.shell("ip netns add crash")
    meddler.order(delay=_SLOW)
    path = ":".join(meddler.plugin_path)
    with suppress(subprocess.TimeoutExpired):
        naive.run("ADD", "/run/netns/crash", "crash", timeout=_SLOW / 2, path=path)
    meddler.order()
    bench.shell("ip netns delete crash")
    naive.remove()


def judge(data: Data) -> Judgement:
    """By what is left; the script for comparison."""
    shim = {
        name: {what: sum(map(len, it["left"].values())) for what, it in data[name]["shim"].items()}
        for name in ENGINES
    }
    leaking = [f"{what} ({name})" for name in ENGINES for what, count in shim[name].items() if count]
    paired = all(
        it["runs"].count("DEL") >= min(1, it["runs"].count("ADD"))
        for name in ENGINES
        for it in data[name]["shim"].values()
    )
    total = sum(map(len, shim.values()))
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(Degree.FULLY, f"{total} interruptions on two engines left nothing behind by the shim.")
        if not leaking
        else Bridge(
            Degree.PARTLY, f"Of {total} interruptions {len(leaking)} left something: {', '.join(leaking)}."
        ),
        came_true=(not leaking and paired, all(data[name]["script"] for name in ENGINES)),
    )


def _verdict(data: Data) -> Verdict:
    script = sum(map(len, data["script"].values()))
    left = {what: sum(map(len, it["left"].values())) for what, it in data["shim"].items()}
    leaking = [what for what, count in left.items() if count]
    text = (
        f"An interrupted script left {script} things; by the shim {len(leaking)} of {len(left)} "
        f"interruptions left something"
    )
    if script and leaking:
        return stands(f"{text}: {', '.join(leaking)}.")
    if script:
        return weakened(f"{text}: it depends on who runs the plugins.")
    return refuted(f"{text}.")


def show(data: Data) -> Sequence[Figure]:
    """Interruptions by engines."""
    rows = {
        f"shim: {what}": [_cell(data[name]["shim"][what]["left"]) for name in ENGINES]
        for what in _INTERRUPTIONS
    }
    rows["script: killed"] = [_cell(data[name]["script"]) for name in ENGINES]
    runs = [
        [what, *(" ".join(data[name]["shim"][what]["runs"]) for name in ENGINES)] for what in _INTERRUPTIONS
    ]
    return [
        Matrix("What is left", ENGINES, rows),
        Table("Runs of the last plugin", ["interruption", *ENGINES], runs),
    ]


def _cell(left: Mapping[str, Sequence[str]]) -> Cell:
    return Cell(
        ", ".join(f"{len(things)} {what}" for what, things in left.items()) or "nothing", good=not left
    )


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
