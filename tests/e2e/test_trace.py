"""`cnm-cni trace` beside real engines: what is said for a container, in which order, and unnoticed."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from lab.cluster import Cluster
from lab.engine import Engine

from tests.e2e.containers import is_newest

_REPOSITORY = Path(__file__).resolve().parents[2]

Make = Callable[[str, str], str]
Line = dict[str, Any]


class Recorder:
    """`cnm-cni trace` in the engine's room."""

    def __init__(self, engine: Engine, file: Path) -> None:
        self._engine = engine
        self._file = file

    def start(self, *arguments: str) -> None:
        """Record from here on."""
        self._file.unlink(missing_ok=True)
        command = self._engine.shim_command("trace", *arguments, "-o", str(self._file))
        self._engine.start("recorder", command, lambda: self._file.exists() and bool(self._file.read_text()))

    def stop(self) -> list[Line]:
        """Stop recording, as Ctrl-C would; what was recorded."""
        self._engine.stop("recorder")
        lines = [json.loads(line) for line in self._file.read_text().splitlines()]
        assert (lines[0]["kind"], lines[-1]["kind"]) == ("trace", "end")
        return lines[1:-1]

    def kill(self) -> None:
        """End the recorder as a crash would."""
        self._engine.kill("recorder")

    def draw(self) -> ET.Element:
        """The picture of what was recorded."""
        return ET.fromstring(
            self._engine.run(self._engine.shim_command("trace", "draw", str(self._file))).stdout
        )


@pytest.fixture
def recorder(engine: Engine, tmp_path: Path) -> Iterator[Recorder]:
    """A recorder that is not started, and does not outlive the test."""
    yield Recorder(engine, tmp_path / "trace.jsonl")
    if engine.is_running("recorder"):
        engine.kill("recorder")


def run(engine: Engine, network: str, *, check: bool = True, seconds: int = 0) -> str:
    """Run a container that is gone after so many seconds; what it and docker print."""
    command = ("busybox", "sh", "-c", f"echo hello; sleep {seconds}")
    done = engine.docker("run", "--rm", "--network", network, *command, check=check)
    return done.stdout + done.stderr


def calls(lines: list[Line]) -> list[Line]:
    """The calls of the engine, in the order of their beginnings."""
    return sorted((line for line in lines if line["kind"] == "call"), key=lambda line: float(line["offset"]))


def parts(lines: list[Line], call: Line) -> list[str]:
    """What a call consists of, in the order of their beginnings, without IDs."""
    own = sorted(
        (line for line in lines if line["within"] == call["id"]), key=lambda line: float(line["offset"])
    )
    named = (" ".join(filter(None, (line["kind"], line["name"], line.get("command", "")))) for line in own)
    return [re.sub(r"/\S*/", "", re.sub(r"[0-9a-f]{12,}", "ID", name)) for name in named]


def test_one_container_is_exactly_these_calls_and_what_they_consist_of(
    engine: Engine, web: str, recorder: Recorder
) -> None:
    run(engine, web)  # whatever happens only at first
    recorder.start()
    run(engine, web, seconds=2)  # until what is done in the background is done
    lines = recorder.stop()

    after_join = ["EndpointOperInfo"] if is_newest(engine) else ["EndpointOperInfo"] * 2
    assert [call["name"] for call in calls(lines)] == [
        "CreateEndpoint",
        "Join",
        "ProgramExternalConnectivity",
        *after_join,
        "RevokeExternalConnectivity",
        "Leave",
        "DeleteEndpoint",
    ]
    of = {call["name"]: parts(lines, call) for call in calls(lines)}
    assert of["CreateEndpoint"] == [
        "kernel make the network namespace ID",
        "plugin bridge ADD",
        "plugin portmap ADD",
        "plugin firewall ADD",
        "kernel read the links of ID",
    ]
    (release, *replays) = (line for line in lines if line["kind"] == "work")
    assert release["name"] == "Release"
    assert set(parts(lines, release)) == {
        "kernel move eth0 from ID to the host's namespace",
        "kernel read the sysctls of ID",
    }
    assert of["Leave"] == [
        "kernel read the links of ID",
        "plugin firewall DEL",
        "plugin portmap DEL",
        "plugin bridge DEL",
    ]
    replay = "kernel replay in ID what plugins set"
    if is_newest(engine):  # where the engine waits for that
        assert of["EndpointOperInfo"] == [
            "kernel read the links of ID",
            replay,
            "kernel remove the network namespace ID",
        ]
        assert replays == []
    else:
        assert of["EndpointOperInfo"] == []
        assert [line["name"] for line in replays] == ["Replay"]
        assert set(parts(lines, replays[0])) >= {replay, "kernel read the links of ID"}
    assert all(not of[name] for name in of.keys() - {"CreateEndpoint", "EndpointOperInfo", "Leave"})
    assert [line["error"] for line in lines if line["error"]] == []


