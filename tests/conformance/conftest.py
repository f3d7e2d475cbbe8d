"""Scripted plugins, a steady hypothesis, and the table of what is proven.

`pytest tests/conformance --conformance-table docs/conformance.md` writes the table anew.
"""

from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

from tests.conformance.table import proofs, rendered
from tests.unit.cni.scripted import ScriptedPlugins

hypothesis.settings.register_profile(
    "steady", derandomize=True, database=None, deadline=None, max_examples=100
)
hypothesis.settings.load_profile("steady")

_outcomes = pytest.StashKey[dict[str, str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--conformance-table", type=Path, help="write the table of proven sentences to this file"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sentence(section, text): what the test proves of the specification")
    config.stash[_outcomes] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the worst outcome of a test's parts and parameters."""
    report = yield
    outcomes = item.config.stash[_outcomes]
    test = item.nodeid.partition("[")[0].rpartition("/")[2]
    if not report.passed or (report.when == "call" and test not in outcomes):
        outcomes[test] = report.outcome
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    outcomes = session.config.stash[_outcomes]
    path: Path | None = session.config.getoption("--conformance-table", default=None)
    if path is not None:
        path.write_text(rendered(proofs(), outcomes))


@pytest.fixture
def plugins(tmp_path: Path) -> ScriptedPlugins:
    return ScriptedPlugins(tmp_path)
