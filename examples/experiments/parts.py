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
from typing import TYPE_CHECKING, Any, Self

from lab import newest
from lab.cluster import Cluster
from lab.engine import Engine
from lab.progress import step

from experiments.bench import Bench, plugins_version
from experiments.model import NEWEST, OLDER

if TYPE_CHECKING:
    from collections.abc import Callable

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
                self._benches[name] = Bench(name, engine, self._folder / f"{name}-files")
        return self._benches[name]

    @property
    def cluster(self) -> Cluster:
        """A running control plane with all that the documentation tells an administrator to apply."""
        if self._cluster is None:
            with step("Starting a Kubernetes control plane"):
                cluster = self._stack.enter_context(Cluster(self._folder / "cluster"))
                for name in ("network-attachment-definitions", "dockernetworks", "access"):
                    cluster.install(_MANIFESTS / f"{name}.yaml")
            self._cluster = cluster
        return self._cluster

    def each(self, measure: Callable[[Bench], Any], *, at_once: bool = True) -> dict[str, Any]:
        """Measure on both engines, by name; one after the other where time is measured."""
        benches = [self.bench(name) for name in (OLDER, NEWEST)]

        def on(bench: Bench) -> Any:
            with bench.clean():
                return measure(bench)

        with ThreadPoolExecutor(len(benches) if at_once else 1) as pool:
            return dict(zip((bench.name for bench in benches), pool.map(on, benches), strict=True))

    def one(self, name: str, measure: Callable[[Bench], Any]) -> Any:
        """Measure on one engine."""
        bench = self.bench(name)
        with bench.clean():
            return measure(bench)

    def describe(self) -> dict[str, Any]:
        """What the run was made on and of, for the top of the report."""
        roots = {OLDER: Path("/"), NEWEST: newest.root()}
        cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        return {
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "quick": self.quick,
            "engines": {name: _upstream(bench.version) for name, bench in self._benches.items()},
            "plugins": {name: _upstream(plugins_version(roots[name])) for name in self._benches},
            "kernel": platform.release(),
            "machine": f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB",
            "python": platform.python_version(),
            "shim": _revision(),
        }


def _upstream(version: str) -> str:
    """A version without what Debian adds: `20.10.24` of `20.10.24+dfsg1`."""
    return version.partition("+")[0]


def _revision() -> str:
    """The checkout's commit, with a `+` when it has been changed since."""
    command = ["git", "-C", str(_REPOSITORY), "describe", "--always", "--dirty=+", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "no commit"
