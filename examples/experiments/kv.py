"""The key-value store that Docker's global drivers needed: etcd with its second API, beside the engine."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lab import kubernetes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from experiments.bench import Bench

_ETCD = "etcd"
_URL = "http://127.0.0.1:2379"


@contextmanager
def cluster_store(bench: Bench) -> Iterator[None]:
    """Start etcd in the engine's room, and the engine anew with it as its store, for a while."""
    command: list[str | Path] = [kubernetes.programs() / "etcd", "--enable-v2", "--data-dir", "/run/etcd"]
    bench.engine.start(_ETCD, command, lambda: _answers(bench))
    try:
        with bench.dockerd(cluster_store="etcd://127.0.0.1:2379", cluster_advertise="127.0.0.1:2376"):
            yield
    finally:
        bench.engine.kill(_ETCD)
        bench.shell("rm -rf /run/etcd")


def entries(bench: Bench) -> dict[str, str]:
    """Every key below `/docker` with its value."""
    answer = json.loads(bench.shell(f"busybox wget -q -O - '{_URL}/v2/keys/docker?recursive=true'"))
    return dict(_leaves(answer["node"]))


def writes(bench: Bench) -> int:
    """How many changes the store has seen."""
    stats = json.loads(bench.shell(f"busybox wget -q -O - {_URL}/v2/stats/store"))
    counted = ("setsSuccess", "createSuccess", "updateSuccess", "compareAndSwapSuccess", "deleteSuccess")
    return sum(stats[name] for name in (*counted, "compareAndDeleteSuccess"))


def _leaves(node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if node.get("dir"):
        for child in node.get("nodes", ()):
            yield from _leaves(child)
    else:
        yield node["key"], node["value"]


def _answers(bench: Bench) -> bool:
    return (
        bench.engine.run(["busybox", "wget", "-q", "-O", "-", f"{_URL}/version"], check=False).returncode == 0
    )
