"""Run the book of experiments on private engines and write the report."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError

from experiments import book, report, results, runner
from experiments.model import Documented, Entry

_BUILD = Path(__file__).resolve().parents[2] / "build"


def main() -> None:
    """Run, and report. Ends with status 1 when an experiment failed, and says which."""
    arguments = _arguments()
    chosen = _chosen(book.entries(), arguments)
    folder: Path = arguments.results
    if arguments.report_only:
        run = results.read(folder)
        failed = [result for result in run.results.values() if result.error]
    else:
        if os.geteuid() != 0:
            sys.exit("error: experiments make network namespaces: run them as root")
        try:
            failed = runner.run(chosen, folder, quick=arguments.quick)
        except LabError as error:
            sys.exit(f"error: {error}")
        except KeyboardInterrupt:
            sys.exit("\ninterrupted; nothing is left behind")
        run = results.read(folder)
    written = report.write(folder, chosen, run) + report.write_traces(folder, chosen, run)
    if arguments.into:
        written += report.write(arguments.into, chosen, run, "experiments")
    for path in written:
        sys.stdout.write(f"  {path}\n")
    if failed:
        sys.exit(f"error: failed: {', '.join(result.id for result in failed)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    parser.add_argument("--only", default="", metavar="E10,E60", help="only these")
    parser.add_argument("--quick", action="store_true", help="a subset, with fewer repetitions")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="default: in build/, git-ignored")
    parser.add_argument("--report-only", action="store_true", help="only write the report of a run anew")
    parser.add_argument(
        "--into", type=Path, metavar="FOLDER", help="put experiments.html and .md there as well"
    )
    arguments = parser.parse_args()
    if arguments.into and (arguments.only or arguments.quick):
        parser.error("--into takes the report of a whole run: leave out --only and --quick")
    if not arguments.results:
        kind = "-only" if arguments.only else "-quick" if arguments.quick else ""
        arguments.results = _BUILD / f"experiments{kind}"
    return arguments


def _chosen(entries: Sequence[Entry], arguments: argparse.Namespace) -> list[Entry]:
    if arguments.only:
        wanted = arguments.only.upper().replace(",", " ").split()
        known = {entry.claim.id: entry for entry in entries}
        if unknown := [name for name in wanted if name not in known]:
            sys.exit(f"error: no experiment {', '.join(unknown)}: there are {', '.join(known)}")
        return [known[name] for name in wanted]
    return [entry for entry in entries if isinstance(entry, Documented) or not arguments.quick or entry.quick]


if __name__ == "__main__":
    main()
