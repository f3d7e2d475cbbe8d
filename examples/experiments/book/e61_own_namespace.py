"""Whether a driver may make the container's namespace itself, where Docker will look for it."""

from collections.abc import Sequence

from lab.engine import IMAGE

from experiments.bench import Bench
from experiments.figures import Figure, Table
from experiments.model import (
    ENGINES,
    NEWEST,
    OLDER,
    Bridge,
    Claim,
    Data,
    Degree,
    Experiment,
    Judgement,
    Verdict,
    fixed,
    stands,
    weakened,
)
from experiments.parts import Parts
from experiments.texts import issue

CLAIM = Claim(
    id="E61",
    title="A namespace of the driver's own",
    claim=(
        "A driver that has to work inside the namespace cannot make it itself: the engine replaces what "
        "it finds there."
    ),
    sources=(issue("libnetwork#2133, a namespace made at SandboxKey is replaced", "2018"),),
    procedure="In Join a driver of our own puts a marked link into the sandbox: on 20.10, where there is "
    "none yet, it makes a namespace and "
    "mounts it at SandboxKey; on the newest engine it enters the one that is there. The running container is "
    "searched for the mark.",
    predictions=("20.10: the namespace is replaced, and the mark is lost.", "28: the mark is kept."),
    measured=(
        "The inode at SandboxKey in Join and of the container's namespace; whether the mark is in the "
        "container."
    ),
    section="Life cycle",
)

_MAKE = """
if [ "$(stat -f -L -c %t "$SANDBOX" 2>/dev/null)" = 6e736673 ]; then
    nsenter --net="$SANDBOX" ip link add mark type bridge
else
    ip netns add made && ip netns exec made ip link add mark type bridge
    mkdir -p "$(dirname "$SANDBOX")" && touch "$SANDBOX" && mount --bind /run/netns/made "$SANDBOX"
fi
stat -L -c %i "$SANDBOX"
"""


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    witness = bench.witness(run={"NetworkDriver.Join": _MAKE})
    bench.docker("network", "create", "-d", witness.name, "--ipam-driver", "null", "own")
    try:
        ran = bench.attempt("run", "-d", "--name", "box", "--network", "own", IMAGE, "sleep", "600")
        links = bench.inside("box", "ip -o link") if ran["status"] == 0 else ""
        inode = bench.shell(f"stat -L -c %i /proc/{bench.pid('box')}/ns/net").strip() if links else ""
        bench.docker("rm", "--force", "box")
    finally:
        bench.shell("ip netns delete made", check=False)
    (join,) = witness.of("NetworkDriver.Join")
    return {
        "error": ran["error"],
        "in_join": join["ran"]["output"].strip().splitlines()[-1],
        "in_container": inode,
        "mark": ": mark:" in links,
    }


def judge(data: Data) -> Judgement:
    """By the mark."""
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY,
            (
                "The shim works in a namespace of its own and hands the finished link over, so that it needs "
                "none at Join."
            ),
        ),
        came_true=(not data[OLDER]["mark"], data[NEWEST]["mark"]),
    )


def _verdict(data: Data) -> Verdict:
    inodes = f"inode {data['in_join']} in Join, {data['in_container'] or 'none'} in the container"
    if data["error"]:
        return weakened(f"The container did not start: {data['error']}.")
    if not data["mark"]:
        return stands(f"The mark was lost ({inodes}).")
    return fixed("28.0", f"The mark was kept ({inodes}).")


def show(data: Data) -> Sequence[Figure]:
    """Inodes and mark."""
    rows = [
        [name, data[name]["in_join"], data[name]["in_container"], "kept" if data[name]["mark"] else "lost"]
        for name in ENGINES
    ]
    return [
        Table(
            "The namespace at SandboxKey", ["engine", "inode in Join", "inode of the container", "mark"], rows
        )
    ]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
