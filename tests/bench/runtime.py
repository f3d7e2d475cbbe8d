"""ADD and DEL of one chain through `shim/cni`, with no daemon around it, to compare with the bare execs.

Runs inside the room; usage and what it prints are those of `bare.py`.
"""

import asyncio
import json
import secrets
import subprocess
import sys
import time
from pathlib import Path

from shim.cni.conf import NetworkConfigList
from shim.cni.exec import Exec
from shim.cni.runtime import Attachment, Runtime

_DEADLINE = 60.0


async def main() -> None:
    """Measure once."""
    conflist, folder, width = sys.argv[1:]
    conf = _conf(Path(conflist))
    plugin_exec = Exec(lambda *_: None)
    runtime = Runtime(plugin_exec, [Path(folder)], add_deadline=_DEADLINE, delete_deadline=_DEADLINE)

    async def add_and_delete(namespace: str) -> float:
        start = time.perf_counter()
        attachment = Attachment(namespace, f"/run/netns/{namespace}", "eth0")
        await runtime.delete(conf, attachment, await runtime.add(conf, attachment))
        return time.perf_counter() - start

    namespaces = [f"bench-{secrets.token_hex(4)}" for _ in range(int(width))]
    for namespace in namespaces:
        subprocess.run(["ip", "netns", "add", namespace], check=True)  # noqa: ASYNC221 - nothing else runs
    try:
        start = time.perf_counter()
        seconds = await asyncio.gather(*map(add_and_delete, namespaces))
        wall = time.perf_counter() - start
    finally:
        for namespace in namespaces:
            subprocess.run(["ip", "netns", "delete", namespace], check=True)  # noqa: ASYNC221
    json.dump({"seconds": seconds, "wall": wall}, sys.stdout)


def _conf(path: Path) -> NetworkConfigList:
    return NetworkConfigList.from_json(json.loads(path.read_text()), str(path))


if __name__ == "__main__":
    asyncio.run(main())
