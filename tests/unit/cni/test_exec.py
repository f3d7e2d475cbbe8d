"""One run of one plugin: answers, failures in the plugin's own words, and ends that cannot be put off."""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from shim.cni.errors import PluginError
from shim.cni.exec import Exec
from tests.unit.cni.scripted import ScriptedPlugins

ENVIRONMENT = {**os.environ, "CNI_COMMAND": "ADD"}

Seen = list[tuple[str, str, str]]


@pytest.fixture
def seen() -> Seen:
    """Plugin, command and outcome of each run, as the observer was told."""
    return []


@pytest.fixture
def plugin_exec(seen: Seen) -> Exec:
    def observe(plugin: str, command: str, seconds: float, outcome: str) -> None:
        assert seconds > 0
        seen.append((plugin, command, outcome))

    return Exec(observe)


async def _run(plugin_exec: Exec, path: Path, deadline: float = 60.0, stdin: bytes = b"{}") -> bytes:
    return await plugin_exec.run(path, ENVIRONMENT, stdin, deadline, network="web")


async def _fail(plugin_exec: Exec, path: Path, deadline: float = 60.0) -> PluginError:
    with pytest.raises(PluginError) as failure:
        await _run(plugin_exec, path, deadline)
    return failure.value


def _wait_until(is_so: Callable[[], bool]) -> Awaitable[None]:
    """Wait for something outside the event loop; the test's own time-out is the bound."""

    def poll() -> None:
        while not is_so():
            time.sleep(0.01)

    return asyncio.to_thread(poll)


def _is_dead(pid_file: Path) -> bool:
    try:
        state = Path(f"/proc/{int(pid_file.read_text())}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"  # killed, and waiting for init


def _is_written(file: Path) -> bool:
    return file.exists() and file.read_text().endswith("\n")


def test_a_plugin_is_found_in_the_first_folder_that_has_it(plugins: ScriptedPlugins, tmp_path: Path) -> None:
    path = plugins.write("bridge")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "bridge").touch()
    (tmp_path / "folders" / "bridge").mkdir(parents=True)
    folders = [tmp_path / "none", tmp_path / "folders", plugins.folder, tmp_path / "other"]

    assert Exec(lambda *_: None).find("bridge", folders, network="web") == path


@pytest.mark.parametrize("kind", ["bridge", "b" * 300])
def test_a_missing_plugin_is_answered_with_folders_and_cure(
    plugin_exec: Exec, tmp_path: Path, kind: str
) -> None:
    with pytest.raises(PluginError) as failure:
        plugin_exec.find(kind, [tmp_path / "a", tmp_path / "b"], network="web")

    assert str(failure.value) == (
        f'plugin "{kind}" (network "web"): not found in {tmp_path}/a, {tmp_path}/b '
        "(install it (Debian: containernetworking-plugins) or set plugin_path)"
    )


async def test_a_plugin_reads_its_request_and_its_answer_is_returned(
    plugin_exec: Exec, plugins: ScriptedPlugins, seen: Seen
) -> None:
    path = plugins.write("bridge", "echo '{\"ips\": []}'")

    assert await _run(plugin_exec, path, stdin=b'{"name": "web"}') == b'{"ips": []}\n'
    assert plugins.request("bridge", "ADD") == {"name": "web"}
    assert seen == [("bridge", "ADD", "")]


async def test_a_large_request_reaches_a_plugin_that_does_not_read_it(
    plugin_exec: Exec, tmp_path: Path
) -> None:
    path = tmp_path / "deaf"
    path.write_text("#!/bin/sh\necho '{}'\n")
    path.chmod(0o755)

    assert await _run(plugin_exec, path, stdin=b" " * 1_000_000) == b"{}\n"


