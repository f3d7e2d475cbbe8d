"""The committed table of docker's flags says what the tests say, and leaves out no flag."""

import re
from pathlib import Path

import pytest
from lab.engine import Engine

from tests.e2e.flags import CONNECT, CREATE, ENGINES, RUN, rendered, rows

_PAGE = Path(__file__).parents[2] / "docs/docker-options.md"
_FLAG = re.compile(r"^ +(?:-\w, )?(--[a-z0-9-]+)", re.MULTILINE)
_NETWORKING = {
    *("--add-host", "--dns", "--dns-option", "--dns-search", "--domainname", "--expose", "--hostname"),
    *("--ip", "--ip6", "--link", "--link-local-ip", "--mac-address", "--network", "--network-alias"),
    *("--publish", "--publish-all", "--sysctl"),
}
"""Those of `docker run`, which has others as well."""


def test_the_table_is_what_the_tests_say() -> None:
    """A test that fails makes the run fail, so all that a committed table may tell is what passed."""
    passed = {f"{row.test}[{engine}]": "passed" for row in rows() for engine in ENGINES}
    assert _PAGE.read_text() == rendered(rows(), passed)


@pytest.mark.parametrize("command", [CREATE, CONNECT, RUN])
def test_every_networking_flag_of_the_engines_client_has_a_row(engine: Engine, command: str) -> None:
    shown = set(_FLAG.findall(engine.docker(*command.split()[1:], "--help").stdout))
    wanted = shown & _NETWORKING if command == RUN else shown
    assert wanted
    words = {word for row in rows() if row.command == command for word in row.flag.split()}
    told = {word.partition("=")[0] for word in words}
    assert wanted - told - {"--help"} == set()
