"""From the file of a trace to that of its picture."""

import sys
from pathlib import Path

from shim.errors import ShimError
from shim.trace.drawing.diagram import draw
from shim.trace.reading import Trace, TraceError, read

STDIN = Path("-")
"""In place of a file."""


def draw_file(source: Path, target: Path | None, title: str) -> None:
    """Draw the trace in `source`; without a target the picture goes to stdout. Raises `ShimError`."""
    picture = draw(_read(source), title)
    if target is None:
        sys.stdout.write(picture)
        return
    try:
        if target.exists() and source.exists() and target.samefile(source):
            raise ShimError(
                f"{target}: the picture would take the place of the trace", cure="give another -o"
            )
        target.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise ShimError(f"{target}: cannot be written: {error.strerror}", cure="give another -o") from error


def _read(source: Path) -> Trace:
    if source == STDIN:
        return read(sys.stdin, "stdin")
    try:
        with source.open(encoding="utf-8", errors="replace") as lines:
            return read(lines, str(source))
    except OSError as error:
        raise TraceError(f"{source}: cannot be read: {error.strerror}") from error
