"""The daemon as a process of its own, with every path private."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shim.model import EndpointState
from shim.store import Store

NETWORK_ID = "a" * 64
ENDPOINT_ID = "e" * 64
ABOUT = {"NetworkID": NETWORK_ID, "EndpointID": ENDPOINT_ID}

_PLUGIN = """#!/bin/sh
echo "$CNI_COMMAND" >> {folder}/calls
if [ "$CNI_COMMAND" = ADD ]; then
    echo > {folder}/started
    read line < {folder}/gate
    echo '{{"cniVersion": "1.0.0", "ips": [{{"address": "10.1.0.5/16"}}]}}'
fi
"""
"""Its ADD says that it has started, then waits for somebody to write to the gate."""


class Shim:
    """How to start the daemon, and what it is given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "plugins" / "cni.sock"
        self.started: list[subprocess.Popen[str]] = []
        for name in ("bin", "net.d"):
            (folder / name).mkdir()
        conflist = {"cniVersion": "1.0.0", "name": "slow", "plugins": [{"type": "slow"}]}
        (folder / "net.d" / "slow.conflist").write_text(json.dumps(conflist))
        plugin = folder / "bin" / "slow"
        plugin.write_text(_PLUGIN.format(folder=folder))
        plugin.chmod(0o755)
        for name in ("started", "gate"):
            subprocess.run(["mkfifo", folder / name], check=True)
        self.gate = os.open(folder / "gate", os.O_RDWR)  # neither opening nor writing waits for a plugin

    def start(self, *flags: str) -> subprocess.Popen[str]:
        """Start it, without waiting for anything."""
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "shim.cli", "serve"),
                *("--socket", self.socket),
                *("--state-dir", self.folder / "state"),
                *("--run-dir", self.folder / "run"),
                *("--conf-dirs", self.folder / "net.d"),
                *("--plugin-path", self.folder / "bin"),
                *("--docker-socket", self.folder / "docker.sock"),
                *flags,
            ],
            env={"NOTIFY_SOCKET": str(self.folder / "notify")},
            cwd=Path(__file__).parents[2],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def ready(self, *flags: str) -> subprocess.Popen[str]:
        """Start it and wait until it says that it is ready, as systemd does."""
        with closing(self.notified()) as notify:
            process = self.start(*flags)
            assert notify.recv(100) == b"READY=1"
        return process

    def notified(self) -> socket.socket:
        """A socket in systemd's place."""
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.settimeout(30)
        (self.folder / "notify").unlink(missing_ok=True)
        notify.bind(str(self.folder / "notify"))
        return notify

    async def call(self, name: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer to one call of the engine."""
        connector = aiohttp.UnixConnector(path=str(self.socket))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(f"http://plugin/{name}", json=request) as response,
        ):
            return response.status, await response.json(content_type=None)

    def refuses_calls(self) -> None:
        """Wait until nobody listens any more."""
        try:
            while True:
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(self.socket))
        except ConnectionRefusedError:
            return

    async def create_network(self) -> None:
        """CreateNetwork on the chain with the slow plugin."""
        options = {"com.docker.network.generic": {"cni.network": "slow"}}
        request = {"NetworkID": NETWORK_ID, "Options": options}
        assert await self.call("NetworkDriver.CreateNetwork", request) == (200, {})

    async def add_under_way(self) -> asyncio.Task[tuple[int, dict[str, Any]]]:
        """A CreateEndpoint whose plugin has started and waits at the gate."""
        await self.create_network()
        creating = asyncio.create_task(self.call("NetworkDriver.CreateEndpoint", ABOUT | {"Interface": {}}))
        await asyncio.to_thread((self.folder / "started").read_text)
        return creating

    def open_gate(self) -> None:
        """Let the plugin that waits go on."""
        os.write(self.gate, b"go\n")

    def calls(self) -> list[str]:
        """The commands that the plugin got."""
        return (self.folder / "calls").read_text().split()


@pytest.fixture
def shim(tmp_path: Path) -> Iterator[Shim]:
    shim = Shim(tmp_path)
    yield shim
    for process in shim.started:
        process.kill()
        process.wait()
        assert process.stderr
        process.stderr.close()
    os.close(shim.gate)  # a plugin that a failed test left waiting goes on, and ends
    os.close(os.open(tmp_path / "started", os.O_RDWR))


@pytest.fixture
async def journal(shim: Shim) -> AsyncIterator[Store]:
    """The journal, read beside the daemon."""
    store = Store(shim.folder / "state", read_only=True)
    yield store
    await store.close()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit status and stderr of a process that ends by itself."""
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


def logged(process: subprocess.Popen[str], words: str) -> None:
    """Wait until the process has written these words to its log; one that never does is killed in the end."""
    patience = threading.Timer(60, process.kill)
    patience.start()
    assert process.stderr
    for line in process.stderr:
        if words in line:
            break
    else:
        pytest.fail(f"the log ended without {words!r}")
    patience.cancel()


async def test_the_socket_belongs_to_root_alone_and_answers(shim: Shim) -> None:
    shim.ready()

    assert stat.S_IMODE(shim.socket.stat().st_mode) == 0o600
    assert await shim.call("Plugin.Activate", {}) == (200, {"Implements": ["NetworkDriver", "IpamDriver"]})


def test_systemd_is_told_of_the_start_and_the_stop(shim: Shim) -> None:
    with closing(shim.notified()) as notify:
        process = shim.start()
        assert notify.recv(100) == b"READY=1"

        process.terminate()

        assert notify.recv(100) == b"STOPPING=1"
        assert ended(process)[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_removes_the_socket_and_is_no_error(shim: Shim, number: signal.Signals) -> None:
    process = shim.ready()

    process.send_signal(number)

    status, log = ended(process)
    assert status == 0
    assert log.splitlines()[-1].endswith("INFO stopped")
    assert "Traceback" not in log
    assert list(shim.socket.parent.iterdir()) == []


def test_a_second_instance_is_refused_in_one_line_and_the_first_keeps_the_socket(shim: Shim) -> None:
    first = shim.ready()
    inode = shim.socket.stat().st_ino

    status, log = ended(shim.start())

    assert status == 1
    assert log == (
        f"cnm-cni: {shim.socket}: another instance serves this socket (stop it, or give another --socket)\n"
    )
    assert shim.socket.stat().st_ino == inode
    assert first.poll() is None
    assert ended(shim.start())[0] == 1


async def test_a_socket_that_a_dead_instance_left_is_replaced(shim: Shim) -> None:
    process = shim.ready()
    process.kill()
    process.wait()
    assert shim.socket.exists()

    shim.ready()

    assert (await shim.call("Plugin.Activate", {}))[0] == 200


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no such file"),
        ("drivername: cni", "unknown key 'drivername'"),
        ("deadlines: {add: soon}", "deadlines: add: expected a number of seconds"),
        ("- a\nb: [", "not valid YAML"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_in_one_line(
    shim: Shim, text: str | None, words: str
) -> None:
    file = shim.folder / "config.yaml"
    if text is not None:
        file.write_text(text)

    status, log = ended(shim.start("--config", str(file)))

    assert status == 1
    assert log.startswith(f"cnm-cni: {file}: ")
    assert words in log
    assert log.count("\n") == 1


def test_a_journal_that_cannot_be_opened_is_refused_in_one_line(shim: Shim) -> None:
    (shim.folder / "state").mkdir()
    (shim.folder / "state" / "state.db").write_text("this is no database, " * 100)

    status, log = ended(shim.start())

    assert status == 1
    assert log.startswith(f"cnm-cni: {shim.folder}/state/state.db: file is not a database")
    assert log.count("\n") == 1
    assert list(shim.socket.parent.iterdir()) == []


def test_a_socket_that_cannot_be_made_is_refused_in_one_line(shim: Shim) -> None:
    too_long = shim.folder / ("x" * 100)

    status, log = ended(shim.start("--socket", str(too_long)))

    assert (status, log) == (
        1,
        f"cnm-cni: {too_long}: cannot listen: AF_UNIX path too long (give another --socket)\n",
    )
    assert not too_long.with_name(f"{too_long.name}.lock").exists()


async def test_sigterm_finishes_the_call_under_way(shim: Shim, journal: Store) -> None:
    with closing(shim.notified()) as notify:
        process = shim.start()
        assert notify.recv(100) == b"READY=1"
        creating = await shim.add_under_way()
        process.terminate()
        assert notify.recv(100) == b"STOPPING=1"
    await asyncio.to_thread(shim.refuses_calls)

    shim.open_gate()

    status, body = await creating
    assert (status, body["Interface"]["Address"]) == (200, "10.1.0.5/32")
    assert (await asyncio.to_thread(ended, process))[0] == 0
    await journal.open()
    assert [item.state for item in await journal.endpoints()] == [EndpointState.CREATED]
    assert shim.calls() == ["ADD"]


async def test_a_call_is_finished_when_the_engine_hangs_up(shim: Shim) -> None:
    shim.ready()
    creating = await shim.add_under_way()
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    await shim.call("Plugin.Activate", {})  # by its answer the daemon has seen the other connection end

    shim.open_gate()

    status, _ = await shim.call("NetworkDriver.CreateEndpoint", ABOUT)
    assert (status, shim.calls()) == (200, ["ADD"])


async def test_what_a_kill_in_the_midst_of_add_left_is_removed_by_the_next_start(
    shim: Shim, journal: Store
) -> None:
    process = shim.ready()
    creating = await shim.add_under_way()
    process.kill()
    with pytest.raises(aiohttp.ClientError):
        await creating
    assert [file.name for file in (shim.folder / "run" / "netns").iterdir()] == [ENDPOINT_ID]
    shim.open_gate()  # the plugin outlived the shim

    await asyncio.to_thread(logged, shim.ready(), "Repair slow/eeeeeeeeeeee")

    await journal.open()
    assert await journal.endpoints() == []
    assert shim.calls() == ["ADD", "DEL"]
    assert list((shim.folder / "run" / "netns").iterdir()) == []
    assert len(await journal.networks()) == 1


async def test_an_endpoint_survives_a_restart_of_the_shim(shim: Shim) -> None:
    process = shim.ready()
    creating = await shim.add_under_way()
    shim.open_gate()
    answer = await creating
    process.terminate()
    await asyncio.to_thread(ended, process)

    shim.ready()

    assert await shim.call("NetworkDriver.CreateEndpoint", ABOUT) == answer
    assert await shim.call("NetworkDriver.DeleteEndpoint", ABOUT) == (200, {})
    assert shim.calls() == ["ADD", "DEL"]


async def test_a_plugin_that_hangs_is_killed_at_the_deadline_given_by_flag(shim: Shim) -> None:
    shim.ready("--add-deadline", "0.2")

    await shim.create_network()
    (shim.folder / "bin" / "slow").write_text('#!/bin/sh\n[ "$CNI_COMMAND" = DEL ] || exec sleep infinity\n')
    status, body = await shim.call("NetworkDriver.CreateEndpoint", ABOUT)

    assert status == 500
    told = 'plugin "slow" (network "slow") ADD: no answer within 0.2 s, killed (what does it wait for? '
    assert body["Err"].startswith(told)
