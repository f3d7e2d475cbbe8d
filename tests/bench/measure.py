"""The measurements on one engine, in rounds in which each way to a network has its turn.

So a drift of the machine's speed meets all ways alike, and their ratios hold where their times do not.
"""

import json
import os
import random
import re
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from calls import CallLog, Life
from lab.engine import IMAGE, Engine

from tests.plugin_runs import CountedPlugins, Runs

NONE, DOCKER_BRIDGE, SHIM, SHIM_IPAM, BARE = "none", "docker-bridge", "shim", "shim-ipam", "bare-execs"
"""The ways: no network, Docker's own user-defined bridge, the shim, the shim as IPAM driver as well, and the
shim's plugins without the shim.

All but the last are the names of Docker networks.
"""
BY_SHIM = (SHIM, SHIM_IPAM)

ALONE, WIDE = 1, 10
"""Containers at a time."""

RUNTIME_WIDE = 100
"""Attachments at a time through the CNI runtime alone."""
_RUNTIME_ROUNDS = 50

_TURNS_ALONE = 3
"""Turns alone in a round, for the one turn of ten at a time."""

_CONFLISTS = Path(__file__).resolve().parents[2] / "cni_conf"
_CONFLIST = "cni-bridge"
_SUBNET = "10.89.0.0/24"
_INSIDE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Batch:
    """Containers that were run at the same time."""

    seconds: list[float]
    """What each of them took."""
    wall: float
    """Seconds from the first start to the last end."""


@dataclass(frozen=True, slots=True)
class RuntimeAlone:
    """ADD and DEL of bridge with host-local, one run of a plugin each, as `runtime.py` prints it."""

    runtime: list[float]
    """Seconds of each round by the CNI runtime."""
    bare: list[float]
    """Seconds of each round by the bare execs."""
    runtime_wall: float
    """Seconds that `RUNTIME_WIDE` at a time took the CNI runtime."""
    bare_wall: float
    """Seconds that as many took the bare execs."""
    errors: list[str]
    """What went wrong with those of the CNI runtime."""


@dataclass(slots=True)
class Measurements:
    """Everything measured on one engine. Times in seconds, memory in bytes."""

    engine: str
    """Its version."""
    runtime_alone: RuntimeAlone
    batches: dict[int, dict[str, list[Batch]]] = field(
        default_factory=lambda: {
            width: {way: [] for way in (NONE, DOCKER_BRIDGE, *BY_SHIM, BARE)} for width in (ALONE, WIDE)
        }
    )
    """By the number of containers at a time, then by way, one for each turn."""
    lives: dict[int, dict[str, list[Life]]] = field(
        default_factory=lambda: {width: {way: [] for way in BY_SHIM} for width in (ALONE, WIDE)}
    )
    """What the shim says of its containers, by their number at a time, then by way."""
    runs: dict[str, Runs] = field(default_factory=dict)
    """The plugin runs for a container, by way."""
    startups: list[Mapping[str, float]] = field(default_factory=list)
    """Pairs of `daemon` and `interpreter`, as `startup.py` prints them."""
    resident_at_start: int = 0
    resident: int = 0
    """The daemon's VmRSS after all its containers."""
    resident_peak: int = 0
    """The daemon's VmHWM."""
    processor_time: float = 0.0
    """What the daemon itself used for all its containers."""


_Way = Callable[[int], Batch]


def measure(engine: Engine, rounds: int, progress: Callable[[str], None]) -> Measurements:
    """Measure on a running engine without shim; `progress` is told of each round.

    Raises `LabError` and `LogError` when something breaks.
    """
    engine.import_image()
    engine.start_shim([_CONFLISTS])
    engine.docker("network", "create", DOCKER_BRIDGE)
    option = f"cni.network={_CONFLIST}"
    create = ("network", "create", "-d", "cni", "-o", option)
    engine.docker(*create, "--ipam-driver", "null", SHIM)
    engine.docker(*create, "--ipam-driver", "cni", "--ipam-opt", option, "--subnet", _SUBNET, SHIM_IPAM)
    networks = (NONE, DOCKER_BRIDGE, *BY_SHIM)
    ways: dict[str, _Way] = {name: partial(_containers, engine, name) for name in networks}
    ways[BARE] = partial(_bare, engine)
    progress("the CNI runtime alone")
    version = engine.docker("version", "--format", "{{.Server.Version}}").stdout.strip()
    measured = Measurements(version, _runtime_alone(engine))
    measured.resident_at_start = _memory(engine, "VmRSS")
    for run in ways.values():
        run(ALONE)  # the first time is not like the others: bridges and chains are made, files are read
    log = CallLog(engine.shim_log)
    log.skip()
    processor_time = _processor_time(engine)
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        for turn in range(_TURNS_ALONE + 1):
            width = ALONE if turn < _TURNS_ALONE else WIDE
            for way in random.sample(list(ways), len(ways)):  # so that none always follows the same
                measured.batches[width][way].append(ways[way](width))
                if way in BY_SHIM:
                    measured.lives[width][way] += log.lives(width)
        measured.startups.append(_startup(engine))
    measured.processor_time = _processor_time(engine) - processor_time
    measured.resident, measured.resident_peak = _memory(engine, "VmRSS"), _memory(engine, "VmHWM")
    progress("plugin runs")
    measured.runs = _runs(engine)
    return measured


def _containers(engine: Engine, network: str, width: int) -> Batch:
    def run(_: int) -> float:
        start = time.perf_counter()
        engine.docker("run", "--rm", "--network", network, IMAGE, "true")
        return time.perf_counter() - start

    with ThreadPoolExecutor(width) as pool:
        start = time.perf_counter()
        seconds = list(pool.map(run, range(width)))
        return Batch(seconds, time.perf_counter() - start)


def _bare(engine: Engine, width: int) -> Batch:
    conflist = _CONFLISTS / f"{_CONFLIST}.conflist"
    command: list[str | Path] = [
        sys.executable,
        _INSIDE / "bare.py",
        conflist,
        engine.plugin_path,
        str(width),
    ]
    return Batch(**json.loads(engine.run(command).stdout))


def _runs(engine: Engine) -> dict[str, Runs]:
    """Counted by a shim of their own, since counting takes time."""
    plugins = CountedPlugins(engine, engine.folder / "counted")
    engine.stop_shim()
    engine.start_shim([_CONFLISTS], plugin_path=[str(plugins.folder)])
    return {way: plugins.of_container(way) for way in BY_SHIM}


def _runtime_alone(engine: Engine) -> RuntimeAlone:
    script: list[str | Path] = [sys.executable, _INSIDE / "runtime.py", engine.plugin_path]
    arguments = [str(_RUNTIME_ROUNDS), str(RUNTIME_WIDE)]
    return RuntimeAlone(**json.loads(engine.run(["unshare", "--net", *script, *arguments]).stdout))


def _startup(engine: Engine) -> dict[str, float]:
    startup: dict[str, float] = json.loads(
        engine.run([sys.executable, _INSIDE / "startup.py", engine.folder / "startup"]).stdout
    )
    return startup


def _memory(engine: Engine, name: str) -> int:
    """A line of the shim's `/proc/<pid>/status`, in bytes. Source: proc(5)."""
    status = Path(f"/proc/{engine.shim.pid}/status").read_text()
    (kibibytes,) = re.findall(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kibibytes) * 1024


def _processor_time(engine: Engine) -> float:
    """Seconds the shim has used, without its plugins. Source: proc(5), `utime` and `stime`."""
    after_name = Path(f"/proc/{engine.shim.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, after_name[11:13])) / os.sysconf("SC_CLK_TCK")
