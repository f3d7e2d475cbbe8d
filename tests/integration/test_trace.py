"""`cnm-cni trace` beside a running daemon, each a process of its own."""

import asyncio
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

REPOSITORY = Path(__file__).parents[2]
NETWORK_ID = "a" * 64
ENDPOINT_ID = "e" * 64
ABOUT = {"NetworkID": NETWORK_ID, "EndpointID": ENDPOINT_ID}

_PLUGIN = """#!/bin/sh
if [ "$CNI_COMMAND" = ADD ]; then
    echo '{"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.5/16"}]}'
fi
"""


class Host:
    """A daemon with private paths, and recorders beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_dir = folder / "run"
        self.socket = folder / "cni.sock"
        self._started: list[subprocess.Popen[str]] = []
        (folder / "net.d").mkdir()
        (folder / "bin").mkdir()
        plugins = [{"type": "plain", "password": "hunter2"}]
        conflist = {"cniVersion": "1.0.0", "name": "web", "plugins": plugins}
        (folder / "net.d" / "web.conflist").write_text(json.dumps(conflist))
        (folder / "bin" / "plain").write_text(_PLUGIN)
        (folder / "bin" / "plain").chmod(0o755)
        self.daemon = self._serve()

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `cnm-cni` with these arguments."""
        process = subprocess.Popen(
            [sys.executable, "-m", "shim.cli", *arguments],
            env={"NOTIFY_SOCKET": str(self.folder / "notify")},
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def trace(self, *flags: str) -> subprocess.Popen[str]:
        """Start a recorder, and wait until it records."""
        recorder = self.command("trace", "--run-dir", str(self.run_dir), *flags)
        if "-o" in flags:
            file = Path(flags[flags.index("-o") + 1])
            while recorder.poll() is None and not (file.exists() and file.read_text()):
                time.sleep(0.01)
        return recorder

    def proxy(self, file: Path, *flags: str) -> subprocess.Popen[str]:
        """Start a recorder before the daemon, and wait until it records; calls go through it from then on."""
        target, self.socket = self.socket, self.folder / "traced.sock"
        recorder = self.command("trace", "proxy", str(self.socket), str(target), "-o", str(file), *flags)
        while recorder.poll() is None and not (file.exists() and file.read_text()):
            time.sleep(0.01)
        return recorder

    async def call(self, name: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer to one call of the engine."""
        connector = aiohttp.UnixConnector(path=str(self.socket))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(f"http://plugin/{name}", json=request) as response,
        ):
            return response.status, await response.json(content_type=None)

    async def container(self) -> list[tuple[int, dict[str, Any]]]:
        """A container comes and goes; what the engine is answered."""
        options = {"com.docker.network.generic": {"cni.network": "web"}}
        return [
            await self.call("NetworkDriver.CreateNetwork", {"NetworkID": NETWORK_ID, "Options": options}),
            await self.call("NetworkDriver.CreateEndpoint", ABOUT | {"Interface": {}}),
            await self.call("NetworkDriver.DeleteEndpoint", ABOUT),
            await self.call("NetworkDriver.DeleteNetwork", {"NetworkID": NETWORK_ID}),
        ]

    def stop(self) -> None:
        """End what is still running."""
        for process in self._started:
            process.kill()
            process.communicate()

    def _serve(self) -> subprocess.Popen[str]:
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as notify:
            notify.settimeout(30)
            notify.bind(str(self.folder / "notify"))
            daemon = self.command(
                *("serve", "--socket", str(self.socket), "--run-dir", str(self.run_dir)),
                *("--state-dir", str(self.folder / "state"), "--conf-dirs", str(self.folder / "net.d")),
                *("--plugin-path", str(self.folder / "bin")),
                *("--docker-socket", str(self.folder / "docker.sock"), "--log-level", "error"),
            )
            assert notify.recv(100) == b"READY=1"
        return daemon


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.stop()


def lines(text: str) -> list[dict[str, Any]]:
    """The lines of a trace."""
    return [json.loads(line) for line in text.splitlines()]


def documented() -> dict[str, dict[str, Any]]:
    """The examples in the documentation, by kind."""
    text = (REPOSITORY / "docs" / "trace.md").read_text()
    examples = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    return {line["kind"]: line for line in examples}


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a process that ends by itself."""
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


async def test_a_container_is_recorded_call_by_call_with_its_plugins_and_what_the_kernel_did(
    host: Host,
) -> None:
    file = host.folder / "trace.jsonl"
    recorder = host.trace("-o", str(file), "--count", "4")

    await host.container()

    status, out, err = await asyncio.to_thread(ended, recorder)
    assert (status, out, err) == (0, "", f"{file}: 4 calls of the engine, 2 plugin runs\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    trace = lines(file.read_text())
    assert [line["name"] for line in trace if line["kind"] == "call"] == [
        "CreateNetwork",
        "CreateEndpoint",
        "DeleteEndpoint",
        "DeleteNetwork",
    ]
    by_id = {line["id"]: line for line in trace if "id" in line}
    parts: dict[str, list[tuple[str, str]]] = {}
    for line in trace:
        if line.get("within"):
            name = line["name"].replace(f"{host.run_dir}/netns/{ENDPOINT_ID}", "STAGING")
            parts.setdefault(by_id[line["within"]]["name"], []).append((line["kind"], name))
    assert parts.keys() == {"CreateEndpoint", "Release", "DeleteEndpoint"}
    assert parts["CreateEndpoint"] == [
        ("kernel", "make the network namespace STAGING"),
        ("plugin", "plain"),
        ("kernel", "read the links of STAGING"),
    ]
    assert sorted(parts["Release"]) == [  # of a link that this plugin never made
        ("kernel", "look for cnieeeeeeeeeeee in the host's namespace"),
        ("kernel", "move eth0 from STAGING to the host's namespace"),
        ("kernel", "read the sysctls of STAGING"),
    ]
    assert parts["DeleteEndpoint"] == [
        ("kernel", "make the network namespace STAGING"),
        ("kernel", "read the links of STAGING"),
        ("plugin", "plain"),
        ("kernel", "remove the network namespace STAGING"),
    ]
    (add, delete) = (line for line in trace if line["kind"] == "plugin")
    assert (add["command"], delete["command"]) == ("ADD", "DEL")
    assert add["containerid"] == ENDPOINT_ID
    assert add["result"]["ips"] == [{"address": "10.1.0.5/16"}]
    assert "hunter2" not in file.read_text()
    for line in trace:
        assert line.keys() == documented()[line["kind"]].keys()


async def test_times_of_parts_lie_within_those_of_their_call(host: Host) -> None:
    file = host.folder / "trace.jsonl"
    recorder = host.trace("-o", str(file), "--count", "4")
    await host.container()
    await asyncio.to_thread(ended, recorder)

    trace = lines(file.read_text())
    by_id = {line["id"]: line for line in trace if "id" in line}
    for line in by_id.values():
        if line["within"]:
            call = by_id[line["within"]]
            assert call["offset"] <= line["offset"]
            assert line["offset"] + line["seconds"] <= call["offset"] + call["seconds"] + 2e-6
            assert call["start"] <= line["start"] <= line["end"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_ends_a_trace_without_an_error(host: Host, number: signal.Signals) -> None:
    file = host.folder / "trace.jsonl"
    recorder = host.trace("-o", str(file))
    await host.call("Plugin.Activate", {})

    recorder.send_signal(number)

    assert (await asyncio.to_thread(ended, recorder))[0] == 0
    assert [line["kind"] for line in lines(file.read_text())] == ["trace", "call", "end"]


async def test_a_trace_may_be_for_a_time_and_goes_to_stdout(host: Host) -> None:
    recorder = host.trace("--for", "0.2")

    status, out, err = await asyncio.to_thread(ended, recorder)

    assert (status, err) == (0, "")
    assert [line["kind"] for line in lines(out)] == ["trace", "end"]


async def test_a_reader_of_stdout_that_goes_away_makes_no_noise(host: Host) -> None:
    recorder = host.trace()
    assert recorder.stdout
    assert '"kind":"trace"' in await asyncio.to_thread(recorder.stdout.readline)
    recorder.stdout.close()

    await host.call("Plugin.Activate", {})

    assert await asyncio.to_thread(recorder.wait, 30) == 1
    assert recorder.stderr
    assert recorder.stderr.read() == ""


async def test_a_recorder_changes_no_answer_and_may_be_killed_at_any_time(host: Host) -> None:
    untraced = await host.container()
    recorder = host.trace("-o", str(host.folder / "trace.jsonl"))
    traced = await host.container()

    recorder.kill()
    await asyncio.to_thread(recorder.wait)

    assert await host.container() == traced == untraced
    assert [status for status, _ in traced] == [200, 200, 200, 200]
    assert host.daemon.poll() is None


async def test_recorders_that_read_nothing_delay_no_call(host: Host) -> None:
    readers = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for reader in readers:
        reader.connect(str(host.run_dir / "trace.sock"))
    body = {"padding": "x" * 1_000_000}

    start = time.monotonic()
    for _ in range(40):  # more than a backlog and a socket hold
        assert (await host.call("Plugin.Activate", body))[0] == 200
    took = time.monotonic() - start

    assert took < 10.0
    readers[0].shutdown(socket.SHUT_WR)
    trace = lines((await asyncio.to_thread(_all, readers[0])).decode())
    calls = sum(line["kind"] == "call" for line in trace)
    assert 0 < calls < 40
    assert calls + sum(line["count"] for line in trace if line["kind"] == "lost") == 40
    for reader in readers:
        reader.close()
    assert (await host.container())[0] == (200, {})


async def test_the_end_of_the_daemon_is_one_line_and_its_last_calls_are_recorded(host: Host) -> None:
    file = host.folder / "trace.jsonl"
    recorder = host.trace("-o", str(file))
    await host.call("Plugin.Activate", {})

    host.daemon.terminate()

    status, out, err = await asyncio.to_thread(ended, recorder)
    assert (status, out) == (1, "")
    assert err == "cnm-cni: the daemon has ended, and the trace with it (see: journalctl -u cnm-cni)\n"
    assert [line["kind"] for line in lines(file.read_text())] == ["trace", "call", "end"]
    assert host.daemon.wait(30) == 0
    assert not (host.run_dir / "trace.sock").exists()


async def test_a_daemon_that_is_killed_ends_the_trace_too_and_the_next_one_can_be_traced(host: Host) -> None:
    recorder = host.trace("-o", str(host.folder / "trace.jsonl"))

    host.daemon.kill()

    assert (await asyncio.to_thread(ended, recorder))[0] == 1
    status, _, err = await asyncio.to_thread(ended, host.trace())
    assert (status, err.count("\n")) == (1, 1)
    assert "no daemon listens here (systemctl start cnm-cni, or give its --run-dir)" in err
    (host.folder / "notify").unlink()
    host.daemon = host._serve()
    assert (await asyncio.to_thread(ended, host.trace("--for", "0.1")))[0] == 0


def test_who_may_not_read_the_socket_is_told_so_in_one_line(host: Host) -> None:
    path = host.run_dir / "trace.sock"
    os.chown(path, 65534, 65534)
    powerless = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]
    done = subprocess.run(
        [*powerless, sys.executable, "-m", "shim.cli", "trace", "--run-dir", host.run_dir],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"cnm-cni: {path}: only root may trace (sudo cnm-cni trace)\n"


async def test_through_a_proxy_the_daemon_is_called_and_recorded_as_without_it(host: Host) -> None:
    direct = await host.container()
    inner, outer = host.folder / "inner.jsonl", host.folder / "outer.jsonl"
    recorder = host.trace("-o", str(inner))
    proxy = host.proxy(outer)

    assert await host.container() == direct
    assert (await host.call("VolumeDriver.List", {}))[0] == 404
    assert (await host.call("NetworkDriver.Join", ABOUT | {"SandboxKey": "/s"}))[0] == 400

    proxy.send_signal(signal.SIGINT)
    recorder.send_signal(signal.SIGINT)
    status, out, err = await asyncio.to_thread(ended, proxy)
    assert (status, out, err) == (0, "", f"{outer}: 6 calls of the engine, 0 plugin runs\n")
    assert (await asyncio.to_thread(ended, recorder))[0] == 0
    seen_inside, seen_outside = (
        [
            {name: line[name] for name in ("name", "path", "request", "answer", "status", "error")}
            for line in lines(file.read_text())
            if line["kind"] == "call"
        ]
        for file in (inner, outer)
    )
    assert seen_outside == seen_inside
    assert not host.socket.exists()


async def test_through_a_proxy_calls_at_the_same_time_do_not_wait_for_each_other(host: Host) -> None:
    host.proxy(host.folder / "outer.jsonl")
    ids = [f"{number:064x}" for number in range(20)]
    options = {"com.docker.network.generic": {"cni.network": "web"}}
    await host.call("NetworkDriver.CreateNetwork", {"NetworkID": NETWORK_ID, "Options": options})

    about = [{"NetworkID": NETWORK_ID, "EndpointID": endpoint} for endpoint in ids]
    made = await asyncio.gather(*(host.call("NetworkDriver.CreateEndpoint", item) for item in about))
    gone = await asyncio.gather(*(host.call("NetworkDriver.DeleteEndpoint", item) for item in about))

    assert {status for status, _ in made + gone} == {200}


async def test_a_proxy_that_is_killed_leaves_the_daemon_fine(host: Host) -> None:
    direct = host.socket
    proxy = host.proxy(host.folder / "outer.jsonl")
    await host.call("Plugin.Activate", {})

    proxy.kill()
    await asyncio.to_thread(proxy.wait)

    host.socket = direct
    assert [status for status, _ in await host.container()] == [200, 200, 200, 200]


def _all(connection: socket.socket) -> bytes:
    """Everything that comes, to the end."""
    with closing(os.fdopen(os.dup(connection.fileno()), "rb")) as file:
        return file.read()
