"""`make demo`: two containers on a CNI network, on a real Docker engine that is private to this run."""

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lab.engine import IMAGE, Engine
from lab.footprint import engine_footprint, host_footprint
from lab.progress import step
from story import calls, docker, expect, leftovers, show, tell, title, verdict

_CONFLISTS = Path(__file__).resolve().parents[2] / "cni_conf"
_NETWORK = "cni-bridge"
_PAGE = "Hello from a container on a CNI network."
_SERVE = f"echo {_PAGE} > index.html && exec httpd -f"


def main() -> None:
    """Run the demo."""
    if os.geteuid() != 0:
        sys.exit("error: the demo makes network namespaces: run it as root")
    tell(_demo)


def _demo() -> None:
    host = host_footprint()
    with _private_engine() as engine:
        before = engine_footprint(engine)
        _make_network(engine)
        _run_containers(engine)
        _inspect(engine)
        title("Take it all down")
        docker(engine, "rm", "--force", "server")
        docker(engine, "network", "rm", "web")
        left = leftovers(engine, before)
        title("What the shim did: Docker's calls, the plugins each of them ran, and their times")
        for line in calls(engine.shim_log.read_text()):
            print(f"  {line}")
        title("What is left")
        verdict("links, namespaces, iptables rules, leases and the shim's journal", left)
    verdict("this machine's own links, namespaces and iptables rules", host.difference(host_footprint()))


@contextmanager
def _private_engine() -> Iterator[Engine]:
    title("A private Docker engine, in namespaces of its own")
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
    title(f'A Docker network that is the CNI network "{_NETWORK}"')
    conflist = json.loads((_CONFLISTS / f"{_NETWORK}.conflist").read_text())
    chain = " > ".join(plugin["type"] for plugin in conflist["plugins"])
    print(f"  {_CONFLISTS.name}/{_NETWORK}.conflist: {chain}")
    docker(
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
    title("Two containers that reach each other by name, and a published port")
    docker(
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
    answer = docker(engine, "run", "--rm", "--network", "web", IMAGE, "ping", "-c", "1", "server")
    expect("1 packets received" in answer, "the containers do not reach each other by name")
    command = ["busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:8080/"]
    page = engine.run(command).stdout
    show(command, page, note="outside of the containers, through the published port")
    expect(_PAGE in page, "the published port does not lead to the container")


def _inspect(engine: Engine) -> None:
    title("What docker inspect shows is what the CNI plugins gave")
    members = ("IPAddress", "IPPrefixLen", "Gateway", "MacAddress")
    template = " ".join(f"{name}={{{{.{name}}}}}" for name in members)
    answer = docker(
        engine,
        "inspect",
        "--format",
        "{{with .NetworkSettings.Networks.web}}" + template + "{{end}}",
        "server",
    )
    command = engine.shim_command("endpoint", "ls")
    table = engine.run(command).stdout
    show(["cnm-cni", "endpoint", "ls"], table)
    (address,) = re.findall(r"IPAddress=(\S+)", answer)
    expect(f" {address}/" in table, "docker and the shim disagree about the address")


if __name__ == "__main__":
    main()
