"""How a driver can find out which network an ID is, and when."""

from collections.abc import Mapping, Sequence
from typing import Any

from lab.engine import IMAGE

from experiments.bench import Bench, Witness
from experiments.figures import Cell, Distribution, Figure, Matrix, yes_no
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
from experiments.spread import Spread, milliseconds
from experiments.texts import hockin, issue

CLAIM = Claim(
    id="E11",
    title="From the ID back to a network",
    claim="It is hard for a driver to map Docker's network ID back to a network of another system.",
    sources=(
        hockin(
            "This makes it hard for a driver to map back to any concept of network that exists in another "
            "system."
        ),
        issue("libnetwork#414, a driver that calls back while it is called fails", "2015"),
        Source(
            "dcbw/cni-docker-plugin asks Docker for the name after it has answered CreateNetwork",
            "2015-07-31",
        ),
    ),
    procedure="A driver of our own asks the Engine API for the network with the ID it was given: within "
    "CreateNetwork, after "
    "its answer, within CreateEndpoint and within Join. It asks for the container within Join as well, and "
    "for "
    "the network while the engine starts with a container that restarts. It waits two seconds at most. "
    "Then the shim makes two networks while the Engine API is out of its reach, one with the option "
    "cni.network.",
    predictions=(
        "Within CreateNetwork the network is not found.",
        "After the answer, within CreateEndpoint and within Join it is found, in milliseconds.",
        "The container's own description is not answered within Join.",
        "Nothing is answered while the engine starts.",
    ),
    measured="For each moment: how often the name came, and how long it took.",
    section="IDs and names",
)

_AT = {
    "within CreateNetwork": "NetworkDriver.CreateNetwork",
    "after CreateNetwork": "after NetworkDriver.CreateNetwork",
    "within CreateEndpoint": "NetworkDriver.CreateEndpoint",
    "within Join": "NetworkDriver.Join",
}
_FOUND = ("after CreateNetwork", "within CreateEndpoint", "within Join")
_NETWORK = "/networks/{NetworkID}"
_CALLS = ("NetworkDriver.CreateNetwork", "NetworkDriver.CreateEndpoint", "NetworkDriver.Join")


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(lambda bench: _on(bench, parts.rounds(12, 5)), at_once=False)


def _on(bench: Bench, rounds: int) -> Data:
    ask = {call: [_NETWORK] for call in _CALLS}
    witness = bench.witness(ask=ask, ask_after={"NetworkDriver.CreateNetwork": [_NETWORK]})
    for number in range(rounds):
        name = f"net{number}"
        bench.docker("network", "create", "-d", witness.name, "--ipam-driver", "null", name)
        bench.docker("run", "--rm", "--network", name, IMAGE, "true")
    asked = {
        moment: [
            {
                "found": it["status"] == 200 and it["answer"]["Name"].startswith("net"),
                "seconds": it["seconds"],
            }
            for entry in witness.of(call)
            for it in entry["asked"]
        ]
        for moment, call in _AT.items()
    }
    return {"asked": asked, **_refused(bench, witness), "shim": _shim_alone(bench)}


def _refused(bench: Bench, witness: Witness) -> Data:
    """What is not answered."""
    witness.order(ask={"NetworkDriver.Join": ["/containers/box/json"]})
    witness.forget()
    bench.run("box", "net0", "--restart", "always")
    ((container,),) = (entry["asked"] for entry in witness.of("NetworkDriver.Join"))
    witness.order(ask={"NetworkDriver.CreateEndpoint": [_NETWORK]})
    witness.forget()
    bench.engine.stop_dockerd()
    bench.engine.start_dockerd()
    bench.wait(lambda: bool(witness.of("NetworkDriver.CreateEndpoint")))
    ((starting,),) = (entry["asked"] for entry in witness.of("NetworkDriver.CreateEndpoint"))
    return {
        name: {"status": it["status"], "seconds": it["seconds"]}
        for name, it in (("container", container), ("starting", starting))
    }


