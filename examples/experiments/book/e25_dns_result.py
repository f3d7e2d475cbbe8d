"""What becomes of the DNS settings in a CNI result."""

from collections.abc import Sequence

from experiments.bench import Bench
from experiments.figures import Figure, Listing
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
from experiments.texts import issue

CLAIM = Claim(
    id="E25",
    title="DNS settings in a result",
    claim="The DNS settings that CNI plugins return have no place in Docker's driver protocol, and are lost.",
    sources=(
        Source("CNI specification: a result has dns with nameservers, domain, search and options", "2016"),
        issue("libnetwork#1085, there is no switch for the embedded DNS server", "2016"),
    ),
    procedure="A conflist says a nameserver and a search domain. Its result is looked at by CNI alone, and "
    "then the resolv.conf "
    "of a container on it, without options, and with the same settings given to docker run.",
    predictions=(
        "CNI alone returns both; in the container neither is found.",
        "With --dns and --dns-search the search domain is found.",
    ),
    measured="Nameserver and search domain in the result and in resolv.conf.",
    section="Name service and hosts file",
)

_SERVER, _DOMAIN = "192.0.2.53", "corp.example"


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.25.0.0/24"}]]}
    dns = {"nameservers": [_SERVER], "search": [_DOMAIN]}
    bench.conflist("named", {"type": "bridge", "bridge": "named0", "ipam": ipam, "dns": dns})
    bench.network("named", "named")
    bench.shell("ip netns add named")
    result = bench.cni("add", "named", "/run/netns/named")
    bench.cni("del", "named", "/run/netns/named")
    bench.shell("ip netns delete named")
    return {
        "result": result.get("dns", {}),
        "plain": bench.once("named", "cat /etc/resolv.conf"),
        "given": bench.once("named", "cat /etc/resolv.conf", "--dns", _SERVER, "--dns-search", _DOMAIN),
        "warned": "dns" in bench.engine.shim_log.read_text().lower(),
    }


def judge(data: Data) -> Judgement:
    """By whether the result's settings reach the container."""
    given = all(_DOMAIN in data[name]["given"] for name in ENGINES)
    reached = all(_DOMAIN in data[name]["plain"] for name in ENGINES)
    if reached:
        bridge = Bridge(Degree.FULLY, "The settings of the result reach the container.")
    elif given:
        bridge = Bridge(
            Degree.PARTLY,
            (
                "The settings of the result are lost, and the shim's log says so; given by --dns and "
                "--dns-search, they do reach the container."
            ),
        )
    else:
        bridge = Bridge(Degree.NOT_AT_ALL, "The settings do not reach the container in any way.")
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=bridge,
        came_true=(
            all(data[name]["result"].get("nameservers") == [_SERVER] for name in ENGINES)
            and not any(word in data[name]["plain"] for name in ENGINES for word in (_SERVER, _DOMAIN)),
            given,
        ),
    )


def _verdict(data: Data) -> Verdict:
    found = [word for word in (_SERVER, _DOMAIN) if word in data["plain"]]
    if not found:
        return stands(
            f"CNI returned the nameserver {_SERVER} and the domain {_DOMAIN}; neither is in the "
            f"container's resolv.conf."
        )
    if len(found) == 1:
        return weakened(f"Of nameserver and domain, only {found[0]} is in the container's resolv.conf.")
    return refuted("Both nameserver and domain are in the container's resolv.conf.")


def show(data: Data) -> Sequence[Figure]:
    """The files."""
    return [
        Listing(
            f"resolv.conf on a CNI network, {name}, without and with --dns",
            f"{data[name]['plain']}\n---\n{data[name]['given']}",
        )
        for name in ENGINES
    ]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
