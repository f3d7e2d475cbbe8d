"""Whether one configuration serves several runtimes at the same time."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.engine import IMAGE

from experiments.bench import Bench
from experiments.figures import Cell, Figure, Matrix, yes_no
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
from experiments.podman import podman
from experiments.texts import hockin

CLAIM = Claim(
    id="E40",
    title="One configuration for several runtimes",
    claim="One network configuration works the same across runtimes, as it cannot with Docker's drivers.",
    sources=(
        hockin(
            "Being cross-platform means that there is a chance to enable network configurations which will "
            "work the same across "
            "runtimes (e.g. Docker, Rocket, Hyper)."
        ),
    ),
    procedure="One conflist, the same bytes for all, is used at the same time by Docker through the shim, "
    "by podman's CNI backend, and by CNI "
    "alone for a namespace made by hand, which is what a pod's sandbox is. Each pings each, and all are "
    "removed.",
    predictions=("All get addresses of one range, no two the same; each reaches each; nothing is left.",),
    measured="Addresses; pairs that reach each other; leases during and after; the conflist's hash.",
    section="One configuration, several runtimes",
)

_NAME = "shared"
_RUNTIMES = ("Docker", "podman", "CNI alone")


def measure(parts: Parts) -> Data:
    """On both engines, each with podman beside it."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.40.0.0/24"}]]}
    bridge = {"type": "bridge", "bridge": "shared0", "isGateway": True, "ipam": ipam}
    path = bench.conflist(_NAME, bridge, {"type": "firewall"}, version="0.4.0")
    before = _hash(path)
    bench.network(_NAME, _NAME)
    with podman(bench) as client:
        bench.run("ours", _NAME)
        client.run(_NAME, "-d", "--name", "theirs", IMAGE, "sleep", "600")
        bench.shell("ip netns add hand")
        by_hand = bench.cni("add", _NAME, "/run/netns/hand")
        template = '{{(index .NetworkSettings.Networks "shared").IPAddress}}'
        addresses = {
            "Docker": bench.inspect("ours", _NAME)["IPAddress"],
            "podman": client("inspect", "--format", template, "theirs").strip(),
            "CNI alone": by_hand["ips"][0]["address"].partition("/")[0],
        }
        ping: dict[str, Callable[[str], str]] = {
            "Docker": lambda to: bench.inside("ours", f"ping -c 1 -W 2 {to}", check=False),
            "podman": lambda to: client("exec", "theirs", "ping", "-c", "1", "-W", "2", to, check=False),
            "CNI alone": lambda to: bench.shell(
                f"ip netns exec hand busybox ping -c 1 -W 2 {to}", check=False
            ),
        }
        reached = {
            f"{one} to {other}": "1 packets received" in ping[one](addresses[other])
            for one in _RUNTIMES
            for other in _RUNTIMES
            if one != other
        }
        during = _leases(bench)
        bench.cni("del", _NAME, "/run/netns/hand")
        bench.shell("ip netns delete hand")
        bench.docker("rm", "--force", "ours")
    return {
        "addresses": addresses,
        "reached": reached,
        "leases": {"during": during, "after": _leases(bench)},
        "hash": before,
        "unchanged": before == _hash(path),
    }


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _leases(bench: Bench) -> list[str]:
    return bench.shell(f"ls /var/lib/cni/networks/{_NAME} | grep '^10' || true").split()


def judge(data: Data) -> Judgement:
    """By whether all work together."""
    whole = [name for name in ENGINES if _whole(data[name])]
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(Degree.FULLY, "Docker takes part, through the shim, as any other runtime.")
        if len(whole) == len(ENGINES)
        else Bridge(Degree.PARTLY, "On some engine the runtimes do not work together."),
        came_true=(len(whole) == len(ENGINES),),
    )


def _whole(data: Data) -> bool:
    unique = len(set(data["addresses"].values())) == len(_RUNTIMES)
    return unique and all(data["reached"].values()) and not data["leases"]["after"] and data["unchanged"]


def _verdict(data: Data) -> Verdict:
    reached, pairs = sum(data["reached"].values()), len(data["reached"])
    distinct = len(set(data["addresses"].values()))
    text = (
        f"With one conflist (SHA-256 {data['hash'][:8]}...) three runtimes had {distinct} addresses of one "
        f"range, {reached} of {pairs} pairs reached "
        f"each other, and {len(data['leases']['after'])} leases were left"
    )
    if _whole(data):
        return stands(f"{text}.")
    if distinct == len(_RUNTIMES) and reached:
        return weakened(f"{text}.")
    return refuted(f"{text}.")


def show(data: Data) -> Sequence[Figure]:
    """Who reaches whom."""
    figures: list[Figure] = []
    for name in ENGINES:
        rows = {
            f"{one}, {data[name]['addresses'][one]}": [
                Cell("-") if one == other else yes_no(data[name]["reached"][f"{one} to {other}"])
                for other in _RUNTIMES
            ]
            for one in _RUNTIMES
        }
        figures.append(Matrix(f"Does the row reach the column? Docker {name}", _RUNTIMES, rows))
    return figures


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
