"""What was measured, as tables for people and as JSON for programs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from statistics import median, quantiles
from typing import Any

from measure import ALONE, BARE, DOCKER_BRIDGE, NONE, RUNTIME_WIDE, SHIM, WIDE, Batch, Measurements

_AIM_OVERHEAD = 0.040
_AIM_RUNTIME_OVERHEAD = 0.003
_AIM_RESIDENT = 60 * 2**20
_AIM_READY = 0.5

_NAMES = {
    NONE: "docker run --network none",
    DOCKER_BRIDGE: "docker run on a Docker bridge",
    SHIM: "docker run on cni-bridge",
    BARE: "bare ADD and DEL of cni-bridge",
}

_CALLS = ("CreateEndpoint", "Join", "Leave", "DeleteEndpoint")


def text(measured: Measurements) -> str:
    """Tables of medians, 95th percentiles and ratios."""
    return "\n".join(
        [
            *_wall_time(measured, ALONE, "One at a time"),
            *_wall_time(measured, WIDE, f"{WIDE} at a time"),
            *_handler_time(measured),
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
            [life.calls[name].overhead for life in measured.lives[width]] for width in (ALONE, WIDE)
        ]
    for row, (alone, wide) in rows.items():
        yield f"  {row:<42}{_columns(alone)}  {_columns(wide)}"
    for row in ("handlers", "plugins"):
        ratio = _against_bare(measured, rows[row][0])
        yield f"  {row + ' / bare ADD and DEL':<42}{ratio:9.2f}"


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
    containers = sum(map(len, measured.lives.values()))
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
    )
    yield ""
    yield f"  {'Aims':<42}{'aim':>9}{'measured':>11}"
    for what, aim, value, show in aims:
        verdict = "met" if value <= aim else "missed"
        yield f"  {what:<42}{show(aim):>9}{show(value):>11}   {verdict}"


def _each(measured: Measurements, width: int, part: str) -> list[float]:
    return [getattr(life.total, part) for life in measured.lives[width]]


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
