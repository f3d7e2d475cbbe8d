"""What becomes of a result with several addresses or links."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from experiments.bench import Bench
from experiments.figures import Figure, Matrix, yes_no
from experiments.model import (
    ENGINES,
    NEWEST,
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
from experiments.parts import Parts

CLAIM = Claim(
    id="E73",
    title="Several addresses",
    claim="A CNI result may have any number of addresses, of which Docker carries one of each family.",
    sources=(
        Source("CNI specification: ips is a list", "2016"),
        Source("libnetwork, docs/remote.md: Interface has Address and AddressIPv6", "2015"),
    ),
    procedure="A conflist gives a link two IPv4 and two IPv6 addresses. They are looked for where CNI "
    "alone attached it, in a container on the "
    "shim's network in each mode, and in docker inspect.",
    predictions=(
        "CNI alone: all four. With handover: one of each family, in the container as in inspect.",
        "In place, on the newest engine: all four in the container, one of each family in inspect.",
    ),
    measured="Addresses that are there, and that are shown.",
    section="Life cycle",
)

_ADDRESSES = ("10.73.0.5/24", "10.73.1.5/24", "fd00:73::5/64", "fd00:74::5/64")
_FELL_BACK = "fell back"
"""Whether the last container, which was to be attached in place, was attached by handover."""


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    ipam = {"type": "static", "addresses": [{"address": address} for address in _ADDRESSES]}
    bench.conflist("several", {"type": "bridge", "bridge": "several0", "ipam": ipam})
    bench.shell("ip netns add alone")
    bench.cni("add", "several", "/run/netns/alone")
    alone = _found(bench.shell("ip netns exec alone ip -o address show dev eth0"))
    bench.cni("del", "several", "/run/netns/alone")
    bench.shell("ip netns delete alone")
    found: Data = {"CNI alone": alone}
    for mode in ("handover", "inplace"):
        bench.network(mode, "several", "-o", f"cni.mode={mode}")
        found[_FELL_BACK] = bench.falls_back(partial(bench.run, "box", mode))
        found[mode] = _found(bench.inside("box", "ip -o address show dev eth0"))
        found[f"{mode}, shown"] = _shown(bench.inspect("box", mode))
        bench.docker("rm", "--force", "box")
    return found


def _found(listing: str) -> list[str]:
    return [address for address in _ADDRESSES if f" {address} " in listing]


def _shown(settings: Mapping[str, Any]) -> list[str]:
    shown = (settings["IPAddress"], settings["GlobalIPv6Address"])
    return [address for address in _ADDRESSES if address.partition("/")[0] in shown]


def judge(data: Data) -> Judgement:
    """By the addresses that are kept."""
    handover = [len(data[name]["handover"]) for name in ENGINES]
    inplace, shown = (len(data[NEWEST][way]) for way in ("inplace", "inplace, shown"))
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY,
            f"All {len(_ADDRESSES)} addresses are in the container; docker inspect shows one of each family.",
        )
        if min(handover) == len(_ADDRESSES)
        else Bridge(
            Degree.PARTLY,
            (
                f"With handover {min(handover)} of {len(_ADDRESSES)} addresses are in the container, in "
                f"place "
                f"{inplace}."
            ),
        ),
        came_true=(
            all(len(data[name]["CNI alone"]) == 4 for name in ENGINES) and handover == [2, 2],
            (inplace, shown) == (4, 2),
        ),
    )


def _verdict(data: Data) -> Verdict:
    real, shown, total = len(data["handover"]), len(data["handover, shown"]), len(data["CNI alone"])
    text = (
        f"CNI alone gave {total} addresses; Docker's container had {real}, and docker inspect showed {shown}"
    )
    if shown <= 2:
        return stands(f"{text}.")
    if shown < total:
        return weakened(f"{text}.")
    return refuted(f"{text}.")


def show(data: Data) -> Sequence[Figure]:
    """Addresses by ways."""
    return [
        _matrix("Is the address in the container?", data, ("CNI alone", "handover", "inplace")),
        _matrix("Does docker inspect show it?", data, ("handover, shown", "inplace, shown")),
    ]


def _matrix(title: str, data: Data, ways: Sequence[str]) -> Matrix:
    columns = [f"{_column(way, data[name])}, {name}" for way in ways for name in ENGINES]
    rows = {
        address: [yes_no(address in data[name][way]) for way in ways for name in ENGINES]
        for address in _ADDRESSES
    }
    return Matrix(title, columns, rows)


def _column(way: str, data: Data) -> str:
    mode = way.partition(",")[0]
    return f"{mode} (fell back to handover)" if mode == "inplace" and data[_FELL_BACK] else mode


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
