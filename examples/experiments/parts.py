"""The real parts of a run: both engines, each started once, and a cluster for those who ask for one."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from lab import newest
from lab.cluster import SERVER, Cluster
from lab.engine import Engine
from lab.progress import step

from experiments.bench import Bench, plugins_version
from experiments.model import NEWEST, OLDER

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_REPOSITORY = Path(__file__).resolve().parents[2]
_MANIFESTS = _REPOSITORY / "examples" / "kubernetes"
_MAKERS = {OLDER: Engine.debian, NEWEST: Engine.newest}


class Parts:
    """What experiments measure on; a context manager. Nothing is started before it is asked for."""

    def __init__(self, *, quick: bool = False) -> None:
        self.quick = quick
        self._stack = ExitStack()
        self._benches: dict[str, Bench] = {}
        self._cluster: Cluster | None = None
        self._nodes: dict[str, dict[str, Any]] = {}
        self._folder = Path()

    def __enter__(self) -> Self:
        temporary = tempfile.TemporaryDirectory(prefix="cnm-cni-experiments-", dir="/var/tmp")
        self._folder = Path(self._stack.enter_context(temporary))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def rounds(self, full: int, quick: int = 3) -> int:
        """How often to measure."""
        return quick if self.quick else full

    def bench(self, name: str) -> Bench:
        """The engine of that name."""
        if name not in self._benches:
            with step(f"Starting the {name} engine"):
                engine = self._stack.enter_context(_MAKERS[name](self._folder / name))
                self._benches[name] = Bench(name, engine, self._folder / f"{name}-files", _root(name))
        return self._benches[name]

    @property
    def cluster(self) -> Cluster:
        """A running control plane with all that the documentation tells an administrator to apply."""
        if self._cluster is None:
            with step("Starting a Kubernetes control plane"):
                cluster = self._stack.enter_context(Cluster(self._folder / "cluster"))
                for name in ("network-attachment-definitions", "dockernetworks", "access"):
                    cluster.install(_MANIFESTS / f"{name}.yaml")
                for namespace in ("team-a", "team-b"):
                    cluster.kubectl("create", "namespace", namespace)
            self._cluster = cluster
        return self._cluster

    def each(self, measure: Callable[[Bench], T], *, at_once: bool = True) -> dict[str, T]:
        """Measure on both engines, by name; one after the other where time is measured."""
        benches = [self.bench(name) for name in (OLDER, NEWEST)]

        def on(bench: Bench) -> T:
            with bench.clean():
                return measure(bench)

        with ThreadPoolExecutor(len(benches) if at_once else 1) as pool:
            return dict(zip((bench.name for bench in benches), pool.map(on, benches), strict=True))

    def one(self, name: str, measure: Callable[[Bench], T]) -> T:
        """Measure on one engine."""
        bench = self.bench(name)
        with bench.clean():
            return measure(bench)

    def together(self, measure: Callable[[dict[str, Bench]], T]) -> T:
        """Measure on both engines at the same time, where they have to do with each other."""
        benches = {name: self.bench(name) for name in (OLDER, NEWEST)}
        with ExitStack() as stack:
            for bench in benches.values():
                stack.enter_context(bench.clean())
            return measure(benches)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """The settings by which the shim of each engine is a node of the cluster, which they have joined."""
        for number, name in enumerate((OLDER, NEWEST)):
            if name in self._nodes:
                continue
            node = f"node-{name.replace('.', '-')}"
            self.cluster.join(self.bench(name).engine.pid, f"192.0.2.{11 + number}/24")
            self.cluster.kubectl("create", "serviceaccount", node, "--namespace", "cnm-cni")
            token = self._folder / f"{node}.token"
            token.write_text(self.cluster.token("cnm-cni", node))
            self._nodes[name] = {
                "server": SERVER,
                "token_file": str(token),
                "ca_file": str(self.cluster.authority.certificate),
                "node": node,
                "heartbeat": 1,
                "status_interval": 0.5,
            }
        return self._nodes

    def describe(self) -> dict[str, Any]:
        """What the run was made on and of, for the top of the report."""
        cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        return {
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "quick": self.quick,
            "engines": {name: _upstream(bench.version) for name, bench in self._benches.items()},
            "plugins": {name: _upstream(plugins_version(_root(name))) for name in self._benches},
            "kernel": platform.release(),
            "machine": f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB",
            "python": platform.python_version(),
            "shim": _revision(),
        }


def _root(name: str) -> Path:
    """The Debian tree that an engine and its plugins are from."""
    return newest.root() if name == NEWEST else Path("/")


def _upstream(version: str) -> str:
    """A version without what Debian adds: `20.10.24` of `20.10.24+dfsg1`."""
    return version.partition("+")[0]


def _revision() -> str:
    """The checkout's commit, with a `+` when it has been changed since."""
    command = ["git", "-C", str(_REPOSITORY), "describe", "--always", "--dirty=+", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "no commit"
