"""Whether two runtimes that share an address range give out an address twice."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from lab.errors import LabError

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
    Source,
    Verdict,
    refuted,
    stands,
    weakened,
)
from experiments.parts import Parts

CLAIM = Claim(
    id="E41",
    title="Addresses from one store",
    claim="Runtimes that share a conflist share its addresses, without giving one out twice.",
    sources=(Source("host-local, a CNI plugin: leases are files below a folder, behind a lock", "2016"),),
    procedure="In each round five containers of Docker's and five namespaces by CNI alone are attached at "
    "once, to a range of 29 addresses, "
    "while those of the round before are removed. Addresses in use are compared.",
    predictions=("No address is in use twice, and none stays leased afterwards.",),
    measured="Attachments; addresses that were in use twice; failures; leases that are left.",
    section="One configuration, several runtimes",
)

_EACH = 5
_NAME = "leased"


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(lambda bench: _on(bench, parts.rounds(8, 3)))


def _on(bench: Bench, rounds: int) -> Data:
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.41.0.0/27"}]]}
    bench.conflist(_NAME, {"type": "bridge", "bridge": "leased0", "isGateway": True, "ipam": ipam})
    bench.network(_NAME, _NAME)
    attached = twice = 0
    failures: list[str] = []
    running: list[str] = []
    with ThreadPoolExecutor(2 * _EACH) as pool:
        for number in range(rounds):
            starting = [f"{kind}{number}-{each}" for each in range(_EACH) for kind in ("box", "hand")]
            ends = [pool.submit(_end, bench, name) for name in running]
            starts = [pool.submit(_start, bench, name) for name in starting]
            addresses, running = [], []
            for name, job in zip(starting, starts, strict=True):
                try:
                    addresses.append(job.result())
                    running.append(name)
                except LabError as error:
                    failures.append(str(error))
            for end in ends:
                end.result()
            attached += len(addresses)
            twice += len(addresses) - len(set(addresses))
        list(pool.map(lambda name: _end(bench, name), running))
    left = bench.shell(f"ls /var/lib/cni/networks/{_NAME} | grep -c '^10' || true")
    return {"attached": attached, "twice": twice, "failures": failures, "left": int(left)}


def _start(bench: Bench, name: str) -> str:
    """Attach one; its address."""
    if name.startswith("box"):
        bench.run(name, _NAME)
        address: str = bench.inspect(name, _NAME)["IPAddress"]
        return address
    bench.shell(f"ip netns add {name}")
    given: str = bench.cni("add", _NAME, f"/run/netns/{name}")["ips"][0]["address"]
    return given.partition("/")[0]


def _end(bench: Bench, name: str) -> None:
    if name.startswith("box"):
        bench.docker("rm", "--force", name)
        return
    bench.cni("del", _NAME, f"/run/netns/{name}")
    bench.shell(f"ip netns delete {name}")


def judge(data: Data) -> Judgement:
    """By addresses that were given twice."""
    each = [data[name] for name in ENGINES]
    clean = not any(it["twice"] or it["left"] or it["failures"] for it in each)
    attached = sum(it["attached"] for it in each)
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY, f"Docker's containers were among {attached} attachments without a collision."
        )
        if clean
        else Bridge(
            Degree.PARTLY, f"Among {attached} attachments there were collisions, failures or leases left."
        ),
        came_true=(clean,),
    )


def _verdict(data: Data) -> Verdict:
    text = (
        f"Of {data['attached']} attachments {data['twice']} had an address that was in use, "
        f"{len(data['failures'])} failed, and {data['left']} leases were left"
    )
    if data["twice"]:
        return refuted(f"{text}.")
    if data["left"] or data["failures"]:
        return weakened(f"{text}.")
    return stands(f"{text}.")


def show(data: Data) -> Sequence[Figure]:
    """Counts by engine."""
    rows = [[what, *(str(data[name][what]) for name in ENGINES)] for what in ("attached", "twice", "left")]
    return [Table("Attachments by two runtimes at once", ["", *ENGINES], rows)]


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
