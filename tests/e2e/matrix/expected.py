"""What becomes of each property in each column: the one table to change when the shim learns something."""

from dataclasses import dataclass

from tests.e2e.matrix.cases import CHECKED, Case, Property
from tests.e2e.matrix.columns import (
    CARRIED,
    ENGINES,
    FLAWED,
    HANDOVER,
    INPLACE,
    LOST,
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
    """`CARRIED`, `REPLAYED`, `LOST` or `FLAWED`."""
    why: str = ""
    """The reason, when it is not there."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A property that is lost, in all columns unless it says in which."""

    case: str
    property: str
    why: str
    engines: tuple[str, ...] = ENGINES
    modes: tuple[str, ...] = MODES
    plugins: tuple[str, ...] = PLUGINS

    def is_of(self, case: Case, item: Property, column: Column) -> bool:
        """Whether this property is meant, in this column."""
        return (
            (self.case, self.property) == (case.name, item.name)
            and column.engine in self.engines
            and column.mode in self.modes
            and column.plugins in self.plugins
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """A chain that `docker` does not take, in all columns unless it says in which."""

    case: str
    message: str
    """A part of what the user sees."""
    modes: tuple[str, ...] = MODES
    plugins: tuple[str, ...] = PLUGINS


_NO_MAC_YET = (
    "Docker asks for it before the link is there, and the plugin takes none; `cnm-cni endpoint ls` shows it"
)

_MOVED_BY_SBR = "the bridge plugin looks for its routes where sbr has taken them from"
_ONE_TABLE = "the bridge plugin looks for routes in the main table alone"
_BOTH_FAMILIES = "the portmap plugin looks for the ports of IPv4 among those of IPv6"
_ANY_LINK = "the tuning plugin takes IFNAME for the name of a link"

FLAWS = (
    *(Loss(case, CHECKED.name, _MOVED_BY_SBR) for case in ("sbr", "all in one chain")),
    Loss("host-local with routes of CNI 1.1", CHECKED.name, _ONE_TABLE, plugins=(NEW_PLUGINS,)),
    *(
        Loss(case, CHECKED.name, _BOTH_FAMILIES, plugins=(OLD_PLUGINS,))
        for case in ("bridge with hairpinMode", "portmap")
    ),
    Loss("tuning", CHECKED.name, _ANY_LINK, plugins=(OLD_PLUGINS,)),
)
"""Chains that fail their own CHECK, under any runtime."""

LOSSES = (
    *(
        Loss(case, "MAC address in docker inspect", _NO_MAC_YET, modes=(INPLACE,))
        for case in ("ptp", "host-device")
    ),
)
REFUSALS = (
    Refusal("tap", 'plugin "tap" (network "matrix"): not found', plugins=(OLD_PLUGINS,)),
    Refusal("host-local with routes of CNI 1.1", "not 1.1.0", plugins=(OLD_PLUGINS,)),
    Refusal("dhcp", "dhcp needs the link, which is not there yet when Docker asks", modes=(INPLACE,)),
)


def expected(case: Case, item: Property, column: Column) -> Verdict:
    """What must become of a property."""
    for kind, losses in ((LOST, LOSSES), (FLAWED, FLAWS)):
        for loss in losses:
            if loss.is_of(case, item, column):
                return Verdict(kind, loss.why)
    return Verdict(item.handover if column.mode == HANDOVER else CARRIED)


def refusal(case: Case, column: Column) -> str:
    """What must be said instead of running the chain; empty when it must run."""
    for found in REFUSALS:
        if found.case == case.name and column.mode in found.modes and column.plugins in found.plugins:
            return found.message
    return ""
