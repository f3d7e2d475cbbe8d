"""Each chain does in a container what its plugins are for, seen from inside and outside."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.engine import Engine
from lab.errors import LabError

from tests.e2e.matrix.cases import CASES, CLEAN, Case, Property
from tests.e2e.matrix.cells import NETWORK, Cell, cleared, create_network, remove, started
from tests.e2e.matrix.columns import LOST, MODES, Column
from tests.e2e.matrix.expected import expected
from tests.e2e.matrix.world import World, other_machine


@pytest.fixture(scope="module")
def world(session_engine: Engine, plugin_path: Path) -> Iterator[World]:
    """The room of the engine, with the other machine."""
    with other_machine(session_engine):
        yield World(session_engine, plugin_path)


@pytest.fixture
def column(request: pytest.FixtureRequest, mode: str) -> Column:
    """Where the test runs its container."""
    parameters = request.node.callspec.params
    return Column(parameters["session_engine"], mode, parameters["plugin_path"])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_the_chain_configured_is_what_the_container_gets(
    world: World,
    column: Column,
    case: Case,
    conflist: Callable[..., str],
    subtests: pytest.Subtests,
) -> None:
    conflist(NETWORK, *case.chain, version=case.version)
    engine = world.engine
    with cleared(engine), case.surroundings(world):
        if case.is_refused(column.plugins):
            with pytest.raises(LabError, match=case.refusal):
                _started(engine, column, case)
            return
        cell = _started(engine, column, case)
        present = _present(cell, column, case.properties)
        remove(engine)
        present |= _present(cell, column, (*case.afterwards, CLEAN))
    for item, is_present in present.items():
        with subtests.test(item.name):
            verdict = expected(case, item, column)
            assert is_present == (verdict.kind != LOST), f"{verdict} was expected; seen:\n{cell.look}"


def _started(engine: Engine, column: Column, case: Case) -> Cell:
    create_network(engine, column.mode)
    return started(engine, column, case.options)


def _present(cell: Cell, column: Column, properties: tuple[Property, ...]) -> dict[Property, bool]:
    """Whether each of them is there, of those that the plugins give."""
    given = (item for item in properties if column.plugins in item.plugins)
    return {item: all(holds(cell) for holds in item.conditions) for item in given}


def test_the_matrix_knows_every_plugin_of_the_set(plugin_path: Path) -> None:
    """A plugin that a newer set adds is to be added here."""
    chains = [plugin for case in CASES for plugin in case.chain]
    known = {plugin["type"] for plugin in chains} | {
        plugin["ipam"]["type"] for plugin in chains if "ipam" in plugin
    }
    needs_a_kernel_module = {"vlan", "ipvlan", "vrf", "dummy"}
    made_to_fail = {"cni-bridge-fp"}  # containerd's, for its own tests
    assert {path.name for path in plugin_path.iterdir()} <= known | needs_a_kernel_module | made_to_fail
