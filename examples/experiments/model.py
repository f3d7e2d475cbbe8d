"""What an experiment is, and what can come of it: plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from experiments.figures import Figure
    from experiments.parts import Parts

OLDER, NEWEST = "20.10", "newest"
"""The two engines, as keys of data and verdicts."""

ENGINES = (OLDER, NEWEST)

Data = dict[str, Any]
"""What was measured, as JSON has it. Times in seconds unless a name says otherwise."""


class Outcome(StrEnum):
    """What became of a claim."""

    STANDS = "stands"
    WEAKENED = "weakened"
    REFUTED = "refuted"
    FIXED = "fixed"


class Degree(StrEnum):
    """How far the shim bridges what a claim points at."""

    FULLY = "fully"
    PARTLY = "partly"
    NOT_AT_ALL = "not at all"
    NO_NEED = "no need"
    """There is nothing to bridge."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a claim was made."""

    where: str
    date: str
    """Year, month and day as far as known: 2016-01-14."""
    quote: str = ""
    """The words of the source; empty when only its sense is given."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What is examined, and how."""

    id: str
    title: str
    claim: str
    """One sentence that can be true or false."""
    sources: tuple[Source, ...]
    procedure: str
    predictions: tuple[str, ...]
    """What was expected before it was run; never changed afterwards."""
    measured: str
    section: str
    """One of `SECTIONS`."""
    also: str = ""
    """Another ID under which it is known."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a claim on one engine."""

    outcome: Outcome
    why: str
    """One sentence, with the numbers."""
    since: str = ""
    """The version in which it was fixed."""

    def __str__(self) -> str:
        return f"fixed in {self.since}" if self.outcome is Outcome.FIXED else self.outcome.value


def stands(why: str) -> Verdict:
    """The claim holds."""
    return Verdict(Outcome.STANDS, why)


def weakened(why: str) -> Verdict:
    """The claim holds in part, or under conditions that it does not mention."""
    return Verdict(Outcome.WEAKENED, why)


def refuted(why: str) -> Verdict:
    """The claim does not hold, and is not known to have held before."""
    return Verdict(Outcome.REFUTED, why)


def fixed(since: str, why: str) -> Verdict:
    """The claim held until that version."""
    return Verdict(Outcome.FIXED, why, since)


@dataclass(frozen=True, slots=True)
class Bridge:
    """What the shim makes of it."""

    degree: Degree
    why: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the data say."""

    verdicts: Mapping[str, Verdict]
    """By engine; an engine on which there was nothing to measure is not in it."""
    bridge: Bridge
    came_true: tuple[bool | None, ...]
    """For each prediction; None: it could not be tested here."""
    surprise: str = ""
    """What nobody had expected, if anything."""


def alike(verdict: Verdict) -> dict[str, Verdict]:
    """One verdict for both engines, where they make no difference."""
    return dict.fromkeys(ENGINES, verdict)


@dataclass(frozen=True, slots=True)
class Experiment:
    """One entry of the book.

    `judge` and `show` are pure: they know nothing but the data, so that a report can be made from a run's
    files at any time.
    """

    claim: Claim
    measure: Callable[[Parts], Data]
    judge: Callable[[Data], Judgement]
    show: Callable[[Data], Sequence[Figure]]
    quick: bool = False
    """Whether it belongs to the quick subset."""
    timed: bool = False
    """Whether its figures depend on the machine, and nothing else should run meanwhile."""


@dataclass(frozen=True, slots=True)
class Documented:
    """An entry that rests on sources that were read, not on a run."""

    claim: Claim
    evidence: tuple[str, ...]
    judgement: Judgement


Entry = Experiment | Documented

SECTIONS = (
    "Scope and key-value store",
    "IDs and names",
    "Name service and hosts file",
    "Daemons and wrapping",
    "One configuration, several runtimes",
    "In-process and remote drivers",
    "Life cycle",
    "Side effects",
)
"""The chapters, in order."""
