"""What tests of several modules share: a journal, plugins, ports, an engine, and a steady hypothesis."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest

from shim.publish import HostPorts
from shim.store import Store
from tests.unit.cni.scripted import ScriptedPlugins
from tests.unit.standins import EngineStandIn

hypothesis.settings.register_profile("steady", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("steady")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "state")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def docker(tmp_path: Path) -> AsyncIterator[EngineStandIn]:
    stand_in = EngineStandIn(tmp_path / "docker.sock")
    await stand_in.start()
    yield stand_in
    await stand_in.stop()


@pytest.fixture
def plugins(tmp_path: Path) -> ScriptedPlugins:
    """A folder of scripted plugins."""
    return ScriptedPlugins(tmp_path)


@pytest.fixture
def ports() -> Iterator[HostPorts]:
    """Host ports that are let go of in the end."""
    ports = HostPorts()
    yield ports
    ports.close()