def _shim_alone(bench: Bench) -> Data:
    """Whether the shim finds the network without the Engine API, with and without the option."""
    bench.restart_shim(docker_socket="/run/nothing-here.sock")
    bench.network("web", "cni-bridge")
    bench.docker("network", "create", "-d", "cni", "--ipam-driver", "null", "cni-routed")
    runs = {
        name: bench.attempt("run", "--rm", "--network", name, IMAGE, "true") for name in ("web", "cni-routed")
    }
    bench.restart_shim()
    bench.docker("network", "create", "-d", "cni", "--ipam-driver", "null", "cni-ptp")
    asking = bench.attempt("run", "--rm", "--network", "cni-ptp", IMAGE, "true")
    return {
        "option, no API": runs["web"]["status"] == 0,
        "name, no API": runs["cni-routed"]["status"] == 0,
        "name, with API": asking["status"] == 0,
    }


def judge(data: Data) -> Judgement:
    """By what is found, and when."""
    asked = {name: data[name]["asked"] for name in ENGINES}
    shim = [data[name]["shim"] for name in ENGINES]
    option, by_name = (all(each[key] for each in shim) for key in ("option, no API", "name, with API"))
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=_bridge(option=option, by_name=by_name),
        came_true=(
            not any(it["found"] for each in asked.values() for it in each["within CreateNetwork"]),
            all(
                it["found"] and it["seconds"] < 0.1
                for each in asked.values()
                for moment in _FOUND
                for it in each[moment]
            ),
            all(data[name]["container"]["status"] == 0 for name in ENGINES),
            all(data[name]["starting"]["status"] == 0 for name in ENGINES),
        ),
    )


def _verdict(data: Data) -> Verdict:
    found = {moment: sum(it["found"] for it in each) for moment, each in data["asked"].items()}
    total = len(data["asked"]["within CreateEndpoint"])
    if found["within CreateNetwork"] == total and data["starting"]["status"] == 200:
        return refuted(
            f"The name came in {total} of {total} cases within CreateNetwork already, and at the "
            f"engine's start."
        )
    if found["within CreateEndpoint"] == total:
        middle = Spread.of([it["seconds"] for it in data["asked"]["within CreateEndpoint"]]).median
        return weakened(
            f"The name came in {found['within CreateEndpoint']} of {total} cases within CreateEndpoint, "
            f"after "
            f"{milliseconds(middle)}, but in {found['within CreateNetwork']} within CreateNetwork, "
            f"and {'not' if data['starting']['status'] == 0 else 'also'} while the engine starts."
        )
    return stands(
        f"Within CreateEndpoint the name came in {found['within CreateEndpoint']} of {total} cases."
    )


def _bridge(*, option: bool, by_name: bool) -> Bridge:
    if option and by_name:
        return Bridge(
            Degree.FULLY,
            "With the option cni.network the shim needs no question at all; without it, it asks at "
            "CreateEndpoint and keeps the answer.",
        )
    if option or by_name:
        return Bridge(Degree.PARTLY, "The shim finds the network in one of two ways only.")
    return Bridge(Degree.NOT_AT_ALL, "The shim does not find the network.")


def show(data: Data) -> Sequence[Figure]:
    """When the name comes, and how fast."""
    rows = {
        moment: [_share([it["found"] for it in data[name]["asked"][moment]]) for name in ENGINES]
        for moment in _AT
    }
    rows["the container, within Join"] = [_answered(data[name]["container"]) for name in ENGINES]
    rows["while the engine starts"] = [_answered(data[name]["starting"]) for name in ENGINES]
    series = {
        f"{name}, {moment}": [it["seconds"] * 1000 for it in data[name]["asked"][moment]]
        for name in ENGINES
        for moment in _FOUND
    }
    shim = {how: [yes_no(data[name]["shim"][how]) for name in ENGINES] for how in data[OLDER]["shim"]}
    return [
        Matrix("Does the Engine API say which network it is?", ENGINES, rows),
        Distribution("How long the answer takes", "ms", series),
        Matrix("Does the shim find the network?", ENGINES, shim),
    ]


def _share(found: Sequence[bool]) -> Cell:
    return Cell(f"{sum(found)} of {len(found)}", good=all(found))


def _answered(asked: Mapping[str, Any]) -> Cell:
    if asked["status"] == 0:
        return Cell(f"no answer in {asked['seconds']:.1f} s", good=False)
    return Cell(f"status {asked['status']}", good=asked["status"] == 200)


EXPERIMENT = Experiment(CLAIM, measure, judge, show, timed=True)
