"""What a driver may say of its scope."""

from collections.abc import Sequence

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
from experiments.texts import issue

CLAIM = Claim(
    id="E09",
    also="I2",
    title="What a driver may say of its scope",
    claim="Docker takes every remote driver for a global one.",
    sources=(
        issue("libnetwork#486, Remote drivers are (wrongly) assumed to be global", "2015-09-02"),
        issue("libnetwork#516, Add negotiation process for driver scope", "2015-09-15"),
    ),
    procedure="Drivers of our own answer GetCapabilities with different scopes, or do not know the call. A "
    "network is made on each, and Docker "
    "is asked which scope it has.",
    predictions=(
        "local works on both engines, and the network is listed as local.",
        "An empty scope, another word, capitals, and a driver that does not know the call are refused.",
    ),
    measured="Whether a network can be made, and its scope.",
    section="Scope and key-value store",
)

_SCOPES: dict[str, str | None] = {
    "local": "local",
    "global": "global",
    "empty": "",
    "capital": "Local",
    "other": "node",
    "unknown": None,
}


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    found = {}
    for name, scope in _SCOPES.items():
        driver = f"scope-{name}"
        bench.witness(driver, scope=scope)
        made = bench.attempt("network", "create", "-d", driver, "--ipam-driver", "null", driver)
        listed = ""
        if made["status"] == 0:
            listed = bench.docker(
                "network", "ls", "--filter", f"name={driver}", "--format", "{{.Scope}}"
            ).strip()
            bench.docker("network", "rm", driver)
        found[name] = {"error": made["error"], "listed": listed, "seconds": made["seconds"]}
    return found


def judge(data: Data) -> Judgement:
    """By what becomes of a driver that says local."""
    works = all(data[name]["local"]["listed"] == "local" for name in ENGINES)
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(Degree.NO_NEED, "The shim says local, and is taken at its word.")
        if works
        else Bridge(Degree.NOT_AT_ALL, "The shim says local, and is not taken at its word."),
        came_true=(
            works,
            all(
                data[name][it]["error"] for name in ENGINES for it in ("empty", "capital", "other", "unknown")
            ),
        ),
    )


def _verdict(data: Data) -> Verdict:
    taken = [name for name, it in data.items() if not it["error"]]
    text = f"Of {len(data)} answers these are taken: {', '.join(taken) or 'none'}"
    if data["local"]["listed"] == "local":
        return fixed("1.9", f"{text}; a driver that says local gets networks listed as local.")
    if data["local"]["listed"]:
        return stands(f"{text}; a driver that says local gets networks listed as {data['local']['listed']}.")
    return weakened(f"{text}; a driver that says local gets no network.")


def show(data: Data) -> Sequence[Figure]:
    """Answers by engines."""
    rows = [
        [name, *(data[engine][name]["listed"] or data[engine][name]["error"] for engine in ENGINES)]
        for name in _SCOPES
    ]
    return [
        Table("What becomes of an answer: the scope that is listed, or the error", ["answer", *ENGINES], rows)
    ]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
