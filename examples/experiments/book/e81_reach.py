"""Who reaches whom: containers of docker run, and what another runtime has started."""

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from lab.engine import IMAGE

from experiments.bench import Bench
from experiments.figures import (
    Cell,
    Figure,
    Matrix,
)
from experiments.model import (
    ENGINES,
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
from experiments.podman import Podman, podman
from experiments.texts import hockin

CLAIM = Claim(
    id="E81",
    title="Containers of two worlds",
    claim="Containers started by docker run may not be able to reach containers started by Kubernetes.",
    sources=(
        hockin(
            "In particular, containers started by docker run might not be able to communicate with "
            "containers started by Kubernetes"
        ),
    ),
    procedure="A pod is stood for by a namespace that CNI alone attaches, as a CRI runtime does with the "
    "same conflist; there is no kubelet here. "
    "Two containers of docker run on Docker's bridge, two on the shim's network with that conflist, two "
    "such pods and one of "
    "podman's: each pings each, and fetches a page.",
    predictions=(
        "On the conflist's network all reach each other.",
        "Between Docker's bridge and the conflist's network none do.",
    ),
    measured="Pairs that reach each other, by ping and by TCP.",
    section="Side effects",
)

_WORLDS = {
    "run, bridge": ("bridge1", "bridge2"),
    "run, shim": ("cni1", "cni2"),
    "pod": ("pod1", "pod2"),
    "podman": ("podman1",),
}
_ON_CONFLIST = ("run, shim", "pod", "podman")
_SERVE = "echo here > /tmp/index.html; exec httpd -f -h /tmp"


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.81.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "shared0", "isGateway": True, "ipMasq": True, "ipam": ipam}
    bench.conflist("shared", bridge, {"type": "firewall"}, version="0.4.0")
    bench.docker("network", "create", "own")
    bench.network("shared", "shared")
    with podman(bench) as client:
        inside = _started(bench, client)
        addresses = {name: _address(run("ip -4 -o address show eth0")) for name, run in inside.items()}
        pairs = [(one, other) for one in inside for other in inside if one != other]

        def reaches(pair: tuple[str, str]) -> tuple[bool, bool]:
            one, other = inside[pair[0]], addresses[pair[1]]
            ping = "1 packets received" in one(f"ping -c 1 -W 1 {other}")
            return ping, "here" in one(f"timeout 2 wget -q -O - http://{other}/")

        with ThreadPoolExecutor(4) as pool:
            reached = list(pool.map(reaches, pairs))
        for name in ("pod1", "pod2"):
            bench.cni("del", "shared", f"/run/netns/{name}")
            bench.shell(f"ip netns pids {name} | xargs -r kill; ip netns delete {name}")
    return {
        f"{one} to {other}": {"ping": ping, "TCP": tcp}
        for (one, other), (ping, tcp) in zip(pairs, reached, strict=True)
    }


def _started(bench: Bench, client: Podman) -> dict[str, Callable[[str], str]]:
    """All of them, each with what runs a shell command inside."""
    inside: dict[str, Callable[[str], str]] = {}
    for name in (*_WORLDS["run, bridge"], *_WORLDS["run, shim"]):
        bench.run(name, "own" if name.startswith("bridge") else "shared", command=_SERVE)
        inside[name] = partial(bench.inside, name, check=False)
    bench.shell("mkdir -p /run/page && echo here > /run/page/index.html")
    for name in _WORLDS["pod"]:
        bench.shell(f"ip netns add {name}")
        bench.cni("add", "shared", f"/run/netns/{name}")
        bench.shell(f"ip netns exec {name} busybox httpd -h /run/page")
        inside[name] = partial(_in_namespace, bench, name)
    client.run("shared", "-d", "--name", "podman1", IMAGE, "sh", "-c", _SERVE)
    inside["podman1"] = lambda command: client("exec", "podman1", "sh", "-c", command, check=False)
    return inside


def _in_namespace(bench: Bench, name: str, command: str) -> str:
    busybox = command if command.startswith("ip ") else f"busybox {command}"
    return bench.shell(f"ip netns exec {name} {busybox}", check=False)


def _address(listing: str) -> str:
    (found,) = re.findall(r"inet (\S+)/", listing)
    return str(found)


def judge(data: Data) -> Judgement:
    """By the cells of the matrix."""
    same, across = ({name: _share(data[name], across=across) for name in ENGINES} for across in (False, True))
    total = [reached for name in ENGINES for reached in same[name]]
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY,
            (
                f"On the shim's network {sum(total)} of {len(total)} tries between docker run, pods and "
                f"podman "
                f"arrived."
            ),
        )
        if all(total)
        else Bridge(
            Degree.PARTLY,
            (
                f"On the shim's network {sum(total)} of {len(total)} tries between docker run, pods and "
                f"podman "
                f"arrived."
            ),
        ),
        came_true=(all(total), not any(reached for name in ENGINES for reached in across[name])),
    )


def _world(name: str) -> str:
    return next(world for world, names in _WORLDS.items() if name in names)


def _share(data: Data, *, across: bool) -> list[bool]:
    """Every try within the conflist's network, or between it and Docker's bridge."""
    found = []
    for pair, tries in data.items():
        ends = [_world(name) in _ON_CONFLIST for name in pair.split(" to ")]
        if (across and ends[0] != ends[1]) or (not across and all(ends)):
            found += [tries["ping"], tries["TCP"]]
    return found


def _verdict(data: Data) -> Verdict:
    same, across = _share(data, across=False), _share(data, across=True)
    text = (
        f"On one conflist {sum(same)} of {len(same)} tries arrived, between it and Docker's bridge "
        f"{sum(across)} of {len(across)}"
    )
    if all(same) and all(across):
        return refuted(f"{text}.")
    if all(same):
        return weakened(f"{text}: it depends on the network, not on who started the container.")
    return stands(f"{text}.")


def show(data: Data) -> Sequence[Figure]:
    """The matrix of worlds."""
    names = [name for group in _WORLDS.values() for name in group]
    return [
        Matrix(
            f"Does the row reach the column, by ping and TCP? Docker {engine}",
            names,
            {one: [_cell(data[engine].get(f"{one} to {other}")) for other in names] for one in names},
        )
        for engine in ENGINES
    ]


def _cell(tries: Mapping[str, bool] | None) -> Cell:
    if tries is None:
        return Cell("-")
    reached = sum(tries.values())
    return Cell({2: "both", 0: "none"}.get(reached, "one"), good=reached == 2)


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
