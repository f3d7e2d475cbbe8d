"""How many calls and plugin runs an attachment takes."""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.engine import IMAGE
from lab.errors import LabError

from experiments.bench import CONFLISTS, Bench
from experiments.figures import Bars, Figure, Span, Table, Timeline, Trace, waiting
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
from experiments.texts import hockin

CLAIM = Claim(
    id="E31",
    title="Calls and runs",
    claim="CNI is far simpler than CNM.",
    sources=(
        hockin("It's far simpler than CNM"),
        Source("CNI specification: ADD, DEL, CHECK, GC, STATUS and VERSION", "2024"),
        Source(
            (
                "libnetwork, docs/remote.md and drivers/remote of 28.5: the calls of a network and an IPAM "
                "driver"
            ),
            "2025",
        ),
    ),
    procedure="The calls to the shim are recorded on their way, and the runs of plugins noted by wrappers, "
    "and both by cnm-cni trace as well, which must tell the same, while a container is run and "
    "removed: with --ipam-driver null, with --ipam-driver cni, and by CNI alone. "
    "The verbs of both protocols are counted from their specifications.",
    predictions=(
        "A container's start takes four to seven calls, where CNI alone takes one operation.",
        "The shim runs the same plugins as CNI alone.",
    ),
    measured="Calls and plugin runs at start and end; verbs of each protocol.",
    section="Daemons and wrapping",
)

_VERBS = {"CNM network driver": 15, "CNM IPAM driver": 6, "CNI": 6}
"""Of 28.5, and of CNI 1.1."""
_CONFLIST = "cni-bridge"


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    folder, runs = bench.counted_plugins()
    bench.restart_shim(plugin_path=[str(folder)])
    witness = bench.witness(forward="/run/docker/plugins/cni.sock")
    option = f"cni.network={_CONFLIST}"
    create = ("network", "create", "-d", witness.name, "-o", option)
    bench.docker(*create, "--ipam-driver", "null", "null")
    bench.docker(
        *create, "--ipam-driver", witness.name, "--ipam-opt", option, "--subnet", "10.89.0.0/24", "cni"
    )
    found: Data = {}
    for network in ("null", "cni"):
        bench.docker(
            "run", "--rm", "--network", network, IMAGE, "true"
        )  # plugins are asked for their versions at first
        parts_of_life = {}
        for part, do in (
            ("start", lambda network=network: bench.run("box", network)),
            ("end", lambda: bench.docker("rm", "--force", "box")),
        ):
            witness.forget()
            runs()
            with bench.traced() as trace:
                began = time.time()
                do()
                took = time.time() - began
            calls = [entry["call"].partition(".")[2] for entry in witness.calls]
            spans = [
                [name, entry["at"] - began, entry["at"] - began + entry["seconds"]]
                for name, entry in zip(calls, witness.calls, strict=True)
            ]
            parts_of_life[part] = _confirmed(
                {"calls": calls, "runs": runs(), "seconds": took, "spans": spans, "trace": trace}
            )
        found[network] = parts_of_life
    found["alone"] = _alone(bench, folder, runs)
    return found


def _confirmed(part: Data) -> Data:
    """What was counted on the way. Raises `LabError` when the trace says otherwise."""
    traced: dict[str, list[str]] = {"calls": [], "runs": []}
    for line in part["trace"]:
        if line["kind"] == "call":
            traced["calls"].append(line["name"])
        if line["kind"] == "plugin":
            traced["runs"].append(f"{line['name']} {line['command']}")
            ipam = line["config"].get("ipam", {}).get("type", line["name"])
            if ipam != line["name"]:  # it is run by the plugin, out of the shim's sight
                traced["runs"].append(f"{ipam} {line['command']}")
    for what, names in traced.items():
        if sorted(names) != sorted(part[what]):
            raise LabError(f"{what} on their way: {', '.join(part[what])}; in the trace: {', '.join(names)}")
    return part


def _alone(bench: Bench, folder: Path, runs: Callable[[], list[str]]) -> Data:
    shutil.copy(CONFLISTS / f"{_CONFLIST}.conflist", bench.conf_dir)
    bench.shell("ip netns add alone")
    arguments = (_CONFLIST, "/run/netns/alone")
    parts_of_life = {}
    for part, command in (("start", "add"), ("end", "del")):
        runs()
        bench.cni(command, *arguments, CNI_PATH=str(folder))
        parts_of_life[part] = {
            "calls": [command.upper()],
            "runs": [run for run in runs() if "VERSION" not in run],
        }
    bench.shell("ip netns delete alone")
    return parts_of_life


def judge(data: Data) -> Judgement:
    """By the calls for one life."""
    starts = [len(data[name][way]["start"]["calls"]) for name in ENGINES for way in ("null", "cni")]
    same = all(
        sorted(data[name]["null"][part]["runs"]) == sorted(data[name]["alone"][part]["runs"])
        for name in ENGINES
        for part in ("start", "end")
    )
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY, "The shim turns the calls into the same plugin runs that CNI alone makes."
        )
        if same
        else Bridge(Degree.PARTLY, "The shim runs other plugins than CNI alone, or more of them."),
        came_true=(all(4 <= count <= 7 for count in starts), same),
    )


def _verdict(data: Data) -> Verdict:
    calls = {
        way: sum(len(data[way][part]["calls"]) for part in ("start", "end"))
        for way in ("null", "cni", "alone")
    }
    text = (
        f"One container's life takes {calls['null']} calls to a network driver, {calls['cni']} with a "
        f"remote IPAM driver, and "
        f"{calls['alone']} operations of CNI; the protocols have "
        f"{_VERBS['CNM network driver'] + _VERBS['CNM IPAM driver']} and {_VERBS['CNI']} verbs"
    )
    if calls["null"] >= 2 * calls["alone"]:
        return stands(f"{text}.")
    if calls["null"] > calls["alone"]:
        return weakened(f"{text}.")
    return refuted(f"{text}.")


def show(data: Data) -> Sequence[Figure]:
    """What is called and run."""
    rows = [
        [name, way, part, ", ".join(it[part]["calls"]), ", ".join(it[part]["runs"])]
        for name in ENGINES
        for way, it in data[name].items()
        for part in ("start", "end")
    ]
    counts = {
        f"{name}, {way}": sum(len(data[name][way][part]["calls"]) for part in ("start", "end"))
        for name in ENGINES
        for way in data[name]
    }
    timelines = [
        Timeline(
            f"When a container starts, Docker {name}: the client's command and the calls to the driver",
            ("docker run", "driver"),
            [
                Span("docker run", "command", 0.0, data[name]["null"]["start"]["seconds"]),
                *(
                    Span("driver", call, start, end)
                    for call, start, end in data[name]["null"]["start"]["spans"]
                ),
            ],
        )
        for name in ENGINES
    ]
    return [
        *timelines,
        *(
            Trace(f"A container starts, Docker {name}", trace, waiting(trace))
            for name in ENGINES
            for trace in [data[name]["null"]["start"]["trace"]]
        ),
        Bars("Calls for one container's life", "calls", counts),
        Table("Calls and plugin runs", ["engine", "IPAM driver", "part", "calls", "plugin runs"], rows),
        Bars("Verbs", "", _VERBS),
    ]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
