"""What stays behind when a configuration changes between ADD and DEL."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from experiments.bench import Bench
from experiments.figures import Cell, Figure, Matrix
from experiments.model import (
    ENGINES,
    Bridge,
    Claim,
    Data,
    Degree,
    Experiment,
    Judgement,
    Source,
    Verdict,
    refuted,
    stands,
    weakened,
)
from experiments.naive import Naive
from experiments.parts import Parts

CLAIM = Claim(
    id="E16",
    title="Configuration that drifts",
    claim="When the configuration changes between ADD and DEL, the plugins cannot clean up what they made.",
    sources=(
        Source(
            "Lee Calcote, The Container Networking Landscape, on Mesos, which keeps the configuration of ADD",
            "2016-09",
        ),
        Source("CNI specification: DEL should be given the configuration of ADD", "2016"),
    ),
    procedure="A container is attached to a bridge with masquerade and firewall. Then the conflist is "
    "changed: the masquerade is "
    "switched off, the address store moves, the firewall plugin is dropped, or the file is deleted. Then "
    "the container goes. "
    "Once by the shim, and once by a simple script that runs the plugins and keeps nothing. What stays is "
    "counted.",
    predictions=("By the script something stays with every change.", "By the shim nothing stays with any."),
    measured="Rules, leases and links that stay, for each change and way.",
    section="IDs and names",
)

_IPAM = {"type": "host-local", "ranges": [[{"subnet": "10.16.0.0/24"}]]}
_BRIDGE = {"type": "bridge", "bridge": "drift0", "isGateway": True, "ipMasq": True, "ipam": _IPAM}
_FIREWALL = {"type": "firewall"}
_AT_ADD = (_BRIDGE, _FIREWALL)
_AT_DEL: dict[str, tuple[dict[str, Any], ...]] = {
    "nothing changed": _AT_ADD,
    "masquerade off": (_BRIDGE | {"ipMasq": False}, _FIREWALL),
    "address store moved": (_BRIDGE | {"ipam": _IPAM | {"dataDir": "/var/lib/cni/elsewhere"}}, _FIREWALL),
    "firewall dropped": (_BRIDGE,),
    "file deleted": (),
}
_WAYS = ("script", "shim")


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    naive = Naive(bench, "drift")
    try:
        script = {
            change: bench.left_by(partial(_by_script, bench, naive, to)) for change, to in _AT_DEL.items()
        }
    finally:
        naive.remove()
    bench.conflist("drift", *_AT_ADD)
    bench.network("drift", "drift")
    shim = {change: bench.left_by(partial(_by_shim, bench, to)) for change, to in _AT_DEL.items()}
    return {"script": script, "shim": shim}


def _by_script(bench: Bench, naive: Naive, to: Sequence[Mapping[str, Any]]) -> None:
    def conflist(plugins: Sequence[Mapping[str, Any]]) -> Data:
        return {"cniVersion": "0.4.0", "name": "drift", "plugins": plugins}

    bench.shell("ip netns add drift")
    naive.configure(conflist(_AT_ADD))
    naive.run("ADD", "/run/netns/drift", "drift")
    naive.configure(conflist(to))
    naive.run("DEL", "/run/netns/drift", "drift", check=False)
    bench.shell("ip netns delete drift")


def _by_shim(bench: Bench, to: Sequence[Mapping[str, Any]]) -> None:
    bench.conflist("drift", *_AT_ADD)
    bench.run("drift", "drift")
    if to:
        bench.conflist("drift", *to)
    else:
        (bench.conf_dir / "drift.conflist").unlink()
    bench.docker("rm", "--force", "drift")


def judge(data: Data) -> Judgement:
    """By what the script leaves; the bridge by what the shim leaves."""
    counts = {name: {way: _counts(data[name][way]) for way in _WAYS} for name in ENGINES}
    shim = sum(count for name in ENGINES for count in counts[name]["shim"].values())
    runs = len(ENGINES) * len(_AT_DEL)
    return Judgement(
        verdicts={name: _verdict(counts[name]["script"]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY,
            f"By the shim, which keeps configuration and result of ADD, nothing stayed in {runs} lives.",
        )
        if not shim
        else Bridge(Degree.PARTLY, f"By the shim {shim} things stayed in {runs} lives."),
        surprise="The script leaves rules even when nothing changed: without the result of ADD, the "
        "firewall plugin's "
        "DEL removes none."
        if all(counts[name]["script"]["nothing changed"] for name in ENGINES)
        else "",
        came_true=(
            all(
                count
                for name in ENGINES
                for change, count in counts[name]["script"].items()
                if change != "nothing changed"
            ),
            not shim,
        ),
    )


def _counts(left: Mapping[str, Mapping[str, Sequence[str]]]) -> dict[str, int]:
    return {change: sum(map(len, things.values())) for change, things in left.items()}


def _verdict(counts: Mapping[str, int]) -> Verdict:
    changed = {change: count for change, count in counts.items() if change != "nothing changed"}
    leaking = [f"{count} with {change}" for change, count in changed.items() if count]
    if len(leaking) == len(changed):
        return stands(f"By the script something stayed with every change: {', '.join(leaking)}.")
    if leaking:
        return weakened(
            f"By the script something stayed with {len(leaking)} of {len(changed)} changes: "
            f"{', '.join(leaking)}."
        )
    return refuted(f"By the script nothing stayed with any of {len(changed)} changes.")


def show(data: Data) -> Sequence[Figure]:
    """Changes by ways."""
    columns = [f"{way}, {name}" for way in _WAYS for name in ENGINES]
    rows = {
        change: [_cell(data[name][way][change]) for way in _WAYS for name in ENGINES] for change in _AT_DEL
    }
    return [Matrix("What stays", columns, rows)]


def _cell(left: Mapping[str, Sequence[str]]) -> Cell:
    return Cell(
        ", ".join(f"{len(things)} {what}" for what, things in left.items()) or "nothing", good=not left
    )


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
