"""Scripted plugins, a steady hypothesis, and the table of what is proven.

`pytest tests/conformance --conformance-table docs/conformance.md` writes the table anew.
"""

from pathlib import Path

import hypothesis
import pytest

from tests.conformance.table import proofs, rendered
from tests.outcomes import Outcomes
from tests.unit.cni.scripted import ScriptedPlugins

hypothesis.settings.register_profile(
    "steady", derandomize=True, database=None, deadline=None, max_examples=100
)
hypothesis.settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--conformance-table", type=Path, help="write the table of proven sentences to this file"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sentence(section, text): what the test proves of the specification")
    config.pluginmanager.register(
        Outcomes(
            "conformance_table",
            lambda outcomes: rendered(proofs(), outcomes),
            lambda test: test.partition("[")[0].rpartition("/")[2],
        )
    )


@pytest.fixture
def plugins(tmp_path: Path) -> ScriptedPlugins:
    return ScriptedPlugins(tmp_path)
