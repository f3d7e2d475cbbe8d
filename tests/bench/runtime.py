"""The CNI runtime beside the bare plugin execs: ADD and DEL of bridge with host-local.

Runs inside the room, in a network namespace of its own: `python runtime.py PLUGIN_FOLDER ROUNDS WIDTH`. In
each round a network is given and taken back once by the runtime and once by the bare execs, and at the end
WIDTH times at once by each. Prints one JSON object: `runtime` and `bare`, the seconds of each round, and of
what ran at once `runtime_wall` and `bare_wall`, seconds for all together, and `errors` of the runtime.
"""

import asyncio
import json
import random
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bare import Chain

from shim.cni.conf import NetworkConfigList
from shim.cni.exec import Exec
from shim.cni.runtime import Attachment, Runtime

_DEADLINE = 120.0
_CONFLIST = {
    "cniVersion": "1.0.0",
    "name": "bench-runtime",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "bench0",
            "isGateway": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.98.0.0/16"}]]},
        }
    ],
}


class Bench:
    """The two ways, for plugins in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._chain = Chain(_CONFLIST, folder)
        self._conf = NetworkConfigList.from_json(_CONFLIST, "the benchmark's conflist")
        self._runtime = Runtime(
            Exec(lambda *_: None), [folder], add_deadline=_DEADLINE, delete_deadline=_DEADLINE
        )

    async def by_runtime(self, namespace: str) -> float:
        """Seconds that ADD and DEL took."""
        start = time.perf_counter()
        attachment = Attachment(namespace, f"/run/netns/{namespace}", "eth0")
        result = await self._runtime.add(self._conf, attachment)
        await self._runtime.delete(self._conf, attachment, result)
        return time.perf_counter() - start

    async def by_bare_execs(self, namespace: str) -> float:
        """Seconds that ADD and DEL took. Nothing else runs meanwhile."""
        return self._chain.add_and_delete(namespace)

    async def rounds(self, count: int, namespace: str) -> dict[str, list[float]]:
        """Both ways in turn, the order drawn in each round."""
        ways = {"runtime": self.by_runtime, "bare": self.by_bare_execs}
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(count + 1):
            for way in random.sample(list(ways), len(ways)):
                taken = await ways[way](namespace)
                if number:  # the first round makes the bridge, and is not like the others
                    seconds[way].append(taken)
        return seconds

    async def parallel_by_runtime(self, namespaces: Sequence[str]) -> tuple[float, list[str]]:
        """Seconds for all together, and what went wrong."""
        start = time.perf_counter()
        ends = await asyncio.gather(*map(self.by_runtime, namespaces), return_exceptions=True)
        wall = time.perf_counter() - start
        return wall, [str(end) for end in ends if isinstance(end, BaseException)]

    def parallel_by_bare_execs(self, namespaces: Sequence[str]) -> float:
        """Seconds for all together."""
        with ThreadPoolExecutor(len(namespaces)) as pool:
            start = time.perf_counter()
            list(pool.map(self._chain.add_and_delete, namespaces))
            return time.perf_counter() - start


async def measure(bench: Bench, rounds: int, namespaces: Sequence[str]) -> dict[str, Any]:
    """What `main` prints."""
    seconds = await bench.rounds(rounds, namespaces[0])
    runtime_wall, errors = await bench.parallel_by_runtime(namespaces)
    bare_wall = bench.parallel_by_bare_execs(namespaces)
    return {**seconds, "errors": errors, "runtime_wall": runtime_wall, "bare_wall": bare_wall}


def main() -> None:
    """Measure once."""
    folder, rounds, width = sys.argv[1:]
    namespaces = [f"bench-{secrets.token_hex(4)}" for _ in range(int(width))]
    for namespace in namespaces:
        subprocess.run(["ip", "netns", "add", namespace], check=True)
    try:
        json.dump(asyncio.run(measure(Bench(Path(folder)), int(rounds), namespaces)), sys.stdout)
    finally:
        for namespace in namespaces:
            subprocess.run(["ip", "netns", "delete", namespace], check=True)


if __name__ == "__main__":
    main()
