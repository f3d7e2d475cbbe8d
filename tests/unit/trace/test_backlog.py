"""What waits for a reader is bounded, and what finds no room is counted in its place."""

import asyncio

from shim.spans import Kind, Span
from shim.trace.backlog import Backlog, Lost


def span(name: str, body: bytes = b"") -> Span:
    return Span(1, Kind.CALL, name, details={"request": body, "status": 200})


async def taken(backlog: Backlog) -> list[str | int]:
    """What comes out until the end: names of spans, and how many were lost."""
    return [item.count if isinstance(item, Lost) else item.name async for item in backlog]


async def test_spans_come_out_in_their_order() -> None:
    backlog = Backlog()
    for name in ("a", "b", "c"):
        backlog.put(span(name))
    backlog.end([span("d")])

    assert await taken(backlog) == ["a", "b", "c", "d"]


async def test_beyond_the_bound_spans_are_counted_where_they_are_missing() -> None:
    backlog = Backlog(most_spans=2)
    for name in ("a", "b", "c", "d"):
        backlog.put(span(name))
    first = [await anext(backlog), await anext(backlog), await anext(backlog)]
    backlog.put(span("e"))
    backlog.end()

    assert [type(item) for item in first] == [Span, Span, Lost]
    assert isinstance(first[2], Lost)
    assert first[2].count == 2
    assert await taken(backlog) == ["e"]


async def test_losses_at_two_places_are_counted_apart() -> None:
    backlog = Backlog(most_spans=2)
    for name in ("a", "b", "lost"):
        backlog.put(span(name))
    await anext(backlog)
    await anext(backlog)
    for name in ("c", "lost", "lost"):
        backlog.put(span(name))
    backlog.end()

    assert await taken(backlog) == [1, "c", 2]


async def test_bodies_are_bounded_as_well_and_count_until_they_are_taken() -> None:
    backlog = Backlog(most_bytes=10)
    backlog.put(span("a", b"x" * 6))
    backlog.put(span("lost", b"x" * 6))
    backlog.put(span("b", b"x" * 4))
    assert isinstance(await anext(backlog), Span)
    backlog.put(span("c", b"x" * 6))
    backlog.put(span("lost", b"x"))
    backlog.end()

    assert await taken(backlog) == [1, "b", "c", 1]


async def test_a_reader_waits_for_what_comes() -> None:
    backlog = Backlog()
    reading = asyncio.create_task(taken(backlog))
    await asyncio.sleep(0)
    backlog.put(span("a"))
    await asyncio.sleep(0)
    backlog.end()

    assert await reading == ["a"]
