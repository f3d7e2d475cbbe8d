"""What a case is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TRACE: list[dict[str, Any]] = [
    {"kind": "trace", "version": 1, "program": "cnm-cni", "of": "daemon", "driver": "cni"}
    | {"start": "2026-01-02T03:04:05.000000Z", "monotonic": 1.0},
    {"kind": "call", "id": 1, "within": None, "name": "Join", "offset": 0.5, "seconds": 0.25, "error": ""},
    {"kind": "plugin", "id": 2, "within": 1, "name": "bridge", "offset": 0.55, "seconds": 0.1, "error": ""}
    | {"command": "ADD"},
    {"kind": "end", "offset": 1.0},
]
"""What `cnm-cni trace` records, with the members that are shown."""


@dataclass(frozen=True, slots=True)
class Case:
    """Data of an experiment, and the judgement they must lead to."""

    experiment: str
    title: str
    data: dict[str, Any]
    expected: Mapping[str, str]
    """The verdict of each engine."""
    bridged: str
    came_true: tuple[bool | None, ...]


def both(data: Any) -> dict[str, Any]:
    """The same on each engine."""
    return {"20.10": data, "newest": data}
