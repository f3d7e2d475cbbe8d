"""The lines of a trace: one JSON object each. `docs/trace.md` describes them.

A trace begins with a header. Then comes a line for each span, when it ends, and at last a line that says so,
after those for what is still under way. Where lines are missing, one says how many.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import shim
from shim.spans import Span
from shim.trace import redaction
from shim.trace.backlog import Backlog, Lost, size

VERSION = 1
"""Of the format; a reader need not understand another one."""

_LONG = 32768
"""Bytes of bodies from which on the making of a line takes too long for the event loop: milliseconds."""

_PLAIN = {"path", "network", "command", "containerid", "ifname", "netns", "namespace", "status", "waited"}
"""Details that are shown as they are."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """The moment that a trace begins, by both clocks."""

    wall: float = field(default_factory=time.time)
    monotonic: float = field(default_factory=time.monotonic)


async def lines(backlog: Backlog, source: Mapping[str, Any]) -> AsyncIterator[str]:
    """The trace of what comes through the backlog, until that has ended; `source` says where from."""
    epoch = Epoch()
    yield _line(
        kind="trace",
        version=VERSION,
        program=f"cnm-cni {shim.__version__}",
        **source,
        start=_time(epoch.wall),
        monotonic=round(epoch.monotonic, 6),
    )
    async for item in backlog:
        if isinstance(item, Lost):
            yield _line(kind="lost", count=item.count)
        elif size(item) < _LONG:
            yield span_line(item, epoch)
        else:  # which must not delay any call
            yield await asyncio.to_thread(span_line, item, epoch)
    yield _line(kind="end", offset=round(time.monotonic() - epoch.monotonic, 6))


def span_line(span: Span, epoch: Epoch) -> str:
    """The line for a span; what is secret in it is left out."""
    seconds = None if span.end is None else span.end - span.start
    return _line(
        kind=span.kind,
        id=span.number,
        within=span.within,
        name=span.name,
        start=_time(span.wall),
        end=None if seconds is None else _time(span.wall + seconds),
        offset=round(span.start - epoch.monotonic, 6),
        seconds=None if seconds is None else round(seconds, 6),
        error=redaction.value(span.error),
        **_details(span.details),
    )


def _details(details: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {name: _detail(name, item) for name, item in details.items()}
    except RecursionError:
        return {"unreadable": "too many levels of JSON"}


def _detail(name: str, item: Any) -> Any:
    if name in _PLAIN:
        return round(item, 6) if isinstance(item, float) else item
    return redaction.pairs(item) if name == "args" else redaction.value(item)


def _line(**members: Any) -> str:
    return json.dumps(members, separators=(",", ":")) + "\n"


def _time(wall: float) -> str:
    """Seconds since the epoch as RFC 3339 writes them, with microseconds."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
