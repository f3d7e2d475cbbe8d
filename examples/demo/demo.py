"""`make demo`: two containers on a CNI network, on a real Docker engine that is private to this run."""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lab.engine import IMAGE, Engine
from lab.errors import LabError
from lab.footprint import engine_footprint, host_footprint
from lab.progress import step

_CONFLISTS = Path(__file__).resolve().parents[2] / "cni_conf"
_NETWORK = "cni-bridge"
_PAGE = "Hello from a container on a CNI network."
_SERVE = f"echo {_PAGE} > index.html && exec httpd -f"
_SETTLING = 10.0
"""Seconds an engine may take to finish what it does after it has answered."""


def main() -> None:
    """Run the demo. Ends with status 1 and one line when something is not as it should be."""
    if os.geteuid() != 0:
        sys.exit("error: the demo makes network namespaces: run it as root")
    start = time.monotonic()
    try:
        _demo()
    except (LabError, subprocess.TimeoutExpired) as error:
        sys.exit(f"\nerror: {error}")
    except KeyboardInterrupt:
        sys.exit("\ninterrupted; nothing is left behind")
    print(f"\nDone in {time.monotonic() - start:.0f} s.")


def _demo() -> None:
    host = host_footprint()
    with _private_engine() as engine:
        before = engine_footprint(engine)
        _make_network(engine)
        _run_containers(engine)
        _inspect(engine)
        _title("Take it all down")
        _docker(engine, "rm", "--force", "server")
        _docker(engine, "network", "rm", "web")
        deadline = time.monotonic() + _SETTLING
        while (left := before.difference(engine_footprint(engine))) and time.monotonic() < deadline:
            time.sleep(0.1)
        _show_calls(engine)
        _title("What is left")
        print(_verdict("links, namespaces, iptables rules, leases and the shim's journal", left))
    print(
        _verdict("this machine's own links, namespaces and iptables rules", host.difference(host_footprint()))
    )


@contextmanager
def _private_engine() -> Iterator[Engine]:
    _title("A private Docker engine, in namespaces of its own")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cnm-cni-demo-", dir="/var/tmp"))
        with step("Starting dockerd"):
            engine = stack.enter_context(Engine.debian(Path(folder) / "engine"))
        with step("Making an image from busybox"):
            engine.import_image()
        with step("Starting the shim"):
            engine.start_shim([_CONFLISTS])
        version = engine.docker("version", "--format", "{{.Server.Version}}").stdout.strip()
        print(f"  Docker {version}, plugins from {engine.plugin_path}, conflists from {_CONFLISTS.name}/")
        yield engine


def _make_network(engine: Engine) -> None:
    _title(f'A Docker network that is the CNI network "{_NETWORK}"')
    conflist = json.loads((_CONFLISTS / f"{_NETWORK}.conflist").read_text())
    chain = " > ".join(plugin["type"] for plugin in conflist["plugins"])
    print(f"  {_CONFLISTS.name}/{_NETWORK}.conflist: {chain}")
    _docker(
        engine,
        "network",
        "create",
        "-d",
        "cni",
        "--ipam-driver",
        "null",
        "-o",
        f"cni.network={_NETWORK}",
        "web",
    )


def _run_containers(engine: Engine) -> None:
    _title("Two containers that reach each other by name, and a published port")
    _docker(
        engine,
        "run",
        "-d",
        "--name",
        "server",
        "--network",
        "web",
        "-p",
        "8080:80",
        IMAGE,
        "sh",
        "-c",
        _SERVE,
    )
    answer = _docker(engine, "run", "--rm", "--network", "web", IMAGE, "ping", "-c", "1", "server")
    _expect("1 packets received" in answer, "the containers do not reach each other by name")
    command = ["busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:8080/"]
    page = engine.run(command).stdout
    _show(command, page, note="outside of the containers, through the published port")
    _expect(_PAGE in page, "the published port does not lead to the container")


def _inspect(engine: Engine) -> None:
    _title("What docker inspect shows is what the CNI plugins gave")
    members = ("IPAddress", "IPPrefixLen", "Gateway", "MacAddress")
    template = " ".join(f"{name}={{{{.{name}}}}}" for name in members)
    answer = _docker(
        engine,
        "inspect",
        "--format",
        "{{with .NetworkSettings.Networks.web}}" + template + "{{end}}",
        "server",
    )
    command = engine.shim_command("endpoint", "ls")
    table = engine.run(command).stdout
    _show(["cnm-cni", "endpoint", "ls"], table)
    (address,) = re.findall(r"IPAddress=(\S+)", answer)
    _expect(f" {address}/" in table, "docker and the shim disagree about the address")


def _show_calls(engine: Engine) -> None:
    _title("What the shim did: Docker's calls, the plugins each of them ran, and their times")
    for line in engine.shim_log.read_text().splitlines():
        text = re.sub(r"^\S+ \S+ INFO ", "", line)
        if re.match(r"  \S|(Create|Join|Leave|Delete)", text):
            print(f"  {text}")


def _docker(engine: Engine, *arguments: str) -> str:
    output = engine.docker(*arguments).stdout
    _show(["docker", *arguments], output)
    return output


def _show(command: list[str], output: str, note: str = "") -> None:
    print(f"  $ {shlex.join(command)}" + (f"   # {note}" if note else ""))
    for line in output.splitlines():
        print(f"    {line}" if line else "")


def _title(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def _verdict(what: str, left: list[str]) -> str:
    if left:
        raise LabError(f"not as before, {what}: {'; '.join(left)}")
    return f"  As before: {what}."


def _expect(met: bool, otherwise: str) -> None:  # noqa: FBT001 - reads like an assertion
    if not met:
        raise LabError(otherwise)


if __name__ == "__main__":
    main()
