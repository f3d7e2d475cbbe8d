"""A trace as a sequence diagram: lanes from left to right, time from top to bottom.

An arrow is a call, a dashed line its answer, a bar the time between them, to scale. Labels that would lie on
one another are moved apart, and lead to what they are about.
"""

import itertools
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shim.spans import Kind
from shim.trace.drawing import svg, wording
from shim.trace.drawing.lanes import ENGINE, SHIM, Lane, lay_out
from shim.trace.drawing.placing import spread
from shim.trace.drawing.scale import Scale
from shim.trace.drawing.words import Line, Run, cut, fitting, short, text_width, wrap
from shim.trace.reading import Event, Trace

_MARGIN = 12.0
_AXIS = 76.0
"""Where the labels of the time axis end."""
_TOP = 136.0
"""Where the first event begins."""
_HEAD, _HEAD_GAP = 24.0, 18.0
"""The height of a lane's head, and what is between it and the events."""
_LINE, _LABEL_GAP = 15.0, 3.0
_LINES, _ERROR_LINES = 3, 8
"""In a label at most."""
_THINNEST, _BETWEEN = 1.5, 1.0
"""Pixels of a bar, and between one and the next."""
_APART = 4.0
"""Pixels from which on two heights count as different."""

_SCALES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 3e3, 4e3, 5e3, 7e3, 1e4, 1.5e4, 2e4, 3e4, 5e4)
"""Pixels for a second, to choose from."""
_SHORT, _PLAIN = 1e-3, 10.0
"""Of the bars of so many seconds or more, three quarters should be so many pixels high or more."""
_MOST_MOVED, _SHARE_MOVED = 20.0, 1 / 3
"""Pixels that a label should be away from its place at most, and what the highest label there adds."""
_HIGHEST, _HIGHEST_PER_EVENT = 1400.0, 27.0
"""The height that the scale may take for that."""


@dataclass(frozen=True, slots=True)
class _Label:
    """What is written about an event, if possible beside its beginning."""

    event: Event
    lines: Sequence[Line]
    x: float
    anchor: str
    """What of it is at x: start or end."""
    lead: float
    """The x of what it is about."""

    @property
    def height(self) -> float:
        return len(self.lines) * _LINE + _LABEL_GAP

    def first(self, centre: float) -> float:
        """The height of its first line, given that of its centre."""
        return centre - (self.height - _LINE - _LABEL_GAP) / 2


_Placed = list[tuple[_Label, float]]
"""Labels with the heights of their centres."""


def draw(trace: Trace, title: str = "") -> str:
    """The trace as SVG; without a title it says what it is about."""
    return _Diagram(trace, title or wording.title(trace)).picture()


