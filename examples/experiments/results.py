"""The raw data of a run on disk: `run.json`, and one file for each experiment."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one experiment."""

    id: str
    seconds: float
    """What it took as a whole."""
    data: dict[str, Any]
    """Empty when it failed."""
    error: str = ""
    """Why it failed."""


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a report is made of."""

    about: dict[str, Any]
    """As `Parts.describe` says it."""
    results: dict[str, Result]


def begin(folder: Path) -> None:
    """Make the folder, without what an earlier run left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def write(folder: Path, result: Result) -> None:
    """Keep what came of an experiment."""
    (folder / f"{result.id}.json").write_text(json.dumps(asdict(result), indent=1) + "\n")


def finish(folder: Path, about: dict[str, Any]) -> None:
    """Keep what the run was made on."""
    (folder / "run.json").write_text(json.dumps(about, indent=1) + "\n")


def read(folder: Path) -> Run:
    """A run that was written. Raises `OSError` and `ValueError`."""
    about = json.loads((folder / "run.json").read_text())
    loaded = [Result(**json.loads(path.read_text())) for path in sorted(folder.glob("E*.json"))]
    return Run(about, {result.id: result for result in loaded})
