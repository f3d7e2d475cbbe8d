"""Whether what kubelet did for networks fits into plugins, under Docker."""

from collections.abc import Callable, Mapping, Sequence

from experiments.bench import Bench
from experiments.effects import Seen, look, rule_for
from experiments.figures import (
    Figure,
    Matrix,
    yes_no,
)
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
from experiments.ways import namespace

CLAIM = Claim(
    id="E34",
    title="kubelet's network logic as plugins",
    claim="Almost all of the network logic that was hard-coded in kubelet can be put into a plugin.",
    sources=(
        hockin(
            "Early prototypes have proven that it's possible to eject almost 100% of the currently "
            "hard-coded network logic in kubelet into a plugin."
        ),
    ),
    procedure="The seven jobs of kubenet are put into two conflists, since the bridge plugin takes either "
    "hairpin mode or a promiscuous "
    "bridge. A container of Docker's is attached to each by the shim, and each job is looked for.",
    predictions=("All seven are done.",),
    measured="Jobs that are done, of seven.",
    section="Daemons and wrapping",
)

_IPAM = {"type": "host-local", "ranges": [[{"subnet": "10.34.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}
_BRIDGE = {"type": "bridge", "bridge": "cbr0", "isGateway": True, "ipMasq": True, "ipam": _IPAM}
_OTHERS = (
    {"type": "portmap", "capabilities": {"portMappings": True}},
    {"type": "bandwidth", "egressRate": 8000000, "egressBurst": 8000000},
    {"type": "firewall"},
)
_CHAINS = {
    "hairpin": (_BRIDGE | {"hairpinMode": True}, *_OTHERS),
    "promiscuous": (_BRIDGE | {"promiscMode": True}, *_OTHERS),
}
_JOBS: dict[str, tuple[str, Callable[[Seen], bool]]] = {
    "a bridge, cbr0": ("hairpin", lambda seen: seen.bridge.get("ifname") == "cbr0"),
    "an address of the node's range": ("hairpin", lambda seen: seen.address.startswith("10.34.0.")),
    "hairpin mode": ("hairpin", lambda seen: seen.hairpin),
    "a promiscuous bridge": ("promiscuous", lambda seen: "PROMISC" in seen.bridge.get("flags", ())),
    "masquerade": ("hairpin", lambda seen: "MASQUERADE" in seen.host_rules and rule_for("POSTROUTING")(seen)),
    "host ports": (
        "hairpin",
        lambda seen: any("8034" in line and seen.address in line for line in seen.host_rules.splitlines()),
    ),
    "shaping": ("hairpin", lambda seen: "tbf" in seen.host_queues),
}


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    seen = {}
    for name, plugins in _CHAINS.items():
        bench.conflist(name, *plugins)
        bench.network(name, name)
        bench.run("box", name, "-p", "8034:80")
        seen[name] = look(bench, namespace(bench, "box"), "cbr0", [])
        bench.docker("rm", "--force", "box")
        bench.shell("ip link del cbr0")
    return {
        job: bool(seen[chain].address) and is_done(seen[chain]) for job, (chain, is_done) in _JOBS.items()
    }


def judge(data: Data) -> Judgement:
    """By the jobs that are done."""
    missing = [job for name in ENGINES for job, done in data[name].items() if not done]
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(Degree.FULLY, "A container of Docker's gets the same from the same conflists.")
        if not missing
        else Bridge(Degree.PARTLY, f"Under Docker some are missing: {', '.join(sorted(set(missing)))}."),
        came_true=(not missing,),
    )


def _verdict(done: Mapping[str, bool]) -> Verdict:
    count = sum(done.values())
    if count == len(done):
        return stands(f"All {count} jobs of kubenet were done by plugins.")
    if count >= len(done) - 2:
        return weakened(f"{count} of {len(done)} jobs of kubenet were done by plugins.")
    return refuted(f"Only {count} of {len(done)} jobs of kubenet were done by plugins.")


def show(data: Data) -> Sequence[Figure]:
    """Jobs by engines."""
    return [
        Matrix(
            "Is the job done?", ENGINES, {job: [yes_no(data[name][job]) for name in ENGINES] for job in _JOBS}
        )
    ]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
