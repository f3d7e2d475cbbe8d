"""What commands print: tables for people, JSON for programs."""

import json
import time as clock
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

NOTHING = "-"
"""In place of what is not known."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as they must be; an empty cell shows as `-`."""
    lines = [head, *([cell or NOTHING for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def json_text(value: Any) -> str:
    """JSON that people can read as well."""
    return json.dumps(value, indent=2)


def time(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 writes them."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def age(since: float) -> str:
    """The time since `since`, seconds since the epoch, as kubectl shows it; nothing when that is 0."""
    seconds = max(0, int(clock.time() - since))
    if not since:
        return ""
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    if seconds < 2 * _HOUR:
        return f"{seconds // _MINUTE}m"
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR}h"
    return f"{seconds // _DAY}d"
