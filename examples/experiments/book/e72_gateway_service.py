"""What Docker does to a container whose driver gives no gateway."""

import re
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
    Source,
    Verdict,
    refuted,
    stands,
    weakened,
)
from experiments.parts import Parts

CLAIM = Claim(
    id="E72",
    title="The gateway that nobody asked for",
    claim=(
        "A container on a network without a gateway is given a second link, on a bridge of Docker's, and "
        "with it a way out."
    ),
    sources=(Source("libnetwork, docs/remote.md: DisableGatewayService", "2016"),),
    procedure="A driver of our own returns no gateway, once with DisableGatewayService and once without. "
    "The links and routes in the container "
    "are listed. Then a container is run on a conflist without a default route, through the shim.",
    predictions=(
        "Without DisableGatewayService there is one more link and a default route; with it there is none.",
        "On the shim's network there is none.",
    ),
    measured="Links beside lo, and default routes, in each.",
    section="Life cycle",
)

_OPEN, _CLOSED, _SHIM = "no gateway", "no gateway, DisableGatewayService", "shim, chain without default route"


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    witness = bench.witness()
    bench.docker("network", "create", "-d", witness.name, "--ipam-driver", "null", "own")
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.72.0.0/24"}]]}
    bench.conflist("closed", {"type": "bridge", "bridge": "closed0", "ipam": ipam})
    bench.network("closed", "closed")
    found = {}
    for case, disable in ((_OPEN, False), (_CLOSED, True)):
        answer = {"InterfaceName": {"SrcName": "", "DstPrefix": "eth"}, "DisableGatewayService": disable}
        witness.order(answers={"NetworkDriver.Join": answer})
        found[case] = _looked(bench, "own")
    found[_SHIM] = _looked(bench, "closed")
    bench.attempt("network", "rm", "docker_gwbridge")
    return found


def _looked(bench: Bench, network: str) -> Data:
    printed = bench.once(network, "ip -o link; echo; ip route")
    links, _, routes = printed.partition("\n\n")
    return {
        "links": [name for name in re.findall(r"^\d+: (\w+)", links, re.MULTILINE) if name != "lo"],
        "default": [line for line in routes.splitlines() if line.startswith("default")],
    }


def judge(data: Data) -> Judgement:
    """By the links of the driver without gateway."""
    shim = all(len(data[name][_SHIM]["links"]) == 1 and not data[name][_SHIM]["default"] for name in ENGINES)
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY,
            (
                "The shim always disables that service: its container has one link and no way out that the "
                "chain does not give."
            ),
        )
        if shim
        else Bridge(
            Degree.NOT_AT_ALL,
            "On the shim's network there is a link or a way out that the chain does not give.",
        ),
        came_true=(
            all(
                data[name][_OPEN]["links"]
                and data[name][_OPEN]["default"]
                and not data[name][_CLOSED]["links"]
                for name in ENGINES
            ),
            shim,
        ),
    )


def _verdict(data: Data) -> Verdict:
    links, default = data[_OPEN]["links"], data[_OPEN]["default"]
    if links and default:
        return stands(
            f"The container had {', '.join(links)} and the route {default[0]}, which its driver did not give."
        )
    if links:
        return weakened(
            f"The container had {', '.join(links)}, which its driver did not give, but no default route."
        )
    return refuted("The container had no link but those of its driver.")


def show(data: Data) -> Sequence[Figure]:
    """Links by cases."""
    rows = [
        [
            case,
            name,
            ", ".join(data[name][case]["links"]) or "none",
            ", ".join(data[name][case]["default"]) or "none",
        ]
        for case in (_OPEN, _CLOSED, _SHIM)
        for name in ENGINES
    ]
    return [Table("What is in the container", ["network", "engine", "links", "default route"], rows)]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
