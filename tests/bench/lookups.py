"""What a lookup costs in a node that knows many objects, beside reading a conflist from its file.

Runs inside the room: `python lookups.py SETTINGS FOLDER` with a settings file and a folder of conflists.
Prints one JSON object of seconds for one lookup: `definition` by name, `binding` by ID, and `conflist`.
"""

import asyncio
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from shim import config
from shim.cni import conf
from shim.config import Kubernetes
from shim.kube import access
from shim.kube.client import Client
from shim.kube.cluster import Cluster
from shim.kube.objects import DEFINITIONS, DOCKER_NETWORKS

_TIMES = 20_000


def main() -> None:
    """Measure once."""
    settings, folder = sys.argv[1:]
    logging.disable()
    kubernetes = config.load(Path(settings)).kubernetes
    json.dump(asyncio.run(_measure(kubernetes, Path(folder))), sys.stdout)


async def _measure(settings: Kubernetes, folder: Path) -> dict[str, float]:
    way = access.find(settings, {})
    assert way
    with tempfile.TemporaryDirectory() as scratch:
        client = Client(way, Path(scratch))
        cluster = Cluster(client, settings, lambda: None)
        watching = asyncio.create_task(cluster.run())
        for resource in (DEFINITIONS, DOCKER_NETWORKS):
            await cluster.all_known(resource)
        names = cluster.definition_names("team-a")
        ids = [binding.id for binding in cluster.own_bindings()]
        result = {
            "definition": _each(lambda number: cluster.definition("team-a", names[number % len(names)])),
            "binding": _each(lambda number: cluster.own_bindings(ids[number % len(ids)])),
            "conflist": _each(lambda _: conf.find("cni-bridge", [folder]), times=200),
        }
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await client.close()
        return result


def _each(look: Callable[[int], object], times: int = _TIMES) -> float:
    start = time.perf_counter()
    for number in range(times):
        look(number)
    return (time.perf_counter() - start) / times


if __name__ == "__main__":
    main()
