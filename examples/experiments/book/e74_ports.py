"""Whether ports can be published on a CNI network, and who shows them."""

from collections.abc import Sequence

from experiments.bench import Bench
from experiments.figures import Figure, Matrix, yes_no
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

CLAIM = Claim(
    id="E74",
    title="Published ports",
    claim="Ports of containers on a CNI network cannot be published by Docker, nor be seen in docker ps.",
    sources=(
        Source("Rancher 1.6, docs: published ports do not show in docker ps", "2017"),
        Source("Lee Calcote: CNI leaves the mapping of ports to the runtime", "2016-09"),
    ),
    procedure="A web server is run with -p 8074:80 and with -p 80 on a CNI network whose chain has "
    "portmap, and on Docker's bridge. The ports "
    "are asked for from the host, and by another container on the host's address; docker port, docker ps and "
    "cnm-cni endpoint ls are read.",
    predictions=(
        "The port answers on both networks.",
        "docker port and docker ps show it for Docker's bridge alone; cnm-cni shows it for the other.",
    ),
    measured="Answers; who shows the port.",
    section="Side effects",
)

_SERVE = "echo served > /tmp/index.html; exec httpd -f -h /tmp"
_NETWORKS = {"CNI network": "cni", "Docker's bridge": "own"}


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    bench.docker("network", "create", "own")
    bench.network("cni", "cni-bridge")
    bench.shell("ip address add 192.0.2.74/32 dev lo")
    try:
        return {kind: _published(bench, network) for kind, network in _NETWORKS.items()}
    finally:
        bench.shell("ip address del 192.0.2.74/32 dev lo")


def _published(bench: Bench, network: str) -> Data:
    bench.run("box", network, "-p", "8074:80", command=_SERVE)
    fetch = "timeout 3 wget -q -O - http://{}:8074/"
    bench.wait(lambda: "served" in bench.inside("box", "wget -q -O - http://127.0.0.1/", check=False))
    found = {
        "answers on localhost": "served" in bench.shell(f"busybox {fetch.format('127.0.0.1')}", check=False),
        "answers another container": "served"
        in bench.once("bridge", fetch.format("192.0.2.74"), check=False),
        "docker port": "8074" in bench.docker("port", "box"),
        "docker ps": "8074" in bench.docker("ps", "--format", "{{.Ports}}"),
        "cnm-cni endpoint ls": "8074->80"
        in bench.engine.run(bench.engine.shim_command("endpoint", "ls")).stdout,
    }
    bench.docker("rm", "--force", "box")
    return found


_ANSWERS = ("answers on localhost", "answers another container")
_SHOWS = ("docker port", "docker ps")


def judge(data: Data) -> Judgement:
    """By answers and by what is shown."""
    cni = [data[name]["CNI network"] for name in ENGINES]
    answers = all(it[what] for it in cni for what in _ANSWERS)
    shows = all(it[what] for it in cni for what in _SHOWS)
    ours = all(it["cnm-cni endpoint ls"] for it in cni)
    if answers and shows:
        bridge = Bridge(Degree.FULLY, "The port answers, and Docker shows it.")
    elif answers:
        bridge = Bridge(
            Degree.PARTLY,
            (
                f"The port answers; "
                f"{'cnm-cni endpoint ls shows it, docker ps does not' if ours else 'nobody shows it'}."
            ),
        )
    else:
        bridge = Bridge(Degree.NOT_AT_ALL, "The port does not answer.")
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=bridge,
        came_true=(
            all(data[name][kind][what] for name in ENGINES for kind in _NETWORKS for what in _ANSWERS),
            ours
            and not shows
            and all(data[name]["Docker's bridge"][what] for name in ENGINES for what in _SHOWS),
        ),
    )


def _verdict(data: Data) -> Verdict:
    cni = data["CNI network"]
    answers, shows = sum(cni[what] for what in _ANSWERS), sum(cni[what] for what in _SHOWS)
    text = (
        f"The port answered {answers} of {len(_ANSWERS)} clients, and {shows} of docker port and docker "
        f"ps showed it"
    )
    if not answers and not shows:
        return stands(f"{text}.")
    if answers == len(_ANSWERS) and shows == len(_SHOWS):
        return refuted(f"{text}.")
    return weakened(f"{text}.")


def show(data: Data) -> Sequence[Figure]:
    """Answers and displays."""
    columns = [f"{kind}, {name}" for kind in _NETWORKS for name in ENGINES]
    rows = {
        what: [yes_no(data[name][kind][what]) for kind in _NETWORKS for name in ENGINES]
        for what in (*_ANSWERS, *_SHOWS, "cnm-cni endpoint ls")
    }
    return [Matrix("A published port", columns, rows)]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
