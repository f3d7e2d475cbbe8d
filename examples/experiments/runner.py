"""Runs experiments one after another; one that fails does not keep the others from running."""

from __future__ import annotations

import subprocess
import sys
import time
import traceback
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.footprint import host_footprint

from experiments import results
from experiments.model import Experiment
from experiments.parts import Parts
from experiments.results import Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from experiments.model import Entry


def run(entries: Sequence[Entry], folder: Path, *, quick: bool) -> list[Result]:
    """Run the experiments among the entries and write their data to the folder; those that failed.

    Raises `LabError` when the machine is not as before afterwards.
    """
    results.begin(folder)
    before = host_footprint()
    failed: list[Result] = []
    start = time.monotonic()
    with Parts(quick=quick) as parts:
        for result in _results(entries, parts):
            results.write(folder, result)
            if result.error:
                failed.append(result)
        about = parts.describe()
    results.finish(folder, about | {"seconds": time.monotonic() - start})
    if left := before.difference(host_footprint()):
        raise LabError(f"this machine is not as before: {'; '.join(left)}")
    return failed


def _results(entries: Iterable[Entry], parts: Parts) -> Iterable[Result]:
    for entry in entries:
        if isinstance(entry, Experiment):
            sys.stdout.write(f"  {entry.claim.id:<5}{entry.claim.title} ... ")
            sys.stdout.flush()
            result = _result(entry, parts)
            outcome = f"FAILED: {result.error}" if result.error else "done"
            sys.stdout.write(f"{outcome}, {result.seconds:.0f} s\n")
            sys.stdout.flush()
            yield result


def _result(experiment: Experiment, parts: Parts) -> Result:
    start = time.monotonic()
    data, error = {}, ""
    try:
        data = experiment.measure(parts)
    except (LabError, subprocess.TimeoutExpired) as failure:
        error = " ".join(str(failure).split())
    except Exception as failure:  # noqa: BLE001 - a defect in one must not cost the others
        error = f"{type(failure).__name__}: {failure} ({_where(failure)})"
    return Result(experiment.claim.id, time.monotonic() - start, data, error)


def _where(failure: Exception) -> str:
    """The last place of ours that a failure came through."""
    frames = traceback.extract_tb(failure.__traceback__)
    ours = [frame for frame in frames if "/experiments/" in frame.filename] or frames
    return f"{ours[-1].filename.rpartition('/')[2]}:{ours[-1].lineno}"