def test_bodies_are_those_that_the_engine_and_the_plugins_exchange(
    engine: Engine, web: str, recorder: Recorder
) -> None:
    recorder.start()
    engine.docker("run", "-d", "--name", "one", "--network", web, "busybox", "sleep", "600")
    lines = recorder.stop()

    (inspected,) = json.loads(engine.docker("inspect", "one").stdout)
    settings = inspected["NetworkSettings"]["Networks"][web]
    create, join, *_ = calls(lines)
    assert create["request"]["EndpointID"] == settings["EndpointID"]
    assert create["answer"]["Interface"]["Address"] == f"{settings['IPAddress']}/{settings['IPPrefixLen']}"
    assert join["request"]["SandboxKey"] == inspected["NetworkSettings"]["SandboxKey"]
    assert join["answer"]["Gateway"] == settings["Gateway"]
    (bridge,) = (line for line in lines if line["name"] == "bridge")
    assert bridge["containerid"] == settings["EndpointID"]
    assert bridge["config"]["type"] == "bridge"
    assert settings["IPAddress"] in {item["address"].partition("/")[0] for item in bridge["result"]["ips"]}


def test_making_a_network_is_recorded_and_drawn(engine: Engine, make: Make, recorder: Recorder) -> None:
    recorder.start()
    make("web", "cni-bridge")
    names = [call["name"] for call in calls(recorder.stop())]

    assert names[-1] == "CreateNetwork"
    assert ("GwAllocCheck" in names) == is_newest(engine)
    assert recorder.draw().findtext("{http://www.w3.org/2000/svg}title") == "Network cni-bridge"


def test_a_run_that_fails_is_recorded_with_the_error_that_docker_shows(
    engine: Engine, make: Make, conflist: Callable[..., str], recorder: Recorder, *,
    plugins: Callable[[str, str], Path], restart_shim: Callable[..., None],
) -> None:  # fmt: skip
    folder = plugins(
        "broken",
        '#!/bin/sh\n[ $CNI_COMMAND = ADD ] || exit 0\necho \'{"code": 100, "msg": "it broke"}\'\nexit 1\n',
    )
    restart_shim(plugin_path=[str(folder)])
    make("failing", conflist("failing", {"type": "broken", "api-token": "hunter2"}))
    recorder.start()
    told = run(engine, "failing", check=False)
    lines = recorder.stop()

    assert "it broke" in told
    (create,) = calls(lines)
    assert (create["name"], create["status"]) == ("CreateEndpoint", 500)
    assert create["error"] in told
    assert [line["command"] for line in lines if line["kind"] == "plugin"] == ["ADD", "DEL"]
    assert "hunter2" not in json.dumps(lines)
    reds = [
        group
        for group in recorder.draw().iter("{http://www.w3.org/2000/svg}g")
        if group.get("class") == "error"
    ]
    assert any("it broke" in "".join(group.itertext()) for group in reds)


def test_ten_containers_at_once_are_told_apart(engine: Engine, web: str, recorder: Recorder) -> None:
    recorder.start()
    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(lambda _: run(engine, web), range(10))) == {"hello\n"}
    lines = recorder.stop()

    creates = [call for call in calls(lines) if call["name"] == "CreateEndpoint"]
    assert len({call["subject"] for call in creates}) == 10
    for call in creates:
        own = [line for line in lines if line["within"] == call["id"] and line["kind"] == "plugin"]
        assert {line["containerid"] for line in own} == {call["request"]["EndpointID"]}
        assert [line["name"] for line in own] == ["bridge", "portmap", "firewall"]
    title = recorder.draw().findtext("{http://www.w3.org/2000/svg}title")
    assert title == "Network cni-bridge, 10 endpoints"


