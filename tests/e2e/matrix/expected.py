"""What becomes of each property in each column: the one table to change when the shim learns something."""

from dataclasses import dataclass

from tests.e2e.matrix.cases import CHECKED, Case, Property
from tests.e2e.matrix.columns import (
    CARRIED,
    FLAWED,
    HANDOVER,
    INPLACE,
    MODES,
    NEW_PLUGINS,
    OLD_PLUGINS,
    PLUGINS,
    Column,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a property."""

    kind: str
    """`CARRIED`, `REPLAYED` or `FLAWED`."""
    why: str = ""
    """The reason, when it is not there."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """A chain that fails its own CHECK, under any runtime, with all plugins unless it says with which."""

    case: str
    why: str
    plugins: tuple[str, ...] = PLUGINS


@dataclass(frozen=True, slots=True)
class Refusal:
    """A chain that `docker` does not take, in all columns unless it says in which."""

    case: str
    message: str
    """A part of what the user sees."""
    modes: tuple[str, ...] = MODES
    plugins: tuple[str, ...] = PLUGINS


_MOVED_BY_SBR = "the bridge plugin looks for its routes where sbr has taken them from"
_ONE_TABLE = "the bridge plugin looks for routes in the main table alone"
_BOTH_FAMILIES = "the portmap plugin looks for the ports of IPv4 among those of IPv6"
_ANY_LINK = "the tuning plugin takes IFNAME for the name of a link"

FLAWS = (
    *(Flaw(case, _MOVED_BY_SBR) for case in ("sbr", "all in one chain")),
    Flaw("host-local with routes of CNI 1.1", _ONE_TABLE, plugins=(NEW_PLUGINS,)),
    *(Flaw(case, _BOTH_FAMILIES, plugins=(OLD_PLUGINS,)) for case in ("bridge with hairpinMode", "portmap")),
    Flaw("tuning", _ANY_LINK, plugins=(OLD_PLUGINS,)),
)
REFUSALS = (
    Refusal("tap", 'plugin "tap" (network "matrix"): not found', plugins=(OLD_PLUGINS,)),
    Refusal("host-local with routes of CNI 1.1", "not 1.1.0", plugins=(OLD_PLUGINS,)),
    Refusal("dhcp", "dhcp needs the link, which is not there yet when Docker asks", modes=(INPLACE,)),
)


def expected(case: Case, item: Property, column: Column) -> Verdict:
    """What must become of a property."""
    if item == CHECKED:
        for flaw in FLAWS:
            if flaw.case == case.name and column.plugins in flaw.plugins:
                return Verdict(FLAWED, flaw.why)
    return Verdict(item.handover if column.mode == HANDOVER else CARRIED)


def refusal(case: Case, column: Column) -> str:
    """What must be said instead of running the chain; empty when it must run."""
    for found in REFUSALS:
        if found.case == case.name and column.mode in found.modes and column.plugins in found.plugins:
            return found.message
    return ""
