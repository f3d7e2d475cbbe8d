"""Whether containers that share a namespace, as those of a pod do, are one endpoint."""

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
    id="E68",
    title="Containers that share a namespace",
    claim="CNI attaches a namespace, which the containers of a pod share, while CNM attaches each container.",
    sources=(
        Source("CNI specification: a container is a network isolation domain", "2016"),
        Source("libnetwork, docs/design.md: a sandbox may contain many endpoints", "2015"),
    ),
    procedure="The calls to the shim are recorded on their way, while a container is run and then a second "
    "and third one with "
    "--network container:first. All three look at their address and at each other's server on localhost.",
    predictions=("The second and third container cause no call and share the first one's address.",),
    measured="Calls for each container; addresses; whether localhost is shared.",
    section="Life cycle",
)


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    witness = bench.witness(forward="/run/docker/plugins/cni.sock")
    bound = ("--ipam-driver", "null", "-o", "cni.network=cni-bridge")
    bench.docker("network", "create", "-d", witness.name, *bound, "pod")
    calls, addresses = [], []
    for name in ("first", "second", "third"):
        witness.forget()
        command = "echo shared > /tmp/index.html; httpd -f -h /tmp" if name == "first" else "sleep 600"
        bench.run(name, "pod" if name == "first" else "container:first", command=command)
        calls.append([entry["call"].partition(".")[2] for entry in witness.calls])
        addresses.append(bench.inside(name, "ip -4 -o address show eth0").split()[3])
    localhost = bench.inside("third", "wget -q -O - http://127.0.0.1/", check=False)
    return {"calls": calls, "addresses": addresses, "localhost": localhost.strip() == "shared"}


def judge(data: Data) -> Judgement:
    """By the calls for the second and third container."""
    shared = all(len(set(data[name]["addresses"])) == 1 and data[name]["localhost"] for name in ENGINES)
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY, "One ADD for all three containers, which share address and localhost, as in a pod."
        )
        if shared
        else Bridge(Degree.PARTLY, "The containers do not share their address and localhost."),
        came_true=(shared and not any(calls for name in ENGINES for calls in data[name]["calls"][1:]),),
    )


def _verdict(data: Data) -> Verdict:
    first, *others = map(len, data["calls"])
    if not any(others):
        return refuted(f"The first container caused {first} calls, the others that share its namespace none.")
    if sum(others) < first * len(others):
        return weakened(f"The first container caused {first} calls, the others {sum(others)}.")
    return stands(f"The containers caused {first} and {' and '.join(map(str, others))} calls.")


def show(data: Data) -> Sequence[Figure]:
    """Calls by container."""
    names = ("first", "second", "third")
    rows = [
        [
            name,
            *(
                f"{len(data[engine]['calls'][at])} calls, {data[engine]['addresses'][at]}"
                for engine in ENGINES
            ),
        ]
        for at, name in enumerate(names)
    ]
    return [Table("Calls to the driver, and the address in the container", ["container", *ENGINES], rows)]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