class _Diagram:
    """One picture."""

    def __init__(self, trace: Trace, title: str) -> None:
        self._trace = trace
        self._title = title
        self._origin = trace.events[0].start if trace.events else 0.0
        self._by_id = {event.id: event for event in trace.events}
        networks, endpoints = wording.subjects(trace)
        self._is_of_one = len(networks) <= 1 and len(endpoints) <= 1
        self._lanes = lay_out(trace)
        self._labels = self._labelled()
        self._scale = self._chosen_scale()
        self._placed = self._spread(self._scale)
        lowest = max((centre + label.height / 2 for label, centre in self._placed), default=0.0)
        self._end = max(_TOP + self._scale.height, lowest) + _HEAD_GAP

    def picture(self) -> str:
        """All of it, as SVG."""
        shapes = [self._shape(event) for event in self._trace.events]
        parts = [
            *self._axis(),
            *self._lines(),
            *shapes,
            *(self._lead(label, centre) for label, centre in self._placed),
            *(self._written(label, centre) for label, centre in self._placed),
            *self._heads(_TOP - _HEAD_GAP - _HEAD),
            *self._heads(self._end),
            *self._introduction(),
        ]
        name = f"trace-{zlib.crc32(''.join(shapes).encode(errors='replace')):08x}"
        size = self._lanes.width, self._end + _HEAD + _MARGIN
        return svg.picture(size, self._title, wording.description(self._trace), parts, name)

    # Where things are

    def _chosen_scale(self) -> Scale:
        """The smallest one by which bars can be told apart and labels have room, within reason."""
        spans = [(event.start, event.end) for event in self._trace.events]
        highest = _HIGHEST + _HIGHEST_PER_EVENT * len(spans)
        scales = [Scale(spans, pixels) for pixels in _SCALES]
        scales = list(itertools.takewhile(lambda scale: scale.height <= highest, scales)) or scales[:1]
        lengths = sorted(end - start for start, end in spans if end - start >= _SHORT)
        short = lengths[len(lengths) // 4] if lengths else math.inf
        suitable = (scale for scale in scales if short * scale.pixels >= _PLAIN and self._has_room(scale))
        return next(suitable, scales[-1])

    def _has_room(self, scale: Scale) -> bool:
        highest = {title: max(label.height for label in labels) for title, labels in self._labels.items()}
        return all(
            abs(centre - self._wanted(label, scale))
            <= _MOST_MOVED + _SHARE_MOVED * highest[self._title_of(label)]
            for label, centre in self._spread(scale)
        )

    def _title_of(self, label: _Label) -> str:
        return self._lanes.labels_of(label.event.kind).title

    def _spread(self, scale: Scale) -> _Placed:
        placed: _Placed = []
        for labels in self._labels.values():
            wanted = [self._wanted(label, scale) for label in labels]
            centres = spread(wanted, [label.height for label in labels], _TOP - (_LINE + _LABEL_GAP) / 2)
            placed += zip(labels, centres, strict=True)
        return placed

    @staticmethod
    def _wanted(label: _Label, scale: Scale) -> float:
        """The centre of a label whose first line is beside the beginning of its bar."""
        return 2 * (_TOP + scale.y(label.event.start)) - label.first(_TOP + scale.y(label.event.start))

    def _y(self, moment: float) -> float:
        return _TOP + self._scale.y(moment)

    def _left(self, event: Event) -> float:
        """The left side of an event's bar."""
        lane = self._lanes.of(event.kind)
        return lane.x + self._lanes.columns[event.id] * lane.step

    def _right(self, event: Event) -> float:
        return self._left(event) + max(_THINNEST, self._lanes.of(event.kind).step - _BETWEEN)

    # Labels

    def _labelled(self) -> Mapping[str, list[_Label]]:
        """The labels of each lane, in the order of their events."""
        labels: dict[str, list[_Label]] = {}
        for event in self._trace.events:
            lane = self._lanes.labels_of(event.kind)
            labels.setdefault(lane.title, []).append(self._label(event, lane))
        return labels

    def _label(self, event: Event, lane: Lane) -> _Label:
        most = fitting(lane.room, svg.LABEL_SIZE)
        subject = self._subject(event)
        lines = wrap(wording.label(event, "" if subject in event.name else subject), most, _LINES)
        if event.error:
            lines += wrap([Run(short(event.error), "error")], most, _ERROR_LINES)
        if event.kind is Kind.CALL:
            return _Label(event, lines, lane.labels, "start", lane.x)
        if lane.title == ENGINE:  # what the shim does towards the engine
            return _Label(event, lines, lane.labels + lane.room, "end", self._lanes.by_title[SHIM].x)
        return _Label(event, lines, lane.labels, "start", self._right(event))

    def _subject(self, event: Event) -> str:
        """Whom an event is for, unless all are for the same."""
        if self._is_of_one:
            return ""
        parent = self._by_id.get(event.within or 0)
        if event.kind in {Kind.CALL, Kind.WORK} or parent is None:
            return event.subject
        return parent.endpoint or parent.network

    def _written(self, label: _Label, centre: float) -> str:
        first = label.first(centre)
        lines = (
            svg.text(label.x, first + number * _LINE, line, anchor=label.anchor)
            for number, line in enumerate(label.lines)
        )
        return svg.group(wording.tooltip(label.event), lines, _style(label.event))

    def _lead(self, label: _Label, centre: float) -> str:
        """From a label to what it is about."""
        y, first = self._y(label.event.start), label.first(centre)
        if label.event.kind is Kind.CALL and abs(first - y) < _APART:
            return ""  # the arrow goes through it
        near = label.x + (_APART if label.anchor == "end" else -_APART)
        return svg.line(((label.lead, y), (near, first)), f"lead {_style(label.event)}")

    # Bars and arrows

    def _shape(self, event: Event) -> str:
        """The bar of an event, the arrow to it and its answer."""
        parts = (self._bar(event), *self._arrows(event))
        return svg.group(wording.tooltip(event), parts, _style(event))

    def _bar(self, event: Event) -> str:
        left, top = self._left(event), self._y(event.start)
        height = max(_THINNEST, self._y(event.end) - top - _BETWEEN)
        style = "bar" if event.is_finished else "bar open"
        return svg.rectangle(left, top, self._right(event) - left, height, style)

    def _arrows(self, event: Event) -> Iterator[str]:
        if event.kind is Kind.WORK:  # nobody has asked for it
            return
        asking = self._asking(event)
        asked = self._right(event) if event.kind is Kind.ENGINE else self._left(event)
        start, end = self._y(event.start), self._y(event.end)
        yield svg.arrow(asking, asked, start)
        if event.is_finished and end - start >= _APART:
            yield svg.line(((asked, end), (asking, end)), "answer")

    def _asking(self, event: Event) -> float:
        """The x of whoever has begun an event."""
        if event.kind is Kind.CALL:
            return self._lanes.by_title[ENGINE].x
        parent = self._by_id.get(event.within or 0)
        if parent is None or parent.kind not in {Kind.CALL, Kind.WORK}:
            return self._lanes.by_title[SHIM].x
        return self._left(parent) if event.kind is Kind.ENGINE else self._right(parent)

    # Around them

    def _axis(self) -> Iterator[str]:
        right = self._lanes.width - _MARGIN
        for gap in self._scale.gaps:
            yield svg.rectangle(_MARGIN, _TOP + gap.top, right - _MARGIN, gap.bottom - gap.top, "gap")
            words = (wording.duration(gap.seconds), "idle" if gap.is_idle else "waiting")
            for word, offset in zip(words, (-_LINE / 2, _LINE / 2), strict=True):
                line = (Run(word, "faint"),)
                yield svg.text(_AXIS, _TOP + gap.middle + offset, line, anchor="end", on="gap")
        for seconds, y in self._scale.ticks(self._origin):
            yield svg.line(((_AXIS + _APART, _TOP + y), (right, _TOP + y)), "line")
            if all(abs(y - gap.middle) > 2 * _LINE for gap in self._scale.gaps):
                yield svg.text(_AXIS, _TOP + y, (Run(wording.moment(seconds), "faint"),), anchor="end")

    def _lines(self) -> Iterator[str]:
        for lane in self._lanes.by_title.values():
            yield svg.line(((lane.x, _TOP - _HEAD_GAP), (lane.x, self._end)), "line")

    def _heads(self, top: float) -> Iterator[str]:
        for lane in self._lanes.by_title.values():
            text = wording.lane(lane.title, self._trace)
            width = text_width(text, svg.HEAD_SIZE) + _MARGIN
            yield svg.rectangle(lane.x - width / 2, top, width, _HEAD, "line")
            yield svg.rectangle(lane.x - width / 2 + 1, top + 1, width - 2, _HEAD - 2, "paper")
            line = (Run(text, "strong ink"),)
            yield svg.text(lane.x, top + _HEAD / 2, line, size=svg.HEAD_SIZE, anchor="middle")

    def _introduction(self) -> Iterator[str]:
        room = self._lanes.width - 2 * _MARGIN
        title = (Run(cut(self._title, fitting(room, svg.TITLE_SIZE)), "strong ink"),)
        yield svg.text(_MARGIN, 22, title, size=svg.TITLE_SIZE)
        below = [Run(wording.subtitle(self._trace), "faint"), Run(wording.scale(self._scale.step), "faint")]
        if self._trace.lost:
            below.append(Run(wording.lost(self._trace.lost), "error"))
        for number, run in enumerate(below):
            line = (Run(cut(run.text, fitting(room, svg.LABEL_SIZE)), run.style),)
            yield svg.text(_MARGIN, 46 + number * 16, line)


def _style(event: Event) -> str:
    return "error" if event.error else str(event.kind)