async def test_a_failure_is_told_in_the_plugins_own_words(
    plugin_exec: Exec, plugins: ScriptedPlugins, seen: Seen
) -> None:
    answer = '{"cniVersion": "1.0.0", "code": 11, "msg": "no address left", "details": "10.1.0.0/30"}'
    error = await _fail(plugin_exec, plugins.write("bridge", f"echo '{answer}'; echo noise >&2; exit 1"))

    assert str(error) == 'plugin "bridge" (network "web") ADD: no address left; 10.1.0.0/30'
    assert (error.plugin, error.command, error.code, error.left_behind) == ("bridge", "ADD", 11, False)
    assert seen == [("bridge", "ADD", str(error))]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("exit 7", "exit status 7 without a word"),
        ("echo first >&2; echo 'no such device' >&2; exit 7", "exit status 7: first no such device"),
        ("echo 'not json'; echo why >&2; exit 1", "exit status 1: why"),
        ("echo '[]'; exit 1", "exit status 1 without a word"),
        ('echo \'{"code": "x", "msg": 5}\'; exit 1', "exit status 1 without a word"),
        ("printf '\\377 bad' >&2; exit 1", "exit status 1: \ufffd bad"),
        ("kill -SEGV $$", "killed by SIGSEGV without a word"),
        ("kill -40 $$", "killed by signal 40 without a word"),
    ],
)
async def test_a_failure_without_words_is_told_by_stderr_or_status(
    plugin_exec: Exec, plugins: ScriptedPlugins, body: str, said: str
) -> None:
    error = await _fail(plugin_exec, plugins.write("bridge", body))

    assert str(error) == f'plugin "bridge" (network "web") ADD: {said}'
    assert error.code == 0


async def test_only_the_end_of_a_long_stderr_is_quoted(plugin_exec: Exec, plugins: ScriptedPlugins) -> None:
    flood = f"{sys.executable} -c \"import sys; sys.stderr.write('x' * 1_000_000 + 'the end')\"; exit 1"

    error = await _fail(plugin_exec, plugins.write("bridge", flood))

    assert str(error).endswith("xthe end")
    assert len(str(error)) < 600


async def test_stderr_goes_to_the_log_as_news_on_success_and_as_a_warning_on_failure(
    plugin_exec: Exec, plugins: ScriptedPlugins, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "shim.cni.exec")

    await _run(plugin_exec, plugins.write("good", "echo one >&2; echo two >&2"))
    await _fail(plugin_exec, plugins.write("bad", "echo three >&2; exit 1"))

    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "good ADD: one"),
        ("INFO", "good ADD: two"),
        ("WARNING", "bad ADD: three"),
    ]


async def test_an_answer_without_end_is_refused(plugin_exec: Exec, plugins: ScriptedPlugins) -> None:
    error = await _fail(plugin_exec, plugins.write("bridge", "head -c 5000000 /dev/zero"))

    assert "answered 5000000 bytes; at most 4194304 are read" in str(error)


async def test_a_hanging_plugin_is_killed_at_its_deadline_with_all_its_children(
    plugin_exec: Exec, plugins: ScriptedPlugins, tmp_path: Path, seen: Seen
) -> None:
    child = tmp_path / "child"
    path = plugins.write("bridge", f"trap '' TERM INT; sleep 1000 & echo $! > {child}; echo hm >&2; wait")

    error = await _fail(plugin_exec, path, deadline=1.0)

    assert error.cause == 'plugin "bridge" (network "web") ADD: no answer within 1 s, killed'
    assert seen == [("bridge", "ADD", str(error))]
    await _wait_until(lambda: _is_dead(child))


