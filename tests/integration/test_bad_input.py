"""More than 10,000 generated bodies against a running daemon with real plugins.

Each gets the answer that its call promises, or an error in one readable line; and when all that was made is
deleted, nothing is left of it. What is generated is the same in each run.
"""

import asyncio
import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shim.store import Store
from shim.wire.protocol import CALLS, CONTENT_TYPE
from tests.integration.bad_bodies import (
    CONFLISTS,
    KINDS,
    NETWORKS,
    Body,
    any_bytes,
    any_json,
    damaged,
    nearly_valid,
)
from tests.integration.host import footprint

_NOISE, _JSON, _DAMAGED, _BATCHES, _WIDE, _LOST, _WRONG = 1500, 1500, 1500, 700, 8, 200, 300
"""Examples of each kind. Together with the bodies in batches these are more than 10,000."""

_DEADLINE = 60.0
"""Seconds after which a call counts as one that hangs."""
_LONGEST_ERROR = 2_100
"""Characters; a line that somebody would still read, in whole or in part."""
_LONGEST_LOG_LINE = 5_000
_GROWTH = 40 * 2**20
"""Bytes that the daemon may need more than at first: the bodies of many megabytes are many times as large."""
_STATUSES_OF_ERRORS = {400, 409, 500, 503}
_PATHS = {call.path for call in CALLS}
_NEVER_GRANTED = {"NetworkDriver.AllocateNetwork"}
_VAR = Path("/var/lib/cni")
_LASTING = re.compile(r"lock|last_reserved_ip\.\d")
"""What host-local keeps when no address is reserved."""

_POOL = {"PoolID": str, "Pool": str, "Data": dict}
_ADDRESS = {"Address": str, "Data": dict}
_SHAPES: Mapping[str, Any] = {
    "Plugin.Activate": {"Implements": [str]},
    "NetworkDriver.GetCapabilities": {"Scope": str, "ConnectivityScope": str, "GwAllocChecker": bool},
    "NetworkDriver.GwAllocCheck": {"SkipIPv4": bool, "SkipIPv6": bool},
    "NetworkDriver.CreateEndpoint": {"Interface": {"Address": str, "AddressIPv6": str, "MacAddress": str}},
    "NetworkDriver.EndpointOperInfo": {"Value": {}},
    "NetworkDriver.Join": {
        "InterfaceName": {"SrcName": str, "DstPrefix": str},
        "Gateway": str,
        "GatewayIPv6": str,
        "StaticRoutes": [dict],
        "DisableGatewayService": bool,
    },
    "IpamDriver.GetCapabilities": {"RequiresMACAddress": bool, "RequiresRequestReplay": bool},
    "IpamDriver.GetDefaultAddressSpaces": {"LocalDefaultAddressSpace": str, "GlobalDefaultAddressSpace": str},
    "IpamDriver.RequestPool": _POOL,
    "IpamDriver.RequestAddress": _ADDRESS,
}
"""What an answer looks like; that of all other calls is empty."""


