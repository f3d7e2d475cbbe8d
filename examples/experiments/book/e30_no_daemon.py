"""What happens when the driver's daemon is not there."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from lab.engine import IMAGE

from experiments.bench import CONFLISTS, Bench
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
    refuted,
    stands,
    weakened,
)
from experiments.parts import Parts
from experiments.spread import milliseconds
from experiments.texts import hockin, issue

CLAIM = Claim(
    id="E30",
    title="A daemon, and none",
    claim=(
        "CNI needs no daemon, while a remote driver is one, without which containers do not start and "
        "the engine stalls."
    ),
    sources=(
        hockin(
            "It's far simpler than CNM, doesn't require daemons, and is at least plausibly cross-platform"
        ),
        issue("libnetwork#813, dead plugin = dead docker", "2015"),
    ),
    procedure="One container pings another on a CNI network while the shim is killed. With the shim away, "
    "a container is run, one is stopped, "
    "the engine answers docker ps, and is started again with a container that restarts. Then the shim "
    "comes back. "
    "CNI alone attaches a namespace while there is no daemon.",
    predictions=(
        "No packet is lost.",
        "docker run fails, after about 30 s.",
        "docker stop succeeds, and what the plugins made stays until the shim is back.",
        "The engine's start takes longer, by more than 10 s.",
        "CNI alone works without a daemon.",
    ),
    measured=(
        "Lost packets; seconds of each command, with the shim and without; leases while it is away, "
        "and when they are gone."
    ),
    section="Daemons and wrapping",
)


def measure(parts: Parts) -> Data:
    """Both engines at the same time: they wait for most of it."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    bench.network("web", "cni-bridge")
    for name in ("one", "two"):
        bench.run(name, "web")
    address = bench.inspect("one", "web")["IPAddress"]
    loss = _traffic(bench, address)
    run = bench.attempt("run", "--rm", "--network", "web", IMAGE, "true")
    ps = bench.attempt("ps")
    stop = bench.attempt("stop", "--time", "0", "two")
    leases = _leases(bench)
    bench.shell("ip netns add alone")
    bench.conflist(
        "alone", {"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.30.0.0/24"}]]}}
    )
    by_hand = bool(bench.cni("add", "alone", "/run/netns/alone").get("ips"))
    bench.cni("del", "alone", "/run/netns/alone")
    bench.shell("ip netns delete alone")
    bench.engine.start_shim([CONFLISTS, bench.conf_dir])
    start = time.monotonic()
    gone = bench.wait(lambda: _leases(bench) == 1, within=90)
    collected = time.monotonic() - start
    bench.docker("rm", "--force", "one", "two")
    return {
        **loss,
        "run": run,
        "ps": ps["seconds"],
        "stop": stop,
        "leases_away": leases,
        "collected": collected if gone else None,
        "by_hand": by_hand,
        "starts": _starts(bench),
    }


def _traffic(bench: Bench, address: str) -> Data:
    """Kill the shim in the midst of packets."""
    with ThreadPoolExecutor(1) as pool:
        ping = pool.submit(
            bench.inside,
            "two",
            f"for i in $(seq 40); do ping -c 1 -W 1 {address} >/dev/null && echo ok; usleep 50000; done",
        )
        time.sleep(1)
        bench.engine.kill_shim()
        return {"sent": 40, "received": ping.result().count("ok")}


def _starts(bench: Bench) -> dict[str, float]:
    """Seconds until the engine answers, with a container that restarts, with the shim and without."""
    bench.run("always", "web", "--restart", "always")
    seconds = {}
    for shim in ("with the shim", "without the shim"):
        if shim == "without the shim":
            bench.engine.kill_shim()
            bench.engine.kill_dockerd()  # a clean stop would wait for the shim as well
        else:
            bench.engine.stop_dockerd()
        start = time.monotonic()
        bench.engine.start_dockerd()
        seconds[shim] = time.monotonic() - start
    bench.engine.start_shim([CONFLISTS, bench.conf_dir])
    bench.docker("rm", "--force", "always")
    return seconds


