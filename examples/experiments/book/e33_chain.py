"""Whether what a chain of plugins does survives Docker."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments import chains
from experiments.bench import Bench
from experiments.chains import CAPABILITIES, CHAINS, INSIDE, PORT, PUBLISHED, ROUTES, effects
from experiments.figures import (
    Figure,
    Matrix,
    Trace,
    waiting,
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
from experiments.naive import Naive
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
    "attached by CNI alone, by a driver of our own that makes the link so and leaves the rest to the engine, "
    "and by the shim in both of its modes. Every effect is looked for: rules, queues, sysctls, MTU, MAC "
    "address, routes of other tables.",
    predictions=(
        "By CNI alone every effect is there.",
        "With handover, sysctls, rules and other tables are lost, and all other effects are there.",
        "In place, on the newest engine, every effect is there.",
    ),
    measured="Effects that are found, of those expected.",
    section="Daemons and wrapping",
)

_ALONE, _MOVED, _HANDOVER, _INPLACE = "CNI alone", "moved by the engine", "shim, handover", "shim, inplace"
_WAYS = (_ALONE, _MOVED, _HANDOVER, _INPLACE)
_FELL_BACK = "in place fell back to handover"
_ADDRESS = "10.33.0.99/24"
"""What the link has that the engine moves and nobody sees to."""


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    chains.write(bench)
    moved: dict[str, bool] = {}
    bench.left_by(lambda: moved.update(_by_engine(bench)))
    traces: dict[str, Any] = {}
    inplace: dict[str, bool] = {}
    fell_back = bench.falls_back(lambda: inplace.update(_by_shim(bench, "inplace", {})))
    return {
        _ALONE: _by_cni(bench),
        _MOVED: moved,
        _HANDOVER: _by_shim(bench, "handover", traces),
        _INPLACE: inplace,
        _FELL_BACK: fell_back,
        "traces": traces,
    }


def _by_engine(bench: Bench) -> dict[str, bool]:
    """By a driver that makes the link as CNI does, gives it to the engine, and leaves the rest to it."""
    found: dict[str, bool] = {}
    for name, plugins in CHAINS.items():
        naive = Naive(bench, name)
        naive.configure({"cniVersion": "0.4.0", "name": name, "plugins": [_alone(it) for it in plugins]})
        joined = {"InterfaceName": {"SrcName": "w{endpoint}", "DstPrefix": "eth"}, "Gateway": "10.33.0.1"}
        witness = bench.witness(
            f"mover-{name}",
            run={
                "NetworkDriver.Join": _MOVE.format(
                    naive=naive.script, folder=naive.folder, path=bench.engine.plugin_path
                ),
                "NetworkDriver.DeleteEndpoint": _REMOVE,
            },
            answers={
                "NetworkDriver.CreateEndpoint": {"Interface": {"Address": _ADDRESS}},
                "NetworkDriver.Join": {**joined, "StaticRoutes": [_STATIC_ROUTE]},
            },
        )
        bench.docker("network", "create", "-d", witness.name, "--ipam-driver", "null", witness.name)
        bench.run("box", witness.name)
        found |= effects(bench, namespace(bench, "box"), name)
        bench.docker("rm", "--force", "box")
        naive.remove()
    return found


_MOVE = """
link=w$(printf %s "$ENDPOINT" | cut -c 1-10)
ip netns add moved
CNI_PATH={path} sh {naive} ADD {folder} /run/netns/moved moved eth0
ip netns exec moved ip link set eth0 down
ip netns exec moved ip link set eth0 name "$link"
ip netns exec moved ip link set "$link" netns 1
"""
_REMOVE = 'ip link del w$(printf %s "$ENDPOINT" | cut -c 1-10); ip netns delete moved'
_STATIC_ROUTE = {"Destination": "198.51.100.0/24", "RouteType": 0, "NextHop": "10.33.0.1"}


def _alone(plugin: Mapping[str, Any]) -> dict[str, Any]:
    """A plugin as it must be when nobody but a script runs it: with its address and port written down."""
    if plugin["type"] == "bridge":
        static = {
            "type": "static",
            "addresses": [{"address": _ADDRESS, "gateway": "10.33.0.1"}],
            "routes": ROUTES,
        }
        return {**plugin, "ipam": static}
    if plugin["type"] == "portmap":
        return {**plugin, "runtimeConfig": {"portMappings": [PORT]}}
    return dict(plugin)


def _by_cni(bench: Bench) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for name in CHAINS:
        bench.shell("ip netns add alone")
        arguments = (name, "/run/netns/alone")
        bench.cni("add", *arguments, **CAPABILITIES[name])
        found |= effects(bench, "/run/netns/alone", name)
        bench.cni("del", *arguments, **CAPABILITIES[name])
        bench.shell("ip netns delete alone")
    return found


def _by_shim(bench: Bench, mode: str, traces: dict[str, Any]) -> dict[str, bool]:
    """The effects; what is told while a container starts is added to `traces`, by chain."""
    found: dict[str, bool] = {}
    for name in CHAINS:
        network = f"{mode}-{name}"
        bench.network(network, name, "-o", f"cni.mode={mode}")
        with bench.traced() as traces[name]:
            bench.run("box", network, *PUBLISHED[name])
            found |= effects(bench, namespace(bench, "box"), name)
        bench.docker("rm", "--force", "box")
    return found


def judge(data: Data) -> Judgement:
    """By the effects that the engine's move loses; the bridge by what the shim keeps."""
    handover = [data[name][_HANDOVER] for name in ENGINES]
    return Judgement(
        verdicts={name: _verdict(data[name][_MOVED]) for name in ENGINES},
        bridge=_bridge(handover, data[NEWEST][_INPLACE]),
        came_true=(
            all(all(data[name][_ALONE].values()) for name in ENGINES),
            all(there != (effect in INSIDE) for each in handover for effect, there in each.items()),
            all(data[NEWEST][_INPLACE].values()),
        ),
    )


def _bridge(handover: Sequence[Mapping[str, bool]], inplace: Mapping[str, bool]) -> Bridge:
    total, kept = len(inplace), min(sum(each.values()) for each in handover)
    text = (
        f"With handover {kept} of {total} effects are there on each engine, in place "
        f"{sum(inplace.values())} on the newest"
    )
    return Bridge(Degree.FULLY if kept == total else Degree.PARTLY, f"{text}.")


def _verdict(moved: Mapping[str, bool]) -> Verdict:
    lost = [effect for effect, there in moved.items() if not there]
    inside = [effect for effect in lost if effect in INSIDE]
    text = f"Of {len(moved)} effects {len(lost)} were lost when the engine moved the link: {', '.join(lost)}"
    if not lost:
        return refuted(f"All {len(moved)} effects were there after the engine had moved the link.")
    return stands(f"{text}.") if len(inside) == len(INSIDE) else weakened(f"{text}.")


def show(data: Data) -> Sequence[Figure]:
    """Effects by ways."""
    columns = [
        f"{way} (fell back to handover), {name}"
        if way == _INPLACE and data[name][_FELL_BACK]
        else f"{way}, {name}"
        for way in _WAYS
        for name in ENGINES
    ]
    rows = {
        effect: [yes_no(data[name][way][effect]) for way in _WAYS for name in ENGINES]
        for effect in data[NEWEST][_ALONE]
    }
    pictures = [
        Trace(f"A container starts: handover, Docker {name}", trace, waiting(trace))
        for name in ENGINES
        for trace in [data[name]["traces"]["chained"]]
    ]
    return [Matrix("Is the effect there?", columns, rows), *pictures]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
