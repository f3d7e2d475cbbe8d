"""Whether a running container can be taken from a network and put back."""

from collections.abc import Sequence

from lab.engine import IMAGE

from experiments.bench import Bench
from experiments.figures import Figure, Table
from experiments.model import (
    ENGINES,
    OLDER,
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
from experiments.texts import issue

CLAIM = Claim(
    id="E67",
    title="Hot plug",
    claim="With CNM a running container can be moved between networks, which CNI does not know.",
    sources=(issue("containernetworking/cni#10, comparison with libnetwork", "2015"),),
    procedure="A container sends a line every tenth of a second over one TCP connection. It is "
    "disconnected from the network and connected again, on "
    "Docker's bridge and on the shim's network, without and with a fixed address; by CNI alone a namespace "
    "gets DEL and ADD. "
    "Then it is seen whether it is attached, and whether the same connection still delivers.",
    predictions=(
        "Each can be attached again, CNI alone included.",
        "The connection survives nowhere, as the address is a new one, but where it is fixed.",
    ),
    measured="Whether it is attached again, with which address, and whether the connection survives.",
    section="Life cycle",
)

_DOCKER, _SHIM, _STICKY, _ALONE = "Docker's bridge", "shim", "shim, fixed address", "CNI alone"
_LISTEN = "sleep 600 | nc -l -p 9000 > /tmp/got"
"""The open standard input keeps the connection open."""
_ADDRESS = "10.89.0.200"


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    bench.docker("network", "create", "own")
    bench.network("cni", "cni-bridge")
    fixed_address = ("--driver-opt", f"cni.ips={_ADDRESS}")
    return {
        _DOCKER: _plugged(bench, "own", ()),
        _SHIM: _plugged(bench, "cni", ()),
        _STICKY: _plugged(bench, "cni", fixed_address),
        _ALONE: _alone(bench),
    }


def _plugged(bench: Bench, network: str, options: tuple[str, ...]) -> Data:
    bench.run("server", network, command=_LISTEN)
    bench.docker("run", "-d", "--name", "client", "--network", "none", IMAGE, "sleep", "600")
    bench.docker("network", "disconnect", "none", "client")
    bench.docker("network", "connect", *options, network, "client")
    server = bench.inspect("server", network)["IPAddress"]
    before = bench.inspect("client", network)["IPAddress"]
    send = f"while true; do echo line || break; usleep 100000; done | nc {server} 9000"
    bench.docker("exec", "--detach", "client", "sh", "-c", send)
    delivers = bench.wait(lambda: _got(bench) > 3)
    bench.docker("network", "disconnect", network, "client")
    bench.docker("network", "connect", *options, network, "client")
    after = bench.inspect("client", network)["IPAddress"]
    attached = "1 packets received" in bench.inside("client", f"ping -c 1 -W 2 {server}", check=False)
    count = _got(bench)
    survived = bench.wait(lambda: _got(bench) > count + 3, within=8)
    bench.remove_containers()
    return {
        "delivers": delivers,
        "before": before,
        "after": after,
        "attached": attached,
        "survived": survived,
    }


def _got(bench: Bench) -> int:
    return int(bench.inside("server", "wc -l < /tmp/got 2>/dev/null || echo 0"))


def _alone(bench: Bench) -> Data:
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.67.0.0/24"}]]}
    bench.conflist("plugged", {"type": "bridge", "bridge": "plugged0", "isGateway": True, "ipam": ipam})
    bench.shell("ip netns add alone")
    arguments = ("plugged", "/run/netns/alone")
    before = bench.cni("add", *arguments)["ips"][0]["address"]
    bench.cni("del", *arguments)
    after = bench.cni("add", *arguments)["ips"][0]["address"]
    attached = "1 packets received" in bench.shell(
        "ip netns exec alone busybox ping -c 1 -W 2 10.67.0.1", check=False
    )
    bench.cni("del", *arguments)
    bench.shell("ip netns delete alone")
    return {"delivers": None, "before": before, "after": after, "attached": attached, "survived": None}


def judge(data: Data) -> Judgement:
    """By what can be attached again."""
    shim = all(data[name][way]["attached"] for name in ENGINES for way in (_SHIM, _STICKY))
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY,
            "docker network connect and disconnect work on running containers, each as one ADD and one DEL.",
        )
        if shim
        else Bridge(Degree.PARTLY, "A container could not be attached again."),
        came_true=(
            all(it["attached"] for name in ENGINES for it in data[name].values()),
            all(
                data[name][way]["survived"] == (way == _STICKY)
                for name in ENGINES
                for way in (_DOCKER, _SHIM, _STICKY)
            ),
        ),
    )


def _verdict(data: Data) -> Verdict:
    survived = [way for way, it in data.items() if it["survived"]]
    text = f"The connection survived on: {', '.join(survived) or 'none'}"
    if data[_ALONE]["attached"] and data[_DOCKER]["attached"]:
        return refuted(
            f"CNI alone attached a live namespace again by DEL and ADD, as Docker did; "
            f"{text[0].lower()}{text[1:]}."
        )
    if data[_ALONE]["attached"]:
        return weakened(f"CNI alone attached a live namespace again, and Docker's bridge did not. {text}.")
    return stands(f"CNI alone did not attach a live namespace again. {text}.")


def show(data: Data) -> Sequence[Figure]:
    """Ways by engines."""
    rows = [
        [
            way,
            name,
            it["before"],
            it["after"],
            "yes" if it["attached"] else "no",
            "-" if it["survived"] is None else "yes" if it["survived"] else "no",
        ]
        for way in data[OLDER]
        for name in ENGINES
        for it in [data[name][way]]
    ]
    return [
        Table(
            "Taken from the network and put back",
            ["way", "engine", "address before", "after", "attached", "connection survives"],
            rows,
        )
    ]


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
