"""The versions of the CNI specification: which are spoken here, and what each of them can do.

Source: CNI specification 1.1.0, "Version considerations"; how versions are written and compared: libcni
`pkg/version`, `ParseVersion`.
"""

from collections.abc import Iterable

SUPPORTED = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
"""The versions that are spoken here, oldest first."""

ASSUMED = "0.2.0"
"""The version of a configuration that names none. Source: CNI `Documentation/spec-upgrades.md`, which tells
runtimes and plugins alike to assume it; libcni's reading, 0.1.0, differs in nothing but the name."""

BY_FAMILY = frozenset({"0.1.0", "0.2.0"})
"""The versions whose results have one address of each family, as `ip4` and `ip6`."""
WITH_FAMILY = frozenset({"0.3.0", "0.3.1", "0.4.0"})
"""The versions whose results list addresses that each say "4" or "6"; 1.0.0 removed that member."""

FIRST_WITH_CHECK = "0.4.0"
"""Also the first in which DEL is given the result of ADD."""
FIRST_WITH_GC = "1.1.0"
"""Also the first with STATUS, and with the extra members of interfaces and routes."""

_PARTS = 3


def parse(version: str) -> tuple[int, int, int]:
    """The numbers of a version, missing ones as 0. Raises `ValueError`."""
    parts = version.split(".")
    if len(parts) > _PARTS or not all(part.isascii() and part.isdecimal() for part in parts):
        raise ValueError(f"{version!r} is no version: expected numbers, as in 1.0.0")
    major, minor, patch = (*map(int, parts), 0, 0)[:_PARTS]
    return major, minor, patch


def at_least(version: str, other: str) -> bool:
    """Whether `version` is `other` or newer. Raises `ValueError`."""
    return parse(version) >= parse(other)


def supported(offered: Iterable[str]) -> tuple[str, ...]:
    """Those of the versions offered that are spoken here, oldest first. Raises `ValueError`."""
    numbers = {parse(version) for version in offered}
    return tuple(version for version in SUPPORTED if parse(version) in numbers)
