"""Keeps one room, and removes every trace of it when its owner goes, however that happens.

Usage: `python3 -m lab.keeper FOLDER CGROUP [ROOT]`. Stands outside the room, in a session of its own, so
that neither Ctrl-C nor the death of its owner takes it along. Prints one JSON object when the room is
ready: `room` and `tree`, the process IDs whose namespaces are the room's and the engine's. The owner holds
the keeper's standard input; when that closes, the keeper kills the room and removes FOLDER and the cgroups
named CGROUP. Should the keeper itself be killed, the room dies with it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")

_PATIENCE = 10.0
"""Seconds to wait for the kernel to let go of the cgroups of processes it has just killed."""

_WITH_ME = ("setpriv", "--pdeathsig", "KILL", "--")
_NAMESPACES = (
    "--net",
    "--mount",
    "--propagation",
    "private",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
)


def main() -> None:
    """Open the room, wait for its owner to go, and clean up."""
    folder, cgroup, *root = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    room = subprocess.Popen(
        [*_WITH_ME, "unshare", *_NAMESPACES, sys.executable, "-m", "lab.furnish", folder, *root],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    init = 0
    try:
        if room.stdout and room.stdout.readline():
            (init,) = children(room.pid)
            sys.stdout.write(json.dumps({"room": init, "tree": children(init)[0] if root else init}) + "\n")
            sys.stdout.flush()
            sys.stdin.read()
    finally:
        if init:
            os.kill(init, signal.SIGKILL)  # and with it every process of the room
        else:
            room.kill()
        room.wait()
        _remove_cgroups(cgroup)
        shutil.rmtree(folder)


def children(pid: int) -> list[int]:
    """The process IDs of the children of process `pid`."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cgroups(name: str) -> Iterator[Path]:
    """The cgroups of that name, at the top of each hierarchy (v1) or of the only one (v2), and all in them.

    Innermost first.
    """
    for parent in (_CGROUPS, *_CGROUPS.iterdir()):
        for folder, _, _ in os.walk(parent / name, topdown=False):
            yield Path(folder)


def _remove_cgroups(name: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while remaining := list(cgroups(name)):
        for cgroup in remaining:
            try:
                cgroup.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


if __name__ == "__main__":
    main()
