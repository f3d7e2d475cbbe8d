"""The log shows each call in one record, with its plugin runs below it."""

import asyncio
import io
import logging
import re
from collections.abc import Iterator

import pytest

from shim import telemetry


@pytest.fixture(autouse=True)
def _everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="shim")


def without_times(text: str) -> str:
    return re.sub(r"\d+\.\d ms", "N ms", text)


def test_a_call_is_one_record_with_its_subject_and_its_plugin_runs(caplog: pytest.LogCaptureFixture) -> None:
    with telemetry.call("CreateEndpoint"):
        telemetry.about("web/4f1c09aab2de")
        telemetry.plugin_ran("bridge", "ADD", 0.0129)
        telemetry.plugin_ran("portmap", "ADD", 0.0213, "exit status 1")

    (record,) = caplog.records
    first, *runs = record.getMessage().split("\n")
    assert without_times(first) == "CreateEndpoint web/4f1c09aab2de N ms"
    assert runs == ["  bridge ADD 12.9 ms", "  portmap ADD 21.3 ms: exit status 1"]
    assert record.levelno == logging.INFO


def test_a_call_without_a_subject_has_no_gap(caplog: pytest.LogCaptureFixture) -> None:
    with telemetry.call("Activate"):
        pass

    assert [without_times(message) for message in caplog.messages] == ["Activate N ms"]


def test_a_failed_call_is_an_error_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    with telemetry.call("Join") as record:
        record.error = "100% of the addresses are taken"

    assert caplog.records[0].levelno == logging.ERROR
    assert without_times(caplog.messages[0]) == "Join N ms: 100% of the addresses are taken"


def test_a_call_that_raises_is_logged_and_the_error_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(asyncio.CancelledError), telemetry.call("Leave"):
        raise asyncio.CancelledError

    assert [without_times(message) for message in caplog.messages] == ["Leave N ms"]


def test_outside_of_a_call_a_plugin_run_is_a_record_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    telemetry.about("nothing under way")
    telemetry.plugin_ran("bridge", "DEL", 0.5, "%s is no format here")

    assert caplog.messages == ["bridge DEL 500.0 ms: %s is no format here"]


async def test_calls_at_the_same_time_keep_their_runs_apart(caplog: pytest.LogCaptureFixture) -> None:
    both_started = asyncio.Barrier(2)

    async def one(subject: str) -> None:
        with telemetry.call("Join"):
            telemetry.about(subject)
            await both_started.wait()
            await asyncio.create_task(run_plugin(subject))

    async def run_plugin(plugin: str) -> None:
        telemetry.plugin_ran(plugin, "ADD", 0)

    await asyncio.gather(one("first"), one("second"))

    assert sorted(without_times(message) for message in caplog.messages) == [
        "Join first N ms\n  first ADD N ms",
        "Join second N ms\n  second ADD N ms",
    ]


@pytest.fixture
def shim_logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("shim")
    handlers, level = list(logger.handlers), logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def test_the_log_goes_to_stderr_from_its_level_up(
    shim_logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr("sys.stderr", stderr)

    telemetry.start("warning")
    shim_logger.getChild("part").info("not this")
    shim_logger.getChild("part").warning("but this")

    assert stderr.getvalue().endswith(" WARNING but this\n")
    assert "not this" not in stderr.getvalue()
