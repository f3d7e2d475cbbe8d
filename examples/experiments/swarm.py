"""A swarm of one engine, for a while."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from experiments.bench import Bench

_NETWORKS = {"ingress", "docker_gwbridge"}
"""What a swarm makes, and does not always remove."""
_SETTLING = 1.0
"""Seconds in which a swarm makes its networks, in the background."""


@contextmanager
def swarm(bench: Bench) -> Iterator[None]:
    """Join, and leave again with all that came of it."""
    bench.docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    bench.wait(lambda: _made(bench) >= _NETWORKS)
    time.sleep(_SETTLING)
    try:
        yield
    finally:
        bench.remove_containers()
        bench.docker("swarm", "leave", "--force")
        bench.wait(lambda: "ingress" not in _made(bench))
        bench.attempt("network", "rm", "docker_gwbridge")
        if _made(bench) & _NETWORKS or "ingress_sbox" in bench.shell("ls /run/docker/netns"):
            _clear(bench)


def _made(bench: Bench) -> set[str]:
    return set(bench.docker("network", "ls", "--format", "{{.Name}}").split())


def _clear(bench: Bench) -> None:
    """Remove what the engine forgot; it does not come back with the engine."""
    bench.engine.stop_dockerd()
    bench.shell("for it in /run/docker/netns/*; do umount $it; rm -f $it; done 2>/dev/null; true")
    bench.engine.start_dockerd()
    for network in sorted(_made(bench) & _NETWORKS):
        bench.attempt("network", "rm", network)
