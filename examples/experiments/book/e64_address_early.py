"""Whether Docker knows the address that a CNI IPAM plugin gives."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lab.engine import IMAGE

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
    Source,
    Verdict,
    refuted,
    stands,
    weakened,
)
from experiments.parts import Parts

CLAIM = Claim(
    id="E64",
    title="The address, early enough",
    claim=(
        "Docker wants the address before the attachment and CNI gives it within, so that one of the two "
        "cannot choose it."
    ),
    sources=(
        Source(
            "Rancher 1.6, docs: the address of a container on a CNI network is not in docker inspect", "2017"
        ),
        Source(
            "libnetwork, docs/remote.md: the driver may not change an address that IPAM has given", "2015"
        ),
    ),
    procedure="With each IPAM plugin and each IPAM driver of Docker's, three containers are run: their "
    "real addresses are compared with what "
    "docker inspect shows and among each other. Then a certain address is asked for. "
    "dhcp cannot be tried: it needs a server on the link.",
    predictions=(
        "host-local: every address is shown and unique, with null and with cni; --ip works with cni.",
        "static: what cni.ips asks for is given and shown.",
    ),
    measured="Addresses shown right and unique; whether a certain one can be asked for.",
    section="Life cycle",
)

_RANGE = "10.64.0.0/24"


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    bridge = {"type": "bridge", "bridge": "early0", "isGateway": True}
    bench.conflist("local", bridge | {"ipam": {"type": "host-local", "ranges": [[{"subnet": _RANGE}]]}})
    static = {"type": "static", "addresses": []}
    bench.conflist("static", bridge | {"capabilities": {"ips": True}, "ipam": static})
    found: Data = {}
    for ipam, bound in (("null", ()), ("cni", ("--ipam-opt", "cni.network=local", "--subnet", _RANGE))):
        name = f"local-{ipam}"
        bench.docker(
            "network", "create", "-d", "cni", "--ipam-driver", ipam, *bound, "-o", "cni.network=local", name
        )
        ask = (
            ("--network", f"name={name},driver-opt=cni.ips=10.64.0.77")
            if ipam == "null"
            else ("--network", name, "--ip", "10.64.0.77")
        )
        found[f"host-local, {ipam}"] = _tried(bench, [("--network", name)] * 3, ask, "10.64.0.77")
    bench.network("fixed", "static")
    fixed_ones = [
        ("--network", f"name=fixed,driver-opt=cni.ips=10.64.0.{number}/24") for number in (11, 12, 13)
    ]
    ask = ("--network", "name=fixed,driver-opt=cni.ips=10.64.0.14/24")
    found["static, null"] = _tried(bench, fixed_ones, ask, "10.64.0.14")
    return found


def _tried(bench: Bench, ways: Sequence[tuple[str, ...]], ask: tuple[str, ...], wanted: str) -> Data:
    shown, real = [], []
    for number, way in enumerate(ways):
        one, other = _started(bench, f"box{number}", way)
        shown.append(one)
        real.append(other)
    asked = bench.attempt("run", "-d", "--name", "asked", *ask, IMAGE, "sleep", "600")
    given = _seen(bench, "asked") if asked["status"] == 0 else ("", "")
    bench.remove_containers()
    return {"shown": shown, "real": real, "asked": given == (wanted, wanted), "error": asked["error"]}


def _started(bench: Bench, name: str, way: tuple[str, ...]) -> tuple[str, str]:
    bench.docker("run", "-d", "--name", name, *way, IMAGE, "sleep", "600")
    return _seen(bench, name)


def _seen(bench: Bench, name: str) -> tuple[str, str]:
    """The address that Docker shows, and the real one."""
    shown = bench.docker(
        "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name
    ).strip()
    real = re.findall(r"inet (\S+)/", bench.inside(name, "ip -4 -o address show eth0"))
    return shown, real[0] if real else ""


def judge(data: Data) -> Judgement:
    """By addresses that are shown as they are."""
    right = {name: sum(_right(it) for it in data[name].values()) for name in ENGINES}
    total = sum(map(len, data.values()))
    text = (
        f"{sum(right.values())} of {total} combinations of plugin, driver and engine show every address "
        f"as it is, unique, and give the one that is asked for"
    )
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY if sum(right.values()) == total else Degree.PARTLY, f"{text}; dhcp was not tried."
        ),
        came_true=(
            all(_right(data[name][f"host-local, {ipam}"]) for name in ENGINES for ipam in ("null", "cni")),
            all(_right(data[name]["static, null"]) for name in ENGINES),
        ),
    )


def _right(tried: Mapping[str, Any]) -> bool:
    return (
        tried["shown"] == tried["real"] and len(set(tried["real"])) == len(tried["real"]) and tried["asked"]
    )


def _verdict(data: Data) -> Verdict:
    right = [what for what, it in data.items() if _right(it)]
    if len(right) == len(data):
        return refuted(f"With {', '.join(right)} the plugin chose, and Docker knew.")
    if right:
        return weakened(
            f"With {', '.join(right)} the plugin chose, and Docker knew, but not with the others."
        )
    return stands("In no way the plugin chose and Docker knew.")


def show(data: Data) -> Sequence[Figure]:
    """Combinations by engines."""
    rows = {}
    for what in data[OLDER]:
        rows[f"{what}: shown as it is"] = [
            yes_no(data[name][what]["shown"] == data[name][what]["real"]) for name in ENGINES
        ]
        rows[f"{what}: unique"] = [yes_no(len(set(data[name][what]["real"])) == 3) for name in ENGINES]
        rows[f"{what}: a certain one"] = [yes_no(data[name][what]["asked"]) for name in ENGINES]
    return [Matrix("Addresses", ENGINES, rows)]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
