"""`make bench`, the second part: what Kubernetes adds, with many objects on a real API server.

The shim with and without Kubernetes have their turn in every round, as have networks from a file and from
Kubernetes. Read the ratios first. The aims are shown beside what was measured, and nothing fails when one is
missed.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from lab.cluster import SERVER, Cluster
from lab.engine import IMAGE, Engine
from lab.errors import LabError
from lab.footprint import host_footprint

from tests.clusters import NODE, definition, ready_cluster

_NODES, _NETWORKS, _DEFINITIONS = 1000, 10_000, 1000
_ROUNDS = 6
_RUNS = 3
"""Containers on each network in each round."""

_CHURN_SECONDS = 60
_OTHERS_WRITES = 100
"""Statuses per second: each of a thousand nodes writes one in ten seconds, by the default settings."""

_CONFLISTS = Path(__file__).resolve().parents[2] / "cni_conf"
_INSIDE = Path(__file__).parent
_FILE, _KUBERNETES = "from-file", "from-kubernetes"

_LISTED = "objects of "
"""In the shim's log, once for each watch that has seen all of its objects."""
_WATCHES = 3

_AIM_READY, _AIM_RESIDENT, _AIM_LOOKUP = 1.5, 90 * 2**20, 50e-6


@dataclass(slots=True)
class Measured:
    """Seconds, bytes and counts; what is measured with and without Kubernetes is by that."""

    accepting: dict[bool, list[float]] = field(default_factory=lambda: {False: [], True: []})
    resident: dict[bool, list[int]] = field(default_factory=lambda: {False: [], True: []})
    listed: list[float] = field(default_factory=list)
    runs: dict[str, list[float]] = field(default_factory=lambda: {_FILE: [], _KUBERNETES: []})
    lookups: Mapping[str, float] = field(default_factory=dict)
    churned: int = 0
    """Statuses that others wrote."""
    containers_in_churn: int = 0
    asked_in_churn: int = 0


class Bench:
    """A node on a cluster that a thousand others have written to."""

    def __init__(self, cluster: Cluster, engine: Engine, settings: dict[str, Any]) -> None:
        self._cluster = cluster
        self._engine = engine
        self._settings = settings
        self.measured = Measured()

    def run(self) -> None:
        """Measure everything."""
        for number in range(_ROUNDS):
            _write(f"  start {number + 1} of {_ROUNDS}")
            for kubernetes in (False, True):
                self._start(kubernetes=kubernetes)
        _write("  lookups")
        self._look_up()
        _write("  containers on networks from a file and from Kubernetes")
        self._run_containers()
        _write(f"  {_CHURN_SECONDS} s in which others write {_OTHERS_WRITES} times a second")
        self._churn()

    def _start(self, *, kubernetes: bool) -> None:
        if self._engine.is_shim_running:
            self._engine.stop_shim()
        self._engine.shim_log.unlink(missing_ok=True)
        start = time.monotonic()
        self._engine.start_shim([_CONFLISTS], kubernetes=self._settings if kubernetes else {"enabled": False})
        self.measured.accepting[kubernetes].append(time.monotonic() - start)
        if kubernetes:
            while self._engine.shim_log.read_text().count(_LISTED) < _WATCHES:
                time.sleep(0.005)
            self.measured.listed.append(time.monotonic() - start)
        time.sleep(2)
        status = Path(f"/proc/{self._engine.shim.pid}/status").read_text()
        self.measured.resident[kubernetes].append(1024 * int(re.findall(r"VmRSS:\s+(\d+)", status)[0]))

    def _look_up(self) -> None:
        settings = self._engine.folder / "lookups.yaml"
        of_node_with_networks = self._settings | {"node": "fleet-0000"}
        settings.write_text(json.dumps({"kubernetes": of_node_with_networks}))  # JSON is YAML
        command = [sys.executable, str(_INSIDE / "lookups.py"), str(settings), str(_CONFLISTS)]
        self.measured.lookups = json.loads(self._engine.run(command).stdout)

    def _run_containers(self) -> None:
        conflist = json.loads((_CONFLISTS / "cni-bridge.conflist").read_text())
        bridge = conflist["plugins"][0]
        bridge["bridge"] = conflist["name"] = "kube0"
        bridge["ipam"]["ranges"] = [[{"subnet": "10.99.0.0/16"}]]
        self._cluster.apply(definition("team-a", "kube0", conflist))
        for name, bound_to in ((_FILE, "cni-bridge"), (_KUBERNETES, "team-a/kube0")):
            option = f"cni.network={bound_to}"
            self._engine.docker("network", "create", "-d", "cni", "--ipam-driver", "null", "-o", option, name)
            self._container(name)
        for _ in range(_ROUNDS):
            for name in (_FILE, _KUBERNETES) * _RUNS:
                start = time.monotonic()
                self._container(name)
                self.measured.runs[name].append(time.monotonic() - start)

    def _churn(self) -> None:
        since = self._cluster.request_count
        end = time.monotonic() + _CHURN_SECONDS
        with ThreadPoolExecutor(1) as pool:
            others = pool.submit(self.fleet, "churn", str(_OTHERS_WRITES), str(_CHURN_SECONDS))
            while time.monotonic() < end:
                self._container(_KUBERNETES)
                self.measured.containers_in_churn += 1
            self.measured.churned = int(others.result())
        user = f"system:serviceaccount:cnm-cni:{NODE}"
        self.measured.asked_in_churn = sum(item.user == user for item in self._cluster.requests(since))

    def fleet(self, *what: str) -> str:
        """Let the other nodes do something; what they print."""
        kubeconfig = self._cluster.folder / "admin.conf"
        numbers = map(str, (_NODES, _NETWORKS, _DEFINITIONS))
        command = [sys.executable, str(_INSIDE / "fleet_inside.py"), str(kubeconfig), *numbers, *what]
        return self._engine.run(command, timeout=600).stdout

    def _container(self, network: str) -> None:
        self._engine.docker("run", "--rm", "--network", network, IMAGE, "true")


