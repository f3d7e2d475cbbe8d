"""Ways to another DNS server than Docker's own."""

from collections.abc import Sequence

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
from experiments.texts import hockin

CLAIM = Claim(
    id="E21",
    title="Ways to the cluster's DNS server",
    claim="Since Docker's DNS server cannot be switched off, containers cannot use the cluster's DNS server.",
    sources=(
        hockin(
            "we already have our own concepts of service naming, discovery, and binding, and we already "
            "have our own DNS schema and server"
        ),
    ),
    procedure="A DNS server that knows svc.ns.svc.cluster.local stands for the cluster's. A container on a "
    "CNI network asks for that name, for svc.ns, and for "
    "another container: with no option, with --dns and --dns-search, and with a resolv.conf of its own "
    "mounted.",
    predictions=(
        "With no option the service's name is not found.",
        "With --dns both the service and the container are found, by way of Docker's server.",
        "With a mounted resolv.conf the service is found, and the container is not.",
    ),
    measured="Names that are found by each way; questions that reach the cluster's server.",
    section="Name service and hosts file",
)

_SERVER, _SERVICE, _ANSWER = "192.0.2.53", "svc.ns.svc.cluster.local", "198.51.100.21"
_RESOLV = f"nameserver {_SERVER}\\nsearch svc.cluster.local\\noptions ndots:5\\n"
_WAYS: dict[str, tuple[str, ...]] = {
    "no option": (),
    "--dns, --dns-search": ("--dns", _SERVER, "--dns-search", "svc.cluster.local", "--dns-opt", "ndots:5"),
    "mounted resolv.conf": ("--volume", "/run/resolv.conf:/etc/resolv.conf:ro"),
}
_NAMES = {"the service": _SERVICE, "the service, short": "svc.ns", "the container": "other"}


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    bench.shell(f"printf '{_RESOLV}' > /run/resolv.conf")
    bench.network("web", "cni-bridge")
    bench.run("other", "web")
    address = bench.inspect("other", "web")["IPAddress"]
    found: Data = {}
    with bench.nameserver(_SERVER, _SERVICE, _ANSWER) as asked:
        for way, options in _WAYS.items():
            before = asked()
            bench.run("box", "web", *options)
            answers = {
                what: bench.inside("box", f"timeout 6 ping -c 1 -W 1 {name} 2>&1", check=False)
                for what, name in _NAMES.items()
            }
            bench.docker("rm", "--force", "box")
            found[way] = {
                **{
                    what: f"({address if what == 'the container' else _ANSWER})" in text
                    for what, text in answers.items()
                },
                "asked": asked() - before,
            }
    bench.shell("rm /run/resolv.conf")
    return found


_PLAIN, _DNS, _MOUNTED = _WAYS


def judge(data: Data) -> Judgement:
    """By what is found with --dns."""
    with_dns = [all(data[name][_DNS][what] for what in _NAMES) for name in ENGINES]
    mounted = [data[name][_MOUNTED] for name in ENGINES]
    if all(with_dns):
        bridge = Bridge(
            Degree.FULLY,
            "With --dns and --dns-search on a CNI network, services and containers are both found.",
        )
    elif all(it["the service"] for it in mounted):
        bridge = Bridge(
            Degree.PARTLY,
            "Services are found with a mounted resolv.conf, and the names of containers are lost then.",
        )
    else:
        bridge = Bridge(Degree.NOT_AT_ALL, "The service is found in no way.")
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=bridge,
        came_true=(
            not any(data[name][_PLAIN]["the service"] for name in ENGINES),
            all(with_dns),
            all(it["the service"] and not it["the container"] for it in mounted),
        ),
    )


def _verdict(data: Data) -> Verdict:
    ways = [way for way, it in data.items() if it["the service"]]
    both = [way for way in ways if data[way]["the container"]]
    if both:
        return refuted(
            f"The service is found with {', '.join(ways)}, and with {', '.join(both)} containers are found "
            f"as well."
        )
    if ways:
        return weakened(f"The service is found with {', '.join(ways)}, but containers are not found then.")
    return stands("The service is found in no way.")


def show(data: Data) -> Sequence[Figure]:
    """Names by ways."""
    columns = [f"{way}, {name}" for way in _WAYS for name in ENGINES]
    rows: dict[str, Sequence[Cell]] = {
        what: [yes_no(data[name][way][what]) for way in _WAYS for name in ENGINES] for what in _NAMES
    }
    rows["questions to the cluster's server"] = [
        Cell(str(data[name][way]["asked"])) for way in _WAYS for name in ENGINES
    ]
    return [Matrix("Is the name found?", columns, rows)]


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
