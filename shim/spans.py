"""What happens in the daemon, as spans of time, told to whoever listens when each of them ends.

Every floor may open one. Without a listener it costs a few microseconds and keeps nothing.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from shim.errors import one_line


class Kind(StrEnum):
    """Who does what is under way."""

    CALL = "call"
    """The engine calls the driver."""
    WORK = "work"
    """The daemon does something of its own accord, such as a repair."""
    PLUGIN = "plugin"
    """A CNI plugin runs."""
    KERNEL = "kernel"
    """The daemon itself changes or reads namespaces, links or rules."""
    ENGINE = "engine"
    """The daemon asks the Docker Engine API."""
    KUBERNETES = "kubernetes"
    """The daemon asks the Kubernetes API."""


@dataclass(slots=True, eq=False)
class Span:
    """Something with a beginning and an end."""

    number: int
    kind: Kind
    name: str
    within: int | None = None
    """The number of the span that it is a part of."""
    wall: float = field(default_factory=time.time)
    """Its beginning, in seconds since the epoch."""
    start: float = field(default_factory=time.monotonic)
    """The same by the clock that is never set."""
    end: float | None = None
    """Its end by that clock; None while it is under way."""
    error: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    """What else is known; bytes are a body as it went over the wire."""

    def tell(self, **details: Any) -> None:
        """Add what is known meanwhile."""
        self.details |= details

    def begin(self) -> None:
        """Let it begin only now: it has waited for its turn until here."""
        now = time.monotonic()
        waited = now - self.start
        self.start, self.wall = now, self.wall + waited
        self.tell(waited=waited)


Listener = Callable[[Span], None]
"""Told of each span at its end; must not block, fail, or change it."""

_numbers = itertools.count(1)
_under_way: dict[int, Span] = {}
_listeners: list[Listener] = []
_current: ContextVar[Span | None] = ContextVar("span", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell `listener` of every span that ends within the block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def under_way() -> list[Span]:
    """The spans that have not ended, in the order of their beginnings."""
    return list(_under_way.values())


@contextmanager
def span(kind: Kind, name: str, **details: Any) -> Iterator[Span]:
    """A span as long as the block; an exception that leaves it is its error."""
    opened = start(kind, name, **details)
    token = _current.set(opened)
    try:
        yield opened
    except BaseException as error:
        opened.error = opened.error or one_line(str(error) or type(error).__name__)
        raise
    finally:
        _current.reset(token)
        finish(opened)


def start(kind: Kind, name: str, **details: Any) -> Span:
    """A span that begins now, for what is no block; `finish` ends it."""
    parent = _current.get()
    if kind is Kind.WORK or (parent and parent.end is not None):  # what goes on in the background is no part
        parent = None
    opened = Span(next(_numbers), kind, name, parent.number if parent else None, details=details)
    _under_way[opened.number] = opened
    return opened


def finish(opened: Span) -> None:
    """The span ends now."""
    opened.end = time.monotonic()
    del _under_way[opened.number]
    for listener in tuple(_listeners):
        listener(opened)
