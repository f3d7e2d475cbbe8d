"""Whether Docker can do without its own bridge and iptables."""

from collections.abc import Sequence

from experiments.bench import Bench
from experiments.figures import Figure, Matrix, yes_no
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
    id="E83",
    title="Docker without its bridge",
    claim="With CNI the need to configure Docker's own bridge goes away.",
    sources=(
        hockin(
            "a lot of the ugliness of early bootstrapping (such as configuring Docker to use our bridge) "
            "will go away."
        ),
    ),
    procedure="The engine is started with bridge none and iptables off, and with that its own networking "
    "is gone. A CNI network is made, a server is run "
    "with a published port, another container reaches it by name, the host by the port, and the outside by "
    "masquerade.",
    predictions=("All of it works, with two settings of the engine, none of which names a network.",),
    measured="What works; links and chains of Docker's that are there.",
    section="Side effects",
)

_SETTINGS = {"bridge": "none", "iptables": False}


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    bench.shell("ip address add 192.0.2.83/32 dev lo")
    rules = {tool: bench.shell(f"{tool}-save") for tool in ("iptables", "ip6tables")}
    try:
        with bench.dockerd(**_SETTINGS):
            return _without(bench)
    finally:
        bench.shell("ip address del 192.0.2.83/32 dev lo")
        for tool, text in rules.items():
            bench.engine.run([f"{tool}-restore"], stdin=text)


def _without(bench: Bench) -> Data:
    bench.shell(
        "iptables -F; iptables -X; iptables -P FORWARD ACCEPT; iptables -t nat -F; iptables -t nat -X"
    )
    bench.network("web", "cni-bridge")
    bench.run("server", "web", "-p", "8083:80", command="echo page > /tmp/index.html; exec httpd -f -h /tmp")
    bench.wait(lambda: "page" in bench.inside("server", "wget -q -O - http://127.0.0.1/", check=False))
    found = {
        "by name": "page" in bench.once("web", "timeout 3 wget -q -O - http://server/", check=False),
        "by the port": "page"
        in bench.shell("timeout 3 busybox wget -q -O - http://127.0.0.1:8083/", check=False),
        "the outside": "1 packets received" in bench.once("web", "ping -c 1 -W 2 192.0.2.83", check=False),
        "in inspect": bench.inspect("server", "web")["IPAddress"].startswith("10.89.0."),
        "no link of Docker's": "docker0" not in bench.shell("ip -o link"),
        "no chain of Docker's": "DOCKER" not in bench.shell("iptables-save"),
    }
    bench.docker("rm", "--force", "server")
    bench.docker("network", "rm", "web")
    return found


def judge(data: Data) -> Judgement:
    """By what works."""
    missing = sorted({what for name in ENGINES for what, works in data[name].items() if not works})
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(Degree.FULLY, "The shim needs neither Docker's bridge nor its rules.")
        if not missing
        else Bridge(
            Degree.PARTLY, f"Without Docker's bridge and rules these do not hold: {', '.join(missing)}."
        ),
        came_true=(not missing,),
    )


def _verdict(data: Data) -> Verdict:
    works = [what for what, it in data.items() if it]
    if len(works) == len(data):
        return stands(f"With {len(_SETTINGS)} settings, which name no network, all {len(works)} checks held.")
    missing = [what for what, it in data.items() if not it]
    if len(works) >= len(data) / 2:
        return weakened(f"{len(works)} of {len(data)} checks held, but not: {', '.join(missing)}.")
    return refuted(f"Only {len(works)} of {len(data)} checks held.")


def show(data: Data) -> Sequence[Figure]:
    """Checks by engines."""
    return [
        Matrix(
            "Without Docker's bridge and iptables",
            ENGINES,
            {what: [yes_no(data[name][what]) for name in ENGINES] for what in data[OLDER]},
        )
    ]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
