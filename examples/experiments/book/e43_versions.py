"""Whether the versions of the CNI specification can be used under Docker."""

import json
from collections.abc import Sequence

from lab.engine import IMAGE
from lab.errors import LabError

from experiments.bench import Bench
from experiments.figures import Figure, Matrix, Table, yes_no
from experiments.model import (
    ENGINES,
    NEWEST,
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
    id="E43",
    title="Versions of the specification",
    claim="A configuration is bound to versions of the CNI specification that runtime and plugins share.",
    sources=(Source("CNI specification, sections on versions and cniVersions", "2024"),),
    procedure="The same chain is written in each version of the specification, and in a list of several, "
    "and attached to a container of "
    "Docker's and by CNI alone, with the plugins that came with each engine.",
    predictions=(
        "0.3.1, 0.4.0 and 1.0.0 work everywhere, under Docker as by CNI alone.",
        "1.1.0 works with the newest plugins alone, and the list of versions everywhere.",
    ),
    measured="Versions that work.",
    section="One configuration, several runtimes",
)

_VERSIONS = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")
_LIST = "1.0.0 and 1.1.0"


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    found = {}
    for number, version in enumerate((*_VERSIONS, _LIST)):
        name = f"version{number}"
        ipam = {"type": "host-local", "ranges": [[{"subnet": f"10.43.{number}.0/24"}]]}
        plugins = [{"type": "bridge", "bridge": f"ver{number}", "ipam": ipam}]
        said: Data = {"cniVersions": version.split(" and ")} if version == _LIST else {}
        conflist = {"cniVersion": version.split(" and ")[0], **said, "name": name, "plugins": plugins}
        (bench.conf_dir / f"{name}.conflist").write_text(json.dumps(conflist))
        found[version] = {
            "Docker": _by_docker(bench, name, f"10.43.{number}."),
            "CNI alone": _alone(bench, name),
        }
    return found


def _by_docker(bench: Bench, name: str, address: str) -> str:
    """Empty when it works, or why not."""
    create = ("network", "create", "-d", "cni", "--ipam-driver", "null", "-o", f"cni.network={name}", name)
    made = bench.attempt(*create)
    if made["status"]:
        return str(made["error"])
    ran = bench.attempt("run", "--rm", "--network", name, IMAGE, "ip", "-4", "address")
    return str(ran["error"]) or ("" if address in ran["output"] else "no address")


def _alone(bench: Bench, name: str) -> str:
    bench.shell("ip netns add alone")
    try:
        bench.cni("add", name, "/run/netns/alone")
        bench.cni("del", name, "/run/netns/alone")
    except LabError as error:
        return str(error).rpartition("failed (1): ")[2]
    finally:
        bench.shell("ip netns delete alone")
    return ""


def judge(data: Data) -> Judgement:
    """By versions that work in one and not in the other."""
    same = all(bool(it["Docker"]) == bool(it["CNI alone"]) for name in ENGINES for it in data[name].values())
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(Degree.FULLY, "Under Docker the same versions work as by CNI alone.")
        if same
        else Bridge(Degree.PARTLY, "Under Docker other versions work than by CNI alone."),
        came_true=(
            not any(
                text for name in ENGINES for version in _VERSIONS[:3] for text in data[name][version].values()
            ),
            bool(data[OLDER]["1.1.0"]["Docker"])
            and not any(
                data[name][it]["Docker"] for name, it in ((NEWEST, "1.1.0"), (NEWEST, _LIST), (OLDER, _LIST))
            ),
        ),
    )


def _verdict(data: Data) -> Verdict:
    working = [version for version, it in data.items() if not it["Docker"]]
    if len(working) == len(data):
        return refuted(f"All of {', '.join(data)} work.")
    failing = [version for version in data if version not in working]
    if len(working) >= 3:
        return weakened(f"{', '.join(working)} work, {', '.join(failing)} does not.")
    return stands(f"Only {', '.join(working) or 'none'} of {', '.join(data)} work.")


def show(data: Data) -> Sequence[Figure]:
    """Versions by engines."""
    columns = [f"{way}, {name}" for way in ("Docker", "CNI alone") for name in ENGINES]
    rows = {
        version: [yes_no(not data[name][version][way]) for way in ("Docker", "CNI alone") for name in ENGINES]
        for version in (*_VERSIONS, _LIST)
    }
    errors = [
        [version, name, data[name][version]["Docker"]]
        for version in (*_VERSIONS, _LIST)
        for name in ENGINES
        if data[name][version]["Docker"]
    ]
    return [
        Matrix("Does the version work?", columns, rows),
        *([Table("What is said when it does not", ["version", "engine", "error"], errors)] if errors else []),
    ]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
