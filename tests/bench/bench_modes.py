"""`make bench`, third part: a link handed over, a link made in place, and Docker's own bridge.

All have bridge and host-local alone, and their turn in every round. The moves of links are counted where they
show, as arrivals in the engine's namespace and departures from it; and on an engine that makes its sandboxes
late, it is counted how many first processes find what is put back.
"""

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from lab.engine import IMAGE, Engine
from lab.errors import LabError
from lab.footprint import host_footprint

_ENGINES = {"20.10": Engine.debian, "newest": Engine.newest}
_NONE, _BRIDGE, _HANDOVER, _IN_PLACE = "none", "docker-bridge", "handover", "inplace"
_WAYS = {
    _NONE: "docker run --network none",
    _BRIDGE: "docker run on a Docker bridge",
    _HANDOVER: "docker run, handover",
    _IN_PLACE: "docker run, in place",
}
_ROUNDS = 20
_STARTS, _AT_ONCE = 28, 8

_IPAM = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.96.0.0/16"}]],
    "routes": [{"dst": "0.0.0.0/0"}],
}
_PLAIN = [{"type": "bridge", "bridge": "modes0", "isGateway": True, "ipam": _IPAM}]
_RICH = [
    {"type": "bridge", "bridge": "modes0", "isGateway": True, "ipam": _IPAM},
    {"type": "sbr"},
    {"type": "tuning", "sysctl": {"net.core.somaxconn": "777", "net.ipv4.conf.IFNAME.arp_notify": "1"}},
]
_LOOKS = {
    "a sysctl of the namespace": "grep -q 777 /proc/sys/net/core/somaxconn",
    "a sysctl of the link": "grep -q 1 /proc/sys/net/ipv4/conf/eth0/arp_notify",
    "a rule of source-based routing": "ip rule | grep -q 'lookup 100'",
    "its table": "ip route show table 100 | grep -q default",
}

_MOVE = re.compile(r"^(?:Deleted )?\d+: (cni[0-9a-f]{12})[@:]", re.MULTILINE)


@dataclass(slots=True)
class Measured:
    """What was measured on one engine."""

    version: str
    seconds: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in _WAYS})
    """Of each `docker run --rm`, by way, round by round."""
    moves: dict[str, float] = field(default_factory=dict)
    """Of links, for each container."""
    found: dict[str, int] = field(default_factory=dict)
    """First processes that found what they looked for, of `_STARTS`."""


def main() -> None:
    """Measure and report. Ends with status 1 and one line when something breaks."""
    if os.geteuid() != 0:
        sys.exit("error: the benchmark makes network namespaces: run it as root")
    before = host_footprint()
    try:
        for name, make in _ENGINES.items():
            with (
                tempfile.TemporaryDirectory(prefix="cnm-cni-bench-", dir="/var/tmp") as folder,
                make(Path(folder) / "engine") as engine,
            ):
                sys.stdout.write(_report(_measure(engine, Path(folder)), name) + "\n")
                sys.stdout.flush()
    except (LabError, subprocess.SubprocessError, OSError) as error:
        sys.exit(f"\nerror: {error}")
    except KeyboardInterrupt:
        sys.exit("\ninterrupted; nothing is left behind")
    if left := before.difference(host_footprint()):
        sys.exit(f"error: this machine is not as before: {'; '.join(left)}")


def _measure(engine: Engine, folder: Path) -> Measured:
    conflists = folder / "conflists"
    conflists.mkdir()
    for name, plugins in (("plain", _PLAIN), ("rich", _RICH)):
        conflist = {"cniVersion": "1.0.0", "name": name, "plugins": plugins}
        (conflists / f"{name}.conflist").write_text(json.dumps(conflist))
    engine.import_image()
    engine.start_shim([conflists])
    engine.docker("network", "create", _BRIDGE)
    create = ("network", "create", "-d", "cni", "--ipam-driver", "null")
    for mode in (_HANDOVER, _IN_PLACE):
        engine.docker(*create, "-o", "cni.network=plain", "-o", f"cni.mode={mode}", mode)
    engine.docker(*create, "-o", "cni.network=rich", "rich")
    measured = Measured(engine.docker("version", "--format", "{{.Server.Version}}").stdout.strip())
    for way in _WAYS:
        _run(engine, way)  # the first time is not like the others
    for _ in range(_ROUNDS):
        for way in random.sample(list(_WAYS), len(_WAYS)):  # so that none always follows the same
            start = time.perf_counter()
            _run(engine, way)
            measured.seconds[way].append(time.perf_counter() - start)
    for mode in (_HANDOVER, _IN_PLACE):
        measured.moves[mode] = _moves(engine, mode, folder / f"{mode}.monitor")
    measured.found = _found(engine)
    return measured


