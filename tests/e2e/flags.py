"""The table in `docs/docker-options.md`: what becomes of each networking flag of docker on each engine."""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest

_FOLDER = Path(__file__).parent
_PAGE = """# What becomes of Docker's networking flags

Each networking flag of `docker network create`, `docker network connect` and `docker run`, and each option of
the CNI driver, on both kinds of engine. *Honoured*: it does here what the last words say. *Refused*: the
command fails with that message, and nothing is left behind. *Impossible*: the engine keeps it from every
network driver, or does not have it; the words say what happens then. Nothing is ignored in silence.

`pytest tests/e2e --flag-table docs/docker-options.md` writes this page from a run: each row is a test, and
the messages are those that the tests demand. A test fails when the page is not what the tests say, or when
docker has a networking flag that no row is about.

"""
_HEAD = "| Flag or option | Docker 20.10 | Docker 28 | Test in `tests/e2e` |\n| --- | --- | --- | --- |\n"

ENGINES = ("20.10", "newest")
"""The engines as tests are parametrised by them."""

CREATE = "docker network create"
CONNECT = "docker network connect"
RUN = "docker run"
COMPOSE = "docker-compose"
_COMMANDS = (CREATE, CONNECT, RUN, COMPOSE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a flag."""

    kind: str
    """`honoured`, `refused` or `impossible`."""
    text: str
    """What it does; or a part of the message that the user sees; or the reason."""

    def refuses(self, run: CompletedProcess[str]) -> None:
        """Assert that the command failed with the message."""
        assert self.kind == "refused"
        assert run.returncode != 0, run.stdout
        assert self.text in run.stderr


@dataclass(frozen=True, slots=True)
class Row:
    """A test, and the flag it is about."""

    command: str
    flag: str
    verdicts: Mapping[str, Verdict]
    """By engine."""
    test: str
    """As pytest names it: `test_flags_of_run.py::test_...`."""


def honoured(text: str) -> Verdict:
    """It does what it says."""
    return Verdict("honoured", text)


def refused(message: str) -> Verdict:
    """The command fails with that message."""
    return Verdict("refused", message)


def impossible(reason: str) -> Verdict:
    """The engine keeps it from drivers, or does not have it."""
    return Verdict("impossible", reason)


def flag(
    command: str,
    name: str,
    verdict: Verdict | None = None,
    *,
    old: Verdict | None = None,
    new: Verdict | None = None,
) -> pytest.MarkDecorator:
    """Marks a test with the flag it is about: one verdict for both engines, or one for each."""
    first, second = old or verdict, new or verdict
    assert command in _COMMANDS
    assert first is not None
    assert second is not None
    return pytest.mark.flag(command, name, dict(zip(ENGINES, (first, second), strict=True)))


def rows() -> list[Row]:
    """The marked tests of this folder: by command, then by flag."""
    found = [
        Row(command, name, verdicts, f"{path.name}::{test}")
        for path in sorted(_FOLDER.glob("test_*.py"))
        for test, value in vars(importlib.import_module(f"{__package__}.{path.stem}")).items()
        if test.startswith("test_")
        for mark in getattr(value, "pytestmark", [])
        if mark.name == "flag"
        for command, name, verdicts in [mark.args]
    ]
    return sorted(found, key=lambda row: (_COMMANDS.index(row.command), row.flag, row.test))


def rendered(found: Iterable[Row], outcomes: Mapping[str, str]) -> str:
    """The page; `outcomes` are by test and engine, `test_flags_of_run.py::test_...[20.10]`."""
    page = _PAGE
    command = ""
    for row in found:
        if row.command != command:
            command = row.command
            page += f"## {command}\n\n{_HEAD}" if page == _PAGE else f"\n## {command}\n\n{_HEAD}"
        cells = [
            _cell(row.verdicts[engine], outcomes.get(f"{row.test}[{engine}]", "not run"))
            for engine in ENGINES
        ]
        page += f"| `{row.flag}` | {cells[0]} | {cells[1]} | `{row.test}` |\n"
    return page


def _cell(verdict: Verdict, outcome: str) -> str:
    text = " ".join(verdict.text.replace("|", "\\|").split())
    return f"{verdict.kind}: {text}" if outcome == "passed" else f"**{outcome}**"
