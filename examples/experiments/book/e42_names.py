"""Whether one name can be a network's in Docker, CNI and Kubernetes alike."""

import json
from collections.abc import Sequence

from lab.engine import IMAGE
from lab.errors import LabError

from experiments.bench import Bench
from experiments.figures import Figure, Matrix, yes_no
from experiments.model import (
    ENGINES,
    NEWEST,
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
    id="E42",
    title="Rules for names",
    claim="The three worlds have different rules for names, so that one name cannot be used in all of them.",
    sources=(
        Source(
            "CNI specification: a network's name begins with a letter or digit, then letters, digits, _ . -",
            "2016",
        ),
        issue("libnetwork#139: names are the user's, IDs are the identity", "2015-05-08"),
    ),
    procedure="A list of names is given to each: to docker network create, to CNI as the name of a "
    "conflist, and to a Kubernetes API server "
    "as that of a NetworkAttachmentDefinition, as a trial run. Then each name that Docker takes is bound "
    "by an option to a "
    "CNI network with a name that all take.",
    predictions=(
        "Some names are taken by one and refused by another.",
        "By the option, every name that Docker takes can be used.",
    ),
    measured="Who takes which name.",
    section="One configuration, several runtimes",
)

_NAMES = ("blue", "Blue", "blue_1.2", "team-a/blue", ".blue", "blue net", "b" * 64, "b" * 254)


def measure(parts: Parts) -> Data:
    """On both engines, and on the cluster."""
    kubernetes = {name: _by_kubernetes(parts, name) for name in _NAMES}
    engines = parts.each(_on)
    return {**engines, "Kubernetes": kubernetes}


def _by_kubernetes(parts: Parts, name: str) -> bool:
    definition = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": "team-a", "name": name},
        "spec": {},
    }
    tried = parts.cluster.run_kubectl(
        "create", "--dry-run=server", "-f", "-", stdin=json.dumps(definition), check=False
    )
    return tried.returncode == 0


def _on(bench: Bench) -> Data:
    docker, bound, cni = {}, {}, {}
    for name in _NAMES:
        made = bench.attempt(
            "network", "create", "-d", "cni", "--ipam-driver", "null", "-o", "cni.network=cni-bridge", name
        )
        docker[name] = made["status"] == 0
        if docker[name]:
            bound[name] = (
                bench.attempt("run", "--rm", "--network", made["output"], IMAGE, "true")["status"] == 0
            )
            bench.docker("network", "rm", made["output"])
        cni[name] = _by_cni(bench, name)
    return {"Docker": docker, "CNI": cni, "bound": bound}


def _by_cni(bench: Bench, name: str) -> bool:
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.42.0.0/24"}]]}
    plugins = [{"type": "bridge", "bridge": "named0", "ipam": ipam}]
    path = bench.conf_dir / "tried.conflist"
    path.write_text(json.dumps({"cniVersion": "1.0.0", "name": name, "plugins": plugins}))
    bench.shell("ip netns add tried")
    try:
        bench.cni("add", name, "/run/netns/tried")
        bench.cni("del", name, "/run/netns/tried")
    except LabError:
        return False
    finally:
        bench.shell("ip netns delete tried")
        path.unlink()
    return True


def judge(data: Data) -> Judgement:
    """By names that are not taken by all."""
    bound = [works for name in ENGINES for works in data[name]["bound"].values()]
    differing = {
        name: [tried for tried in _NAMES if len(set(_takers(data, name, tried))) > 1] for name in ENGINES
    }
    return Judgement(
        verdicts={name: _verdict(data, name, differing[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY,
            (
                f"By the option cni.network, {sum(bound)} of {len(bound)} names that Docker takes were used, "
                f"whatever the CNI network's."
            ),
        )
        if all(bound)
        else Bridge(
            Degree.PARTLY,
            f"By the option cni.network, {sum(bound)} of {len(bound)} names that Docker takes were used.",
        ),
        came_true=(all(differing.values()), all(bound)),
    )


def _takers(data: Data, engine: str, name: str) -> list[bool]:
    return [data[engine]["Docker"][name], data[engine]["CNI"][name], data["Kubernetes"][name]]


def _verdict(data: Data, engine: str, differing: Sequence[str]) -> Verdict:
    common = [name for name in _NAMES if all(_takers(data, engine, name))]
    if not differing:
        return refuted(f"All {len(_NAMES)} names were taken or refused by all alike.")
    text = (
        f"{len(differing)} of {len(_NAMES)} names are taken by some and refused by others; "
        f"{len(common)} are taken by all"
    )
    if common:
        return weakened(f"{text}: {', '.join(_short(name) for name in common)}.")
    return stands(f"{text}.")


def _short(name: str) -> str:
    return name if len(name) < 20 else f"{name[0]} {len(name)} times"


def show(data: Data) -> Sequence[Figure]:
    """Names by worlds."""
    columns = [*(f"Docker {name}" for name in ENGINES), "CNI", "Kubernetes"]
    rows = {
        _short(name): [
            *(yes_no(data[engine]["Docker"][name]) for engine in ENGINES),
            yes_no(data[NEWEST]["CNI"][name]),
            yes_no(data["Kubernetes"][name]),
        ]
        for name in _NAMES
    }
    return [Matrix("Is the name taken?", columns, rows)]


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
