"""Whether a driver is told the name of a network, or only Docker's ID."""

from collections.abc import Sequence

from experiments.bench import Bench
from experiments.figures import Cell, Figure, Matrix
from experiments.model import (
    ENGINES,
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
from experiments.texts import hockin, issue

CLAIM = Claim(
    id="E10",
    also="I1, I3",
    title="A driver is told an ID, not a name",
    claim="Docker tells a network driver a random ID, never the name by which the user knows the network.",
    sources=(
        hockin(
            "Specifically, drivers are not told the name of the network to which a container is being "
            "attached — just an ID that Docker allocates internally."
        ),
        issue("libnetwork#139, Allow drivers to get the name along with uuid", "2015-05-08"),
        issue("libnetwork#514, Pass network name to drivers as an option (not merged)", "2015-09-10"),
    ),
    procedure=(
        "A driver of our own, which is an IPAM driver as well, writes down the body of every call while a "
        "network with a name, a label and an option is made, and a container with a name, a label and an "
        "endpoint option lives on it. Each of these words is unique; their occurrences are counted."
    ),
    predictions=(
        "The network's name, the container's name and both labels appear in no call.",
        "The network's option appears in CreateNetwork, the endpoint's in CreateEndpoint, and nowhere else.",
    ),
    measured="For each word, the calls that contain it; and whether the shim finds the CNI network "
    "without an option.",
    section="IDs and names",
)

_NETWORK, _CONTAINER, _HOST = "name-of-network", "name-of-container", "name-of-host"
_NETWORK_LABEL, _CONTAINER_LABEL = "label-of-network", "label-of-container"
_NETWORK_OPTION, _ENDPOINT_OPTION = "option-of-network", "option-of-endpoint"
_NAMES = (_NETWORK, _CONTAINER)
_NEVER = (*_NAMES, _NETWORK_LABEL, _CONTAINER_LABEL)
_WORDS = (*_NEVER, _HOST, _NETWORK_OPTION, _ENDPOINT_OPTION)


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    witness = bench.witness(implements=["NetworkDriver", "IpamDriver"])
    drivers = ("-d", witness.name, "--ipam-driver", witness.name)
    options = ("--label", f"app={_NETWORK_LABEL}", "-o", f"key={_NETWORK_OPTION}")
    bench.docker("network", "create", *drivers, *options, _NETWORK)
    network = f"name={_NETWORK},driver-opt=key={_ENDPOINT_OPTION}"
    bench.run(_CONTAINER, network, "--label", f"app={_CONTAINER_LABEL}", "--hostname", _HOST)
    bench.docker("rm", "--force", _CONTAINER)
    bench.docker("network", "rm", _NETWORK)
    calls = witness.calls
    found = {word: sorted({entry["call"] for entry in calls if word in entry["raw"]}) for word in _WORDS}
    return {
        "version": bench.version,
        "bodies": len(calls),
        "found": found,
        "shim_by_own_name": _shim_finds_by_name(bench),
    }


def _shim_finds_by_name(bench: Bench) -> bool:
    """Whether a Docker network that has just the CNI network's name, and no option, works."""
    bench.docker("network", "create", "-d", "cni", "--ipam-driver", "null", "cni-routed")
    return "10.89.1." in bench.once("cni-routed", "ip -4 address")


def judge(data: Data) -> Judgement:
    """By the calls that contain a name."""
    found = [data[name]["found"] for name in ENGINES]
    works = all(data[name]["shim_by_own_name"] for name in ENGINES)
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY, "Without any option the shim bound a network by its own name, on each engine."
        )
        if works
        else Bridge(Degree.PARTLY, "The shim needs the option cni.network: by name alone it failed."),
        came_true=(
            not any(each[word] for each in found for word in _NEVER),
            all(
                each[_NETWORK_OPTION] == ["NetworkDriver.CreateNetwork"]
                and each[_ENDPOINT_OPTION] == ["NetworkDriver.CreateEndpoint"]
                for each in found
            ),
        ),
    )


def _verdict(data: Data) -> Verdict:
    calls = sorted({call for word in _NAMES for call in data["found"][word]})
    bodies = data["bodies"]
    if not calls:
        return stands(f"Of {bodies} calls none contains the network's or the container's name.")
    if all(call.startswith("IpamDriver") for call in calls):
        return weakened(
            f"Of {bodies} calls only those to the IPAM driver contain a name: {', '.join(calls)}."
        )
    return fixed(data["version"], f"Of {bodies} calls some contain a name: {', '.join(calls)}.")


def show(data: Data) -> Sequence[Figure]:
    """Words by engines."""
    rows = {word: [_cell(data[name]["found"][word]) for name in ENGINES] for word in _WORDS}
    return [Matrix("The calls in which each word appears", ENGINES, rows)]


def _cell(calls: Sequence[str]) -> Cell:
    names = ", ".join(call.partition(".")[2] for call in calls)
    return Cell(names or "none", good=bool(calls))


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
