"""What waits to be written to a trace: bounded, so that a slow reader costs lines and nothing else."""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from shim.spans import Span

MOST_SPANS = 4096
"""That wait at once."""
MOST_BYTES = 16 * 1024 * 1024
"""Of bodies that wait at once."""


@dataclass(slots=True)
class Lost:
    """In the place of spans that there was no room for."""

    count: int = 0


class Backlog:
    """Spans in the order of their ends; those that find no room are counted. Made and used in one thread."""

    def __init__(self, most_spans: int = MOST_SPANS, most_bytes: int = MOST_BYTES) -> None:
        self._most_spans = most_spans
        self._most_bytes = most_bytes
        self._items: deque[Span | Lost] = deque()
        self._bytes = 0
        self._has_ended = False
        self._changed = asyncio.Event()

    def put(self, span: Span) -> None:
        """Let a span wait, or count it."""
        bodies = size(span)
        if len(self._items) < self._most_spans and self._bytes + bodies <= self._most_bytes:
            self._items.append(span)
            self._bytes += bodies
        else:
            if not self._items or not isinstance(self._items[-1], Lost):
                self._items.append(Lost())
            last = self._items[-1]
            if isinstance(last, Lost):
                last.count += 1
        self._changed.set()

    def end(self, under_way: Iterable[Span] = ()) -> None:
        """Nothing follows but these as they are now, which have not ended."""
        self._items.extend(replace(span, details=dict(span.details)) for span in under_way)
        self._has_ended = True
        self._changed.set()

    def __len__(self) -> int:
        return len(self._items)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Span | Lost:
        while not self._items:
            if self._has_ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        item = self._items.popleft()
        if isinstance(item, Span):
            self._bytes -= size(item)
        return item


def size(span: Span) -> int:
    """The bytes of its bodies, which are most of what it takes in memory."""
    return sum(len(item) for item in span.details.values() if isinstance(item, bytes))
