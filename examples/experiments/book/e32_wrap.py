"""What it takes to change a plugin by wrapping it, on either side."""

import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.bench import Bench
from experiments.figures import Figure, Listing, Table
from experiments.model import (
    ENGINES,
    NEWEST,
    Bridge,
    Claim,
    Data,
    Degree,
    Experiment,
    Judgement,
    Verdict,
    refuted,
    stands,
    weakened,
)
from experiments.parts import Parts
from experiments.texts import hockin

CLAIM = Claim(
    id="E32",
    title="Wrapping a plugin",
    claim=(
        "It is trivial to wrap a CNI plugin by a shell script and so get a customised one, which is much "
        "harder with CNM."
    ),
    sources=(
        hockin(
            "it's trivial to wrap a CNI plugin and produce a more customized CNI plugin — it can be done "
            "with a simple shell script. "
            "CNM is much more complex in this regard."
        ),
    ),
    procedure="The same change is made on both sides: each attachment is noted, and gets one more route. "
    "For CNI by a script around "
    "bridge, put beside the plugins while the shim runs; for CNM by a proxy driver in Python around the "
    "shim. "
    "The script is used by CNI alone and by Docker.",
    predictions=(
        "The script works for both, unchanged, and nothing has to be started anew.",
        (
            "The proxy takes more than twice as many lines, a process and a driver of its own, and networks "
            "made anew."
        ),
    ),
    measured="Lines; processes to run; networks to make anew; whether the route and the note are there.",
    section="Daemons and wrapping",
)

_ROUTE, _VIA = "198.51.100.0/24", "10.32.0.1"
_SCRIPT = """#!/bin/sh
conf=$(cat)
echo "$CNI_COMMAND" >> {log}
result=$(printf '%s' "$conf" | {bridge}) || {{ printf '%s' "$result"; exit 1; }}
[ "$CNI_COMMAND" = ADD ] && nsenter --net="$CNI_NETNS" ip route add {route} via {via}
printf '%s' "$result"
"""
_PROXY = """import http.client, json, socket, socketserver, sys
from http.server import BaseHTTPRequestHandler

class Shim(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/docker/plugins/cni.sock")

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        shim = Shim("shim")
        shim.request("POST", self.path, self.rfile.read(int(self.headers["Content-Length"] or 0)))
        reply = shim.getresponse()
        answer = json.load(reply)
        if self.path == "/NetworkDriver.Join" and reply.status == 200:
            open("{log}", "a").write("Join\\n")
            route = {{"Destination": "{route}", "RouteType": 0, "NextHop": "{via}"}}
            answer.setdefault("StaticRoutes", []).append(route)
        body = json.dumps(answer).encode()
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def address_string(self):
        return ""
    def log_message(self, *_):
        pass

class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    pass

Server("/run/docker/plugins/proxy.sock", Handler).serve_forever()
"""


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    log = bench.folder / "wrap.log"
    script = _SCRIPT.format(log=log, bridge=bench.engine.plugin_path / "bridge", route=_ROUTE, via=_VIA)
    folder = bench.folder / "plugins"
    bench.restart_shim(plugin_path=[str(folder), str(bench.engine.plugin_path)])
    shim = bench.engine.shim.pid
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.32.0.0/24"}]]}
    bench.conflist("wrapped", {"type": "bridge", "bridge": "wrapped0", "isGateway": True, "ipam": ipam})
    bench.network("wrapped", "wrapped")
    before = _ROUTE in bench.once("wrapped", "ip route")
    bench.plugin("bridge", script)  # from here on, all use it
    by_docker = _ROUTE in bench.once("wrapped", "ip route")
    noted = log.read_text().split()
    same = bench.engine.shim.pid == shim
    return {
        "before": before,
        "script": {
            "lines": _lines(script),
            "docker": by_docker,
            "alone": _alone(bench, folder),
            "noted": noted.count("ADD"),
            "same_shim": same,
        },
        "proxy": _by_proxy(bench, log),
    }


def _alone(bench: Bench, folder: Path) -> bool:
    bench.shell("ip netns add alone")
    path = f"{folder}:{bench.engine.plugin_path}"
    bench.cni("add", "wrapped", "/run/netns/alone", CNI_PATH=path)
    found = _ROUTE in bench.shell("nsenter --net=/run/netns/alone ip route")
    bench.cni("del", "wrapped", "/run/netns/alone", CNI_PATH=path)
    bench.shell("ip netns delete alone")
    return found


def _by_proxy(bench: Bench, log: Path) -> Data:
    (bench.folder / "plugins" / "bridge").unlink()
    log.write_text("")
    program = bench.folder / "proxy.py"
    program.write_text(_PROXY.format(log=log, route=_ROUTE, via=_VIA))
    bench.driver("proxy", [sys.executable, str(program)])
    old = _ROUTE in bench.once("wrapped", "ip route")
    bench.docker(
        "network", "create", "-d", "proxy", "--ipam-driver", "null", "-o", "cni.network=wrapped", "anew"
    )
    new = _ROUTE in bench.once("anew", "ip route")
    return {
        "lines": _lines(program.read_text()),
        "old_network": old,
        "new_network": new,
        "noted": log.read_text().split().count("Join"),
    }


def _lines(program: str) -> int:
    return sum(bool(line.strip()) for line in program.splitlines())


def judge(data: Data) -> Judgement:
    """By what works, and what it takes."""
    scripts, proxies = ([data[name][side] for name in ENGINES] for side in ("script", "proxy"))
    works = all(_works(data[name]) for name in ENGINES)
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY, "The script works under Docker as it does by CNI alone, from the next container on."
        )
        if works
        else Bridge(Degree.NOT_AT_ALL, "The script does not work under Docker as it does by CNI alone."),
        came_true=(
            works and all(it["same_shim"] for it in scripts),
            all(
                proxy["lines"] > 2 * script["lines"] and proxy["new_network"] and not proxy["old_network"]
                for script, proxy in zip(scripts, proxies, strict=True)
            ),
        ),
    )


def _works(data: Data) -> bool:
    script = data["script"]
    return not data["before"] and script["docker"] and script["alone"] and script["noted"] > 0


def _verdict(data: Data) -> Verdict:
    script, proxy = data["script"]["lines"], data["proxy"]["lines"]
    text = (
        f"The script has {script} lines, and works from the next container on; the proxy has {proxy}, a "
        f"process and a driver's name, and needs networks made anew"
    )
    if not _works(data):
        return refuted("The script did not work.")
    if proxy > 2 * script:
        return stands(f"{text}.")
    return weakened(f"{text}.")


def show(data: Data) -> Sequence[Figure]:
    """Both sides."""
    one = data[NEWEST]
    rows = [
        ["lines", str(one["script"]["lines"]), str(one["proxy"]["lines"])],
        ["processes to keep running", "0", "1"],
        ["networks that exist take part", "yes", "yes" if one["proxy"]["old_network"] else "no"],
        ["works by CNI alone", "yes" if one["script"]["alone"] else "no", "no"],
        [
            "works under Docker",
            "yes" if one["script"]["docker"] else "no",
            "yes" if one["proxy"]["new_network"] else "no",
        ],
    ]
    return [
        Table(
            "The same change, on both sides", ["", "script around a plugin", "proxy around a driver"], rows
        ),
        Listing(
            "The script", _SCRIPT.format(log="LOG", bridge="/usr/lib/cni/bridge", route=_ROUTE, via=_VIA)
        ),
    ]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
