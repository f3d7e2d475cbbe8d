"""Whether a container's name can hide another name."""

import re
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
    Verdict,
    refuted,
    stands,
    weakened,
)
from experiments.parts import Parts
from experiments.texts import hockin, issue

CLAIM = Claim(
    id="E23",
    title="Names that are hidden",
    claim="A container's name hides a service or host of the same name from its neighbours.",
    sources=(
        issue("docker#17190: a container called google", "2015-10-20"),
        hockin("Container-level naming is not the right abstraction for Kubernetes"),
    ),
    procedure="A DNS server knows a name, and is given to containers with --dns. A container on a CNI "
    "network asks for the name before there is a container "
    "of that name on its network, while there is, and after it; a container on another network asks "
    "meanwhile.",
    predictions=(
        (
            "While there is, the neighbours get the container's address, and the others still the server's "
            "answer."
        ),
    ),
    measured="The address that the name has, in each case.",
    section="Name service and hosts file",
)

_SERVER, _NAME, _ANSWER = "192.0.2.53", "payroll", "198.51.100.23"


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    bench.network("web", "cni-bridge")
    bench.network("far", "cni-routed")
    for name, network in (("near", "web"), ("away", "far")):
        bench.run(name, network, "--dns", _SERVER)
    with bench.nameserver(_SERVER, _NAME, _ANSWER):
        found = {"before": _asked(bench, "near")}
        bench.run(_NAME, "web")
        hidden = bench.inspect(_NAME, "web")["IPAddress"]
        found |= {"while it is there": _asked(bench, "near"), "from another network": _asked(bench, "away")}
        bench.docker("rm", "--force", _NAME)
        found["after it"] = _asked(bench, "near")
    return {"container": hidden, "found": found}


def _asked(bench: Bench, box: str) -> str:
    """The address that the name has."""
    answer = re.search(
        r"\((\d[\d.]+)\)", bench.inside(box, f"timeout 6 ping -c 1 -W 1 {_NAME} 2>&1", check=False)
    )
    return answer[1] if answer else ""


def judge(data: Data) -> Judgement:
    """By the address while the container is there."""
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.NOT_AT_ALL,
            (
                "Docker's server answers first on CNI networks as on its own; a full name, with dots, is not "
                "hidden."
            ),
        ),
        came_true=(
            all(
                data[name]["found"]
                == {
                    "before": _ANSWER,
                    "while it is there": data[name]["container"],
                    "from another network": _ANSWER,
                    "after it": _ANSWER,
                }
                for name in ENGINES
            ),
        ),
    )


def _verdict(data: Data) -> Verdict:
    found = data["found"]
    if found["while it is there"] == data["container"] and found["before"] == _ANSWER:
        return stands(
            f"The name had the address {found['before']} before, {found['while it is there']} while the "
            f"container was there, {found['after it'] or 'none'} after it."
        )
    if found["while it is there"] == data["container"]:
        return weakened(f"The name had the container's address, but {found['before'] or 'none'} before.")
    return refuted(
        f"The name had the address {found['while it is there'] or 'none'} while the container was there."
    )


def show(data: Data) -> Sequence[Figure]:
    """Addresses by cases."""
    rows = [
        [case, *(data[name]["found"][case] or "none" for name in ENGINES)] for case in data[OLDER]["found"]
    ]
    return [Table(f"The address of {_NAME}, which the server says is {_ANSWER}", ["", *ENGINES], rows)]


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