def main() -> None:
    """Measure and report. Ends with status 1 and one line when something breaks."""
    if os.geteuid() != 0:
        sys.exit("error: the benchmark makes network namespaces: run it as root")
    before = host_footprint()
    start = time.monotonic()
    try:
        with _lab() as (cluster, engine, settings):
            bench = Bench(cluster, engine, settings)
            _write(f"  {_DEFINITIONS} definitions and {_NETWORKS} networks of {_NODES} nodes are written")
            bench.fleet()
            bench.run()
            kubernetes = json.loads(cluster.kubectl("get", "--raw", "/version"))["gitVersion"]
            docker = engine.docker("version", "--format", "{{.Server.Version}}").stdout.strip()
    except (LabError, subprocess.SubprocessError, OSError) as error:
        sys.exit(f"\nerror: {error}")
    except KeyboardInterrupt:
        sys.exit("\ninterrupted; nothing is left behind")
    _write(f"\nDocker {docker}, Kubernetes {kubernetes}, measured in {time.monotonic() - start:.0f} s")
    _write("\n".join(_report(bench.measured)) + "\n")
    if left := before.difference(host_footprint()):
        sys.exit(f"error: this machine is not as before: {'; '.join(left)}")


@contextmanager
def _lab() -> Iterator[tuple[Cluster, Engine, dict[str, Any]]]:
    with ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="cnm-cni-bench-", dir="/var/tmp")
        folder = Path(stack.enter_context(temporary))
        cluster = stack.enter_context(ready_cluster(folder / "cluster"))
        engine = stack.enter_context(Engine.debian(folder / "engine"))
        engine.import_image()
        cluster.join(engine.pid, "192.0.2.11/24")
        token = folder / "token"
        token.write_text(cluster.token("cnm-cni", NODE))
        authority = str(cluster.authority.certificate)
        yield (
            cluster,
            engine,
            {"server": SERVER, "token_file": str(token), "ca_file": authority, "node": NODE},
        )


def _report(measured: Measured) -> Iterator[str]:
    accepting, resident = measured.accepting, measured.resident
    yield ""
    yield f"  {'The daemon, median':<46}{'without':>10}{'with':>10}{'ratio':>8}"
    yield _row("start to accepting socket", accepting, _milliseconds)
    yield _row("resident", resident, _mebibytes)
    yield f"  {'start to all objects known':<46}{'':>10}{_milliseconds(median(measured.listed)):>10}"
    yield ""
    yield f"  {'One lookup':<46}{'':>10}{'':>10}{'/ file':>8}"
    by_file = measured.lookups["conflist"]
    for name, text in (("definition", "of a definition by name"), ("binding", "of a network by ID")):
        seconds = measured.lookups[name]
        yield f"  {text:<46}{'':>10}{_microseconds(seconds):>10}{seconds / by_file:>8.4f}"
    yield f"  {'of a conflist in its file':<46}{'':>10}{_microseconds(by_file):>10}"
    yield ""
    yield f"  {'docker run --rm, by a conflist from, median':<46}{'file':>8}{'Kubernetes':>12}{'ratio':>8}"
    runs = {False: measured.runs[_FILE], True: measured.runs[_KUBERNETES]}
    yield _row("one at a time", runs, _milliseconds)
    yield ""
    per_second = measured.asked_in_churn / _CHURN_SECONDS
    yield f"  While other nodes wrote {measured.churned} statuses, and {measured.containers_in_churn}"
    yield f"  containers came and went here, this node asked the API server {measured.asked_in_churn} times,"
    yield f"  {per_second:.2f} times a second; its leases alone are {1 / 15 + 1 / 60:.2f}."
    aims = (
        ("ready after", _AIM_READY, median(measured.listed), _milliseconds),
        ("resident memory", _AIM_RESIDENT, median(resident[True]), _mebibytes),
        ("lookup", _AIM_LOOKUP, measured.lookups["binding"], _microseconds),
    )
    yield ""
    yield f"  {'Aims':<46}{'aim':>10}{'measured':>10}"
    for what, aim, value, show in aims:
        yield f"  {what:<46}{show(aim):>10}{show(value):>10}   {'met' if value <= aim else 'missed'}"


def _row(text: str, values: Mapping[bool, Sequence[float]], show: Callable[[float], str]) -> str:
    without, with_it = median(values[False]), median(values[True])
    ratio = median(one / other for one, other in zip(values[True], values[False], strict=True))
    return f"  {text:<46}{show(without):>10}{show(with_it):>10}{ratio:>8.2f}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms"


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us"


def _mebibytes(count: float) -> str:
    return f"{count / 2**20:.0f} MiB"


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
