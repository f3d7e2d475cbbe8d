"""What is left when a step of an attachment fails."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lab.engine import IMAGE

from experiments.bench import Bench, Meddler
from experiments.figures import (
    Cell,
    Figure,
    Matrix,
    Table,
)
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
from experiments.texts import issue

CLAIM = Claim(
    id="E63",
    title="Addresses apart from attachments",
    claim="Docker asks for addresses apart from the attachment, where CNI does both in one, so that a step "
    "that fails leaves "
    "an address behind.",
    sources=(
        Source("dcbw/cni-docker-plugin: IPAM is a part of ADD, so CreateEndpoint does nothing", "2015-07-31"),
        issue("libnetwork#139", "2015-05-08"),
    ),
    procedure="On networks with --ipam-driver null and cni, steps are made to fail: the range has no "
    "address left, the second plugin of the chain "
    "fails, a second network of the container fails, the container's program does not exist, and a MAC "
    "address is "
    "impossible. After each, what is left is counted. A network is also made without an IPAM driver.",
    predictions=(
        "Nothing is left by any failure.",
        "Without an IPAM driver, docker network create fails and shows the command to type.",
    ),
    measured="What each failure leaves; what docker says.",
    section="Life cycle",
)

_IPAM = {"type": "host-local", "ranges": [[{"subnet": "10.63.0.0/24"}]]}
_TINY = {"type": "host-local", "ranges": [[{"subnet": "10.63.1.0/30"}]]}
_MASQUERADE = {"type": "bridge", "isGateway": True, "ipMasq": True}


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    meddler = Meddler(bench)
    bench.restart_shim(plugin_path=meddler.plugin_path)
    bench.conflist("good", _MASQUERADE | {"bridge": "good0", "ipam": _IPAM}, {"type": "firewall"})
    bench.conflist("broken", _MASQUERADE | {"bridge": "broken0", "ipam": _IPAM}, {"type": "meddler"})
    bench.conflist("tiny", _MASQUERADE | {"bridge": "tiny0", "ipam": _TINY})
    found = {}
    for ipam in ("null", "cni"):
        for name in ("good", "broken", "tiny"):
            option = f"cni.network={name}"
            bound = ("--ipam-opt", option) if ipam == "cni" else ()
            bench.docker("network", "create", "-d", "cni", "--ipam-driver", ipam, *bound, "-o", option, name)
        found[ipam] = {what: _broken(bench, do) for what, do in _steps(bench, meddler).items()}
        for name in ("good", "broken", "tiny"):
            bench.docker("network", "rm", name)
        for bridge in ("good0", "broken0", "tiny0"):
            bench.shell(f"ip link del {bridge} 2>/dev/null || true")
    default = bench.attempt("network", "create", "-d", "cni", "-o", "cni.network=good", "without")
    return {"steps": found, "default": default["error"]}


def _steps(bench: Bench, meddler: Meddler) -> dict[str, Callable[[], list[str]]]:
    """By name, what makes it fail; each gives what docker said, empty where it succeeded."""

    def run(*arguments: str) -> str:
        return str(bench.attempt("run", "--rm", "--network", *arguments)["error"])

    def exhausted() -> list[str]:
        errors = [
            str(bench.attempt("run", "-d", "--network", "tiny", IMAGE, "sleep", "600")["error"])
            for _ in range(2)
        ]
        bench.remove_containers()
        return errors[1:]

    def plugin() -> list[str]:
        meddler.order(fail=True)
        error = run("broken", IMAGE, "true")
        meddler.order()
        return [error]

    def second_network() -> list[str]:
        meddler.order(fail=True)
        bench.docker("create", "--name", "two", "--network", "good", IMAGE, "sleep", "600")
        bench.docker("network", "connect", "broken", "two")
        error = str(bench.attempt("start", "two")["error"])
        bench.docker("rm", "--force", "two")
        meddler.order()
        return [error]

    return {
        "no address left": exhausted,
        "a plugin fails": plugin,
        "a second network fails": second_network,
        "the program does not exist": lambda: [run("good", IMAGE, "/no/such/program")],
        "an impossible MAC address": lambda: [
            run("good", "--mac-address", "01:00:00:00:00:01", IMAGE, "true")
        ],
    }


def _broken(bench: Bench, do: Callable[[], list[str]]) -> Data:
    errors: list[str] = []
    left = bench.left_by(lambda: errors.extend(do()))
    return {"errors": errors, "left": left}


def judge(data: Data) -> Judgement:
    """By what is left."""
    left = {name: _left(data[name]) for name in ENGINES}
    steps = sum(len(each) for each in data[OLDER]["steps"].values())
    whole = sum(left.values())
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY,
            (
                f"On each engine {steps} failures left nothing: an address is reserved, bound, and given "
                f"back "
                f"in turn."
            ),
        )
        if not whole
        else Bridge(Degree.PARTLY, f"{whole} things were left by {steps * len(ENGINES)} failures."),
        came_true=(not whole, all("--ipam-driver" in data[name]["default"] for name in ENGINES)),
    )


def _left(data: Data) -> int:
    return sum(
        len(things)
        for each in data["steps"].values()
        for it in each.values()
        for things in it["left"].values()
    )


def _verdict(data: Data) -> Verdict:
    leaking = [
        f"{what} ({ipam})" for ipam, each in data["steps"].items() for what, it in each.items() if it["left"]
    ]
    steps = sum(map(len, data["steps"].values()))
    failed = sum(bool(any(it["errors"])) for each in data["steps"].values() for it in each.values())
    if not leaking:
        return refuted(f"Of {steps} steps {failed} failed, and none left anything behind.")
    if len(leaking) < failed:
        return weakened(f"Of {failed} failures {len(leaking)} left something behind: {', '.join(leaking)}.")
    return stands(f"All {failed} failures left something behind.")


def show(data: Data) -> Sequence[Figure]:
    """Failures by engines."""
    steps = list(data[OLDER]["steps"]["null"])
    columns = [f"{ipam}, {name}" for ipam in ("null", "cni") for name in ENGINES]
    rows = {
        step: [_cell(data[name]["steps"][ipam][step]) for ipam in ("null", "cni") for name in ENGINES]
        for step in steps
    }
    errors = [[step, " / ".join(data[NEWEST]["steps"]["null"][step]["errors"])] for step in steps]
    return [
        Matrix("What a failure leaves, by IPAM driver and engine", columns, rows),
        Table(
            "What docker says, newest",
            ["failure", "error"],
            [*errors, ["no IPAM driver", data[NEWEST]["default"]]],
        ),
    ]


def _cell(step: Mapping[str, Any]) -> Cell:
    left = ", ".join(f"{len(things)} {what}" for what, things in step["left"].items())
    return Cell(left or "nothing", good=not left)


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
