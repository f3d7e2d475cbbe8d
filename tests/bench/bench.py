"""`make bench`: what the shim adds to `docker run`, on real engines that are private to this run.

Every way to a network has its turn in every round: no network, Docker's own bridge, the shim, the shim as
IPAM driver as well, and the bare runs of the shim's plugins. The shim's CNI runtime is measured alone,
beside the bare runs, and the runs of plugins are counted. Machines differ and drift, so read the ratios
first. The aims are shown beside what was measured, and nothing fails when one is missed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import report
from calls import LogError
from lab.engine import Engine
from lab.errors import LabError
from lab.footprint import host_footprint
from measure import Measurements, measure

_ENGINES = {"20.10": Engine.debian, "newest": Engine.newest}
_ROUNDS = 8
"""About a minute for each engine."""


def main() -> None:
    """Measure and report. Ends with status 1 and one line when something breaks."""
    arguments = _arguments()
    if os.geteuid() != 0:
        sys.exit("error: the benchmark makes network namespaces: run it as root")
    before = host_footprint()
    try:
        results = [_measured(name, arguments.rounds) for name in arguments.engines]
        if arguments.json:
            arguments.json.write_text(json.dumps([report.raw(result) for result in results], indent=2) + "\n")
    except (LabError, LogError, subprocess.SubprocessError, OSError) as error:
        sys.exit(f"\nerror: {error}")
    except KeyboardInterrupt:
        sys.exit("\ninterrupted; nothing is left behind")
    if left := before.difference(host_footprint()):
        sys.exit(f"error: this machine is not as before: {'; '.join(left)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.py", description=__doc__)
    parser.add_argument("--engine", choices=[*_ENGINES, "both"], default="both", help="default: both")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, metavar="N", help=f"default: {_ROUNDS}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement as well")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("--rounds: at least 2, one shows no spread")
    arguments.engines = list(_ENGINES) if arguments.engine == "both" else [arguments.engine]
    return arguments


def _measured(name: str, rounds: int) -> Measurements:
    start = time.monotonic()

    def progress(text: str) -> None:
        _write(f"  {text}, after {time.monotonic() - start:.0f} s")

    with (
        tempfile.TemporaryDirectory(prefix="cnm-cni-bench-", dir="/var/tmp") as folder,
        _ENGINES[name](Path(folder) / "engine") as engine,
    ):
        measured = measure(engine, rounds, progress)
    _write(f"\nDocker {measured.engine}, {rounds} rounds in {time.monotonic() - start:.0f} s")
    _write(report.text(measured) + "\n")
    return measured


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
