"""The daemon's socket for traces, and the recorder at its other end."""

import asyncio
import json
import logging
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shim import spans
from shim.errors import ShimError
from shim.spans import Kind
from shim.trace import feed
from shim.trace.backlog import MOST_SPANS
from shim.trace.recording import Extent, Recorder, record

SOURCE = {"of": "daemon", "driver": "cni"}


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """The folder with a socket that gives traces."""
    async with feed.serving(tmp_path / "run", SOURCE):
        yield tmp_path / "run"


def happen(name: str, kind: Kind = Kind.CALL, **details: Any) -> None:
    """Let something happen in the daemon."""
    with spans.span(kind, name, **details):
        pass


def recorded(path: Path) -> list[dict[str, Any]]:
    """The lines of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def names(path: Path) -> list[str]:
    """The names of the spans in a file."""
    return [line["name"] for line in recorded(path) if "name" in line]


async def listened(readers: int = 1) -> None:
    """Wait until so many listen, and no more."""
    async with asyncio.timeout(30):
        while len(spans._listeners) != readers:  # noqa: ASYNC110 - the daemon tells nobody
            await asyncio.sleep(0.001)


async def test_only_root_may_read_traces(folder: Path) -> None:
    assert stat.S_IMODE((folder / feed.NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_what_happens_from_the_connection_on_is_recorded_in_its_order(
    folder: Path, tmp_path: Path
) -> None:
    happen("before")
    recorder = Recorder(tmp_path / "trace", Extent(calls=2))
    recording = asyncio.create_task(record(folder / feed.NAME, recorder))
    await listened()
    with spans.span(Kind.CALL, "first"):
        happen("bridge", Kind.PLUGIN)
    happen("second")
    await recording

    assert names(tmp_path / "trace") == ["bridge", "first", "second"]
    assert [line["kind"] for line in recorded(tmp_path / "trace")] == [
        "trace",
        "plugin",
        "call",
        "call",
        "end",
    ]
    assert str(recorder) == "2 calls of the engine, 1 plugin runs"
    assert stat.S_IMODE((tmp_path / "trace").stat().st_mode) == 0o600


async def test_after_enough_calls_no_more_are_recorded(folder: Path, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "trace", Extent(calls=1))
    recording = asyncio.create_task(record(folder / feed.NAME, recorder))
    await listened()
    for name in ("first", "second", "third"):
        happen(name)
    await recording

    assert names(tmp_path / "trace") == ["first"]


async def test_after_enough_seconds_what_is_under_way_is_recorded_as_such(
    folder: Path, tmp_path: Path
) -> None:
    recorder = Recorder(tmp_path / "trace", Extent(seconds=0.05))
    with spans.span(Kind.CALL, "slow"):
        await record(folder / feed.NAME, recorder)

    (line,) = (line for line in recorded(tmp_path / "trace") if line["kind"] == "call")
    assert (line["name"], line["end"], line["seconds"]) == ("slow", None, None)


async def test_two_recorders_get_the_same(folder: Path, tmp_path: Path) -> None:
    extent = Extent(calls=1)
    recorders = [Recorder(tmp_path / name, extent) for name in ("one", "two")]
    recordings = [asyncio.create_task(record(folder / feed.NAME, recorder)) for recorder in recorders]
    await listened(2)
    happen("first")
    await asyncio.gather(*recordings)

    assert names(tmp_path / "one") == names(tmp_path / "two") == ["first"]


async def test_a_reader_who_does_not_read_costs_lines_that_are_counted_and_delays_nothing(
    folder: Path,
) -> None:
    reader, writer = await asyncio.open_unix_connection(folder / feed.NAME)
    await listened()
    happened = 3 * MOST_SPANS
    for number in range(happened):  # without a pause: the daemon does not wait for anybody
        happen(f"call {number}")

    writer.write_eof()
    trace = [json.loads(line) for line in (await reader.read()).splitlines()]
    writer.close()

    (lost,) = (line["count"] for line in trace if line["kind"] == "lost")
    calls = [line["name"] for line in trace if line["kind"] == "call"]
    assert calls == [f"call {number}" for number in range(MOST_SPANS)]
    assert lost == happened - MOST_SPANS
    assert trace[-1]["kind"] == "end"


async def test_a_reader_who_never_reads_again_is_left_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "_FAREWELL", 0.05)
    with socket.socket(socket.AF_UNIX) as reader:
        reader.connect(str(folder / feed.NAME))
        await listened()
        for _ in range(MOST_SPANS):
            happen("call", request=b'"' + b"x" * 1000 + b'"')
        reader.shutdown(socket.SHUT_WR)
        await listened(0)

        happen("the daemon goes on")


async def test_a_reader_who_dies_is_forgotten(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as reader:
        reader.connect(str(folder / feed.NAME))
        await listened()
        happen("seen by nobody")

    await listened(0)


async def test_what_a_reader_says_has_no_meaning(folder: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(folder / feed.NAME)
    writer.write(b"GET / HTTP/1.1\r\n" * 1000)
    await listened()
    happen("first")
    writer.write_eof()

    assert b'"first"' in await reader.read()
    writer.close()


async def test_the_end_of_the_daemon_ends_the_trace_with_an_error_and_what_was_recorded_stays(
    tmp_path: Path,
) -> None:
    recorder = Recorder(tmp_path / "trace", Extent())
    async with feed.serving(tmp_path, SOURCE):
        recording = asyncio.create_task(record(tmp_path / feed.NAME, recorder))
        await listened()
        happen("first")
    with pytest.raises(ShimError, match="the daemon has ended, and the trace with it"):
        await recording

    assert names(tmp_path / "trace") == ["first"]
    assert recorded(tmp_path / "trace")[-1]["kind"] == "end"
    assert not (tmp_path / feed.NAME).exists()


async def test_the_daemon_works_without_a_socket_for_traces(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with feed.serving(tmp_path / ("x" * 200), SOURCE):
        happen("first")

    assert "no traces: " in caplog.text
    assert "cannot listen: AF_UNIX path too long" in caplog.text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no/such/file", "no/such/file: cannot be written: No such file or directory (give another -o)"),
        ("/dev/full", "/dev/full: cannot be written: No space left on device (give another -o)"),
    ],
)
async def test_a_file_that_cannot_be_written_is_one_error_with_its_cure(
    folder: Path, tmp_path: Path, path: str, words: str
) -> None:
    with pytest.raises(ShimError) as caught:
        await record(folder / feed.NAME, Recorder(tmp_path / path, Extent()))

    assert str(caught.value).endswith(words)
    await listened(0)


@pytest.mark.parametrize("is_stale", [False, True])
async def test_without_a_daemon_there_is_one_error_with_its_cure(tmp_path: Path, is_stale: bool) -> None:  # noqa: FBT001
    path = tmp_path / feed.NAME
    if is_stale:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    (tmp_path / "trace").write_text("an older trace")
    recorder = Recorder(tmp_path / "trace", Extent())
    with pytest.raises(ShimError) as caught:
        await record(path, recorder)

    assert str(caught.value) == (
        f"{path}: no daemon listens here (systemctl start cnm-cni, or give its --run-dir)"
    )
    assert (tmp_path / "trace").read_text() == "an older trace"
