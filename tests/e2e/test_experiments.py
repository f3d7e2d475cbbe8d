"""Some experiments from end to end, and the report against the data."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from experiments import book
from experiments.model import Experiment
from lab.footprint import Footprint, host_footprint

_EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
_CHEAP = ("E10", "E60", "E68")


def test_what_is_measured_is_judged_and_reported_and_nothing_is_left(
    tmp_path: Path, host_before: Footprint
) -> None:
    folder = tmp_path / "results"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "experiments",
            "--quick",
            "--only",
            ",".join(_CHEAP),
            "--results",
            str(folder),
        ],
        env=os.environ | {"PYTHONPATH": str(_EXAMPLES)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    summary = _summary((folder / "report.md").read_text())
    for entry in book.entries():
        if entry.claim.id in _CHEAP:
            assert isinstance(entry, Experiment)
            judgement = entry.judge(json.loads((folder / f"{entry.claim.id}.json").read_text())["data"])
            expected = [*map(str, judgement.verdicts.values()), judgement.bridge.degree.value]
            assert summary[entry.claim.id] == expected
    assert summary.keys() == set(_CHEAP)
    assert host_before.difference(host_footprint()) == []


def _summary(text: str) -> dict[str, list[str]]:
    """The cells behind each claim in the table on top, by ID."""
    rows = re.findall(r"^\| \[(E\w+)\]\(#\w+\) \|(.*)\|$", text, re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split("|")[-3:]] for name, cells in rows}
