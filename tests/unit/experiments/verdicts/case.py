"""What a case is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
