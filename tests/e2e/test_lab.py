"""The lab itself: private engines work, touch nothing of the host, and leave nothing however they end."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lab.engine import Engine
from lab.errors import LabError
from lab.footprint import Footprint, engine_footprint, host_footprint
from lab.keeper import cgroups

_OWNER = """
import sys
from collections.abc import Callable
from pathlib import Path
from lab.engine import Engine

with getattr(Engine, sys.argv[1])(Path(sys.argv[2])) as engine:
    engine.import_image()
    engine.docker("run", "--detach", "busybox", "sleep", "600")
    print(engine.dockerd.pid, engine.cgroup, flush=True)
    sys.stdin.read()
"""


def test_a_container_runs_on_dockers_own_bridge(engine: Engine) -> None:
    assert engine.docker("run", "--rm", "busybox", "echo", "ok").stdout == "ok\n"


def test_a_published_port_is_reached_from_the_room(engine: Engine) -> None:
    serve = "mkdir /www; echo hello > /www/index.html; httpd -h /www; echo ready; exec sleep 600"
    engine.docker("run", "--detach", "--name", "web", "--publish", "8080:80", "busybox", "sh", "-c", serve)
    while "ready" not in engine.docker("logs", "web").stdout:
        pass
    assert engine.run(["busybox", "wget", "-qO-", "http://127.0.0.1:8080/"]).stdout == "hello\n"


def test_exec_lands_in_the_container(engine: Engine) -> None:
    engine.docker("run", "--detach", "--name", "box", "busybox", "sleep", "600")
    assert "sleep 600" in engine.docker("exec", "box", "ps").stdout


def test_compose_brings_services_up_and_down(engine: Engine) -> None:
    file = "services: {one: {image: busybox, command: sleep 600, stop_signal: KILL}}"
    engine.compose(file, "up", "--detach")
    assert "sleep 600" in engine.docker("ps", "--no-trunc").stdout
    engine.compose(file, "down")
    assert engine.docker("ps", "--all", "--quiet").stdout == ""


def test_a_sandbox_of_the_engine_is_a_network_namespace_for_the_shim(engine: Engine) -> None:
    engine.docker("run", "--detach", "--name", "box", "busybox", "sleep", "600")
    key = engine.docker("inspect", "--format", "{{.NetworkSettings.SandboxKey}}", "box").stdout.strip()
    links = engine.run(["nsenter", f"--net={key.replace('/var/run', '/run')}", "ip", "-o", "link"]).stdout
    assert re.findall(r"\d+: (\w+)", links) == ["lo", "eth0"]


def test_every_plugin_answers_in_the_room(engine: Engine) -> None:
    for plugin in engine.run(["ls", engine.plugin_path]).stdout.split():
        version = engine.run(
            ["env", "CNI_COMMAND=VERSION", engine.plugin_path / plugin], stdin='{"cniVersion": "1.0.0"}'
        )
        assert '"1.0.0"' in version.stdout


def test_containers_live_through_a_crash_of_dockerd_with_live_restore(engine: Engine) -> None:
    engine.stop_dockerd()
    engine.start_dockerd(live_restore=True)
    engine.docker("run", "--detach", "--name", "box", "busybox", "sleep", "600")
    before = engine.docker("inspect", "--format", "{{.State.Pid}} {{.State.Running}}", "box").stdout
    engine.kill_dockerd()
    engine.start_dockerd(live_restore=True)
    assert engine.docker("inspect", "--format", "{{.State.Pid}} {{.State.Running}}", "box").stdout == before
    engine.docker("rm", "--force", "box")
    engine.stop_dockerd()
    engine.start_dockerd()


def test_the_shim_stops_dies_and_comes_back(engine: Engine, conf_dir: Path) -> None:
    engine.stop_shim()
    engine.start_shim([conf_dir])
    engine.kill_shim()
    with pytest.raises(LabError, match="not running"):
        engine.stop_shim()


def test_a_failing_command_raises_with_what_it_printed(engine: Engine) -> None:
    with pytest.raises(LabError, match="No such image"):
        engine.docker("image", "inspect", "nothing-like-it")


def test_a_hanging_command_is_killed_at_its_deadline(
    engine: Engine, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        engine.run(["sleep", "4321"], timeout=0.2)
    eventually(lambda: "sleep 4321" not in engine.run(["busybox", "ps"]).stdout)


def test_a_footprint_shows_what_a_network_adds(engine: Engine) -> None:
    before = engine_footprint(engine)
    engine.docker("network", "create", "more")
    more = before.difference(engine_footprint(engine))
    assert any(line.startswith("left behind in links: br-") for line in more)
    assert any(line.startswith("left behind in rules: iptables -t nat -A POSTROUTING") for line in more)


def test_the_host_is_as_it_was_while_an_engine_runs(engine: Engine, host_before: Footprint) -> None:
    engine.docker("run", "--detach", "--publish", "8080:80", "busybox", "sleep", "600")
    assert host_before.difference(host_footprint()) == []


def test_a_folder_with_files_in_it_is_refused(tmp_path: Path) -> None:
    keepsake = tmp_path / "keepsake"
    keepsake.touch()
    with pytest.raises(LabError, match="not empty"), Engine.debian(tmp_path):
        pass
    assert keepsake.exists()


def test_a_room_that_cannot_be_made_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "disk", root=tmp_path / "no-such-tree", plugin_path=tmp_path)
    with pytest.raises(LabError, match=r"cannot be made: .*overlay.* failed"), engine:
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("make", ["debian", "newest"])
def test_nothing_is_left_when_the_owner_is_interrupted(
    make: str, end: signal.Signals, tmp_path: Path
) -> None:
    folder = tmp_path / "disk"
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, make, folder],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2] / "examples")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as owner:
        assert owner.stdout
        dockerd, cgroup = owner.stdout.readline().split()
        namespaces = {str(Path(f"/proc/{dockerd}/ns/{kind}").readlink()) for kind in ("pid", "mnt", "net")}
        assert list(cgroups(cgroup))
        assert _members(namespaces)
        owner.send_signal(end)
    deadline = time.monotonic() + 20
    while folder.exists() or list(cgroups(cgroup)) or _members(namespaces):
        assert time.monotonic() < deadline, [folder.exists(), list(cgroups(cgroup)), _members(namespaces)]
        time.sleep(0.05)


def _members(namespaces: set[str]) -> list[str]:
    """The processes in any of `namespaces`; a mount namespace without a process has no mounts."""
    members = []
    for process in Path("/proc").glob("[0-9]*"):
        for kind in ("pid", "mnt", "net"):
            try:
                if str((process / "ns" / kind).readlink()) in namespaces:
                    members.append(process.name)
            except OSError:  # it has ended meanwhile, or is closed even to root
                break
    return members
