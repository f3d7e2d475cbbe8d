"""What becomes of each property in each column: the one table to change when the shim learns something."""

from dataclasses import dataclass

from tests.e2e.matrix.cases import Case, Property
from tests.e2e.matrix.columns import CARRIED, ENGINES, HANDOVER, LOST, MODES, PLUGINS, Column


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a property."""

    kind: str
    """`CARRIED`, `REPLAYED` or `LOST`."""
    why: str = ""
    """The reason, when it is lost."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A property that is lost in some columns: all that are not left out."""

    case: str
    property: str
    why: str
    engines: tuple[str, ...] = ENGINES
    modes: tuple[str, ...] = MODES
    plugins: tuple[str, ...] = PLUGINS


LOSSES: tuple[Loss, ...] = ()


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
