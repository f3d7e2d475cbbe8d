"""The log: one line for each call of the engine, with the plugin runs it caused below it.

Join web/4f1c09aab2de 18.4 ms
CreateEndpoint web/4f1c09aab2de 46.0 ms
  bridge ADD 12.9 ms
  portmap ADD 21.3 ms
"""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from shim import spans
from shim.errors import one_line
from shim.spans import Kind, Span

_log = logging.getLogger("shim.calls")


@dataclass(slots=True)
class CallRecord:
    """One call under way, and what it ran."""

    name: str
    span: Span
    subject: str = ""
    """What the call is about: network or `network/endpoint`, IDs shortened as docker shows them."""
    error: str = ""
    runs: list[str] = field(default_factory=list)


_current: ContextVar[CallRecord | None] = ContextVar("call", default=None)


@contextmanager
def call(name: str, path: str = "") -> Iterator[CallRecord]:
    """Record a call from here to the end of the block, then log it with its plugin runs.

    `path` is where the engine has sent it; without one the daemon acts of its own accord.
    """
    kind, details = (Kind.CALL, {"path": path}) if path else (Kind.WORK, {})
    with spans.span(kind, name, **details) as span:
        record = CallRecord(name, span)
        token = _current.set(record)
        start = time.perf_counter()
        try:
            yield record
        finally:
            _current.reset(token)
            span.error = record.error
            took = time.perf_counter() - start
            line = " ".join(filter(None, (record.name, record.subject, f"{took * 1000:.1f} ms")))
            _log.log(
                logging.ERROR if record.error else logging.INFO,
                "\n".join([line + (f": {record.error}" if record.error else ""), *record.runs]),
            )


def about(subject: str) -> None:
    """Say what the present call is about."""
    record = _current.get()
    if record is not None:
        record.subject = one_line(subject)
        record.span.tell(subject=record.subject)


def plugin_ran(plugin: str, command: str, seconds: float, outcome: str = "") -> None:
    """Note a plugin run below the present call; `outcome` is empty when it succeeded."""
    line = f"  {plugin} {command} {seconds * 1000:.1f} ms" + (f": {outcome}" if outcome else "")
    record = _current.get()
    if record is None:
        _log.info(line.strip())
    else:
        record.runs.append(line)


def start(level: str) -> None:
    """Log to stderr from now on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger("shim")
    root.addHandler(handler)
    root.setLevel(level.upper())