def _run(engine: Engine, network: str) -> None:
    engine.docker("run", "--rm", "--network", network, IMAGE, "true")


def _moves(engine: Engine, network: str, log: Path) -> float:
    """Arrivals of links in the engine's namespace under the shim's name, and departures, for a container."""
    monitor = ["nsenter", "--target", str(engine.pid), "--net", "ip", "monitor", "link"]
    with log.open("w") as file, subprocess.Popen(monitor, stdout=file) as process:
        time.sleep(0.5)  # until it listens
        for _ in range(_ROUNDS):
            _run(engine, network)
        time.sleep(0.5)
        process.terminate()
    text = log.read_text()
    arrivals = len(set(_MOVE.findall(text)))
    departures = sum(line.startswith("Deleted ") for line in text.splitlines() if _MOVE.match(line))
    return (arrivals + departures) / _ROUNDS


def _found(engine: Engine) -> dict[str, int]:
    """How many first processes find each thing that is put back, some of them started at once."""
    script = "; ".join(f"{look} && echo {number}" for number, look in enumerate(_LOOKS.values()))

    def start(_: int) -> str:
        return engine.docker("run", "--rm", "--network", "rich", IMAGE, "sh", "-c", f"{script}; true").stdout

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        outputs = list(pool.map(start, range(_STARTS)))
    return {
        what: sum(str(number) in output.split() for output in outputs) for number, what in enumerate(_LOOKS)
    }


def _report(measured: Measured, name: str) -> str:
    seconds = measured.seconds
    lines = [
        f"\nDocker {measured.version}, {_ROUNDS} rounds, bridge and host-local",
        "",
        f"  {'Wall time':<42}{'median':>9}{'p95':>9}{'/ bridge':>9}{'network / bridge':>18}",
    ]
    for way, text in _WAYS.items():
        ratio = _ratio(seconds[way], seconds[_BRIDGE])
        cost = "" if way == _NONE else f"{_network_cost(seconds, way):18.2f}"
        p95 = quantiles(seconds[way], n=20, method="inclusive")[-1]
        lines.append(f"  {text:<42}{_shown(median(seconds[way])):>9}{_shown(p95):>9}{ratio:9.2f}{cost}")
    lines += ["", f"  {'Moves of links for a container':<42}"]
    lines += [f"  {_WAYS[mode]:<42}{moves:9.1f}" for mode, moves in measured.moves.items()]
    lines += ["", f"  {f'First processes that find, of {_STARTS}, {_AT_ONCE} at once':<42}"]
    lines += [f"  {what:<42}{count:>9}" for what, count in measured.found.items()]
    lines += ["", f"  {'Aims':<42}{'aim':>9}{'measured':>11}"]
    for what, aim, value in _aims(measured, name):
        lines.append(f"  {what:<42}{aim:9.2f}{value:11.2f}   {'met' if value <= aim else 'missed'}")
    return "\n".join(lines)


def _aims(measured: Measured, name: str) -> list[tuple[str, float, float]]:
    """What, the aim, and what was measured; on an old engine a container is not started in place."""
    seconds = measured.seconds
    aims = [
        ("handover: network cost / bridge's", 1.4, _network_cost(seconds, _HANDOVER)),
        ("handover: moves", 2.0, measured.moves[_HANDOVER]),
    ]
    if name == "newest":
        aims += [
            ("in place / bridge", 1.0, _ratio(seconds[_IN_PLACE], seconds[_BRIDGE])),
            ("in place: moves", 0.0, measured.moves[_IN_PLACE]),
        ]
    return aims


def _ratio(seconds: Sequence[float], others: Sequence[float]) -> float:
    """The median of the ratios of neighbours in time."""
    return median(one / other for one, other in zip(seconds, others, strict=True))


def _network_cost(seconds: Mapping[str, Sequence[float]], way: str) -> float:
    """What the network adds to a container, against what Docker's bridge adds; by medians, being small."""
    none = median(seconds[_NONE])
    return (median(seconds[way]) - none) / (median(seconds[_BRIDGE]) - none)


def _shown(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


if __name__ == "__main__":
    main()
