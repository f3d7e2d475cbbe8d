"""Whether what a chain of plugins does survives Docker."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lab.errors import LabError

from experiments.bench import Bench
from experiments.effects import Seen, look, rule_for
from experiments.figures import (
    Cell,
    Figure,
    Matrix,
    yes_no,
)
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
from experiments.texts import issue
from experiments.ways import namespace

CLAIM = Claim(
    id="E33",
    title="Chained plugins",
    claim=(
        "Plugins that work inside the namespace lose their effect when Docker's engine moves the link "
        "and sets it up anew."
    ),
    sources=(
        issue("libnetwork#1520, why libnetwork adds the routes itself", "2016"),
        Source(
            "CNI specification: plugins are chained, and each works on what the ones before it made", "2016"
        ),
    ),
    procedure="A chain of bridge, tuning, portmap, bandwidth and firewall, and one of bridge and sbr, are "
    "attached by CNI alone, and then "
    "to containers by the shim, in each of its modes that this build has. Every effect is looked for: rules, "
    "queues, sysctls, MTU, MAC address, routes of other tables.",
    predictions=(
        "By CNI alone every effect is there.",
        "With handover, sysctls, rules and other tables are lost, and all other effects are there.",
        "In place, on the newest engine, every effect is there.",
    ),
    measured="Effects that are found, of those expected.",
    section="Daemons and wrapping",
)

_LINK_SYSCTL, _NAMESPACE_SYSCTL = "net.ipv4.conf.eth0.log_martians", "net.core.somaxconn"
_MAC = "02:33:00:00:00:33"
_IPAM = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.33.0.0/24"}]],
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "198.51.100.0/24"}],
}
_BRIDGE = {"type": "bridge", "bridge": "chain0", "isGateway": True, "ipMasq": True, "ipam": _IPAM}
_TUNING = {
    "type": "tuning",
    "sysctl": {_LINK_SYSCTL: "1", _NAMESPACE_SYSCTL: "500"},
    "mac": _MAC,
    "mtu": 1400,
}
_PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
_BANDWIDTH = {"type": "bandwidth", "egressRate": 8000000, "egressBurst": 8000000}
_CHAINS = {
    "chained": (_BRIDGE, _TUNING, _PORTMAP, _BANDWIDTH, {"type": "firewall"}),
    "sourced": (_BRIDGE, {"type": "sbr"}),
}
_EFFECTS: dict[str, dict[str, Callable[[Seen], bool]]] = {
    "chained": {
        "masquerade (bridge)": lambda seen: "MASQUERADE" in seen.host_rules and rule_for("POSTROUTING")(seen),
        "route (bridge)": lambda seen: "198.51.100.0/24" in seen.routes,
        "published port (portmap)": lambda seen: any(
            "8033" in line and seen.address in line for line in seen.host_rules.splitlines()
        ),
        "forwarding (firewall)": rule_for("CNI-FORWARD"),
        "shaping (bandwidth)": lambda seen: "tbf" in seen.host_queues,
        "MAC address (tuning)": lambda seen: seen.link.get("address") == _MAC,
        "MTU (tuning)": lambda seen: seen.link.get("mtu") == 1400,
        "sysctl of the link (tuning)": lambda seen: seen.sysctls[_LINK_SYSCTL] == "1",
        "sysctl of the namespace (tuning)": lambda seen: seen.sysctls[_NAMESPACE_SYSCTL] == "500",
    },
    "sourced": {
        "rule by source (sbr)": lambda seen: f"from {seen.address}" in seen.rules,
        "default route in its table (sbr)": lambda seen: (
            "default via 10.33.0.1 dev eth0 table 100" in seen.routes
        ),
    },
}
_ALONE, _HANDOVER, _INPLACE = "CNI alone", "handover", "inplace"
_UNKNOWN = "not here"
_INSIDE = ("sysctl of the link (tuning)", "sysctl of the namespace (tuning)", *_EFFECTS["sourced"])


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    for name, plugins in _CHAINS.items():
        bench.conflist(name, *plugins, version="0.4.0")
    found = {_ALONE: _by_cni(bench)}
    for mode, options in ((_HANDOVER, ()), (_INPLACE, ("-o", "cni.mode=inplace"))):
        try:
            found[mode] = _by_shim(bench, mode, options)
        except LabError as error:
            if mode == _HANDOVER:
                raise
            found[mode] = {_UNKNOWN: str(error)}
    return found


def _by_cni(bench: Bench) -> Data:
    found: Data = {}
    ports = json.dumps({"portMappings": [{"hostPort": 8033, "containerPort": 80, "protocol": "tcp"}]})
    for name in _CHAINS:
        bench.shell("ip netns add alone")
        arguments = (name, "/run/netns/alone")
        capabilities = {"CAP_ARGS": ports} if name == "chained" else {}
        bench.cni("add", *arguments, **capabilities)
        found |= _effects(bench, "/run/netns/alone", name)
        bench.cni("del", *arguments, **capabilities)
        bench.shell("ip netns delete alone")
    return found


def _by_shim(bench: Bench, mode: str, options: Sequence[str]) -> Data:
    found: Data = {}
    for name in _CHAINS:
        network = f"{mode}-{name}"
        bench.network(network, name, *options)
        publish = ("-p", "8033:80") if name == "chained" else ()
        bench.run("box", network, *publish)
        found |= _effects(bench, namespace(bench, "box"), name)
        bench.docker("rm", "--force", "box")
    return found


def _effects(bench: Bench, where: str, chain: str) -> dict[str, bool]:
    seen = look(bench, where, "chain0", [_LINK_SYSCTL, _NAMESPACE_SYSCTL])
    return {effect: bool(seen.address) and is_there(seen) for effect, is_there in _EFFECTS[chain].items()}


def judge(data: Data) -> Judgement:
    """By the effects that handover loses; the bridge by the best mode."""
    works = {name: [mode for mode in (_HANDOVER, _INPLACE) if _whole(data[name][mode])] for name in ENGINES}
    handover = [data[name][_HANDOVER] for name in ENGINES]
    total = len(handover[0])
    kept = min(sum(each.values()) for each in handover)
    if all(_HANDOVER in modes for modes in works.values()):
        bridge = Bridge(Degree.FULLY, f"With handover, all {total} effects are there on each engine.")
    else:
        also = "; in place all are there on " + ", ".join(name for name in ENGINES if _INPLACE in works[name])
        bridge = Bridge(
            Degree.PARTLY,
            (
                f"With handover {kept} of {total} effects are "
                f"there{also if any(_INPLACE in it for it in works.values()) else ''}."
            ),
        )
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=bridge,
        came_true=(
            all(_whole(data[name][_ALONE]) for name in ENGINES),
            all(there != (effect in _INSIDE) for each in handover for effect, there in each.items()),
            None if _UNKNOWN in data[NEWEST][_INPLACE] else _whole(data[NEWEST][_INPLACE]),
        ),
    )


def _whole(effects: Mapping[str, Any]) -> bool:
    return all(there is True for there in effects.values())


def _verdict(data: Data) -> Verdict:
    lost = [effect for effect, there in data[_HANDOVER].items() if not there]
    inside = [effect for effect in lost if effect in _INSIDE]
    if not lost:
        return refuted(f"All {len(data[_HANDOVER])} effects were there after the engine had moved the link.")
    if len(inside) == len(_INSIDE):
        return stands(f"Lost when the engine moved the link: {', '.join(lost)}.")
    return weakened(
        f"Of {len(data[_HANDOVER])} effects {len(lost)} were lost when the engine moved the link: "
        f"{', '.join(lost)}."
    )


def show(data: Data) -> Sequence[Figure]:
    """Effects by ways."""
    columns = [f"{mode}, {name}" for mode in (_ALONE, _HANDOVER, _INPLACE) for name in ENGINES]
    effects = [effect for chain in _EFFECTS.values() for effect in chain]
    rows = {
        effect: [
            _cell(data[name][mode].get(effect)) for mode in (_ALONE, _HANDOVER, _INPLACE) for name in ENGINES
        ]
        for effect in effects
    }
    return [Matrix("Is the effect there?", columns, rows)]


def _cell(there: bool | None) -> Cell:  # noqa: FBT001 - a mark
    return Cell(_UNKNOWN) if there is None else yes_no(there)


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
