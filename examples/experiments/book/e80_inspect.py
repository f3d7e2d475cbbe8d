"""Whether docker inspect shows the address, by each way to a CNI network."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

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
from experiments.texts import hockin, issue
from experiments.ways import (
    BRIDGE,
    BY_HAND,
    HOOK,
    MACVLAN,
    NONE,
    PAUSE,
    SHIM,
    ByNetwork,
    Way,
    namespace,
    ways,
)

CLAIM = Claim(
    id="E80",
    title="docker inspect",
    claim="docker inspect does not show the address of a container on a CNI network.",
    sources=(
        hockin(
            "Most of them are relatively minor (for example, docker inspect will not show an IP address), "
            "but some are significant."
        ),
        issue("rancher#6975", "2016"),
    ),
    procedure="A container is attached by each way: the shim, a pause container with a script, hooks of "
    "the OCI runtime, CNI alone after the start, "
    "and Docker's own drivers. What is real in its namespace is compared with docker inspect, docker "
    "network inspect "
    "and another container's look-up of its name.",
    predictions=(
        "By the shim all is shown as it is; by the other ways with CNI plugins nothing is.",
        "A name can be looked up by the shim and Docker's own drivers alone.",
    ),
    measured="Address, MAC address and gateway in inspect; the entry of the network; the name.",
    section="Side effects",
)

_SHOWN = ("IPAddress", "MacAddress", "Gateway")
_CNI_WAYS = (PAUSE, HOOK, BY_HAND)


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    found = {}

    def all_ways() -> None:
        with ways(bench, with_podman=False) as every:
            for name, way in every.items():
                if name != NONE:
                    found[name] = _looked(bench, way)

    bench.left_by(all_ways)
    return found


def _looked(bench: Bench, way: Way) -> Data:
    way.start("box")
    printed = bench.shell(
        (
            f"nsenter --net={namespace(bench, 'box')} sh -c 'ip -o address show eth0; ip -o link show "
            f"eth0; ip "
            f"route'"
        ),
        check=False,
    )
    (inspected,) = json.loads(bench.docker("inspect", "box"))
    networks = inspected["NetworkSettings"]["Networks"]
    shown = {what: _first(networks, what) for what in _SHOWN}
    real = {
        "IPAddress": _search(r"inet (\S+)/", printed),
        "MacAddress": _search(r"link/ether (\S+)", printed),
        "Gateway": _search(r"default via (\S+)", printed),
    }
    entries = [
        entry["IPv4Address"].partition("/")[0]
        for network in networks
        for entry in json.loads(bench.docker("network", "inspect", network))[0]["Containers"].values()
        if entry["Name"] == "box"
    ]
    named = False
    if isinstance(way, ByNetwork) and way.network not in ("none", "bridge"):
        named = real["IPAddress"] in bench.once(way.network, "nslookup box 127.0.0.11", check=False)
    way.end("box")
    return {"shown": shown, "real": real, "entry": real["IPAddress"] in entries, "name": named}


def _first(networks: Mapping[str, Any], what: str) -> str:
    return next((str(network[what]) for network in networks.values() if network[what]), "")


def _search(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""


def judge(data: Data) -> Judgement:
    """By what is shown of the ways with CNI plugins."""
    shim = [data[name][SHIM] for name in ENGINES]
    whole = all(_right(it) == len(_SHOWN) and it["entry"] and it["name"] for it in shim)
    others = [data[name][way] for name in ENGINES for way in _CNI_WAYS]
    owners = [data[name][way] for name in ENGINES for way in (SHIM, BRIDGE, MACVLAN)]
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY,
            (
                "By the shim address, MAC address and gateway are shown as they are, the network lists the "
                "container, and its name is found."
            ),
        )
        if whole
        else Bridge(
            Degree.PARTLY,
            f"By the shim {min(_right(it) for it in shim)} of {len(_SHOWN)} are shown as they are.",
        ),
        came_true=(
            all(_right(it) == len(_SHOWN) for it in shim) and not any(_right(it) for it in others),
            all(it["name"] for it in owners) and not any(it["name"] for it in others),
        ),
    )


def _right(looked: Mapping[str, Any]) -> int:
    return sum(
        bool(looked["shown"][what]) and looked["shown"][what] == looked["real"][what] for what in _SHOWN
    )


def _verdict(data: Data) -> Verdict:
    others = {way: _right(data[way]) for way in _CNI_WAYS if way in data}
    shim = _right(data[SHIM])
    text = f"Of {len(_SHOWN)} values shown as they are: by the shim {shim}; " + ", ".join(
        f"by {way} {count}" for way, count in others.items()
    )
    if shim == len(_SHOWN):
        return (
            weakened(f"It depends on the way. {text}.") if not all(others.values()) else refuted(f"{text}.")
        )
    return stands(f"{text}.")


def show(data: Data) -> Sequence[Figure]:
    """Ways by what they show."""
    figures: list[Figure] = []
    for name in ENGINES:
        rows = {
            way: [
                *(_cell(it, what) for what in _SHOWN),
                yes_no(it["entry"]),
                yes_no(it["name"]),
            ]
            for way, it in data[name].items()
        }
        figures.append(Matrix(f"What Docker {name} shows", [*_SHOWN, "in network inspect", "by name"], rows))
    return figures


def _cell(looked: Mapping[str, Any], what: str) -> Cell:
    shown, real = looked["shown"][what], looked["real"][what]
    if not real:
        return Cell("there is none" if not shown else f"{shown}, not real")
    return Cell("as it is" if shown == real else shown or "nothing", good=shown == real)


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