def _leases(bench: Bench) -> int:
    return int(bench.shell("ls /var/lib/cni/networks/cni-bridge | grep -c '^10' || true"))


def judge(data: Data) -> Judgement:
    """By what fails without the daemon."""
    each = [data[name] for name in ENGINES]
    lost = sum(it["sent"] - it["received"] for it in each)
    collected = [it["collected"] for it in each]
    longer = [it["starts"]["without the shim"] - it["starts"]["with the shim"] for it in each]
    kept = not lost and all(value is not None for value in collected)
    whole = (
        f"{sum(it['received'] for it in each)} of {sum(it['sent'] for it in each)} packets arrived "
        f"while the shim died"
    )
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.PARTLY,
            (
                f"{whole}, and what it had missed it removed within {max(collected):.0f} s of its return; "
                f"but "
                f"nothing starts without it."
            ),
        )
        if kept
        else Bridge(Degree.NOT_AT_ALL, f"{whole}; what it had missed stayed." if not lost else f"{whole}."),
        surprise=f"docker stop takes {each[0]['stop']['seconds']:.0f} s: the engine waits some 15 s for "
        f"each of three calls, "
        "and then goes on without."
        if each[0]["stop"]["seconds"] > 20
        else "",
        came_true=(
            not lost,
            all(it["run"]["status"] and 25 <= it["run"]["seconds"] <= 35 for it in each),
            all(it["stop"]["status"] == 0 and it["leases_away"] == 2 for it in each)
            and all(value is not None for value in collected),
            all(value > 10 for value in longer),
            all(it["by_hand"] for it in each),
        ),
    )


def _verdict(data: Data) -> Verdict:
    run, starts = data["run"], data["starts"]
    text = (
        f"Without its daemon docker run {'fails' if run['status'] else 'succeeds'} after "
        f"{run['seconds']:.0f} s, docker stop takes "
        f"{data['stop']['seconds']:.0f} s, and the engine's start {starts['without the shim']:.0f} s "
        f"instead of {starts['with the shim']:.0f} s"
    )
    if not data["by_hand"]:
        return refuted("CNI alone did not work without a daemon either.")
    if run["status"] and starts["without the shim"] > starts["with the shim"] + 5:
        return stands(f"{text}; CNI alone works.")
    return weakened(f"{text}; CNI alone works.")


def show(data: Data) -> Sequence[Figure]:
    """What takes how long."""

    def row(what: str, value: Callable[[Data], str]) -> list[str]:
        return [what, *(value(data[name]) for name in ENGINES)]

    rows = [
        row("packets lost while the shim dies", lambda it: f"{it['sent'] - it['received']} of {it['sent']}"),
        row(
            "docker run, without it",
            lambda it: f"{'fails' if it['run']['status'] else 'runs'} after {it['run']['seconds']:.1f} s",
        ),
        row("docker ps, without it", lambda it: milliseconds(it["ps"])),
        row("docker stop, without it", lambda it: f"{it['stop']['seconds']:.1f} s"),
        row("leases left then, of one running container", lambda it: str(it["leases_away"])),
        row(
            "removed after the shim's return",
            lambda it: "never" if it["collected"] is None else f"{it['collected']:.1f} s",
        ),
        row("the engine's start, with it", lambda it: f"{it['starts']['with the shim']:.1f} s"),
        row("the engine's start, without it", lambda it: f"{it['starts']['without the shim']:.1f} s"),
        row("CNI alone, without a daemon", lambda it: "works" if it["by_hand"] else "fails"),
    ]
    errors = [[name, data[name]["run"]["error"]] for name in ENGINES]
    return [
        Table("Without the driver's daemon", ["", *ENGINES], rows),
        Table("What docker run says", ["engine", "error"], errors),
    ]


EXPERIMENT = Experiment(CLAIM, measure, judge, show, timed=True)