async def test_a_hanging_plugin_may_clean_up_when_it_is_told_to_end(
    plugin_exec: Exec, plugins: ScriptedPlugins, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    path = plugins.write("bridge", f"trap 'echo yes > {told}; exit 0' TERM; sleep 1000 & wait")

    error = await _fail(plugin_exec, path, deadline=1.0)

    assert "no answer within 1 s, killed" in str(error)
    assert told.read_text() == "yes\n"


async def test_a_hanging_plugin_is_given_up_even_when_a_child_that_fled_holds_its_stdout(
    plugin_exec: Exec, plugins: ScriptedPlugins, tmp_path: Path
) -> None:
    fled = tmp_path / "fled"
    path = plugins.write("bridge", f"setsid sh -c 'echo $$ > {fled}; exec sleep 1000' & wait")
    try:
        error = await _fail(plugin_exec, path, deadline=1.0)
    finally:
        os.kill(int(fled.read_text()), signal.SIGKILL)

    assert "no answer within 1 s, killed" in str(error)


async def test_a_daemon_left_holding_stdout_does_not_hold_up_the_answer_and_lives_on(
    plugin_exec: Exec, plugins: ScriptedPlugins, tmp_path: Path
) -> None:
    daemon = tmp_path / "daemon"
    path = plugins.write("bridge", f"sleep 1000 & echo $! > {daemon}; echo '{{}}'")

    assert await _run(plugin_exec, path) == b"{}\n"
    os.kill(int(daemon.read_text()), signal.SIGKILL)  # raises if it is gone


async def test_a_cancelled_run_kills_the_plugin_with_its_children(
    plugin_exec: Exec, plugins: ScriptedPlugins, tmp_path: Path, seen: Seen
) -> None:
    child = tmp_path / "child"
    path = plugins.write("bridge", f"sleep 1000 & echo $! > {child}; wait")
    task = asyncio.create_task(_run(plugin_exec, path))
    await _wait_until(lambda: _is_written(child))

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == [("bridge", "ADD", "cancelled")]
    await _wait_until(lambda: _is_dead(child))


async def test_a_file_that_is_no_program_is_refused_with_a_cure(plugin_exec: Exec, tmp_path: Path) -> None:
    path = tmp_path / "bridge"
    path.write_bytes(b"\x7fELF but not really")
    path.chmod(0o755)

    error = await _fail(plugin_exec, path)

    assert f"{path} cannot be started: Exec format error (it is no program for this machine" in str(error)


async def test_a_file_that_is_not_executable_is_refused_with_a_cure(
    plugin_exec: Exec, plugins: ScriptedPlugins
) -> None:
    path = plugins.write("bridge")
    path.chmod(0o644)

    error = await _fail(plugin_exec, path)

    assert "Permission denied (make it executable: chmod +x)" in str(error)


async def test_a_script_without_its_interpreter_is_refused_with_a_cure(
    plugin_exec: Exec, tmp_path: Path
) -> None:
    path = tmp_path / "bridge"
    path.write_text("#!/no/such/interpreter\n")
    path.chmod(0o755)

    error = await _fail(plugin_exec, path)

    assert "No such file or directory (is the interpreter that its first line names installed?)" in str(error)


async def test_a_plugin_that_is_being_written_is_started_once_it_is_complete(
    plugin_exec: Exec, plugins: ScriptedPlugins
) -> None:
    path = plugins.write("bridge", "echo '{}'")
    with path.open("a"):  # the kernel now says ETXTBSY
        run = asyncio.create_task(_run(plugin_exec, path))
        await asyncio.sleep(0)
        assert plugins.calls == []

    assert await run == b"{}\n"


async def test_a_plugin_that_stays_open_for_writing_is_an_error_not_a_success(
    plugin_exec: Exec, plugins: ScriptedPlugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shim.cni.exec._BUSY_LIMIT", 0.1)
    path = plugins.write("bridge")
    with path.open("a"):
        error = await _fail(plugin_exec, path)

    assert "cannot be started: Text file busy" in str(error)
    assert plugins.calls == []


async def test_runs_leave_no_process_no_descriptor_and_no_thread(
    plugin_exec: Exec, plugins: ScriptedPlugins
) -> None:
    path = plugins.write("bridge", "echo '{}'")
    await _run(plugin_exec, path)
    before = _held()

    await asyncio.gather(*(_run(plugin_exec, path) for _ in range(20)))

    assert _held() == before


def _held() -> list[Path | str]:
    """The descriptors, threads and children of this process."""
    task = Path("/proc/self/task")
    threads = sorted(task.iterdir())
    children = [child for thread in threads for child in (thread / "children").read_text().split()]
    return [*sorted(Path("/proc/self/fd").iterdir()), *threads, *children]
