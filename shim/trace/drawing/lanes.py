"""The lanes of a diagram: who they stand for, and where their lines, bars and labels are."""

from collections.abc import Mapping
from dataclasses import dataclass

from shim.spans import Kind
from shim.trace.drawing.placing import side_by_side
from shim.trace.reading import Trace

WIDEST = 1200.0
"""Pixels of a diagram."""
_NARROWEST = 720.0
_MARGIN = 12.0
_FIRST = 96.0
"""Where the line of the first lane is; the time axis is left of it."""
_BAR = 8.0
"""From a bar to the next one at its side, unless there are too many."""
_BARS = 96.0
"""The room that they have at most."""
_BEFORE_LABELS, _AFTER_LABELS = 14.0, 12.0
_ARROW = 72.0
"""Between the shim's bars and the next lane."""
_CHARACTER = 9.5
"""Pixels for each character that a lane's labels should have, at most."""

ENGINE, SHIM, PLUGINS, KERNEL, KUBERNETES = "Docker engine", "shim", "CNI plugins", "kernel", "Kubernetes"

_KINDS: dict[str, tuple[Kind, ...]] = {
    ENGINE: (Kind.ENGINE,),
    SHIM: (Kind.CALL, Kind.WORK),
    PLUGINS: (Kind.PLUGIN,),
    KERNEL: (Kind.KERNEL,),
    KUBERNETES: (Kind.KUBERNETES,),
}
"""Whose bars are on which lane, from left to right."""
_CHARACTERS = {ENGINE: 46, SHIM: 0, PLUGINS: 26, KERNEL: 34, KUBERNETES: 28}
"""How long the labels at the right of a lane should be; those of calls are at the right of the engine's."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane; all in pixels."""

    title: str
    x: float
    """Of its line."""
    step: float
    """From a bar to the next one at its side."""
    labels: float
    """Where they begin."""
    room: float
    """How wide they may be."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """Those that a trace needs."""

    by_title: Mapping[str, Lane]
    columns: Mapping[int, int]
    """Which bar at the side of others each event's is, by its ID."""
    width: float
    """Of the whole diagram."""

    def of(self, kind: Kind) -> Lane:
        """The lane with the bars of a kind."""
        return self.by_title[next(title for title, kinds in _KINDS.items() if kind in kinds)]

    def labels_of(self, kind: Kind) -> Lane:
        """The lane at whose right the labels of a kind are; between engine and shim are those of both."""
        return self.by_title[ENGINE] if kind in _KINDS[SHIM] else self.of(kind)


def lay_out(trace: Trace) -> Lanes:
    """The lanes that have something on them, and those of the engine and the shim."""
    columns: dict[int, int] = {}
    bars: dict[str, int] = {}
    for title, kinds in _KINDS.items():
        events = [event for event in trace.events if event.kind in kinds]
        if events or title in {ENGINE, SHIM}:
            found = side_by_side([(event.start, event.end) for event in events])
            columns |= {event.id: column for event, column in zip(events, found, strict=True)}
            bars[title] = max(found, default=-1) + 1
    by_title = _placed(bars, _character(bars))
    last = by_title[next(reversed(by_title))]
    return Lanes(by_title, columns, min(WIDEST, max(_NARROWEST, last.labels + last.room + _MARGIN)))


def _character(bars: Mapping[str, int]) -> float:
    """Pixels for each character of labels: what the rest leaves."""
    lanes = _placed(bars, 0.0)
    last = lanes[next(reversed(lanes))]
    taken = last.labels + last.room + _MARGIN
    return min(_CHARACTER, (WIDEST - taken) / sum(_CHARACTERS[title] for title in bars))


def _placed(bars: Mapping[str, int], character: float) -> dict[str, Lane]:
    lanes: dict[str, Lane] = {}
    x = _FIRST
    for title, count in bars.items():
        wide = min(_BARS, _BAR * count)
        room = _CHARACTERS[title] * character
        labels = x + wide + _BEFORE_LABELS
        lanes[title] = Lane(title, x, wide / max(1, count), labels, room)
        x = x + wide + _ARROW if title == SHIM else labels + room + _AFTER_LABELS
    return lanes
