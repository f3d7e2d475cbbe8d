"""One engine with the shim, as experiments use it, and the removal of all they did to it."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.daemon import accepts
from lab.engine import IMAGE, Engine
from lab.errors import LabError
from lab.footprint import engine_footprint, plugin_bridges

from experiments.witness import Connection
from shim.cni import ipam

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_WITNESS = Path(__file__).with_name("witness.py")
_NAMESERVER = Path(__file__).with_name("nameserver.py")
_MEDDLER = Path(__file__).with_name("meddler.py")
CONFLISTS = Path(__file__).resolve().parents[2] / "cni_conf"
_SOCKETS = "/run/docker/plugins"
_TRACE = "trace"
_SETTLING = 10.0
"""Seconds an engine may take to finish what it does after it has answered."""


class Witness:
    """A driver of ours in the engine's room, and what it has written down."""

    def __init__(self, name: str, orders: Path, log: Path) -> None:
        self.name = name
        """What `docker network create -d` takes."""
        self._orders = orders
        self._log = log

    def order(self, **orders: Any) -> None:
        """What to do from now on; see `witness.py`."""
        unfinished = self._orders.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(orders))
        unfinished.rename(self._orders)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The calls so far, as `witness.py` writes them."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def of(self, call: str) -> list[dict[str, Any]]:
        """Those of one name: `NetworkDriver.Join`."""
        return [entry for entry in self.calls if entry["call"] == call]

    def forget(self) -> None:
        """Start the log anew."""
        self._log.write_text("")


