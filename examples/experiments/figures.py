"""What can be shown of data: tables and plots, without regard to how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; each cell is a text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Single measurements of several ways, each with its median and quartiles, on one axis."""

    title: str
    unit: str
    series: Mapping[str, Sequence[float]]
    machine: bool = True
    """Whether the figures depend on the machine."""


@dataclass(frozen=True, slots=True)
class Bars:
    """One number for each name."""

    title: str
    unit: str
    values: Mapping[str, float]
    machine: bool = False


@dataclass(frozen=True, slots=True)
class Matrix:
    """A mark for each pair of a row and a column: good, bad, or neither."""

    title: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Cell:
    """One field of a matrix."""

    text: str
    good: bool | None = None
    """None: neither good nor bad."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took from `start` to `end` seconds; a moment when both are equal."""

    lane: str
    label: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """What happened when, in lanes."""

    title: str
    lanes: Sequence[str]
    spans: Sequence[Span]
    machine: bool = True


@dataclass(frozen=True, slots=True)
class Listing:
    """Text as a program printed it."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Trace:
    """A conversation of the shim with its neighbours, as `cnm-cni trace` records it."""

    title: str
    lines: Sequence[Mapping[str, Any]]
    """What its lines say; the first is the header."""
    left_out: Collection[int] = ()
    """The numbers of events that are not shown."""


Figure = Table | Distribution | Bars | Matrix | Timeline | Listing | Trace


def waiting(trace: Sequence[Mapping[str, Any]]) -> list[int]:
    """The numbers of the looks with which the shim waits in the background for the engine."""
    works = {line["id"] for line in trace if line["kind"] == "work"}
    parts = [line for line in trace if line.get("within") in works]
    return [line["id"] for line in parts if line["name"].startswith("read the links")]


def yes_no(value: object) -> Cell:
    """A cell that is good when the value is true."""
    return Cell("yes" if value else "no", good=bool(value))
