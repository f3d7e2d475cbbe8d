"""Whether Docker's flags are honoured, refused or silently ignored on a CNI network."""

from collections.abc import Sequence

from lab.engine import IMAGE

from experiments.bench import Bench
from experiments.figures import Cell, Figure, Matrix, Table
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
    id="E75",
    title="Docker's flags",
    claim="On a network whose driver is not Docker's own, flags of docker run are silently ignored.",
    sources=(
        Source(
            "devplayer0/docker-net-dhcp, README: what must be used with the driver, said in prose", "2019"
        ),
    ),
    procedure="Each flag is given to docker run on a CNI network with both families, with --ipam-driver "
    "null and cni, and to Docker's own "
    "bridge; in the container it is looked whether it has come true. A flag that fails with an error is "
    "refused; "
    "one that neither fails nor comes true is ignored.",
    predictions=("No flag is silently ignored on a CNI network.",),
    measured="For each flag: honoured, refused or ignored.",
    section="Side effects",
)

_SUBNETS = ("10.75.0.0/24", "fd00:75::/64")
_ADDRESS = "ip address show eth0"
_FLAGS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "--mac-address": (("--mac-address", "02:75:00:00:00:01"), _ADDRESS, "02:75:00:00:00:01"),
    "--ip": (("--ip", "10.75.0.77"), _ADDRESS, "10.75.0.77/"),
    "--ip6": (("--ip6", "fd00:75::77"), _ADDRESS, "fd00:75::77/"),
    "--link-local-ip": (("--link-local-ip", "169.254.75.1"), _ADDRESS, "169.254.75.1"),
    "--sysctl": (("--sysctl", "net.core.somaxconn=75"), "cat /proc/sys/net/core/somaxconn", "75\n"),
    "--network-alias": (("--network-alias", "other-name"), "nslookup other-name 127.0.0.11", "Name:"),
    "--hostname": (("--hostname", "named"), "cat /etc/hosts; hostname", "named"),
    "--add-host": (("--add-host", "far:192.0.2.75"), "cat /etc/hosts", "192.0.2.75"),
    "--dns": (("--dns-search", "corp.example"), "cat /etc/resolv.conf", "corp.example"),
    "--publish": (("-p", "8075:80"), "true", ""),
}
_NETWORKS = {"CNI, null": "by-null", "CNI, cni": "by-cni", "Docker's bridge": "own"}
_HONOURED, _REFUSED, _IGNORED = "honoured", "refused", "ignored"


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": subnet}] for subnet in _SUBNETS],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    bench.conflist("flags", {"type": "bridge", "bridge": "flags0", "isGateway": True, "ipam": ipam}, portmap)
    option = ("-o", "cni.network=flags")
    subnets = ("--ipv6", "--subnet", _SUBNETS[0], "--subnet", _SUBNETS[1])
    found: Data = {}
    for kind, create in (
        ("CNI, null", ("-d", "cni", "--ipam-driver", "null", *option)),
        (
            "CNI, cni",
            ("-d", "cni", "--ipam-driver", "cni", "--ipam-opt", "cni.network=flags", *option, *subnets),
        ),
        ("Docker's bridge", subnets),
    ):
        name = _NETWORKS[kind]
        bench.docker("network", "create", *create, name)
        found[kind] = {flag: _given(bench, name, *how) for flag, how in _FLAGS.items()}
        bench.docker("network", "rm", name)
        bench.shell("ip link del flags0 2>/dev/null || true")
    return found


def _given(bench: Bench, network: str, flags: tuple[str, ...], look: str, expected: str) -> Data:
    ran = bench.attempt("run", "-d", "--name", "box", "--network", network, *flags, IMAGE, "sleep", "600")
    if ran["status"]:
        outcome = _REFUSED
    elif flags[0] == "-p":
        outcome = _HONOURED if "8075" in bench.shell("iptables-save -t nat") else _IGNORED
    else:
        outcome = _HONOURED if expected in bench.inside("box", look, check=False) else _IGNORED
    bench.docker("rm", "--force", "box", check=False)
    return {"outcome": outcome, "error": ran["error"]}


def judge(data: Data) -> Judgement:
    """By flags that are silently ignored."""
    ignored = {name: _of(data[name], _IGNORED) for name in ENGINES}
    whole = sorted({flag for name in ENGINES for flag in ignored[name]})
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=_bridge(data, whole),
        came_true=(not whole,),
    )


def _bridge(data: Data, ignored: Sequence[str]) -> Bridge:
    refused = sorted({flag for name in ENGINES for flag in _of(data[name], _REFUSED)})
    if ignored:
        return Bridge(Degree.PARTLY, f"Some flags are ignored: {', '.join(ignored)}.")
    if refused:
        return Bridge(Degree.PARTLY, f"No flag is ignored; refused with a reason: {', '.join(refused)}.")
    return Bridge(Degree.FULLY, "Every flag is honoured.")


def _of(data: Data, outcome: str) -> list[str]:
    """The flags on CNI networks with that outcome, with the IPAM driver."""
    return [
        f"{flag} ({kind})"
        for kind in ("CNI, null", "CNI, cni")
        for flag, it in data[kind].items()
        if it["outcome"] == outcome
    ]


def _verdict(data: Data) -> Verdict:
    honoured, refused, ignored = (_of(data, outcome) for outcome in (_HONOURED, _REFUSED, _IGNORED))
    text = (
        f"Of {2 * len(_FLAGS)} flags and networks {len(honoured)} were honoured, {len(refused)} "
        f"refused, {len(ignored)} ignored"
    )
    if not ignored:
        return refuted(f"{text}.")
    if len(ignored) < len(honoured) + len(refused):
        return weakened(f"{text}: {', '.join(ignored)}.")
    return stands(f"{text}: {', '.join(ignored)}.")


def show(data: Data) -> Sequence[Figure]:
    """Flags by networks."""
    columns = [f"{kind}, {name}" for kind in _NETWORKS for name in ENGINES]
    rows = {
        flag: [_cell(data[name][kind][flag]["outcome"]) for kind in _NETWORKS for name in ENGINES]
        for flag in _FLAGS
    }
    errors = [
        [flag, kind, name, data[name][kind][flag]["error"]]
        for flag in _FLAGS
        for kind in _NETWORKS
        for name in ENGINES
        if data[name][kind][flag]["error"]
    ]
    return [
        Matrix("What becomes of a flag", columns, rows),
        *([Table("What refusals say", ["flag", "network", "engine", "error"], errors)] if errors else []),
    ]


def _cell(outcome: str) -> Cell:
    return Cell(outcome, good={_HONOURED: True, _IGNORED: False}.get(outcome))


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