class Meddler:
    """A chained plugin of ours, of the type `meddler`; see `meddler.py`."""

    def __init__(self, bench: Bench) -> None:
        self._orders, self._log = bench.folder / "meddler.orders", bench.folder / "meddler.log"
        self._log.write_text("")
        self.order()
        program = [sys.executable, _MEDDLER, self._orders, self._log]
        script = f"#!/bin/sh\nexec {' '.join(map(str, program))}\n"
        self.plugin_path = [str(bench.plugin("meddler", script)), str(bench.engine.plugin_path)]
        """For the shim's settings."""

    def order(self, *, delay: float = 0.0, fail: bool = False) -> None:
        """What to do at ADD from now on."""
        self._orders.write_text(json.dumps({"delay": delay, "fail": fail}))

    @property
    def runs(self) -> list[dict[str, Any]]:
        """Its runs so far, but for VERSION."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def commands(self) -> list[str]:
        """The commands of its runs."""
        return [run["command"] for run in self.runs]


class Bench:
    """A running engine with its image and the shim; `name` is its key in data, `root` its Debian tree."""

    def __init__(self, name: str, engine: Engine, folder: Path, root: Path) -> None:
        self.name = name
        self.engine = engine
        self.folder = folder
        """Where experiments may write files; what they made is removed."""
        self.conf_dir = folder / "conflists"
        """Read by the shim besides `cni_conf/`."""
        self.conf_dir.mkdir(parents=True)
        self._root = root
        self._drivers: list[str] = []
        self._numbers = itertools.count(1)
        self._settings: dict[str, Any] = {}
        engine.import_image()
        self._start_shim()
        self.version = self.docker("version", "--format", "{{.Server.Version}}").strip()

    def docker(self, *arguments: str, check: bool = True, timeout: float = 120.0) -> str:
        """What `docker` prints to its standard output. Raises `LabError`."""
        return self.engine.docker(*arguments, check=check, timeout=timeout).stdout

    def attempt(self, *arguments: str, timeout: float = 120.0) -> dict[str, Any]:
        """Run `docker` where failing is an answer: `status`, `error` in one line, and `seconds`."""
        start = time.perf_counter()
        done = self.engine.docker(*arguments, check=False, timeout=timeout)
        seconds = time.perf_counter() - start
        error = _error(done.stderr) if done.returncode else ""
        return {"status": done.returncode, "output": done.stdout.strip(), "error": error, "seconds": seconds}

    def seconds(self, *arguments: str) -> float:
        """What a `docker` command takes. Raises `LabError` when it fails."""
        start = time.perf_counter()
        self.docker(*arguments)
        return time.perf_counter() - start

    def shell(self, command: str, *, check: bool = True) -> str:
        """What a shell command prints in the engine's room. Raises `LabError`."""
        return self.engine.run(["sh", "-c", command], check=check).stdout

    def run(self, name: str, network: str, *options: str, command: str = "sleep 600") -> None:
        """Run a container that stays."""
        self.docker("run", "-d", "--name", name, "--network", network, *options, IMAGE, "sh", "-c", command)

    def once(self, network: str, command: str, *options: str, check: bool = True) -> str:
        """What a shell command prints in a container that is gone afterwards."""
        arguments = ("run", "--rm", "--network", network, *options, IMAGE, "sh", "-c", command)
        return self.docker(*arguments, check=check)

    def inside(self, container: str, command: str, *, check: bool = True) -> str:
        """What a shell command prints in a container."""
        return self.docker("exec", container, "sh", "-c", command, check=check)

    def pid(self, container: str) -> int:
        """A container's process, as seen in the engine's room."""
        return int(self.docker("inspect", "--format", "{{.State.Pid}}", container))

    def inspect(self, container: str, network: str) -> dict[str, Any]:
        """What `docker inspect` says of a container on a network."""
        (found,) = json.loads(self.docker("inspect", container))
        return dict(found["NetworkSettings"]["Networks"][network])

    def api(self, method: str, path: str, body: object = None, *, timeout: float = 60.0) -> tuple[int, Any]:
        """Status and answer of the Engine API. Raises `OSError` when it does not answer in time."""
        connection = Connection(str(self.engine.path("/run/docker.sock")), timeout)
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        return response.status, json.loads(text) if text.strip() else None

    def conflist(self, name: str, *plugins: Mapping[str, Any], version: str = "1.0.0") -> Path:
        """Write a conflist where the shim looks."""
        path = self.conf_dir / f"{name}.conflist"
        path.write_text(json.dumps({"cniVersion": version, "name": name, "plugins": plugins}))
        return path

    def plugin(self, name: str, script: str) -> Path:
        """Write a CNI plugin; the folder it is in, for the shim's `plugin_path`."""
        folder = self.folder / "plugins"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
        return folder

    def network(self, name: str, cni_network: str, *options: str) -> str:
        """A new Docker network on a CNI network; its ID."""
        bound = ("--ipam-driver", "null", "-o", f"cni.network={cni_network}")
        return self.docker("network", "create", "-d", "cni", *bound, *options, name).strip()

    def witness(self, name: str = "", **orders: Any) -> Witness:
        """A new driver that follows these orders; see `witness.py`.

        Engines ask a driver only once what it can, so that each has a name of its own.
        """
        name = name or f"witness{next(self._numbers)}"
        orders_file, log = self.folder / f"{name}.orders", self.folder / f"{name}.jsonl"
        log.write_text("")
        witness = Witness(name, orders_file, log)
        witness.order(**orders)
        socket = f"{_SOCKETS}/{name}.sock"
        self.driver(name, [sys.executable, str(_WITNESS), socket, str(orders_file), str(log)])
        return witness

    def driver(self, name: str, command: list[str]) -> None:
        """Start a driver of that name, whose socket is where the engine looks, until the experiment's end."""
        socket = self.engine.path(f"{_SOCKETS}/{name}.sock")
        self.engine.start(name, command, lambda: accepts(socket))
        self._drivers.append(name)

    @contextmanager
    def nameserver(self, address: str, name: str, answer: str) -> Iterator[Callable[[], int]]:
        """A DNS server on an address of the room, for one name; how often it was asked anything."""
        log = self.folder / "nameserver.log"
        log.unlink(missing_ok=True)
        self.shell(f"ip address add {address}/32 dev lo")
        command: list[str | Path] = [sys.executable, _NAMESERVER, address, name, answer, log]
        self.engine.start("nameserver", command, log.exists)
        try:
            yield lambda: len(log.read_text().splitlines())
        finally:
            self.engine.kill("nameserver")
            self.shell(f"ip address del {address}/32 dev lo")

    def falls_back(self, action: Callable[[], object]) -> bool:
        """Whether the shim, within an action, made a link by handover that was to be made in place."""
        before = len(self.engine.shim_log.read_text())
        action()
        return "not in place but by handover" in self.engine.shim_log.read_text()[before:]

    def restart_shim(self, **settings: Any) -> None:
        """Start the shim anew with other settings, until the end of the experiment."""
        if self.engine.is_shim_running:
            self.engine.stop_shim()
        self._settings = settings
        self._start_shim()

    def cni(self, command: str, network: str, namespace: str, **environment: str) -> dict[str, Any]:
        """Run `cnm-cni cni`, which needs neither Docker nor the daemon; the result of ADD."""
        usual = {"CNI_PATH": str(self.engine.plugin_path), "NETCONFPATH": str(self.conf_dir)}
        arguments = self.engine.shim_command("cni", command, network, namespace)
        printed = self.engine.run(arguments, environment=usual | environment).stdout
        return dict(json.loads(printed)) if printed.strip() else {}

    def dockerd_help(self) -> str:
        """The options of the engine."""
        tree = ["chroot", str(self._root)] if self._root != Path("/") else []
        return subprocess.run([*tree, "dockerd", "--help"], capture_output=True, text=True, check=True).stdout

    @contextmanager
    def traced(self) -> Iterator[list[dict[str, Any]]]:
        """What `cnm-cni trace` records of the block, line by line; it is there when the block has ended.

        Where the experiment's files are, it says FILES.
        """
        file = self.folder / "trace.jsonl"
        file.unlink(missing_ok=True)
        lines: list[dict[str, Any]] = []
        command = self.engine.shim_command("trace", "-o", str(file))
        self.engine.start(_TRACE, command, lambda: file.exists() and bool(file.read_text()))
        try:
            yield lines
            self.engine.stop(_TRACE)
            text = file.read_text().replace(str(self.folder), "FILES")
            lines += [json.loads(line) for line in text.splitlines()]
        finally:
            if self.engine.is_running(_TRACE):
                self.engine.kill(_TRACE)

    def counted_plugins(self) -> tuple[Path, Callable[[], list[str]]]:
        """The engine's plugins and the shim's own, each behind a wrapper that notes its runs.

        Their folder is for `plugin_path`. The function gives the runs since it was last asked, each as
        `plugin COMMAND`.
        """
        log = self.folder / "runs.log"
        log.write_text("")
        folder = self.folder
        for source in (self.engine.plugin_path, ipam.OWN_PLUGINS):
            for name in self.engine.run(["ls", source]).stdout.split():
                script = f'#!/bin/sh\necho "{name} $CNI_COMMAND" >> {log}\nexec {source / name}\n'
                folder = self.plugin(name, script)

        def taken() -> list[str]:
            runs = log.read_text().splitlines()
            log.write_text("")
            return runs

        return folder, taken

    def left_by(self, action: Callable[[], object], *, within: float = 2.0) -> dict[str, list[str]]:
        """What an action leaves behind of links, rules, leases and so on, which is removed again.

        `within`: the seconds that it may take until nothing is left.
        """
        before = engine_footprint(self.engine)
        rules = {tool: self.shell(f"{tool}-save") for tool in ("iptables", "ip6tables")}
        action()
        left: dict[str, list[str]] = {}

        def settled() -> bool:
            after = engine_footprint(self.engine)
            left.clear()
            for field in fields(before):
                if found := sorted(getattr(after, field.name) - getattr(before, field.name)):
                    left[field.name] = found
            return not left

        self.wait(settled, within=within)
        for tool, text in rules.items():
            self.engine.run([f"{tool}-restore"], stdin=text)
        for link in left.get("links", ()):
            self.engine.run(["ip", "link", "del", link], check=False)
        for file in (*left.get("leases", ()), *left.get("results", ())):
            self.engine.path(f"/var/lib/cni/{file}").unlink(missing_ok=True)
        return left

    def remove_containers(self) -> None:
        """Remove all containers."""
        if containers := self.docker("ps", "--all", "--quiet").split():
            self.docker("rm", "--force", "--volumes", *containers)

    @contextmanager
    def dockerd(self, **settings: Any) -> Iterator[None]:
        """Run dockerd with other settings, of its `daemon.json`, for a while."""
        self.engine.stop_dockerd()
        self.engine.start_dockerd(**settings)
        try:
            yield
        finally:
            self.engine.stop_dockerd()
            self.engine.start_dockerd()

    def wait(self, condition: Callable[[], bool], *, within: float = _SETTLING) -> bool:
        """Wait for a condition; whether it came to hold."""
        deadline = time.monotonic() + within
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    @contextmanager
    def clean(self) -> Iterator[None]:
        """Remove what is done within, and raise `LabError` when something of it stays."""
        before = engine_footprint(self.engine)
        try:
            yield
        finally:
            self._remove_everything()
        left: list[str] = []

        def is_gone() -> bool:
            left[:] = before.difference(engine_footprint(self.engine))
            return not left

        if not self.wait(is_gone):
            raise LabError("; ".join(left[:3]) + (f"; and {len(left) - 3} more" if len(left) > 3 else ""))

    def _start_shim(self) -> None:
        self.engine.start_shim([CONFLISTS, self.conf_dir], **self._settings)

    def _remove_everything(self) -> None:
        if not self.engine.is_dockerd_running:
            self.engine.start_dockerd()
        if not self.engine.is_shim_running:
            self._start_shim()
        self.remove_containers()
        self.docker("network", "prune", "--force")
        for name in self._drivers:
            if self.engine.is_running(name):
                self.engine.kill(name)
            self.engine.path(f"{_SOCKETS}/{name}.sock").unlink(missing_ok=True)
        self._drivers.clear()
        if self._settings:
            self.restart_shim()
        for bridge in plugin_bridges(self.engine):  # the plugin lets them stand, and with them their subnets
            self.engine.run(["ip", "link", "del", bridge])
        for path in [*self.conf_dir.iterdir(), *self.folder.iterdir()]:
            if path.is_file():
                path.unlink()
        shutil.rmtree(self.folder / "plugins", ignore_errors=True)


def _error(printed: str) -> str:
    """What the client says went wrong, without what it always adds."""
    lines = [
        line for line in printed.splitlines() if not re.match(r"time=|Run 'docker|See 'docker|\s*$", line)
    ]
    return re.sub(r"(docker: )?Error response from daemon: ", "", " ".join(lines)).strip()


def plugins_version(root: Path) -> str:
    """The version of the CNI plugins in a Debian tree, as Debian has it."""
    query = ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "--show", "--showformat=${Version}"]
    done = subprocess.run(
        [*query, "containernetworking-plugins"], capture_output=True, text=True, check=False
    )
    return done.stdout or "unknown"
