"""Whether an endpoint outlives its container's stop."""

from collections.abc import Sequence

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
    Source,
    Verdict,
    refuted,
    stands,
    weakened,
)
from experiments.parts import Parts

CLAIM = Claim(
    id="E66",
    title="An endpoint as something that stays",
    claim="An endpoint is a service of its own, which exists without a container and outlives it.",
    sources=(
        Source(
            (
                "libnetwork, docs/design.md: Create and Join are apart, since an endpoint may exist "
                "without a "
                "container"
            ),
            "2015",
        ),
    ),
    procedure="The endpoint's ID and the address are noted when a container is run, restarted, stopped and "
    "started, and removed and run anew with "
    "the same name, while another container takes the next address each time. On Docker's bridge, on the "
    "shim's "
    "network, and there with the option cni.ips.",
    predictions=(
        "Every start has a new endpoint, on every network.",
        "With cni.ips the address stays.",
    ),
    measured="Endpoint IDs and addresses after each start.",
    section="Life cycle",
)

_SHIM_STICKY = "shim, cni.ips"


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    bench.docker("network", "create", "own")
    bench.network("cni", "cni-bridge")
    networks = {
        "Docker's bridge": "own",
        "shim": "cni",
        _SHIM_STICKY: "name=cni,driver-opt=cni.ips=10.89.0.200",
    }
    return {way: _lives(bench, network) for way, network in networks.items()}


def _lives(bench: Bench, network: str) -> Data:
    name = "own" if network == "own" else "cni"
    bench.run("box", network)
    seen = [_seen(bench, name)]
    bench.docker("stop", "--time", "0", "box")
    bench.run("other", name)
    bench.docker("start", "box")
    seen.append(_seen(bench, name))
    bench.docker("restart", "--time", "0", "box")
    seen.append(_seen(bench, name))
    bench.docker("rm", "--force", "box")
    bench.run("box", network)
    seen.append(_seen(bench, name))
    bench.remove_containers()
    return {"endpoints": [endpoint for endpoint, _ in seen], "addresses": [address for _, address in seen]}


def _seen(bench: Bench, network: str) -> tuple[str, str]:
    settings = bench.inspect("box", network)
    return settings["EndpointID"], settings["IPAddress"]


def judge(data: Data) -> Judgement:
    """By endpoints that are the same after a start."""
    sticky = all(len(set(data[name][_SHIM_STICKY]["addresses"])) == 1 for name in ENGINES)
    anew = all(
        len(set(it["endpoints"])) == len(it["endpoints"]) for name in ENGINES for it in data[name].values()
    )
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.PARTLY,
            (
                "The address can be kept by the option cni.ips; the endpoint is the engine's, and new with "
                "each start."
            ),
        )
        if sticky
        else Bridge(Degree.NOT_AT_ALL, "Not even the address can be kept."),
        came_true=(anew, sticky),
    )


def _verdict(data: Data) -> Verdict:
    kept = {way: len(it["endpoints"]) - len(set(it["endpoints"])) for way, it in data.items()}
    addresses = {way: len(set(it["addresses"])) for way, it in data.items()}
    text = "; ".join(
        f"{way}: {kept[way]} endpoints kept in 3 starts, {addresses[way]} addresses" for way in data
    )
    if not any(kept.values()):
        return refuted(f"No start kept its endpoint ({text}).")
    if all(count == 3 for count in kept.values()):
        return stands(f"Every start kept its endpoint ({text}).")
    return weakened(f"Some starts kept their endpoint ({text}).")


def show(data: Data) -> Sequence[Figure]:
    """Addresses over the starts."""
    columns = ["way", "engine", "run", "stop, start", "restart", "rm, run"]
    rows = [[way, name, *data[name][way]["addresses"]] for way in data[OLDER] for name in ENGINES]
    return [Table("The address after each start; the endpoint's ID is a new one each time", columns, rows)]


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
