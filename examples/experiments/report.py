"""A run's report, as one self-contained HTML file and as Markdown, both from the data of the run alone."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from experiments import figures, plots
from experiments.model import ENGINES, NEWEST, SECTIONS, Experiment, Judgement, Outcome
from experiments.spread import Spread
from shim.trace.drawing.diagram import draw
from shim.trace.reading import read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from experiments.figures import Figure
    from experiments.model import Claim, Entry
    from experiments.results import Run
    from shim.trace.reading import Event, Trace


_TRUTH = {True: "came true", False: "did not come true", None: "not tested here"}


@dataclass(frozen=True, slots=True)
class Chapter:
    """One entry with what came of it."""

    claim: Claim
    judgement: Judgement | None
    """None when the experiment failed or was not run."""
    figures: Sequence[Figure]
    evidence: Sequence[str]
    """For an entry that rests on sources: what they say."""
    error: str
    seconds: float
    timed: bool

    @property
    def is_measured(self) -> bool:
        """Whether it is an experiment."""
        return not self.evidence

    @property
    def command(self) -> str:
        """What runs just this one."""
        return f"make experiments ONLY={self.claim.id}"


@dataclass(frozen=True, slots=True)
class Section:
    """The chapters that belong together."""

    title: str
    chapters: Sequence[Chapter]


def write(folder: Path, entries: Sequence[Entry], run: Run, name: str = "report") -> list[Path]:
    """Write the report into the folder, as HTML and as Markdown; their paths."""
    written = []
    for ending, text in (("html", html(entries, run)), ("md", markdown(entries, run))):
        path = folder / f"{name}.{ending}"
        path.write_text(text)
        written.append(path)
    return written


def write_traces(folder: Path, entries: Sequence[Entry], run: Run) -> list[Path]:
    """Write each trace into a file of its own, for `cnm-cni trace draw` and checks by hand; their paths."""
    written = []
    for chapter in chapters(entries, run):
        traces = [figure for figure in chapter.figures if isinstance(figure, figures.Trace)]
        for number, trace in enumerate(traces, 1):
            path = folder / f"{chapter.claim.id}-trace-{number}.jsonl"
            path.write_text("".join(f"{json.dumps(line)}\n" for line in trace.lines))
            written.append(path)
    return written


def html(entries: Sequence[Entry], run: Run) -> str:
    """The report as a page."""
    return _rendered("report.html.jinja", entries, run)


def markdown(entries: Sequence[Entry], run: Run) -> str:
    """The report as Markdown."""
    return _rendered("report.md.jinja", entries, run)


def chapters(entries: Sequence[Entry], run: Run) -> list[Chapter]:
    """Every entry, judged by the data of the run."""
    return [_chapter(entry, run) for entry in entries]


def _chapter(entry: Entry, run: Run) -> Chapter:
    if not isinstance(entry, Experiment):
        return Chapter(entry.claim, entry.judgement, (), entry.evidence, "", 0.0, timed=False)
    result = run.results.get(entry.claim.id)
    if result is None or result.error:
        error = result.error if result else "it was not run"
        return Chapter(entry.claim, None, (), (), error, result.seconds if result else 0.0, entry.timed)
    judgement = entry.judge(result.data)
    return Chapter(entry.claim, judgement, entry.show(result.data), (), "", result.seconds, entry.timed)


def _rendered(template: str, entries: Sequence[Entry], run: Run) -> str:
    environment = Environment(
        loader=PackageLoader("experiments"),
        autoescape=".html" in template,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["kind"] = lambda figure: type(figure).__name__
    environment.filters["plot"] = _plot
    environment.filters["table"] = _table
    environment.filters["drawn"] = _drawn
    environment.filters["cell"] = _cell
    environment.filters["truth"] = lambda truth: _TRUTH[truth]
    # The key of an engine becomes its version; in prose, "the newest engine" may stay.
    environment.filters["named"] = lambda text: re.sub(
        rf"(?<!the )\b{NEWEST}\b", _engine(run.about, NEWEST), text
    )
    every = chapters(entries, run)
    grouped = [Section(title, [one for one in every if one.claim.section == title]) for title in SECTIONS]
    return environment.get_template(template).render(
        about=run.about,
        sections=[section for section in grouped if section.chapters],
        chapters=every,
        engines=[(name, _engine(run.about, name)) for name in ENGINES],
        counts=_counts(every),
        totals=[(_engine(run.about, name), _totals(every, name)) for name in ENGINES],
    )


def _engine(about: dict[str, Any], name: str) -> str:
    """What a column is called: the engine's true version."""
    version: str = about["engines"].get(name, name)
    return ".".join(version.split(".")[:2])


