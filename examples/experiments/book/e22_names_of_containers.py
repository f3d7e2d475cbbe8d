"""What becomes of names when the container behind them is replaced."""

import re
import time
from collections.abc import Sequence

from experiments.bench import Bench
from experiments.figures import (
    Figure,
    Table,
)
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
from experiments.texts import hockin

CLAIM = Claim(
    id="E22",
    title="Names of containers, names of services",
    claim=(
        "A name that belongs to a container goes with it, so that clients fail when the container is "
        "replaced."
    ),
    sources=(
        hockin(
            "Container-level naming is not the right abstraction for Kubernetes — we already have our own "
            "concepts of service naming, "
            "discovery, and binding"
        ),
    ),
    procedure="On a CNI network a client looks a name up again and again, while the container behind it is "
    "replaced: first the container's own name, which is removed and run anew; then an alias, which the new "
    "container bears before the old one is removed. Look-ups that fail, or have no answer after a second, "
    "are counted.",
    predictions=(
        "By the container's name some look-ups fail.",
        "By the alias none fails.",
    ),
    measured="Look-ups, and those that fail, by kind of name.",
    section="Name service and hosts file",
)

_LOOKS = (
    "while [ ! -e /tmp/stop ]; do timeout 1 nslookup {name} 127.0.0.11 2>&1 | grep -o 'Address[^:]*: "
    "*10[.][0-9.]*' | tail -1; echo end; done > /tmp/looks"
)
_REPLACED = 3


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    bench.network("web", "cni-bridge")
    bench.run("client", "web")
    return {"container's name": _by_name(bench), "alias": _by_alias(bench)}


def _by_name(bench: Bench) -> Data:
    bench.run("server", "web")
    _begin(bench, "server")
    for _ in range(_REPLACED):
        bench.docker("rm", "--force", "server")
        bench.run("server", "web")
    return _end(bench)


def _by_alias(bench: Bench) -> Data:
    bench.run("server0", "web", "--network-alias", "service")
    _begin(bench, "service")
    for number in range(_REPLACED):
        bench.run(f"server{number + 1}", "web", "--network-alias", "service")
        bench.docker("rm", "--force", f"server{number}")
    return _end(bench)


def _begin(bench: Bench, name: str) -> None:
    bench.inside("client", "rm -f /tmp/stop /tmp/looks")
    bench.docker("exec", "--detach", "client", "sh", "-c", _LOOKS.format(name=name))
    bench.wait(
        lambda: bench.inside("client", "grep -c Address /tmp/looks", check=False).strip() not in ("", "0")
    )


def _end(bench: Bench) -> Data:
    """Stop looking, and count; answers come to a stop with the last container's address."""
    time.sleep(0.3)
    looks = bench.inside("client", "touch /tmp/stop; sleep 1; cat /tmp/looks").split("end")
    answers = [re.findall(r"10[.0-9]+", look) for look in looks[:-1]]
    found = [answer[0] for answer in answers if answer]
    return {"looks": len(answers), "failed": len(answers) - len(found), "addresses": len(set(found))}


def judge(data: Data) -> Judgement:
    """By look-ups that fail."""
    aliases = [data[name]["alias"] for name in ENGINES]
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.PARTLY,
            (
                "Aliases work on CNI networks as on Docker's own; services with "
                "endpoints of their own are Kubernetes' business."
            ),
        ),
        came_true=(
            all(data[name]["container's name"]["failed"] for name in ENGINES),
            not any(it["failed"] for it in aliases),
        ),
    )


def _verdict(data: Data) -> Verdict:
    own, alias = data["container's name"], data["alias"]
    text = (
        f"While the container was replaced {_REPLACED} times, {own['failed']} of {own['looks']} look-ups "
        f"of its own name failed, and "
        f"{alias['failed']} of {alias['looks']} of an alias"
    )
    if own["failed"] and alias["failed"]:
        return stands(f"{text}.")
    if own["failed"]:
        return weakened(f"{text}: Docker has names that outlive a container.")
    return refuted(f"{text}.")


def show(data: Data) -> Sequence[Figure]:
    """Counts by kind of name."""
    rows = [
        [kind, name, str(it["looks"]), str(it["failed"]), str(it["addresses"])]
        for kind in data[OLDER]
        for name in ENGINES
        for it in [data[name][kind]]
    ]
    return [
        Table(
            "While containers were replaced",
            ["name", "engine", "look-ups", "failed", "different addresses"],
            rows,
        )
    ]


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
