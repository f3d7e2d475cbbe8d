"""Spans: told to whoever listens, with what they are a part of, and nothing kept without a listener."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from shim import spans, telemetry
from shim.spans import Kind, Span


@pytest.fixture
def ended() -> Iterator[list[Span]]:
    """The spans that have ended since the test began."""
    seen: list[Span] = []
    with spans.listening(seen.append):
        yield seen


def test_a_span_is_told_of_at_its_end_with_what_was_learnt_meanwhile(ended: list[Span]) -> None:
    with spans.span(Kind.PLUGIN, "bridge", command="ADD") as span:
        span.tell(result=b"{}")
        assert ended == []

    (told,) = ended
    assert told is span
    assert (told.kind, told.name, told.error) == (Kind.PLUGIN, "bridge", "")
    assert told.details == {"command": "ADD", "result": b"{}"}
    assert told.end is not None
    assert told.end >= told.start


async def test_a_span_knows_which_one_it_is_a_part_of_also_in_another_task(ended: list[Span]) -> None:
    async def plugin() -> None:
        with spans.span(Kind.PLUGIN, "bridge"):
            pass

    with spans.span(Kind.CALL, "Join") as call:
        await asyncio.create_task(plugin())

    assert [(span.name, span.within) for span in ended] == [("bridge", call.number), ("Join", None)]


async def test_what_goes_on_in_the_background_is_no_part_of_a_span(ended: list[Span]) -> None:
    call_is_over = asyncio.Event()

    async def later() -> None:
        with spans.span(Kind.WORK, "work"):
            await call_is_over.wait()
            with spans.span(Kind.KERNEL, "part"):
                pass
        with spans.span(Kind.KERNEL, "late"):
            pass

    with spans.span(Kind.CALL, "Join"):
        task = asyncio.create_task(later())
        await asyncio.sleep(0)
    call_is_over.set()
    await task

    numbers = {span.name: span.number for span in ended}
    assert {span.name: span.within for span in ended} == {
        "Join": None,
        "work": None,
        "part": numbers["work"],
        "late": None,
    }


async def test_calls_at_the_same_time_keep_their_parts_apart(ended: list[Span]) -> None:
    both_started = asyncio.Barrier(2)

    async def one(name: str) -> None:
        with spans.span(Kind.CALL, name):
            await both_started.wait()
            with spans.span(Kind.PLUGIN, f"of {name}"):
                await asyncio.sleep(0)

    await asyncio.gather(one("first"), one("second"))

    numbers = {span.name: span.number for span in ended}
    assert {span.name: span.within for span in ended} == {
        "first": None,
        "second": None,
        "of first": numbers["first"],
        "of second": numbers["second"],
    }


@pytest.mark.parametrize(
    ("error", "text"), [(ValueError("one\ntwo"), "one two"), (asyncio.CancelledError(), "CancelledError")]
)
def test_what_leaves_a_span_is_its_error(ended: list[Span], error: BaseException, text: str) -> None:
    with pytest.raises(type(error)), spans.span(Kind.KERNEL, "move eth0"):
        raise error

    assert [span.error for span in ended] == [text]


def test_time_in_a_queue_is_no_part_of_a_span(ended: list[Span]) -> None:
    with spans.span(Kind.KERNEL, "move eth0") as span:
        asked = span.start
        while span.start == asked:
            span.begin()

    (told,) = ended
    assert told.details["waited"] > 0


def test_what_is_under_way_can_be_seen_before_its_end() -> None:
    assert spans.under_way() == []
    with spans.span(Kind.CALL, "Join") as call, spans.span(Kind.PLUGIN, "bridge") as plugin:
        assert spans.under_way() == [call, plugin]

    assert spans.under_way() == []


def test_nobody_is_told_any_more_who_does_not_listen() -> None:
    seen: list[Span] = []
    with spans.listening(seen.append), spans.listening(seen.append):
        pass
    with spans.span(Kind.CALL, "Join"):
        pass

    assert seen == []


def test_a_call_in_the_log_is_a_span_with_its_subject_and_error(
    ended: list[Span], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="shim")
    with telemetry.call("Join", "/NetworkDriver.Join") as record:
        telemetry.about("web/4f1c")
        record.error = "it broke"
    with telemetry.call("Repair"):
        pass

    call, work = ended
    assert (call.kind, call.error) == (Kind.CALL, "it broke")
    assert call.details == {"path": "/NetworkDriver.Join", "subject": "web/4f1c"}
    assert (work.kind, work.details) == (Kind.WORK, {})