def test_nothing_that_docker_shows_depends_on_whether_somebody_records(
    engine: Engine, web: str, recorder: Recorder
) -> None:
    def seen() -> tuple[str, list[str]]:
        engine.docker(
            "run", "-d", "--name", "one", "--network", web, "-p", "8080:80", "busybox", "sleep", "600"
        )
        (inspected,) = json.loads(engine.docker("inspect", "one").stdout)
        settings = inspected["NetworkSettings"]["Networks"][web]
        routes = engine.docker("exec", "one", "ip", "route").stdout
        engine.docker("rm", "--force", "one")
        return settings["Gateway"], re.sub(r"10\.\d+\.\d+\.\d+", "ADDRESS", routes).split("\n")

    before = seen()
    recorder.start()
    during = seen()
    recorder.stop()

    assert during == before


def test_a_recorder_that_is_killed_midway_leaves_daemon_and_container_fine(
    engine: Engine, web: str, recorder: Recorder
) -> None:
    recorder.start()
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(run, engine, web)
        recorder.kill()
        assert starting.result() == "hello\n"

    assert run(engine, web) == "hello\n"
    assert engine.is_shim_running
    recorder.start()
    assert run(engine, web) == "hello\n"
    assert calls(recorder.stop())


def test_what_docker_and_a_driver_say_is_recorded_between_them_as_the_driver_records_it(
    engine: Engine, recorder: Recorder, tmp_path: Path
) -> None:
    between = Recorder(engine, tmp_path / "between.jsonl")
    sockets = [f"/run/docker/plugins/{name}.sock" for name in ("traced", "cni")]
    recorder.start()
    command = engine.shim_command("trace", "proxy", *sockets, "-o", str(tmp_path / "between.jsonl"))
    engine.start(
        "between", command, lambda: (tmp_path / "between.jsonl").exists() and engine.path(sockets[0]).exists()
    )
    try:
        engine.docker(
            *(
                "network",
                "create",
                "-d",
                "traced",
                "--ipam-driver",
                "null",
                "-o",
                "cni.network=cni-bridge",
                "web",
            )
        )
        assert run(engine, "web") == "hello\n"
        refused = engine.docker(
            *("network", "create", "-d", "traced", "-o", "cni.network=none", "other"), check=False
        )
        engine.docker("network", "rm", "web")
    finally:
        engine.stop("between")
    lines = [json.loads(line) for line in (tmp_path / "between.jsonl").read_text().splitlines()]

    def said(line: Line) -> tuple[Any, ...]:
        return tuple(line.get(name) for name in ("name", "path", "request", "answer", "status", "error"))

    assert [said(call) for call in calls(lines)] == [said(call) for call in calls(recorder.stop())]
    (failed,) = (call for call in calls(lines) if call["error"])
    assert failed["error"] in refused.stderr
    title = between.draw().findtext("{http://www.w3.org/2000/svg}title", "")
    assert re.fullmatch(r"2 networks, endpoint [0-9a-f]{12}", title)


def test_what_a_node_asks_kubernetes_is_recorded_and_has_a_lane(
    node: Engine, define: Callable[[str, str, object], None], recorder: Recorder, *,
    cluster: Cluster, eventually: Callable[..., None],
) -> None:  # fmt: skip
    define("team-a", "blue", (_REPOSITORY / "cni_conf" / "cni-bridge.conflist").read_text())
    recorder.start()
    option = "cni.network=team-a/blue"
    node.docker("network", "create", "-d", "cni", "--ipam-driver", "null", "-o", option, "web")
    run(node, "web")
    eventually(lambda: bool(cluster.kubectl("get", "dnet", "--all-namespaces", "--output", "name")))
    node.docker("network", "rm", "web")
    lines = recorder.stop()

    asked = [line for line in lines if line["kind"] == "kubernetes"]
    (created,) = (line for line in asked if line["name"].startswith("create dockernetworks"))
    assert (created["namespace"], created["status"], created["error"]) == ("team-a", 201, "")
    assert created["request"]["spec"]["logicalNetwork"]["name"] == "blue"
    heads = {"".join(text.itertext()) for text in recorder.draw().iter("{http://www.w3.org/2000/svg}text")}
    assert "Kubernetes" in heads
