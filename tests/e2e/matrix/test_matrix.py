"""Each chain does in a container what its plugins are for, seen from inside and outside."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from lab.engine import Engine
from lab.errors import LabError

from tests.e2e.matrix.cases import CASES, Case, Property
from tests.e2e.matrix.cells import (
    HOST_PORT,
    NETWORK,
    Cell,
    a_little_later,
    cleared,
    create_network,
    remove,
    started,
)
from tests.e2e.matrix.columns import FLAWED, MODES, REPLAYED, Column
from tests.e2e.matrix.expected import FLAWS, expected, refusal
from tests.e2e.matrix.world import World, other_machine

_LOOKS = 5


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
        if message := refusal(case, column):
            with pytest.raises(LabError) as refused:
                _started(engine, column, case)
            assert message in str(refused.value)
            return
        cell = _started(engine, column, case)
        present = {item: _is_present(cell, column, item) for item in case.properties_of(column.plugins)}
        remove(engine)
        for item in case.afterwards_of(column.plugins):
            present[item] = item.holds(cell)
    for item, is_present in present.items():
        with subtests.test(item.name):
            verdict = expected(case, item, column)
            assert is_present == (verdict.kind != FLAWED), f"{verdict} was expected; seen:\n{cell.look}"


def _started(engine: Engine, column: Column, case: Case) -> Cell:
    create_network(engine, column.mode)
    return started(engine, column, case.options)


def _is_present(cell: Cell, column: Column, item: Property) -> bool:
    """Whether it is there for the first process, or, where it cannot be sooner, in a moment."""
    may_be_late = column.may_be_late and item.handover == REPLAYED
    for _ in range(_LOOKS if may_be_late else 1):
        if item.holds(cell):
            return True
        if may_be_late:
            cell = a_little_later(cell)
    return False


@pytest.mark.parametrize(
    ("plugin_path", "case"),
    [(plugins, flaw.case) for flaw in FLAWS for plugins in flaw.plugins],
    indirect=["plugin_path"],
)
def test_a_chain_whose_check_fails_fails_it_without_docker_too(
    world: World, conf_dir: Path, conflist: Callable[..., str], case: str
) -> None:
    (chain,) = (each for each in CASES if each.name == case)
    conflist(NETWORK, *chain.chain, version=chain.version)
    port = {"hostPort": HOST_PORT, "containerPort": 80, "protocol": "tcp"}
    takes_ports = any("portMappings" in plugin.get("capabilities", {}) for plugin in chain.chain)
    environment = {
        "CNI_PATH": str(world.plugin_path),
        "NETCONFPATH": str(conf_dir),
        "CAP_ARGS": json.dumps({"portMappings": [port]} if takes_ports else {}),
    }

    def cni(verb: str) -> CompletedProcess[str]:
        command = world.engine.shim_command("cni", verb, NETWORK, "/run/netns/bare")
        return world.engine.run(command, environment=environment, check=False)

    with cleared(world.engine), world.namespace("bare"):
        added, checked, deleted = cni("add"), cni("check"), cni("del")
    assert (added.returncode, deleted.returncode) == (0, 0), added.stderr + deleted.stderr
    assert re.fullmatch(r'cnm-cni: plugin ".+" \(network "matrix"\) CHECK: .+\n', checked.stderr)


def test_the_matrix_knows_every_plugin_of_the_set(plugin_path: Path) -> None:
    """A plugin that a newer set adds is to be added here."""
    chains = [plugin for case in CASES for plugin in case.chain]
    known = {plugin["type"] for plugin in chains} | {
        plugin["ipam"]["type"] for plugin in chains if "ipam" in plugin
    }
    needs_a_kernel_module = {"vlan", "ipvlan", "vrf", "dummy"}
    made_to_fail = {"cni-bridge-fp"}  # containerd's, for its own tests
    assert {path.name for path in plugin_path.iterdir()} <= known | needs_a_kernel_module | made_to_fail
