"""What tests of several modules share: a journal, and a stand-in for the engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shim.store import Store
from tests.unit.standins import EngineStandIn


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
