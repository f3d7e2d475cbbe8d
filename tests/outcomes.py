"""How the tests of a run ended, for pages that are written from a run."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


class Outcomes:
    """A plugin of pytest that writes a page at the end of a run, when `--NAME FILE` says where.

    `render` makes the page out of the worst outcome of each test's parts, by the name that `key` gives a
    test; behind that of a subtest is its message.
    """

    def __init__(self, name: str, render: Callable[[dict[str, str]], str], key: Callable[[str], str]) -> None:
        self._option = name
        self._render = render
        self._key = key
        self._outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the outcome, also that of a test in another process."""
        test = self._key(report.nodeid)
        if isinstance(report, pytest.SubtestReport):
            test += f" {report.context.msg}"
        if not report.passed or (report.when == "call" and test not in self._outcomes):
            self._outcomes[test] = report.outcome

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the page."""
        path: Path | None = session.config.getoption(self._option, default=None)
        if path is not None:
            path.write_text(self._render(self._outcomes))
