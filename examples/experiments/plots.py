"""Draws figures as rows on a common axis: a name, a strip of inline SVG without text, and a value.

Names, values and the axis' labels are text of the page, so that they keep their size on a phone and in print.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.spread import Spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from experiments.figures import Bars, Distribution, Timeline

_WIDTH, _HEIGHT = 1000, 24
_LOGARITHMIC_FROM = 50.0
"""The ratio of the largest to the smallest value from which on the axis is logarithmic."""
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a plot."""

    name: str
    strip: str
    """An SVG element."""
    value: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A label of the axis."""

    percent: float
    """Its place, from the left."""
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure, drawn."""

    title: str
    rows: Sequence[Row]
    ticks: Sequence[Tick]
    notes: Sequence[str]


class Axis:
    """From numbers to places, 0 to 1000. Values above 0 that lie far apart get a logarithmic one."""

    def __init__(self, values: Sequence[float]) -> None:
        top = max(values, default=0.0) or 1.0
        lowest = min((value for value in values if value > 0), default=top)
        self.is_logarithmic = min(values, default=0.0) > 0 and top / lowest > _LOGARITHMIC_FROM
        if self.is_logarithmic:
            low, high = math.floor(math.log10(lowest)), math.ceil(math.log10(top))
            self._low, self._high = float(low), float(max(high, low + 1))
            self._ticks = [10.0**power for power in range(low, max(high, low + 1) + 1)]
        else:
            step = _round_step(top / _TICKS)
            count = math.ceil(top / step - 1e-9)
            self._low, self._high = 0.0, step * count
            self._ticks = [step * number for number in range(count + 1)]

    def place(self, value: float) -> float:
        """Where a value is."""
        measured = math.log10(value) if self.is_logarithmic else value
        return _WIDTH * (measured - self._low) / (self._high - self._low)

    def ticks(self) -> list[Tick]:
        """The axis' labels."""
        return [Tick(self.place(value) * 100 / _WIDTH, f"{value:g}") for value in self._ticks]


def distribution(figure: Distribution) -> Plot:
    """Each single measurement as a line, the quartiles as a box, the median as a bold line."""
    axis = Axis([value for values in figure.series.values() for value in values])
    rows = []
    for name, values in figure.series.items():
        spread = Spread.of(values)
        marks = [_box(axis.place(spread.low), axis.place(spread.high))]
        marks += [_line(axis.place(value), "one", 5) for value in values]
        marks.append(_line(axis.place(spread.median), "median", 1))
        text = f"{number(spread.median)} {figure.unit} ({number(spread.low)} to {number(spread.high)})"
        rows.append(Row(name, _strip(marks), text))
    count = {len(values) for values in figure.series.values()}
    times = f"{min(count)} to {max(count)}" if len(count) > 1 else str(*count)
    notes = [f"Unit: {figure.unit}. {times} measurements each; the median in bold, the quartiles as a box."]
    return Plot(figure.title, rows, axis.ticks(), [*notes, *_notes(axis, machine=figure.machine)])


def bars(figure: Bars) -> Plot:
    """A bar for each number."""
    axis = Axis([0.0, *figure.values.values()])
    rows = [
        Row(name, _strip([_bar(0, axis.place(value))]), f"{number(value)} {figure.unit}".strip())
        for name, value in figure.values.items()
    ]
    return Plot(figure.title, rows, axis.ticks(), _notes(axis, machine=figure.machine))


def timeline(figure: Timeline) -> Plot:
    """A line for each span, below the others, on an axis of milliseconds."""
    axis = Axis([0.0, *(span.end * 1000 for span in figure.spans)])
    colours = {lane: position % 4 for position, lane in enumerate(figure.lanes)}
    rows = []
    for span in sorted(figure.spans, key=lambda span: (span.start, span.end)):
        left, right = axis.place(span.start * 1000), axis.place(span.end * 1000)
        took = f"{number((span.end - span.start) * 1000)} ms" if span.end > span.start else "now"
        strip = _strip([_bar(left, max(right, left + 4), f"bar lane{colours[span.lane]}")])
        rows.append(Row(f"{span.lane}: {span.label}", strip, f"at {number(span.start * 1000)}, {took}"))
    return Plot(figure.title, rows, axis.ticks(), ["Unit: ms.", *_notes(axis, machine=figure.machine)])


def number(value: float) -> str:
    """Three digits that count, without an exponent: `0.42`, `12.3`, `204`, `15020`."""
    if value == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _notes(axis: Axis, *, machine: bool) -> list[str]:
    notes = ["Logarithmic axis."] if axis.is_logarithmic else []
    return [*notes, "These figures depend on the machine."] if machine else notes


def _round_step(least: float) -> float:
    """The next of 1, 2, 5, 10, 20 and so on."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))


def _strip(marks: Sequence[str]) -> str:
    frame = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" aria-hidden="true"'
    return f'<svg class="strip" {frame}>{"".join(marks)}</svg>'


def _line(place: float, kind: str, inset: float) -> str:
    return f'<line class="{kind}" x1="{place:.1f}" x2="{place:.1f}" y1="{inset}" y2="{_HEIGHT - inset}"/>'


def _box(left: float, right: float) -> str:
    width = max(right - left, 2)
    return f'<rect class="box" x="{left:.1f}" y="3" width="{width:.1f}" height="{_HEIGHT - 6}"/>'


def _bar(left: float, right: float, kind: str = "bar") -> str:
    width = max(right - left, 0)
    return f'<rect class="{kind}" x="{left:.1f}" y="4" width="{width:.1f}" height="{_HEIGHT - 8}"/>'
