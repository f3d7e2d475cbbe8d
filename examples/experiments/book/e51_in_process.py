"""Whether Docker's in-process drivers can be driven from outside."""

import json
from collections.abc import Sequence

from experiments.bench import Bench
from experiments.figures import Figure, Table
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

CLAIM = Claim(
    id="E51",
    title="In-process drivers",
    claim="Docker's in-process drivers, bridge and overlay, cannot be used by anybody but Docker.",
    sources=(
        hockin(
            'this would mean that we could not use any of the Docker in-process plugins, "bridge" and '
            '"overlay" in particular'
        ),
        issue("libnetwork#1978, libnetwork's drivers as CNI plugins, never merged", "2017-10"),
    ),
    procedure="For each driver that docker info lists, a socket is looked for where the engine looks for "
    "drivers, and the Engine API is asked "
    "for the driver's calls. Then the only way that is left is tried: docker network connect for a "
    "container of Docker's, "
    "and for a namespace that is not.",
    predictions=(
        "No in-process driver has a socket or answers a call; only containers of Docker's can be connected.",
    ),
    measured="Sockets and answers for each driver; whether a container and a namespace can be connected.",
    section="In-process and remote drivers",
)

_CALLS = ("/NetworkDriver.CreateEndpoint", "/NetworkDriver.Join", "/v1.41/NetworkDriver.CreateEndpoint")


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    drivers = json.loads(bench.docker("info", "--format", "{{json .Plugins.Network}}"))
    sockets = bench.shell("ls /run/docker/plugins").split()
    statuses = {call: bench.api("POST", call, {})[0] for call in _CALLS}
    bench.docker("network", "create", "own")
    bench.run("box", "none")
    bench.run("bridged", "bridge")
    bench.shell("ip netns add foreign")
    container = bench.attempt("network", "connect", "own", "bridged")
    namespace = bench.attempt("network", "connect", "own", "/run/netns/foreign")
    bench.shell("ip netns delete foreign")
    return {
        "drivers": {driver: f"{driver}.sock" in sockets for driver in drivers},
        "statuses": statuses,
        "container": container["error"],
        "namespace": namespace["error"],
    }


def judge(data: Data) -> Judgement:
    """By sockets and answers."""
    closed = {name: _is_closed(data[name]) for name in ENGINES}
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.NOT_AT_ALL,
            "The shim goes the other way: it brings CNI's plugins to Docker, not Docker's drivers to CNI.",
        ),
        came_true=(
            all(closed.values())
            and not any(data[name]["container"] for name in ENGINES)
            and all(data[name]["namespace"] for name in ENGINES),
        ),
    )


def _own(data: Data) -> dict[str, bool]:
    return {driver: socket for driver, socket in data["drivers"].items() if driver != "cni"}


def _is_closed(data: Data) -> bool:
    return not any(_own(data).values()) and all(status == 404 for status in data["statuses"].values())


def _verdict(data: Data) -> Verdict:
    own = _own(data)
    answered = [call for call, status in data["statuses"].items() if status != 404]
    text = (
        f"Of {len(own)} drivers of Docker's {sum(own.values())} have a socket, and {len(answered)} of "
        f"{len(data['statuses'])} calls to the Engine API are known"
    )
    if _is_closed(data):
        return stands(
            f"{text}; a namespace that is no container of Docker's cannot be connected ({data['namespace']})."
        )
    if answered:
        return refuted(f"{text}.")
    return weakened(f"{text}.")


def show(data: Data) -> Sequence[Figure]:
    """What there is."""
    rows = [
        [
            name,
            ", ".join(_own(data[name])),
            ", ".join(map(str, data[name]["statuses"].values())),
            data[name]["namespace"],
        ]
        for name in ENGINES
    ]
    return [
        Table(
            "From outside",
            ["engine", "in-process drivers, none with a socket", "status of calls", "connecting a namespace"],
            rows,
        )
    ]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
