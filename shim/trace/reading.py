"""A trace, read from its lines."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shim.errors import ShimError
from shim.spans import Kind
from shim.trace.lines import VERSION

_LONGEST = 1e9
"""Seconds; a trace of more than thirty years is none."""
_SHORT_ID = 12
"""Digits of an ID that docker shows."""


class TraceError(ShimError):
    """What was given is no trace."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause, cure="record one with: cnm-cni trace -o FILE")


@dataclass(frozen=True, slots=True)
class Event:
    """A span as a trace tells it; times are in seconds since the beginning of the trace."""

    kind: Kind
    id: int
    within: int | None
    name: str
    start: float
    end: float
    """Where it had not ended: the end of the trace."""
    is_finished: bool
    error: str
    subject: str
    """The network or `network/endpoint`, with IDs shortened; empty where it is about neither."""
    details: Mapping[str, Any]

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Trace:
    """What happened, in the order of the beginnings."""

    source: Mapping[str, Any]
    """The header."""
    events: tuple[Event, ...]
    lost: int
    """How many events are missing."""


def read(lines: Iterable[str], where: str) -> Trace:
    """The trace in these lines; the last one may be cut off. Raises `TraceError`, which names `where`."""
    parsed = list(_parsed(lines, where))
    if not parsed or parsed[0].get("kind") != "trace":
        raise TraceError(f"{where}: this is no trace")
    header, *rest = parsed
    if header.get("version") != VERSION:
        raise TraceError(f"{where}: a trace of version {header.get('version')}, not {VERSION}")
    kinds = set(Kind)
    spans = [item for item in rest if item.get("kind") in kinds]
    try:
        last = max((_last(item) for item in rest), default=0.0)
        subjects = _subjects(spans)
        events = sorted(
            (_event(item, last, subjects) for item in spans), key=lambda event: (event.start, event.id)
        )
        lost = sum(int(item["count"]) for item in rest if item.get("kind") == "lost")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TraceError(f"{where}: a line is not as those of a trace are: {error!r}") from error
    return Trace(header, tuple(events), lost)


def _parsed(lines: Iterable[str], where: str) -> Iterable[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except (ValueError, RecursionError) as error:
            if not line.endswith("\n"):  # the recorder was killed while it wrote
                return
            raise TraceError(f"{where}: line {number} is not JSON: {error}") from error
        if not isinstance(item, dict):
            raise TraceError(f"{where}: line {number} is no JSON object")
        yield item


def _last(item: Mapping[str, Any]) -> float:
    """The last moment that a line knows of."""
    return _seconds(item.get("offset") or 0.0) + _seconds(item.get("seconds") or 0.0)


def _subjects(spans: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What the calls that say it are about, by the IDs in their requests."""
    subjects: dict[str, str] = {}
    for item in spans:
        network, endpoint = _ids(item)
        named, _, of_endpoint = str(item.get("subject") or "").partition("/")
        if named and network:
            subjects[network] = named
        if of_endpoint and endpoint:
            subjects[endpoint] = str(item["subject"])
    return subjects


def _event(item: Mapping[str, Any], last: float, subjects: Mapping[str, str]) -> Event:
    start, seconds = _seconds(item["offset"]), item["seconds"]
    return Event(
        kind=Kind(item["kind"]),
        id=int(item["id"]),
        within=item["within"],
        name=str(item["name"]),
        start=start,
        end=max(start, last) if seconds is None else start + max(0.0, _seconds(seconds)),
        is_finished=seconds is not None,
        error=str(item["error"]),
        subject=str(item.get("subject") or _subject(item, subjects)),
        details=item,
    )


def _subject(item: Mapping[str, Any], subjects: Mapping[str, str]) -> str:
    """What a call is about that does not say it, by its IDs."""
    network, endpoint = _ids(item)
    if endpoint in subjects:
        return subjects[endpoint]
    return "/".join(filter(None, (subjects.get(network, network[:_SHORT_ID]), endpoint[:_SHORT_ID])))


def _ids(item: Mapping[str, Any]) -> tuple[str, str]:
    """The IDs of network and endpoint in a request; empty where there are none."""
    request = item.get("request")
    members = request if isinstance(request, dict) else {}
    return str(members.get("NetworkID") or ""), str(members.get("EndpointID") or "")


def _seconds(number: Any) -> float:
    value = float(number)
    if not math.isfinite(value) or abs(value) > _LONGEST:
        raise ValueError(f"{number} seconds")
    return value
