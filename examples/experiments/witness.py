"""A remote driver that does what it is told and writes down everything it sees; runs in an engine's room.

Usage: `python witness.py SOCKET ORDERS LOG`. ORDERS is a JSON file that is read anew for each call:

- `implements`: what Activate says; `scope`: what GetCapabilities says, which is not known when null
- `answers`: by call, instead of the usual ones; `{n}` in them becomes a number that is new each time, and
  `{endpoint}` the beginning of the endpoint's ID
- `delay`: by call, seconds to wait before the answer
- `run`: by call, a shell command to run before the answer; it finds `$SANDBOX`, `$ENDPOINT` and `$NETWORK`
- `ask`: by call, paths of the Engine API to get before the answer; `{NetworkID}` and so on are filled in
- `ask_after`: the same, from the moment of the answer on, again and again until it is found
- `patience`: seconds to wait for the Engine API
- `forward`: the socket of another driver, which is to answer instead

LOG gets one JSON object a line for each call: `call`, `at`, `seconds`, `body`, `answer`, and what was seen.
"""

import http.client
import itertools
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

_DOCKER = "/run/docker.sock"
_PATIENCE = 2.0
"""Seconds to wait for the Engine API, unless ordered otherwise."""

_NAMESPACE = "6e736673"
"""What `stat --file-system` calls a namespace. Source: NSFS_MAGIC in linux/magic.h."""

_USUAL: dict[str, Any] = {
    "NetworkDriver.Join": {
        "InterfaceName": {"SrcName": "", "DstPrefix": "eth"},
        "DisableGatewayService": True,
    },
    "NetworkDriver.EndpointOperInfo": {"Value": {}},
    "IpamDriver.GetCapabilities": {},
    "IpamDriver.GetDefaultAddressSpaces": {
        "LocalDefaultAddressSpace": "witness",
        "GlobalDefaultAddressSpace": "witness-global",
    },
    "IpamDriver.RequestPool": {"PoolID": "witness", "Pool": "10.66.0.0/16", "Data": {}},
    "IpamDriver.RequestAddress": {"Address": "10.66.0.{n}/16"},
}


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float | None = None) -> None:
        super().__init__("witness", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The driver's socket."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: str, orders: Path, log: Path) -> None:
        super().__init__(path, Handler)
        self._orders = orders
        self._log = log
        self._writing = threading.Lock()
        self.numbers = itertools.count(10)

    @property
    def orders(self) -> dict[str, Any]:
        """What to do now."""
        orders: dict[str, Any] = json.loads(self._orders.read_text())
        return orders

    def write(self, entry: dict[str, Any]) -> None:
        """Add a line to the log."""
        with self._writing, self._log.open("a") as log:
            log.write(json.dumps(entry) + "\n")


class Handler(BaseHTTPRequestHandler):
    """Answers the engine's calls."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer one call."""
        started, at = time.perf_counter(), time.time()
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(raw or b"{}")
        call, orders = self.path.removeprefix("/"), self.server.orders
        seen = _seen(call, body, orders)
        status, answer = self._answer(call, raw, body, orders)
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        # Written before the engine can go on, so that whoever waits for the engine finds it in the log.
        entry = {"call": call, "at": at, "seconds": time.perf_counter() - started}
        self.server.write(
            {**entry, "body": body, "raw": raw.decode(), "status": status, "answer": answer, **seen}
        )
        self.wfile.write(payload)
        self.wfile.flush()
        paths = orders.get("ask_after", {}).get(call, ())
        if paths:
            answers = [_ask_until_found(path.format(**body), orders) for path in paths]
            self.server.write({"call": f"after {call}", "at": at, "body": body, "asked": answers})

    def _answer(self, call: str, raw: bytes, body: dict[str, Any], orders: dict[str, Any]) -> tuple[int, Any]:
        if "forward" in orders:
            connection = Connection(orders["forward"])
            connection.request("POST", self.path, raw)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        if call == "Plugin.Activate":
            return 200, {"Implements": orders.get("implements", ["NetworkDriver"])}
        if call == "NetworkDriver.GetCapabilities":
            scope = orders.get("scope", "local")
            if scope is None:
                return 404, {"Err": "not found"}
            return 200, {"Scope": scope, "GwAllocChecker": "GwAllocCheck" in orders}
        answer = orders.get("answers", {}).get(call, _USUAL.get(call, {}))
        text = json.dumps(answer).replace("{n}", str(next(self.server.numbers)))
        text = text.replace("{endpoint}", body.get("EndpointID", "")[:10])
        return 500 if "Err" in answer else 200, json.loads(text)

    def log_message(self, *_: object) -> None:
        """The log is written by `write` alone."""

    def address_string(self) -> str:
        """Unix sockets have no address."""
        return "engine"


def _seen(call: str, body: dict[str, Any], orders: dict[str, Any]) -> dict[str, Any]:
    """What there is to see before the answer."""
    seen: dict[str, Any] = {}
    if sandbox := body.get("SandboxKey"):
        seen["sandbox"] = _sandbox(sandbox)
    if command := orders.get("run", {}).get(call):
        variables = {
            "SANDBOX": body.get("SandboxKey", ""),
            "ENDPOINT": body.get("EndpointID", ""),
            "NETWORK": body.get("NetworkID", ""),
        }
        ran = _shell(["sh", "-c", command], variables)
        seen["ran"] = {"status": ran.returncode, "output": ran.stdout + ran.stderr}
    if paths := orders.get("ask", {}).get(call):
        seen["asked"] = [_ask(path.format(**body), orders) for path in paths]
    time.sleep(orders.get("delay", {}).get(call, 0))
    return seen


def _sandbox(path: str) -> dict[str, Any]:
    exists = os.path.lexists(path)
    kind = _shell(["stat", "--file-system", "--dereference", "--format", "%t", path]).stdout.strip()
    found: dict[str, Any] = {"exists": exists, "namespace": kind == _NAMESPACE}
    if found["namespace"]:
        found["inode"] = Path(path).stat().st_ino
        listed = _shell(["nsenter", f"--net={path}", "ip", "-o", "link"]).stdout
        found["links"] = [line.split(":")[1].strip() for line in listed.splitlines()]
    return found


def _shell(command: list[str], variables: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=os.environ | (variables or {}), capture_output=True, text=True, check=False
    )


def _ask(path: str, orders: dict[str, Any]) -> dict[str, Any]:
    """Ask the Engine API: `status`, 0 when it did not answer in time, and `seconds`."""
    started = time.perf_counter()
    asked: dict[str, Any] = {"path": path, "status": 0}
    try:
        connection = Connection(_DOCKER, timeout=orders.get("patience", _PATIENCE))
        connection.request("GET", path)
        response = connection.getresponse()
        asked["answer"] = json.loads(response.read())
        asked["status"] = response.status
    except OSError as error:
        asked["error"] = str(error)
    return {**asked, "seconds": time.perf_counter() - started}


def _ask_until_found(path: str, orders: dict[str, Any]) -> dict[str, Any]:
    """`seconds` are from the first question to the last answer."""
    started = time.perf_counter()
    while True:
        asked = _ask(path, orders)
        seconds = time.perf_counter() - started
        if asked["status"] == 200 or seconds > orders.get("patience", _PATIENCE):
            return {**asked, "seconds": seconds}
        time.sleep(0.001)


def main() -> None:
    """Serve until killed."""
    path, orders, log = sys.argv[1:]
    with Server(path, Path(orders), Path(log)) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