def _counts(every: Sequence[Chapter]) -> dict[str, int]:
    judged = [chapter for chapter in every if chapter.judgement]
    wrong = [one for one in judged if one.is_measured and one.judgement and False in one.judgement.came_true]
    return {
        "measured": sum(chapter.is_measured for chapter in judged),
        "documented": sum(not chapter.is_measured for chapter in judged),
        "failed": sum(bool(chapter.error) for chapter in every),
        "wrong": len(wrong),
    }


def _totals(every: Sequence[Chapter], engine: str) -> dict[str, int]:
    """How many claims had each outcome on an engine."""
    given = [
        one.judgement.verdicts[engine].outcome
        for one in every
        if one.judgement and engine in one.judgement.verdicts
    ]
    return {outcome.value: given.count(outcome) for outcome in Outcome}


def _plot(figure: Figure) -> plots.Plot:
    match figure:
        case figures.Distribution():
            return plots.distribution(figure)
        case figures.Bars():
            return plots.bars(figure)
        case figures.Timeline():
            return plots.timeline(figure)
        case _:
            raise TypeError(f"{type(figure).__name__} is not drawn on an axis")


def _table(figure: Figure) -> figures.Table:
    """Any figure but a listing as a table, for Markdown."""
    match figure:
        case figures.Table():
            return figure
        case figures.Distribution(title, unit, series):
            spreads = {name: Spread.of(values) for name, values in series.items()}
            rows = [
                [name, str(it.count), *map(plots.number, (it.median, it.low, it.high, it.p95))]
                for name, it in spreads.items()
            ]
            columns = ["", "n", f"median ({unit})", "1st quartile", "3rd quartile", "95th percentile"]
            return figures.Table(title, columns, rows)
        case figures.Bars(title, unit, values):
            bars = [[name, plots.number(value)] for name, value in values.items()]
            return figures.Table(title, ["", unit], bars)
        case figures.Timeline(title, _, spans):
            moments = [
                [plots.number(it.start * 1000), plots.number(it.end * 1000), it.lane, it.label]
                for it in spans
            ]
            return figures.Table(title, ["from (ms)", "to (ms)", "who", "what"], moments)
        case figures.Trace(title):
            depths: dict[int, int] = {}
            events = [
                [plots.number(it.start * 1000), plots.number(it.seconds * 1000), it.kind, _nested(it, depths)]
                for it in _read(figure).events
            ]
            return figures.Table(title, ["at (ms)", "took (ms)", "kind", "what"], events)
        case figures.Matrix(title, columns, rows):
            cells = [[name, *(cell.text for cell in line)] for name, line in rows.items()]
            return figures.Table(title, ["", *columns], cells)
        case _:
            raise TypeError(f"{type(figure).__name__} is no table")


def _drawn(figure: figures.Trace, title: str) -> str:
    """The sequence diagram, as SVG."""
    return draw(_read(figure), title)


def _read(figure: figures.Trace) -> Trace:
    shown = (line for line in figure.lines if line.get("id") not in figure.left_out)
    return read((json.dumps(line) for line in shown), figure.title)


def _nested(event: Event, depths: dict[int, int]) -> str:
    """What happened, set in by what it is a part of; `depths` are those of the events before, by number."""
    depths[event.id] = depth = depths[event.within] + 1 if event.within in depths else 0
    command = str(event.details.get("command", ""))
    return "· " * depth + " ".join(filter(None, (event.name, command, event.error)))


def _cell(text: str) -> str:
    """A text for a cell of a table in Markdown."""
    return " ".join(text.split()).replace("|", "\\|")
