"""A folder of scripted plugins for each test."""

from pathlib import Path

import pytest

from tests.unit.cni.scripted import ScriptedPlugins


@pytest.fixture
def plugins(tmp_path: Path) -> ScriptedPlugins:
    return ScriptedPlugins(tmp_path)
