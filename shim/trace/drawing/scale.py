"""From time to height: to scale, but for stretches in which nothing begins or ends."""

import bisect
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_LONGEST_IDLE, _IDLE = 56.0, 40.0
"""Pixels from which on time without anything under way is left out, and what stands for it."""
_LONGEST_WAIT, _WAIT = 600.0, 120.0
"""The same for time in which something goes on."""
_TICK = 56.0
"""Pixels between two ticks at least."""
_SLACK = 1e-9
"""Seconds by which times may differ that are the same."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Time that is left out."""

    top: float
    bottom: float
    seconds: float
    is_idle: bool
    """Whether nothing was under way."""

    @property
    def middle(self) -> float:
        """Between its top and its bottom."""
        return (self.top + self.bottom) / 2


@dataclass(frozen=True, slots=True)
class _Stretch:
    start: float
    end: float
    top: float
    bottom: float
    gap: Gap | None


class Scale:
    """Heights, from 0 on, of the moments within `spans` (start and end, in seconds).

    A second is as high as `pixels`.
    """

    def __init__(self, spans: Sequence[tuple[float, float]], pixels: float) -> None:
        self.pixels = pixels
        self.step = _round(_TICK / pixels)
        """Seconds from one tick to the next."""
        self._stretches = list(_stretches(spans, pixels))
        self._starts = [stretch.start for stretch in self._stretches]
        self.gaps = [stretch.gap for stretch in self._stretches if stretch.gap]
        self.height = self._stretches[-1].bottom if self._stretches else 0.0

    def y(self, moment: float) -> float:
        """The height of a moment."""
        if not self._stretches:
            return 0.0
        stretch = self._stretches[max(0, bisect.bisect_right(self._starts, moment) - 1)]
        share = (moment - stretch.start) / (stretch.end - stretch.start)
        return stretch.top + min(1.0, max(0.0, share)) * (stretch.bottom - stretch.top)

    def ticks(self, origin: float) -> Iterator[tuple[float, float]]:
        """Round moments, in seconds since `origin`, each with its height; none lies in a gap."""
        for stretch in self._stretches:
            if stretch.gap:
                continue
            number = math.ceil((stretch.start - origin) / self.step - _SLACK)
            while origin + number * self.step < stretch.end - _SLACK:
                yield number * self.step, self.y(origin + number * self.step)
                number += 1


def _stretches(spans: Sequence[tuple[float, float]], pixels: float) -> Iterator[_Stretch]:
    top = 0.0
    for start, end, is_idle in _between(spans):
        height = (end - start) * pixels
        longest, instead = (_LONGEST_IDLE, _IDLE) if is_idle else (_LONGEST_WAIT, _WAIT)
        gap = None
        if height > longest:
            height = instead
            gap = Gap(top, top + height, end - start, is_idle)
        yield _Stretch(start, end, top, top + height, gap)
        top += height


def _between(spans: Iterable[tuple[float, float]]) -> Iterator[tuple[float, float, bool]]:
    """Each stretch between two moments at which something begins or ends, and whether it is idle."""
    changes = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    under_way = 0
    for (moment, change), (following, _) in itertools.pairwise(changes):
        under_way += change
        if following - moment > _SLACK:
            yield moment, following, under_way == 0


def _round(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, 50 ... that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - _SLACK))
