"""An entry of each kind and a run, for tests of what is made of them."""

from collections.abc import Sequence
from dataclasses import replace

from experiments.figures import (
    Bars,
    Cell,
    Distribution,
    Figure,
    Listing,
    Matrix,
    Span,
    Table,
    Timeline,
    Trace,
)
from experiments.model import (
    NEWEST,
    OLDER,
    Bridge,
    Claim,
    Data,
    Degree,
    Documented,
    Entry,
    Experiment,
    Judgement,
    Source,
    fixed,
    stands,
)
from experiments.parts import Parts
from experiments.results import Result, Run

from tests.unit.experiments.verdicts.case import TRACE

CLAIM = Claim(
    id="E1",
    title="A title & more",
    claim="It is < so | or not.",
    sources=(Source("A text", "2016-01-14", "It is so."),),
    procedure="Do it.",
    predictions=("It is.", "It was."),
    measured="How often.",
    section="IDs and names",
)
JUDGEMENT = Judgement(
    verdicts={OLDER: stands("3 of 3."), NEWEST: fixed("28.0", "0 of 3.")},
    bridge=Bridge(Degree.PARTLY, "One of two."),
    came_true=(True, False),
    surprise="Nobody knew.",
)


def _measure(_: Parts) -> Data:
    return {}


def _judge(_: Data) -> Judgement:
    return JUDGEMENT


def _show(data: Data) -> Sequence[Figure]:
    return [
        Table("A table of newest", ["a", "b|c"], [["1", "<2>"]]),
        Distribution("Times", "ms", {"newest": data["times"]}),
        Bars("Counts", "calls", {"one": 1}),
        Matrix("Marks", ["20.10", "newest"], {"row": [Cell("yes", good=True), Cell("-")]}),
        Timeline("Order", ["shim"], [Span("shim", "Join", 0.0, 0.1)]),
        Listing("Printed", "a < b"),
        Trace("Told by newest", TRACE),
    ]


EXPERIMENT = Experiment(CLAIM, _measure, _judge, _show, timed=True)
FAILED = Experiment(replace(CLAIM, id="E2", title="Another"), _measure, _judge, _show)
DOCUMENTED = Documented(replace(CLAIM, id="E3", title="Read"), ("It is written.",), JUDGEMENT)
ENTRIES: list[Entry] = [EXPERIMENT, FAILED, DOCUMENTED]

RUN = Run(
    about={
        "date": "2026-01-02 03:04 UTC",
        "quick": False,
        "engines": {OLDER: "20.10.24", NEWEST: "28.5.2"},
        "plugins": {OLDER: "1.1.1", NEWEST: "1.9.1"},
        "kernel": "6.1",
        "machine": "a machine, 2 cores",
        "python": "3.11",
        "shim": "abc",
        "seconds": 90.0,
    },
    results={
        "E1": Result("E1", 12.0, {"times": [1.0, 2.0, 3.0]}),
        "E2": Result("E2", 1.0, {}, "the engine <fell> over"),
    },
)
