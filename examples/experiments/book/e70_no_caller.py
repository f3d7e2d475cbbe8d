"""Whether anybody runs the verbs of CNI that CNM does not know."""

import time
from collections.abc import Sequence

from experiments.bench import Bench
from experiments.figures import Figure, Table
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
from experiments.ways import namespace

CLAIM = Claim(
    id="E70",
    title="CHECK, GC and STATUS",
    claim="CNI's CHECK, GC and STATUS have no counterpart in CNM, so that under Docker nobody calls them.",
    sources=(Source("CNI specification: CHECK, GC and STATUS", "2024"),),
    procedure="The runs of plugins are noted through a container's whole life, restarts of the shim and of "
    "the engine included, on a conflist of the "
    "highest version that the plugins speak, and then for a while of rest. Then the address of a running "
    "container is "
    "taken away behind everybody's back, it is waited whether anybody notices, and then asked by hand.",
    predictions=(
        "CHECK and GC are never run; STATUS is, where the plugins speak 1.1.0.",
        "The lost address is not noticed.",
    ),
    measured="Runs by verb; seconds until the loss is noticed.",
    section="Life cycle",
)

_VERBS = ("ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION")
_REST = 35.0
"""Seconds: longer than the shim's round of repairs."""


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(lambda bench: _on(bench, _REST))


def _on(bench: Bench, rest: float) -> Data:
    folder, runs = bench.counted_plugins()
    bench.restart_shim(plugin_path=[str(folder)])
    version = "1.1.0" if bench.name == NEWEST else "1.0.0"
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.70.0.0/24"}]]}
    bench.conflist(
        "checked", {"type": "bridge", "bridge": "checked0", "isGateway": True, "ipam": ipam}, version=version
    )
    bench.network("checked", "checked")
    bench.run("box", "checked", "--restart", "always")
    bench.docker("restart", "--time", "0", "box")
    bench.engine.stop_dockerd()
    bench.engine.start_dockerd()
    bench.restart_shim(plugin_path=[str(folder)])
    seen = runs()
    was_whole = _is_whole(bench)
    runs()  # of CHECK by hand
    where = namespace(bench, "box")
    bench.shell(f"nsenter --net={where} ip address flush dev eth0")
    log = bench.engine.shim_log
    before = log.stat().st_size
    time.sleep(rest)
    noticed = any(word in log.read_text()[before:] for word in ("WARNING", "ERROR"))
    seen += runs()
    by_hand = was_whole and not _is_whole(bench)
    bench.docker("rm", "--force", "box")
    return {
        "version": version,
        "runs": {verb: sum(run.endswith(f" {verb}") for run in seen) for verb in _VERBS},
        "noticed": noticed,
        "by_hand": by_hand,
        "waited": rest,
    }


def _is_whole(bench: Bench) -> bool:
    """What somebody finds who asks by hand."""
    config = str(bench.engine.shim_config)
    command = bench.engine.shim_command("endpoint", "check", "--all", "--config", config)
    return bench.engine.run(command, check=False).returncode == 0


def judge(data: Data) -> Judgement:
    """By the runs of the three verbs."""
    runs = {name: data[name]["runs"] for name in ENGINES}
    called = sorted({verb for each in runs.values() for verb in ("CHECK", "GC", "STATUS") if each[verb]})
    found = all(data[name]["by_hand"] for name in ENGINES)
    by_hand = f"by hand, cnm-cni endpoint check {'finds' if found else 'does not find'} the lost address"
    if len(called) == 3:
        bridge = Bridge(Degree.FULLY, "The shim calls CHECK, GC and STATUS by itself.")
    elif called or found:
        bridge = Bridge(
            Degree.PARTLY, f"By itself the shim calls {' and '.join(called) or 'none'}; {by_hand}."
        )
    else:
        bridge = Bridge(Degree.NOT_AT_ALL, f"By itself the shim calls none; {by_hand}.")
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=bridge,
        came_true=(
            not any(each[verb] for each in runs.values() for verb in ("CHECK", "GC"))
            and bool(runs[NEWEST]["STATUS"]),
            not any(data[name]["noticed"] for name in ENGINES),
        ),
    )


def _verdict(data: Data) -> Verdict:
    counts = ", ".join(f"{verb} {data['runs'][verb]}" for verb in ("ADD", "DEL", "CHECK", "GC", "STATUS"))
    called = [verb for verb in ("CHECK", "GC", "STATUS") if data["runs"][verb]]
    loss = "was noticed" if data["noticed"] else f"was not noticed in {data['waited']:.0f} s"
    if not called:
        return stands(f"In a life with restarts the plugins' runs were: {counts}; a lost address {loss}.")
    if len(called) < 3:
        return weakened(f"In a life with restarts the plugins' runs were: {counts}; a lost address {loss}.")
    return refuted(f"In a life with restarts the plugins' runs were: {counts}; a lost address {loss}.")


def show(data: Data) -> Sequence[Figure]:
    """Runs by verb."""
    rows = [[verb, *(str(data[name]["runs"][verb]) for name in ENGINES)] for verb in _VERBS]
    return [Table("Runs of plugins", ["verb", *ENGINES], rows)]


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
