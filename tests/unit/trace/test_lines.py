"""The lines of a trace: times by both clocks, no secrets, and any content."""

import json
import re
from dataclasses import replace
from datetime import datetime
from typing import Any

from shim.spans import Kind, Span
from shim.trace.backlog import Backlog
from shim.trace.lines import Epoch, lines, span_line

EPOCH = Epoch(wall=1_700_000_000.0, monotonic=500.0)


def shown(**members: Any) -> dict[str, Any]:
    """The line for a span that has these members."""
    span = Span(7, Kind.CALL, "Join", wall=1_700_000_001.25, start=501.25, end=501.5)
    line = span_line(replace(span, **members), EPOCH)
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    return dict(json.loads(line))


def test_times_are_given_by_the_wall_clock_and_since_the_beginning_with_microseconds() -> None:
    line = shown(wall=1_700_000_001.234567, start=501.234567, end=501.334570)

    assert line["start"] == "2023-11-14T22:13:21.234567Z"
    assert line["end"] == "2023-11-14T22:13:21.334570Z"
    assert (line["offset"], line["seconds"]) == (1.234567, 0.100003)


def test_a_span_that_has_not_ended_has_no_end() -> None:
    line = shown(end=None)

    assert (line["end"], line["seconds"]) == (None, None)


def test_a_span_is_shown_with_its_place_its_error_and_its_details() -> None:
    line = shown(within=3, error="it broke", details={"status": 500, "request": b'{"a": 1}', "answer": b""})

    assert (line["kind"], line["id"], line["within"], line["name"]) == ("call", 7, 3, "Join")
    assert (line["error"], line["status"]) == ("it broke", 500)
    assert (line["request"], line["answer"]) == ({"a": 1}, None)


def test_nothing_of_a_line_shows_a_secret() -> None:
    details = {
        "request": b'{"Options": {"com.docker.network.generic": {"cni.args.token": "hunter2"}}}',
        "config": b'{"type": "wireguard", "privateKey": "hunter2", "prevResult": {"password": "hunter2"}}',
        "result": b"password=hunter2",
        "args": "IgnoreUnknown=1;DB_PASSWORD=hunter2;K8S_POD_NAME=web",
        "query": {"filters": '{"token": "hunter2"}'},
        "subject": "web with password=hunter2",
    }

    line = shown(error="the plugin says: token=hunter2", details=details)

    assert "hunter2" not in json.dumps(line)
    assert line["args"] == "IgnoreUnknown=1;DB_PASSWORD=[redacted];K8S_POD_NAME=web"


def test_json_of_too_many_levels_is_named_instead_of_shown() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    assert shown(details={"request": deep})["unreadable"] == "too many levels of JSON"


async def test_a_trace_has_a_header_its_spans_and_an_end() -> None:
    backlog = Backlog(most_spans=1)
    for name in ("first", "lost", "lost"):
        backlog.put(Span(1, Kind.CALL, name, end=0.0))
    backlog.end([Span(2, Kind.CALL, "open")])

    trace = [json.loads(line) async for line in lines(backlog, {"of": "daemon", "driver": "cni"})]

    assert [line["kind"] for line in trace] == ["trace", "call", "lost", "call", "end"]
    header, _, lost, unfinished, end = trace
    assert (header["version"], header["of"], header["driver"]) == (1, "daemon", "cni")
    assert re.fullmatch(r"cnm-cni \d.*", header["program"])
    assert datetime.fromisoformat(header["start"])
    assert lost == {"kind": "lost", "count": 2}
    assert (unfinished["name"], unfinished["end"]) == ("open", None)
    assert end["offset"] >= 0
