"""Whether a driver hears again of a network that it has forgotten, or never knew."""

from collections.abc import Mapping, Sequence
from typing import Any

from lab.engine import IMAGE

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
    Verdict,
    refuted,
    stands,
    weakened,
)
from experiments.parts import Parts
from experiments.texts import hockin, issue

CLAIM = Claim(
    id="E14",
    also="I4'",
    title="A network that the driver does not know",
    claim="A driver that does not know a network, since it lost its state or never saw it made, is asked for "
    "endpoints "
    "on it all the same, and is not told the network's options.",
    sources=(
        hockin('usually closed as "working as intended" (... libnetwork #865)'),
        issue("libnetwork#865, Network API should provide network details for global networks", "2016-01-11"),
    ),
    procedure="A network with an option is made on a driver of our own, which then starts anew with nothing "
    "in memory, as does "
    "the engine; then a container is run. Then the shim loses its whole state: with a running container, "
    "with a network "
    "bound by an option, and with one bound by its name. A container is run on each, and all are removed.",
    predictions=(
        "CreateNetwork is never repeated, and CreateEndpoint does not contain the network's option.",
        "The shim recovers both networks by asking the Engine API.",
        "Of the container that ran meanwhile, the lease is left behind, and nothing else.",
    ),
    measured=(
        "Repeated calls; containers that could be run on forgotten networks; what stays of a "
        "container that ran meanwhile."
    ),
    section="IDs and names",
)

_OPTION = "option-of-network"


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    witness = bench.witness()
    options = ("--ipam-driver", "null", "-o", f"key={_OPTION}")
    bench.docker("network", "create", "-d", witness.name, *options, "forgotten")
    bench.engine.stop_dockerd()
    witness.forget()
    bench.engine.start_dockerd()
    bench.docker("run", "--rm", "--network", "forgotten", IMAGE, "true")
    return {
        "repeated": len(witness.of("NetworkDriver.CreateNetwork")),
        "endpoints": len(witness.of("NetworkDriver.CreateEndpoint")),
        "with_option": sum(_OPTION in entry["raw"] for entry in witness.of("NetworkDriver.CreateEndpoint")),
        "shim": _shim(bench),
    }


def _shim(bench: Bench) -> Data:
    bench.network("web", "cni-bridge")
    bench.docker("network", "create", "-d", "cni", "--ipam-driver", "null", "cni-routed")
    runs: dict[str, dict[str, Any]] = {}

    def lose_state() -> None:
        bench.run("meanwhile", "web")
        bench.engine.stop_shim()
        for path in bench.engine.state_dir.iterdir():
            path.unlink()
        bench.restart_shim()
        for how, network in (("by option", "web"), ("by name", "cni-routed")):
            ran = bench.attempt("run", "--rm", "--network", network, IMAGE, "true")
            runs[how] = {"status": ran["status"], "error": ran["error"]}
        bench.docker("rm", "--force", "meanwhile")

    left = bench.left_by(lose_state)
    return {"runs": runs, "left": {what: left.get(what, []) for what in ("links", "rules", "leases")}}


def judge(data: Data) -> Judgement:
    """By the calls, and by what the shim can still do."""
    shims = [data[name]["shim"] for name in ENGINES]
    works = {how: all(each["runs"][how]["status"] == 0 for each in shims) for how in ("by option", "by name")}
    left = sum(len(things) for each in shims for things in each["left"].values())
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=_bridge(works, left),
        came_true=(
            not any(data[name]["repeated"] or data[name]["with_option"] for name in ENGINES),
            all(works.values()),
            all(len(each["left"]["leases"]) == 1 and not each["left"]["rules"] for each in shims),
        ),
    )


def _verdict(data: Data) -> Verdict:
    if data["repeated"]:
        return refuted(f"CreateNetwork was repeated {data['repeated']} times.")
    if data["with_option"]:
        return weakened("CreateNetwork was not repeated, but CreateEndpoint contained the network's option.")
    return stands(
        f"CreateNetwork was not repeated, and {data['endpoints']} CreateEndpoint came without the "
        f"network's option."
    )


def _bridge(works: Mapping[str, bool], left: int) -> Bridge:
    how = " and ".join(name for name, works_so in works.items() if works_so) or "neither way"
    if all(works.values()) and not left:
        return Bridge(
            Degree.FULLY,
            (
                "Without its state the shim bound both networks again, and left nothing of a container that "
                "ran meanwhile."
            ),
        )
    if any(works.values()):
        return Bridge(
            Degree.PARTLY,
            (
                f"Without its state the shim bound networks {how} again; {left} things stayed of a container "
                f"that ran meanwhile."
            ),
        )
    return Bridge(
        Degree.NOT_AT_ALL,
        (
            f"Without its state the shim bound networks {how}; {left} things stayed of a container that ran "
            f"meanwhile."
        ),
    )


def show(data: Data) -> Sequence[Figure]:
    """What happens without state."""
    rows = [
        ["CreateNetwork repeated", *(str(data[name]["repeated"]) for name in ENGINES)],
        ["CreateEndpoint with the option", *(str(data[name]["with_option"]) for name in ENGINES)],
        *(
            [f"shim, bound {how}", *(_ran(data[name]["shim"]["runs"][how]) for name in ENGINES)]
            for how in ("by option", "by name")
        ),
        *(
            [f"{what} left of a container", *(str(len(data[name]["shim"]["left"][what])) for name in ENGINES)]
            for what in ("links", "rules", "leases")
        ),
    ]
    return [Table("Without state", ["", *ENGINES], rows)]


def _ran(run: Mapping[str, Any]) -> str:
    return "runs" if run["status"] == 0 else f"fails: {run['error']}"


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
