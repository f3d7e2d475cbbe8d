"""What was measured, as tables for people and as JSON for programs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from statistics import median, quantiles
from typing import Any

from calls import Call
from measure import (
    ALONE,
    BARE,
    DOCKER_BRIDGE,
    NONE,
    RUNTIME_WIDE,
    SHIM,
    SHIM_IPAM,
    WIDE,
    Batch,
    Measurements,
)

_AIM_OVERHEAD = 0.040
_AIM_RUNTIME_OVERHEAD = 0.003
_AIM_RESIDENT = 60 * 2**20
_AIM_READY = 0.5
_AIM_ADDED_RUNS = 2
"""Of plugins, by the IPAM driver: one at the start of a container, and one at its end."""

_NAMES = {
    NONE: "docker run --network none",
    DOCKER_BRIDGE: "docker run on a Docker bridge",
    SHIM: "docker run on cni-bridge",
    SHIM_IPAM: "the same with --ipam-driver cni",
    BARE: "bare ADD and DEL of cni-bridge",
}

_CALLS = ("CreateEndpoint", "Join", "Leave", "DeleteEndpoint")
_ADDRESS_CALLS = ("RequestAddress", "ReleaseAddress")


def text(measured: Measurements) -> str:
    """Tables of medians, 95th percentiles and ratios."""
    return "\n".join(
        [
            *_wall_time(measured, ALONE, "One at a time"),
            *_wall_time(measured, WIDE, f"{WIDE} at a time"),
            *_handler_time(measured),
            *_ipam_driver(measured),
            *_runtime_alone(measured),
            *_daemon(measured),
            *_aims(measured),
        ]
    )


def raw(measured: Measurements) -> dict[str, Any]:
    """Everything that was measured, for JSON. Times in seconds, memory in bytes."""
    return asdict(measured)


def _wall_time(measured: Measurements, width: int, title: str) -> Iterator[str]:
    """Ratios are taken turn by turn, between neighbours in time; their median is what holds."""
    batches = measured.batches[width]
    yield ""
    yield f"  {title + ', wall time':<42}{'median':>9}{'p95':>9}{'per s':>8}{'/ none':>9}{'/ bridge':>9}"
    for way, turns in batches.items():
        seconds = [each for batch in turns for each in batch.seconds]
        rate = median(len(batch.seconds) / batch.wall for batch in turns)
        ratios = "".join(f"{_ratio(turns, batches[other]):9.2f}" for other in (NONE, DOCKER_BRIDGE))
        yield f"  {_NAMES[way]:<42}{_columns(seconds)}{rate:8.1f}{ratios}"


def _handler_time(measured: Measurements) -> Iterator[str]:
    yield ""
    yield f"  {'In the shim, for one container':<42}{'alone':>9}{'p95':>9}{f'{WIDE} wide':>11}{'p95':>9}"
    rows = {
        "handlers": [_each(measured, width, "handler") for width in (ALONE, WIDE)],
        "plugins": [_each(measured, width, "plugins") for width in (ALONE, WIDE)],
        "overhead: handlers without plugins": [_each(measured, width, "overhead") for width in (ALONE, WIDE)],
    }
    for name in _CALLS:
        rows[f"  of it in {name}"] = [
            [life.calls[name].overhead for life in measured.lives[width][SHIM]] for width in (ALONE, WIDE)
        ]
    for row, (alone, wide) in rows.items():
        yield f"  {row:<42}{_columns(alone)}  {_columns(wide)}"
    for row in ("handlers", "plugins"):
        ratio = _against_bare(measured, rows[row][0])
        yield f"  {row + ' / bare ADD and DEL':<42}{ratio:9.2f}"


def _ipam_driver(measured: Measurements) -> Iterator[str]:
    """What it costs that addresses are asked for beforehand: one at a time, without and with."""
    lives = [measured.lives[ALONE][way] for way in (SHIM, SHIM_IPAM)]
    runs = [measured.runs[way] for way in (SHIM, SHIM_IPAM)]
    yield ""
    yield f"  {'With --ipam-driver null, and with cni':<42}{'null':>9}{'cni':>9}{'cni / null':>11}"
    for row, counts in (
        ("plugin runs at the start", [len(each.start) for each in runs]),
        ("plugin runs at the end", [len(each.end) for each in runs]),
    ):
        yield f"  {row:<42}{counts[0]:>9}{counts[1]:>9}{counts[1] / counts[0]:11.2f}"
    batches = measured.batches[ALONE]
    walls = [[each for batch in batches[way] for each in batch.seconds] for way in (SHIM, SHIM_IPAM)]
    yield _side_by_side("docker run", walls)
    yield _side_by_side("all handlers", [[life.total.handler for life in each] for each in lives])
    yield _side_by_side("  of it plugins", [[life.total.plugins for life in each] for each in lives])
    for name in _ADDRESS_CALLS:
        seconds = [life.calls.get(name, Call()).handler for life in lives[1]]
        yield f"  {'  ' + name:<42}{'':>9}{_shown(median(seconds)):>9}"
    for name in _CALLS:
        yield _side_by_side(f"  {name}", [[life.calls[name].handler for life in each] for each in lives])


def _side_by_side(row: str, seconds: Sequence[Sequence[float]]) -> str:
    """Medians, and the median of the ratios of neighbours in time."""
    ratio = median(other / one for one, other in zip(*seconds, strict=True))
    return f"  {row:<42}{_shown(median(seconds[0])):>9}{_shown(median(seconds[1])):>9}{ratio:11.2f}"


def _runtime_alone(measured: Measurements) -> Iterator[str]:
    alone = measured.runtime_alone
    ratio = median(one / other for one, other in zip(alone.runtime, alone.bare, strict=True))
    yield ""
    yield f"  {'ADD and DEL of bridge with host-local':<42}{'median':>9}{'p95':>9}{f'all {RUNTIME_WIDE}':>11}"
    yield f"  {'by the CNI runtime':<42}{_columns(alone.runtime)}{_shown(alone.runtime_wall):>11}"
    yield f"  {'bare':<42}{_columns(alone.bare)}{_shown(alone.bare_wall):>11}"
    yield f"  {'CNI runtime / bare':<42}{ratio:9.2f}{'':9}{alone.runtime_wall / alone.bare_wall:11.2f}"
    yield f"  {f'errors among {RUNTIME_WIDE} at once':<42}{len(alone.errors):>9}"
    yield from (f"    {error}" for error in alone.errors)


def _runtime_overhead(measured: Measurements) -> float:
    """Seconds that the CNI runtime adds to each of a round's two plugin runs."""
    alone = measured.runtime_alone
    return median(one - other for one, other in zip(alone.runtime, alone.bare, strict=True)) / 2


