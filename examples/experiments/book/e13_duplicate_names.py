"""Whether one engine lets two networks bear the same name."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    fixed,
    stands,
    weakened,
)
from experiments.parts import Parts
from experiments.texts import hockin, issue

CLAIM = Claim(
    id="E13",
    also="I6",
    title="Two networks of one name",
    claim="Docker lets two networks have the same name, so that a name does not say which network is meant.",
    sources=(
        hockin('usually closed as "working as intended" (... docker #18864)'),
        issue(
            "docker#18864, The docker daemon API lets you create two networks with the same name", "2015-12"
        ),
    ),
    procedure="POST /networks/create is sent twice with the same name and CheckDuplicate false, and then "
    "twenty times at "
    "once with another name. Where there are two, each is given another CNI network, and a container joins "
    "each by its ID.",
    predictions=(
        "20.10 makes two networks, and up to twenty at once.",
        "28 makes one and refuses the others with status 409.",
    ),
    measured="Networks that came to be; and what became of containers on those of one name.",
    section="IDs and names",
)

_WANTED = {"cni-bridge": "10.89.0.", "cni-routed": "10.89.1."}
_AT_ONCE = 20


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    answers = [_create(bench, "same", cni_network) for cni_network in _WANTED]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        crowd = list(pool.map(lambda _: _create(bench, "crowd", "cni-bridge"), range(_AT_ONCE)))
    ids = [answer["Id"] for status, answer in answers if status == 201]
    used = [_use(bench, network, address) for network, address in zip(ids, _WANTED.values(), strict=False)]
    for status, answer in (*answers, *crowd):
        if status == 201:
            bench.api("DELETE", f"/networks/{answer['Id']}")
    return {
        "statuses": [status for status, _ in answers],
        "crowd": sorted(status for status, _ in crowd),
        "used": used,
    }


def _use(bench: Bench, network: str, address: str) -> Data:
    """Run a container on a network by its ID; whether it was the right one, or what the engine said."""
    ran = bench.attempt("run", "--rm", "--network", network, IMAGE, "ip", "-4", "address")
    return {"right": address in ran["output"], "error": ran["error"]}


def _create(bench: Bench, name: str, cni_network: str) -> tuple[int, Any]:
    body = {
        "Name": name,
        "CheckDuplicate": False,
        "Driver": "cni",
        "IPAM": {"Driver": "null"},
        "Options": {"cni.network": cni_network},
    }
    return bench.api("POST", "/networks/create", body)


def judge(data: Data) -> Judgement:
    """By how many came to be."""
    used = [each for name in ENGINES for each in data[name]["used"]]
    refused = [each for each in used if each["error"]]
    older, newest = (data[name] for name in ENGINES)
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=_bridge(used),
        came_true=(
            older["statuses"] == [201, 201] and older["crowd"].count(201) > 1,
            newest["statuses"] == [201, 409]
            and newest["crowd"].count(201) == 1
            and newest["crowd"].count(409) == 19,
        ),
        surprise=(
            f"The engine refuses networks of one name even when they are named by their ID: "
            f"{refused[0]['error']}"
        )
        if refused
        else "",
    )


def _bridge(used: Sequence[Mapping[str, Any]]) -> Bridge:
    right = sum(each["right"] for each in used)
    text = f"{right} of {len(used)} containers were on the right CNI network"
    if right == len(used):
        return Bridge(Degree.FULLY, f"The shim knows networks by ID: {text}.")
    if all(each["right"] or each["error"] for each in used):
        return Bridge(
            Degree.PARTLY, f"The shim knows networks by ID, but the engine does not use them: {text}."
        )
    return Bridge(Degree.NOT_AT_ALL, f"The networks were confused: {text}.")


def _verdict(data: Data) -> Verdict:
    both, made = data["statuses"].count(201), data["crowd"].count(201)
    if both == 2:
        return stands(f"Two networks of one name were made, and {made} of {_AT_ONCE} when asked for at once.")
    if made > 1:
        return weakened(f"The second of a name was refused, but of {_AT_ONCE} at once {made} were made.")
    refused = data["crowd"].count(409)
    return fixed(
        "25.0", f"The second of a name was refused, and of {_AT_ONCE} at once {refused} with status 409."
    )


def show(data: Data) -> Sequence[Figure]:
    """How many networks came to be."""
    rows = [
        ["asked for twice", *(str(data[name]["statuses"].count(201)) for name in ENGINES)],
        [f"asked for {_AT_ONCE} times at once", *(str(data[name]["crowd"].count(201)) for name in ENGINES)],
        ["used by ID", *(_used(data[name]["used"]) for name in ENGINES)],
    ]
    return [Table("Networks of one name", ["", *ENGINES], rows)]


def _used(used: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(
        each["error"] or ("the right one" if each["right"] else "the wrong one") for each in used
    )


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
