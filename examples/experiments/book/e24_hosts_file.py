"""Whether the hosts files of containers are corrupted."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

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
from experiments.texts import hockin, issue

CLAIM = Claim(
    id="E24",
    also="I5",
    title="The hosts file",
    claim=(
        "Docker corrupts /etc/hosts in containers: with entries of other containers, duplicates, and "
        "lost lines."
    ),
    sources=(
        hockin(
            "In docker versions 1.8 and 1.9, it includes a fundamentally flawed implementation of "
            '"discovery" that results in corrupted /etc/hosts files in containers'
        ),
        issue("docker#17190, Docker 1.8 corrupts /etc/hosts files in containers", "2015-10-20"),
    ),
    procedure="Containers on one network, half of it a bridge of Docker's and half the shim's, are started "
    "and restarted in crowds; then "
    "each hosts file is read. Then a container appends numbered lines to its own file while it is "
    "connected to "
    "and disconnected from another network; lines that are missing afterwards are counted. "
    "1.8 and 1.9 do not run here: what they did is cited, not measured.",
    predictions=(
        "No file has an entry of another container, nor a duplicate.",
        "Every container on a CNI network finds its own name at its own address.",
        "Some appended lines get lost while networks are connected and disconnected.",
    ),
    measured=(
        "Entries of others and duplicates in all files; own entries that are right; appended lines "
        "that are lost."
    ),
    section="Name service and hosts file",
)

_NETWORKS = ("own", "cni")


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(lambda bench: _on(bench, parts.rounds(16, 6)))


def _on(bench: Bench, width: int) -> Data:
    bench.docker("network", "create", "own")
    bench.network("cni", "cni-bridge")
    boxes = {f"box{number}": _NETWORKS[number % 2] for number in range(width)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda box: bench.run(box, boxes[box]), boxes))
        list(pool.map(lambda box: bench.docker("restart", "--time", "0", box), boxes))
    files = {box: _file(bench, box, network) for box, network in boxes.items()}
    return {"files": files, **_appended(bench, "box0", "cni", width)}


def _file(bench: Bench, box: str, network: str) -> Data:
    text = bench.inside(box, "cat /etc/hosts")
    entries = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    address = bench.inspect(box, network)["IPAddress"]
    identity = bench.docker("inspect", "--format", "{{.Config.Hostname}}", box).strip()
    return {
        "network": network,
        "lines": len(entries),
        "duplicates": len(entries) - len({tuple(entry) for entry in entries}),
        "others": sum(entry[0] not in _USUAL and identity not in entry for entry in entries),
        "own": any(entry[0].endswith(address) and identity in entry for entry in entries),
    }


_USUAL = ("127.0.0.1", "::1", "fe00::0", "fe00::", "ff00::0", "ff00::", "ff02::1", "ff02::2")


def _appended(bench: Bench, box: str, network: str, times: int) -> Data:
    """Lines that a container appends while its networks change, and how many are there afterwards."""
    append = (
        'n=0; while [ ! -e /tmp/stop ]; do n=$((n+1)); echo "198.51.100.1 line$n" >> /etc/hosts; '
        "usleep 2000; done; echo $n > /tmp/count"
    )
    bench.docker("exec", "--detach", box, "sh", "-c", append)
    for _ in range(times):
        bench.docker("network", "connect", network, box)
        bench.docker("network", "disconnect", network, box)
    count = int(
        bench.inside(box, "touch /tmp/stop; while [ ! -e /tmp/count ]; do usleep 10000; done; cat /tmp/count")
    )
    kept = int(bench.inside(box, "grep -c '^198.51.100.1 line[0-9]*$' /etc/hosts"))
    return {"appended": count, "kept": kept, "changes": 2 * times}


def judge(data: Data) -> Judgement:
    """By entries of others and duplicates; lost lines weaken."""
    files = {name: list(data[name]["files"].values()) for name in ENGINES}
    cni = [each for name in ENGINES for each in files[name] if each["network"] == "cni"]
    own = sum(each["own"] for each in cni)
    lost = sum(data[name]["appended"] - data[name]["kept"] for name in ENGINES)
    text = (
        f"{own} of {len(cni)} containers on the CNI network had their own name at their own address in "
        f"their hosts file"
    )
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.FULLY if own == len(cni) and not lost else Degree.PARTLY,
            f"{text}; the engine writes the file, and lost {lost} lines.",
        ),
        came_true=(
            not any(each["others"] or each["duplicates"] for name in ENGINES for each in files[name]),
            own == len(cni),
            all(data[name]["kept"] < data[name]["appended"] for name in ENGINES),
        ),
    )


def _verdict(data: Data) -> Verdict:
    files = data["files"].values()
    wrong = sum(each["others"] + each["duplicates"] for each in files)
    lost = data["appended"] - data["kept"]
    if wrong:
        return stands(f"{wrong} entries in {len(files)} files are of others or duplicates.")
    text = f"No entry in {len(files)} files is of another container or a duplicate"
    if lost:
        return weakened(
            f"{text}, but of {data['appended']} appended lines {lost} got lost in {data['changes']} "
            f"changes of networks."
        )
    return fixed(
        "1.10",
        (
            f"{text}, and none of {data['appended']} appended lines got lost in {data['changes']} changes of "
            f"networks."
        ),
    )


def show(data: Data) -> Sequence[Figure]:
    """Counts by engine."""

    def total(name: str, what: str) -> str:
        return str(sum(each[what] for each in data[name]["files"].values()))

    rows = [
        ["files", *(str(len(data[name]["files"])) for name in ENGINES)],
        ["entries of other containers", *(total(name, "others") for name in ENGINES)],
        ["duplicates", *(total(name, "duplicates") for name in ENGINES)],
        ["own name at own address", *(total(name, "own") for name in ENGINES)],
        ["appended lines", *(str(data[name]["appended"]) for name in ENGINES)],
        ["of these lost", *(str(data[name]["appended"] - data[name]["kept"]) for name in ENGINES)],
    ]
    return [Table("Hosts files", ["", *ENGINES], rows)]


EXPERIMENT = Experiment(CLAIM, measure, judge, show)
