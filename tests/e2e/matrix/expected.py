"""What becomes of each property in each column: the one table to change when the shim learns something."""

from dataclasses import dataclass

from tests.e2e.matrix.cases import Case, Property
from tests.e2e.matrix.columns import (
    CARRIED,
    ENGINES,
    HANDOVER,
    INPLACE,
    LOST,
    MODES,
    OLD_PLUGINS,
    PLUGINS,
    Column,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a property."""

    kind: str
    """`CARRIED`, `REPLAYED` or `LOST`."""
    why: str = ""
    """The reason, when it is lost."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A property that is lost, in all columns unless it says in which."""

    case: str
    property: str
    why: str
    engines: tuple[str, ...] = ENGINES
    modes: tuple[str, ...] = MODES
    plugins: tuple[str, ...] = PLUGINS


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

_LEFT_BEHIND = "the plugin's daemon does it in the namespace where the link was made, and finds none there"

LOSSES = (
    *(
        Loss(case, "MAC address in docker inspect", _NO_MAC_YET, modes=(INPLACE,))
        for case in ("ptp", "host-device")
    ),
    *(Loss("dhcp", what, _LEFT_BEHIND, modes=(HANDOVER,)) for what in ("renewed lease", "released lease")),
)
REFUSALS = (
    Refusal("tap", 'plugin "tap" (network "matrix"): not found', plugins=(OLD_PLUGINS,)),
    Refusal("host-local with routes of CNI 1.1", "not 1.1.0", plugins=(OLD_PLUGINS,)),
    Refusal("dhcp", "dhcp needs the link, which is not there yet when Docker asks", modes=(INPLACE,)),
)


def expected(case: Case, item: Property, column: Column) -> Verdict:
    """What must become of a property."""
    for loss in LOSSES:
        if (
            (loss.case, loss.property) == (case.name, item.name)
            and column.engine in loss.engines
            and column.mode in loss.modes
            and column.plugins in loss.plugins
        ):
            return Verdict(LOST, loss.why)
    return Verdict(item.handover if column.mode == HANDOVER else CARRIED)


def refusal(case: Case, column: Column) -> str:
    """What must be said instead of running the chain; empty when it must run."""
    for found in REFUSALS:
        if found.case == case.name and column.mode in found.modes and column.plugins in found.plugins:
            return found.message
    return ""
