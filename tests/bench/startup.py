"""How long the daemon takes from the start of its process until its socket accepts.

Runs inside the room: `python startup.py FOLDER` starts the daemon with socket, state and run-time files in
FOLDER, which is made and removed, stops it again, and prints one JSON object of seconds: `daemon`, and
`interpreter`, what an empty program of the same Python takes from start to end.
"""

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

_DEADLINE = 30.0
_PAUSE = 0.001
"""Seconds between two looks at the socket: the error of the measurement."""


def main() -> None:
    """Measure once."""
    folder = Path(sys.argv[1])
    folder.mkdir()
    try:
        json.dump({"daemon": _daemon(folder), "interpreter": _interpreter()}, sys.stdout)
    finally:
        shutil.rmtree(folder)


def _daemon(folder: Path) -> float:
    config = folder / "config.yaml"
    paths = {"socket": "cni.sock", "state_dir": "state", "run_dir": "run", "docker_socket": "none.sock"}
    config.write_text(json.dumps({key: str(folder / name) for key, name in paths.items()}))  # JSON is YAML
    start = time.perf_counter()
    daemon = subprocess.Popen(
        [sys.executable, "-m", "shim.cli", "serve", "--config", config, "--log-level", "error"]
    )
    try:
        while not _accepts(folder / "cni.sock"):
            if daemon.poll() is not None or time.perf_counter() - start > _DEADLINE:
                sys.exit("the daemon does not start")
            time.sleep(_PAUSE)
        return time.perf_counter() - start
    finally:
        daemon.terminate()
        daemon.wait()


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


def _interpreter() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", ""], check=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