def _daemon(measured: Measurements) -> Iterator[str]:
    daemon, interpreter = (
        [startup[name] for startup in measured.startups] for name in ("daemon", "interpreter")
    )
    ratio = median(one / other for one, other in zip(daemon, interpreter, strict=True))
    containers = sum(len(lives) for by_way in measured.lives.values() for lives in by_way.values())
    yield ""
    yield f"  {'The daemon':<42}{'median':>9}{'p95':>9}"
    yield f"  {'start to accepting socket':<42}{_columns(daemon)}   {ratio:.0f} times an empty Python program"
    at_start, at_most = _mebibytes(measured.resident_at_start), _mebibytes(measured.resident_peak)
    resident = f"{_mebibytes(measured.resident):>9}   (at the start {at_start}, at most {at_most})"
    yield f"  {f'resident after {containers} containers':<42}{resident}"
    own = _shown(measured.processor_time / containers)
    yield f"  {'processor time of its own, per container':<42}{own:>9}"


def _aims(measured: Measurements) -> Iterator[str]:
    overhead = median(_each(measured, ALONE, "overhead"))
    ready = median(startup["daemon"] for startup in measured.startups)
    aims = (
        ("overhead, alone", _AIM_OVERHEAD, overhead, _shown),
        (
            "the CNI runtime's, for each plugin run",
            _AIM_RUNTIME_OVERHEAD,
            _runtime_overhead(measured),
            _shown_finely,
        ),
        ("resident memory", _AIM_RESIDENT, measured.resident, _mebibytes),
        ("ready after", _AIM_READY, ready, _shown),
        ("plugin runs that --ipam-driver cni adds", _AIM_ADDED_RUNS, _added_runs(measured), str),
    )
    yield ""
    yield f"  {'Aims':<42}{'aim':>9}{'measured':>11}"
    for what, aim, value, show in aims:
        verdict = "met" if value <= aim else "missed"
        yield f"  {what:<42}{show(aim):>9}{show(value):>11}   {verdict}"


def _added_runs(measured: Measurements) -> int:
    without, with_driver = (
        len(measured.runs[way].start) + len(measured.runs[way].end) for way in (SHIM, SHIM_IPAM)
    )
    return with_driver - without


def _each(measured: Measurements, width: int, part: str) -> list[float]:
    return [getattr(life.total, part) for life in measured.lives[width][SHIM]]


def _ratio(turns: Sequence[Batch], others: Sequence[Batch]) -> float:
    return median(
        median(batch.seconds) / median(other.seconds) for batch, other in zip(turns, others, strict=True)
    )


def _against_bare(measured: Measurements, alone: Sequence[float]) -> float:
    bare = (batch.seconds[0] for batch in measured.batches[ALONE][BARE])
    return median(seconds / other for seconds, other in zip(alone, bare, strict=True))


def _columns(seconds: Sequence[float]) -> str:
    return f"{_shown(median(seconds)):>9}{_shown(_p95(seconds)):>9}"


def _p95(values: Sequence[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[-1]


def _shown(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _shown_finely(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _mebibytes(count: float) -> str:
    return f"{count / 2**20:.0f} MiB"
