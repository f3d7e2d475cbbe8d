"""What is written in a diagram."""

from collections import Counter
from collections.abc import Collection

from shim.spans import Kind
from shim.trace.drawing.lanes import SHIM
from shim.trace.drawing.words import NO_BREAK, Run, short
from shim.trace.reading import Event, Trace

_DESCRIBED = 60
"""Calls that a description tells of."""
_MS, _S = 1e-3, 1.0
_BRIEF = {"network-attachment-definitions": "net-attach-def", "dockernetworks": "dnet"}
"""Kinds of objects by the names that kubectl knows as well."""
_COUNTED = {
    Kind.CALL: ("call of the engine", "calls of the engine"),
    Kind.PLUGIN: ("plugin run", "plugin runs"),
    Kind.KUBERNETES: ("request to Kubernetes", "requests to Kubernetes"),
}


def duration(seconds: float) -> str:
    """A time of three or more digits, in one word."""
    if seconds >= _S:
        return f"{seconds:.3f}{NO_BREAK}s"
    digits = 0 if seconds >= 100 * _MS else 1 if seconds >= 10 * _MS else 2
    return f"{seconds / _MS:.{digits}f}{NO_BREAK}ms"


def moment(seconds: float) -> str:
    """A moment on the axis, in round numbers."""
    if seconds and abs(seconds) < 0.1 * _MS:
        return f"{seconds / _MS:.2f} ms"
    if abs(seconds) >= 10 * _S:
        return f"{seconds:g} s"
    return f"{seconds / _MS:g} ms"


def took(event: Event) -> str:
    """How long it took."""
    return duration(event.seconds) if event.is_finished else "not finished"


def label(event: Event, subject: str) -> list[Run]:
    """What, how long, and for whom, where `subject` says that."""
    command = str(event.details.get("command", "")) if event.kind is Kind.PLUGIN else ""
    return [
        Run(f"{_abbreviated(event.name)} {command}", "strong"),
        Run(took(event)),
        Run(short(subject), "faint"),
    ]


def _abbreviated(name: str) -> str:
    for long, brief in _BRIEF.items():
        name = name.replace(long, brief)
    return short(name)


def tooltip(event: Event) -> str:
    """All about an event in one text."""
    command = event.details.get("command", "")
    first = " ".join(filter(None, (event.name, str(command), event.subject, took(event))))
    return f"{first}\n{event.error}" if event.error else first


def subjects(trace: Trace) -> tuple[set[str], set[str]]:
    """The networks and the endpoints that a trace is about."""
    return {event.network for event in trace.events} - {""}, {event.endpoint for event in trace.events} - {""}


def title(trace: Trace) -> str:
    """What a trace is about."""
    networks, endpoints = subjects(trace)
    if not networks:
        return f"Driver {trace.source.get('driver', '')}"
    return ", ".join(filter(None, (_counted("Network", networks), _counted("endpoint", endpoints))))


def subtitle(trace: Trace) -> str:
    """When, how long, and how many."""
    events = trace.events
    counts = Counter(event.kind for event in events)
    parts = [_began(trace)]
    if events:
        parts.append(duration(max(event.end for event in events) - events[0].start))
    parts += [
        f"{counts[kind]} {names[counts[kind] != 1]}" for kind, names in _COUNTED.items() if counts[kind]
    ]
    if errors := sum(bool(event.error) for event in events):
        parts.append(f"{errors} error{'s' * (errors > 1)}")
    return " \N{MIDDLE DOT} ".join([*parts, str(trace.source.get("program", ""))])


def lane(title: str, trace: Trace) -> str:
    """The head of a lane: behind a proxy there is some other driver in the shim's place."""
    return "driver" if title == SHIM and trace.source.get("of") == "proxy" else title


def scale(step: float) -> str:
    """How to read the axis."""
    return f"To scale, a line every {moment(step)}. Grey: time left out, in which nothing begins or ends."


def lost(count: int) -> str:
    """What is missing."""
    return f"Incomplete: the recorder was too slow for {count} more."


def description(trace: Trace) -> str:
    """The calls in their order, for who does not see the picture."""
    calls = [event for event in trace.events if event.kind in {Kind.CALL, Kind.WORK}]
    told = [
        f"{event.name} {event.subject} ({took(event)}{', failed: ' + event.error if event.error else ''})"
        for event in calls[:_DESCRIBED]
    ]
    more = [f"and {len(calls) - _DESCRIBED} more"] if len(calls) > _DESCRIBED else []
    return f"Sequence diagram. {subtitle(trace)}. In order: {'; '.join([*told, *more]) or 'nothing'}."


def _began(trace: Trace) -> str:
    start = str(trace.events[0].details.get("start") if trace.events else trace.source.get("start", ""))
    return start.replace("T", " ").replace("Z", " UTC")


def _counted(what: str, names: Collection[str]) -> str:
    """One by its name, several by their number."""
    if len(names) > 1:
        return f"{len(names)} {what.lower()}s"
    return " ".join((what, *names)) if names else ""
