"""Traces are read as they were written, also when they were cut off, and anything else is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from shim.spans import Kind
from shim.trace.reading import Trace, TraceError, read

RECORDED = Path(__file__).parent / "recorded"
HEADER = {"kind": "trace", "version": 1, "of": "daemon", "driver": "cni"}


def span(**members: Any) -> dict[str, Any]:
    """A line for a call that has these members."""
    usual = {
        "kind": "call",
        "id": 1,
        "within": None,
        "name": "Join",
        "offset": 1.0,
        "seconds": 0.5,
        "error": "",
    }
    return usual | members


def trace(*lines: dict[str, Any]) -> Trace:
    """The trace in these lines, after a header."""
    return read([json.dumps(line) + "\n" for line in (HEADER, *lines)], "trace")


def refusal(*lines: str) -> str:
    """What is said of lines that are no trace."""
    with pytest.raises(TraceError) as caught:
        read(lines, "trace")
    text = str(caught.value)
    assert text.endswith(" (record one with: cnm-cni trace -o FILE)")
    return text.removesuffix(" (record one with: cnm-cni trace -o FILE)")


def test_events_come_in_the_order_of_their_beginnings() -> None:
    read_ = trace(span(id=2, offset=1.2, name="b"), span(id=1, offset=1.1, name="a"))

    assert [(event.name, event.start, event.end) for event in read_.events] == [
        ("a", 1.1, 1.6),
        ("b", 1.2, 1.7),
    ]
    assert read_.lost == 0
    assert read_.source["driver"] == "cni"


def test_what_has_not_ended_lasts_until_the_end_of_the_trace() -> None:
    (event,) = trace(span(seconds=None), {"kind": "end", "offset": 9.0}).events

    assert (event.end, event.is_finished) == (9.0, False)


def test_losses_are_summed_and_unknown_kinds_and_members_passed_over() -> None:
    read_ = trace({"kind": "lost", "count": 2}, span(new=[1]), {"kind": "lost", "count": 3}, {"kind": "new"})

    assert (read_.lost, len(read_.events)) == (5, 1)


def test_all_calls_about_a_network_name_it_as_the_first_one_that_does() -> None:
    about = {"NetworkID": "a" * 64, "EndpointID": "e" * 64}
    read_ = trace(
        span(id=1, subject="team-a/blue", request={"NetworkID": "a" * 64}),
        span(id=2, subject="cni-bridge/eeeeeeeeeeee", request=about),
        span(id=3, request=about),
        span(id=4, request={"NetworkID": "b" * 64, "EndpointID": "f" * 64}),
        span(id=5, subject="pool"),
        span(id=6, subject="web/0123456789ab"),
        span(id=7, request="no JSON"),
        span(id=8),
    )

    assert [(event.network, event.endpoint) for event in read_.events] == [
        ("team-a/blue", ""),
        ("team-a/blue", "eeeeeeeeeeee"),
        ("team-a/blue", "eeeeeeeeeeee"),
        ("bbbbbbbbbbbb", "ffffffffffff"),
        ("pool", ""),
        ("web", "0123456789ab"),
        ("", ""),
        ("", ""),
    ]
    assert read_.events[2].subject == "team-a/blue/eeeeeeeeeeee"


def test_a_trace_whose_recorder_was_killed_in_the_midst_of_a_line_is_read_up_to_there() -> None:
    lines = [json.dumps(HEADER) + "\n", json.dumps(span()) + "\n", json.dumps(span())[:-7]]

    assert len(read(lines, "trace").events) == 1


@pytest.mark.parametrize("name", ["run", "failed"])
def test_recorded_traces_are_read(name: str) -> None:
    with (RECORDED / f"{name}.jsonl").open() as lines:
        events = read(lines, name).events

    assert {event.kind for event in events} == {Kind.CALL, Kind.PLUGIN, Kind.KERNEL}
    assert len({event.subject for event in events if event.subject}) == 1


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "trace: this is no trace"),
        (["\n"], "trace: this is no trace"),
        (['{"kind": "call"}\n'], "trace: this is no trace"),
        (["# A heading\n"], "trace: line 1 is not JSON: Expecting value"),
        (["[" * 100_000 + "\n"], "trace: line 1 is not JSON: "),
        (["[]\n"], "trace: line 1 is no JSON object"),
        (['{"kind": "trace", "version": 2}\n'], "trace: a trace of version 2, not 1"),
    ],
)
def test_what_is_no_trace_is_refused_in_one_line(lines: list[str], words: str) -> None:
    assert refusal(*lines).startswith(words)


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": None},
        {"offset": "soon"},
        {"offset": float("nan")},
        {"offset": 1e300},
        {"seconds": float("inf")},
        {"id": []},
        {"kind": "lost", "count": "x"},
    ],
    ids=str,
)
def test_a_line_with_a_value_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    lines = [json.dumps(line) + "\n" for line in (HEADER, span(**changes))]

    assert refusal(*lines).startswith("trace: a line is not as those of a trace are: ")


@pytest.mark.parametrize("missing", ["offset", "seconds", "id", "within", "name", "error"])
def test_a_line_without_a_member_that_all_have_is_refused(missing: str) -> None:
    line = {key: value for key, value in span().items() if key != missing}

    assert refusal(json.dumps(HEADER) + "\n", json.dumps(line) + "\n").endswith(f"KeyError('{missing}')")
