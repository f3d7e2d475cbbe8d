"""The command line: where the report of a run is put."""

import sys
from pathlib import Path

import pytest
from experiments import __main__ as command
from experiments import results

from tests.unit.experiments.made_up import RUN


def test_the_report_of_a_run_is_put_into_another_folder_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, docs = tmp_path / "run", tmp_path / "docs"
    docs.mkdir()
    results.begin(run)
    results.finish(run, RUN.about)
    arguments = ["--report-only", "--results", str(run), "--into", str(docs)]
    monkeypatch.setattr(sys, "argv", ["experiments", *arguments])

    command.main()

    for ending in ("html", "md"):
        assert (docs / f"experiments.{ending}").read_text() == (run / f"report.{ending}").read_text()


@pytest.mark.parametrize("part", [["--quick"], ["--only", "E10"]])
def test_the_report_of_a_part_is_put_nowhere_else(
    part: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["experiments", "--into", "docs", *part])

    with pytest.raises(SystemExit):
        command.main()
    assert "--into takes the report of a whole run" in capsys.readouterr().err