class _Connection(http.client.HTTPConnection):
    """To the daemon's socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("plugin", timeout=_DEADLINE)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(slots=True)
class _Daemon:
    """A daemon, and what it has said."""

    folder: Path
    process: subprocess.Popen[bytes]
    sent: int = 0
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    known: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    _local: threading.local = field(default_factory=threading.local)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _connections: list[_Connection] = field(default_factory=list)

    @property
    def socket(self) -> Path:
        return self.folder / "cni.sock"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def ask(self, body: Body) -> Any:
        """The answer to a body, which is as it should be; None for an error."""
        sent = body.to_bytes(self.known)
        status, content_type, answer = self.request("POST", f"/{body.path}", sent)
        try:
            told = _judge(body.path, status, content_type, answer, _STATUSES_OF_ERRORS)
        except AssertionError as error:
            raise AssertionError(
                f"{body.path} {sent[:500]!r}: {status} {answer[:1500]!r}: {error}"
            ) from error
        with self._lock:
            self.answers[body.path, status] += 1
            if told and body.path == "IpamDriver.RequestPool":
                self.known["pool"].append(told["PoolID"])
            if told and body.path == "IpamDriver.RequestAddress":
                self.known["IPv6 interface" if ":" in told["Address"] else "interface"].append(
                    told["Address"]
                )
                self.known["address"].append(told["Address"].partition("/")[0])
                self.known["pool of address"].append(json.loads(sent)["PoolID"])
        return told

    def request(self, method: str, path: str, body: bytes) -> tuple[int, str | None, bytes]:
        """Status, content type and body of the answer to any request; `TimeoutError` when none comes."""
        connection = self._connection()
        connection.request(method, path, body)
        response = connection.getresponse()
        with self._lock:
            self.sent += 1
        return response.status, response.getheader("Content-Type"), response.read()

    def resident(self) -> int:
        (kibibytes,) = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(kibibytes) * 1024

    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def traces(self) -> list[str]:
        """What is on the host, and in the journal, on account of calls."""
        on_host = footprint(_VAR)
        files = [path for path in _VAR.rglob("*") if path.is_file() and not _LASTING.fullmatch(path.name)]
        namespaces = (self.folder / "run" / "netns").iterdir()
        records = asyncio.run(self._records())
        return sorted([*on_host.links, *on_host.rules, *map(str, (*files, *namespaces)), *records])

    def delete_everything(self) -> None:
        """As the engine does when containers, then networks end."""
        for endpoint_id in self._ids("endpoint"):
            assert (
                self.ask(Body("NetworkDriver.DeleteEndpoint", {"NetworkID": "a", "EndpointID": endpoint_id}))
                == {}
            )
        for pool_id, address in set(zip(self.known["pool of address"], self.known["address"], strict=True)):
            assert self.ask(Body("IpamDriver.ReleaseAddress", {"PoolID": pool_id, "Address": address})) == {}
        for network_id in self._ids("network"):
            assert self.ask(Body("NetworkDriver.DeleteNetwork", {"NetworkID": network_id})) == {}

    def hang_up(self) -> None:
        """Close all connections."""
        for connection in self._connections:
            connection.close()

    def _connection(self) -> _Connection:
        if not hasattr(self._local, "connection"):
            self._local.connection = _Connection(self.socket)
            self._connections.append(self._local.connection)
        connection: _Connection = self._local.connection
        return connection

    def _ids(self, kind: str) -> list[str]:
        return [record.split()[1] for record in asyncio.run(self._records()) if record.split()[0] == kind]

    async def _records(self) -> list[str]:
        store = Store(self.folder / "state", read_only=True)
        await store.open()
        try:
            return [
                *(f"endpoint {item.id} {item.state} {item.last_error}" for item in await store.endpoints()),
                *(f"network {item.id}" for item in await store.networks()),
                *(f"reservation {item.id} {item.last_error}" for item in await store.reservations()),
            ]
        finally:
            await store.close()


def _judge(path: str, status: int, content_type: str | None, answer: bytes, errors: AbstractSet[int]) -> Any:
    """The answer, which is what the call promises; None for an error, which has one of those statuses."""
    assert content_type == f"{CONTENT_TYPE}; charset=utf-8"
    value = json.loads(answer)
    if status == 200:
        assert _fits(value, _SHAPES.get(path, {}))
        return value
    assert status in errors
    assert value.keys() == {"Err", "Error"}
    error = value["Err"]
    assert error == value["Error"]
    assert error.strip()
    assert len(error.splitlines()) == 1
    assert "Traceback" not in error
    assert "internal error" not in error
    assert len(error) <= _LONGEST_ERROR
    return None


def _fits(value: Any, shape: Any) -> bool:
    if isinstance(shape, type):
        return isinstance(value, shape)
    if isinstance(shape, list):
        return isinstance(value, list) and all(_fits(item, shape[0]) for item in value)
    return value.keys() == shape.keys() and all(_fits(value[key], item) for key, item in shape.items())


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[_Daemon]:
    """A daemon that has run each chain once; whatever it is asked then must leave it as it was."""
    (tmp_path / "net.d").mkdir()
    for name, plugins in CONFLISTS.items():
        conflist = {"cniVersion": "1.0.0", "name": name, "plugins": plugins}
        (tmp_path / "net.d" / f"{name}.conflist").write_text(json.dumps(conflist))
    (tmp_path / "net.d" / "junk.conflist").write_text("no JSON")
    paths = {"socket": "cni.sock", "state-dir": "state", "run-dir": "run", "docker-socket": "none.sock"}
    flags = [item for flag, name in paths.items() for item in (f"--{flag}", tmp_path / name)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "shim.cli", "serve", *flags),
                *("--conf-dirs", tmp_path / "net.d", "--plugin-path", "/usr/lib/cni"),
            ],
            cwd=Path(__file__).parents[2],
            stderr=log,
        )
    daemon = _Daemon(tmp_path, process)
    try:
        while " ready on " not in daemon.log:
            assert process.poll() is None, daemon.log
            time.sleep(0.01)
        _warm_up(daemon)
        yield daemon
    finally:
        daemon.hang_up()
        process.kill()
        process.wait()


def _warm_up(daemon: _Daemon) -> None:
    """Let each plugin make what it never removes, such as a bridge, or a chain for all containers."""
    port = {"Proto": 6, "Port": 80, "HostPort": 0}
    by_docker = {"IPv4Data": [{"AddressSpace": "LocalDefault", "Pool": "10.77.0.0/24"}]}
    both = {"Address": "10.77.0.9/24", "AddressIPv6": "fd00:77::9/64"}
    for name, of_network, interface, options in (
        ("bridged", {}, {}, {"com.docker.network.portmap": [port]}),
        ("bridged", by_docker, both, {"com.docker.network.portmap": [port]}),
        ("routed", {}, {}, {"cni.bandwidth.ingress": "1M"}),
        ("dual", {}, {}, {}),
        ("plain", {}, {}, {}),
        ("fixed", {}, {}, {}),
    ):
        network = {"NetworkID": "a"}
        about = network | {"EndpointID": "e"}
        generic = {"cni.network": name} | ({"cni.ipam": "docker"} if of_network else {})
        named = {"Options": {"com.docker.network.generic": generic}}
        for path, members in (
            ("NetworkDriver.CreateNetwork", network | of_network | named),
            ("NetworkDriver.CreateEndpoint", about | {"Interface": interface, "Options": options}),
            ("NetworkDriver.Join", about | {"SandboxKey": "/nowhere"}),
            ("NetworkDriver.Leave", about),
            ("NetworkDriver.DeleteEndpoint", about),
            ("NetworkDriver.DeleteNetwork", network),
        ):
            assert daemon.ask(Body(path, members)) is not None, daemon.log


@pytest.fixture
def unharmed(daemon: _Daemon) -> Iterator[_Daemon]:
    """The daemon, which must have nothing left of the test when all that it made is deleted."""
    before, resident, open_files = daemon.traces(), daemon.resident(), daemon.open_files()

    yield daemon

    assert daemon.ask(Body("Plugin.Activate", {})) == {"Implements": ["NetworkDriver", "IpamDriver"]}
    daemon.delete_everything()
    assert daemon.traces() == before
    assert daemon.resident() - resident < _GROWTH
    daemon.hang_up()
    deadline = time.monotonic() + _DEADLINE
    while daemon.open_files() > open_files:
        assert time.monotonic() < deadline, "files stay open"
        time.sleep(0.01)
    log = daemon.log
    assert "Traceback" not in log
    assert "does not foresee" not in log
    assert max(map(len, log.splitlines())) < _LONGEST_LOG_LINE
    assert daemon.process.poll() is None


def _for_each(strategy: st.SearchStrategy[Any], count: int, check: Callable[[Any], object]) -> None:
    """Check `count` examples, the same ones in each run."""

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def each(example: Any) -> None:
        check(example)

    each()


def test_noise_is_refused(unharmed: _Daemon) -> None:
    _for_each(any_bytes(), _NOISE, unharmed.ask)
    assert unharmed.sent > _NOISE


def test_any_json_is_refused_or_understood(unharmed: _Daemon) -> None:
    _for_each(any_json(), _JSON, unharmed.ask)
    assert unharmed.sent > _JSON


def test_a_body_that_was_damaged_on_its_way_is_refused_or_understood(unharmed: _Daemon) -> None:
    _for_each(damaged(), _DAMAGED, unharmed.ask)
    assert unharmed.sent > _DAMAGED


def test_calls_of_nearly_the_right_shape_at_the_same_time(unharmed: _Daemon) -> None:
    for network_id, name in zip(NETWORKS, CONFLISTS, strict=False):
        generic = {"com.docker.network.generic": {"cni.network": name}}
        unharmed.ask(Body("NetworkDriver.CreateNetwork", {"NetworkID": network_id, "Options": generic}))

    with ThreadPoolExecutor(_WIDE) as pool:

        def all_at_once(bodies: Iterable[Body]) -> None:
            list(pool.map(unharmed.ask, bodies))

        _for_each(st.lists(nearly_valid(), min_size=_WIDE, max_size=_WIDE), _BATCHES, all_at_once)

    assert unharmed.sent > _BATCHES * _WIDE
    assert {path for path, status in unharmed.answers if status == 200} == _PATHS - _NEVER_GRANTED
    attached = unharmed.answers["NetworkDriver.CreateEndpoint", 200]
    assert attached > _BATCHES // 10, "too few of the bodies go deep"


def test_other_methods_and_paths_are_told_to_be_unknown(unharmed: _Daemon) -> None:
    def refused(request: tuple[str, str, bytes]) -> None:
        status, content_type, answer = unharmed.request(*request)
        _judge(request[1], status, content_type, answer, {404})

    methods = st.sampled_from(("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"))
    paths = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), max_size=30).map(
        "/{}".format
    )
    escaped = st.lists(st.integers(0, 255), max_size=10).map(
        lambda codes: "/" + "".join(f"%{code:02X}" for code in codes)
    )
    known = st.sampled_from(sorted(_PATHS)).map("/{}".format)
    other = paths.filter(lambda path: path.strip("/") not in _PATHS) | escaped | st.just("/" + "x" * 8000)
    requests = st.tuples(methods, known, st.binary(max_size=20)) | st.tuples(
        st.just("POST"), other, st.just(b"{}")
    )
    _for_each(requests, _WRONG, refused)
    assert unharmed.sent > _WRONG


def test_a_connection_that_is_lost_midway_harms_nothing(unharmed: _Daemon) -> None:
    def lose(sent: tuple[Body, int, int]) -> None:
        body, cut, missing = sent
        content = body.to_bytes(unharmed.known)[cut:]
        head = (
            f"POST /{body.path} HTTP/1.1\r\nHost: plugin\r\nContent-Length: {len(content) + missing}\r\n\r\n"
        )
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(unharmed.socket))
            client.sendall(head.encode() + content)
        unharmed.sent += 1

    _for_each(st.tuples(nearly_valid(), st.sampled_from((0, 9)), st.sampled_from((1, 999))), _LOST, lose)
    assert unharmed.sent > _LOST
