"""A trace, read from its lines."""

import json
import math
import re
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
_OF_ENDPOINT = re.compile(rf"(.*)/([0-9a-f]{{{_SHORT_ID}}})", re.DOTALL)
"""What a call is about that concerns an endpoint."""


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
    network: str
    """The name, or else the shortened ID, of the network that a call is about, if any."""
    endpoint: str
    """The same of the endpoint, which has an ID alone."""
    details: Mapping[str, Any]

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.start

    @property
    def subject(self) -> str:
        """What it is about, as the log writes it."""
        return "/".join(filter(None, (self.network, self.endpoint)))


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
        names = _names(spans)
        events = sorted(
            (_event(item, last, names) for item in spans), key=lambda event: (event.start, event.id)
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


def _names(spans: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The names of networks, by their IDs, as the first call has it that knows both."""
    names: dict[str, str] = {}
    for item in spans:
        (network_id, _), (name, _) = _ids(item), _subject(item)
        if network_id and name:
            names.setdefault(network_id, name)
    return names


def _event(item: Mapping[str, Any], last: float, names: Mapping[str, str]) -> Event:
    (network_id, endpoint_id), (network, endpoint) = _ids(item), _subject(item)
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
        network=names.get(network_id) or network or network_id[:_SHORT_ID],
        endpoint=endpoint or endpoint_id[:_SHORT_ID],
        details=item,
    )


def _subject(item: Mapping[str, Any]) -> tuple[str, str]:
    """Network and endpoint as the line names them; empty where it does not."""
    subject = str(item.get("subject") or "")
    if found := _OF_ENDPOINT.fullmatch(subject):
        return found[1], found[2]
    return subject, ""


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
