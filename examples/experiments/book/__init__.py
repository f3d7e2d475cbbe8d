"""The experiments, one in each module, and what rests on sources alone.

A module of an experiment has `EXPERIMENT`, one of a documented entry `DOCUMENTED`.
"""

import importlib
import pkgutil
import re

from experiments.model import Entry

_NUMBER = re.compile(r"E(\d+)(.*)")


def entries() -> list[Entry]:
    """All of them, in the order of their numbers."""
    modules = [
        importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)
    ]
    found: list[Entry] = []
    for module in modules:
        found += [getattr(module, name) for name in ("EXPERIMENT", "DOCUMENTED") if hasattr(module, name)]
    return sorted(found, key=lambda entry: _order(entry.claim.id))


def _order(identifier: str) -> tuple[int, str]:
    number = _NUMBER.fullmatch(identifier)
    if not number:
        raise ValueError(f"an experiment's ID is E and a number, not {identifier}")
    return int(number[1]), number[2]
