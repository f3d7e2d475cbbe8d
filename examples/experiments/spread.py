"""Repeated measurements in a few numbers, and the order in which they are taken."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Self, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of measurements, and how far they lie apart."""

    count: int
    median: float
    low: float
    """The first quartile."""
    high: float
    """The third quartile."""
    p95: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Raises `ValueError` when there are no values."""
        if not values:
            raise ValueError("nothing was measured")
        if len(values) == 1:
            return cls(1, values[0], values[0], values[0], values[0])
        low, middle, high = quantiles(values, n=4, method="inclusive")
        return cls(len(values), middle, low, high, quantiles(values, n=20, method="inclusive")[-1])

    @property
    def iqr(self) -> float:
        """The distance between the quartiles."""
        return self.high - self.low


def in_turns(ways: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Measure each way once in each round, in an order drawn anew, so that drift meets all alike.

    A first round is thrown away: the first time is not like the others.
    """
    values: dict[str, list[T]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name in random.sample(list(ways), len(ways)):
            value = ways[name]()
            if number:
                values[name].append(value)
    return values


def ratio(values: Sequence[float], others: Sequence[float]) -> float:
    """The median of the ratios of measurements that were neighbours in time."""
    return median(one / other for one, other in zip(values, others, strict=True))


def milliseconds(seconds: float) -> str:
    """Seconds for a sentence: `12 ms`, `0.4 ms`, `15.0 s`."""
    if seconds >= 10:
        return f"{seconds:.1f} s"
    value = seconds * 1000
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def spread_text(seconds: Sequence[float]) -> str:
    """Median and quartiles for a table: `204 ms (198-215)`."""
    found = Spread.of(seconds)
    return f"{milliseconds(found.median)} ({found.low * 1000:.0f}-{found.high * 1000:.0f})"
