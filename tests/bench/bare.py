"""The bare plugin execs: ADD and DEL of one chain with no runtime around them, to compare the shim with.

Runs inside the room: `python bare.py CONFLIST PLUGIN_FOLDER WIDTH` gives WIDTH namespaces at a time a network
and takes it back, and prints one JSON object: `seconds`, what each ADD and DEL took, and `wall`, what all
took together. Making and removing the namespaces is not counted.
"""

import json
import os
import secrets
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


class Chain:
    """The plugins of a conflist, found in `folder`. Raises `CalledProcessError` when one of them fails."""

    def __init__(self, conflist: dict[str, Any], folder: Path) -> None:
        self._plugins = conflist["plugins"]
        self._common = {"name": conflist["name"], "cniVersion": conflist["cniVersion"]}
        self._folder = folder

    def add_and_delete(self, namespace: str) -> float:
        """Seconds that ADD and DEL of the chain in the namespace took."""
        start = time.perf_counter()
        result: dict[str, Any] = {}
        for plugin in self._plugins:
            result = {"prevResult": json.loads(self._run("ADD", plugin, namespace, result))}
        for plugin in reversed(self._plugins):
            self._run("DEL", plugin, namespace, result)
        return time.perf_counter() - start

    def _run(self, command: str, plugin: dict[str, Any], namespace: str, result: dict[str, Any]) -> bytes:
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": namespace,
            "CNI_NETNS": f"/run/netns/{namespace}",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(self._folder),
        }
        return subprocess.run(
            [self._folder / plugin["type"]],
            env=os.environ | environment,
            input=json.dumps(plugin | self._common | result).encode(),
            stdout=subprocess.PIPE,
            check=True,
        ).stdout


def main() -> None:
    """Measure once."""
    conflist, folder, width = sys.argv[1:]
    chain = Chain(json.loads(Path(conflist).read_text()), Path(folder))
    namespaces = [f"bench-{secrets.token_hex(4)}" for _ in range(int(width))]
    for namespace in namespaces:
        subprocess.run(["ip", "netns", "add", namespace], check=True)
    try:
        with ThreadPoolExecutor(len(namespaces)) as pool:
            start = time.perf_counter()
            seconds = list(pool.map(chain.add_and_delete, namespaces))
            wall = time.perf_counter() - start
    finally:
        for namespace in namespaces:
            subprocess.run(["ip", "netns", "delete", namespace], check=True)
    json.dump({"seconds": seconds, "wall": wall}, sys.stdout)


if __name__ == "__main__":
    main()
