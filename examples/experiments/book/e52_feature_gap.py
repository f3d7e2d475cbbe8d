"""What a remote driver cannot do that a built-in one can."""

import re
from collections.abc import Sequence

from lab.engine import IMAGE

from experiments.bench import Bench, Witness
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
from experiments.texts import issue

CLAIM = Claim(
    id="E52",
    title="Built-in and remote drivers",
    claim="Remote drivers are second-class: what built-in drivers can do, the protocol does not let them.",
    sources=(
        issue("moby#52866, the driver's choice of the link's name", "2026-06"),
        issue("libnetwork#1520, libnetwork#2133: the driver is not told the namespace", "2016"),
    ),
    procedure="A bridge of Docker's and a driver of our own, which makes a real link, are tried alike: a "
    "name for the link given by the user, "
    "and by the driver; docker port; a network without gateway; and the namespace at CreateEndpoint.",
    predictions=(
        (
            "On 28 the bridge honours the user's name for the link; a remote driver's link is numbered all "
            "the "
            "same."
        ),
        "docker port shows what the bridge published, and nothing for a remote driver.",
        "The name that a remote driver gives the link (DstName) is ignored.",
        "On 28 a remote driver is asked whether a gateway is needed.",
    ),
    measured="Whether each is honoured, by driver and engine.",
    section="In-process and remote drivers",
)

_IFNAME = "com.docker.network.endpoint.ifname=lan7"
_MAKE = 'link=w$(printf %s "$ENDPOINT" | cut -c 1-10); ip link add "$link" type veth peer name "p${link#w}"'
_JOIN = {
    "InterfaceName": {"SrcName": "w{endpoint}", "DstPrefix": "eth", "DstName": "lan8"},
    "Gateway": "10.52.0.1",
}


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    witness = bench.witness(
        run={
            "NetworkDriver.Join": _MAKE,
            "NetworkDriver.DeleteEndpoint": 'ip link del w$(printf %s "$ENDPOINT" | cut -c 1-10)',
        },
        answers={"NetworkDriver.Join": _JOIN},
        GwAllocCheck=True,
    )
    bench.docker("network", "create", "own")
    bench.docker("network", "create", "-d", witness.name, "--subnet", "10.52.0.0/24", "theirs")
    return {
        kind: _tried(bench, network, witness) for kind, network in (("built-in", "own"), ("remote", "theirs"))
    }


def _tried(bench: Bench, network: str, witness: Witness) -> Data:
    bench.run("box", network, "-p", "8052:80")
    links = _links(bench)
    ports = bench.docker("port", "box").strip()
    bench.docker("rm", "--force", "box")
    named = bench.attempt(
        "run",
        "-d",
        "--name",
        "box",
        "--network",
        f"name={network},driver-opt={_IFNAME}",
        IMAGE,
        "sleep",
        "600",
    )
    by_user = "lan7" in _links(bench) if named["status"] == 0 else False
    bench.docker("rm", "--force", "box", check=False)
    created = witness.of("NetworkDriver.CreateEndpoint")
    return {
        "the user's name for the link": by_user,
        "the driver's name for the link": "lan8" in links,
        "docker port": "8052" in ports,
        "asked for the need of a gateway": bool(witness.of("NetworkDriver.GwAllocCheck")),
        "told the namespace before Join": any("netns" in entry["raw"] for entry in created),
        "links": links,
    }


def _links(bench: Bench) -> list[str]:
    return re.findall(r"^\d+: (\w+)", bench.inside("box", "ip -o link"), re.MULTILINE)


_OF_BOTH = ("the user's name for the link", "docker port")
_OF_REMOTE = (
    "the driver's name for the link",
    "asked for the need of a gateway",
    "told the namespace before Join",
)


def judge(data: Data) -> Judgement:
    """By what the bridge can and the remote driver cannot."""
    older, newest = (data[name] for name in ENGINES)
    user, port = _OF_BOTH
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.PARTLY,
            (
                "The shim's own option cni.ifname names the link, and cnm-cni endpoint ls shows ports; "
                "docker "
                "port stays empty."
            ),
        ),
        came_true=(
            newest["built-in"][user] and not newest["remote"][user],
            all(each["built-in"][port] and not each["remote"][port] for each in (older, newest)),
            not any(each["remote"]["the driver's name for the link"] for each in (older, newest)),
            newest["remote"]["asked for the need of a gateway"],
        ),
    )


def _verdict(data: Data) -> Verdict:
    gaps = [what for what in _OF_BOTH if data["built-in"][what] and not data["remote"][what]]
    unheard = [what for what in _OF_REMOTE if not data["remote"][what]]
    if not gaps and not unheard:
        return refuted("The remote driver could do all that the bridge could.")
    text = (
        f"The bridge could, and the remote driver could not: {', '.join(gaps) or 'nothing'}; a remote "
        f"driver has no: {', '.join(unheard) or 'nothing'}"
    )
    if len(gaps) + len(unheard) >= 3:
        return stands(f"{text}.")
    return weakened(f"{text}.")


def show(data: Data) -> Sequence[Figure]:
    """Features by drivers."""
    columns = [f"{kind}, {name}" for name in ENGINES for kind in ("built-in", "remote")]
    rows: dict[str, Sequence[Cell]] = {
        what: [yes_no(data[name][kind][what]) for name in ENGINES for kind in ("built-in", "remote")]
        for what in _OF_BOTH
    }
    for what in _OF_REMOTE:
        rows[what] = [
            Cell("-") if kind == "built-in" else yes_no(data[name][kind][what])
            for name in ENGINES
            for kind in ("built-in", "remote")
        ]
    return [Matrix("What a driver can do", columns, rows)]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
