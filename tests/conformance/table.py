"""The table in `docs/conformance.md`: each sentence that binds a runtime, and the test that proves it."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parent
_PAGE = """# Conformance of `shim/cni`

What [SPEC.md 1.1.0] and [CONVENTIONS.md] ask of a runtime, sentence by sentence, and the test that proves it.
Sentences that bind plugins or administrators are left out, unless the runtime has a part in them. Where the
texts only describe what a runtime does, the description is read as a demand. Quotes run lists together; what
is in square brackets is not quoted.

A sandbox belongs to whoever makes it. That its owner removes it ("is responsible for cleanup of the
container's network namespace"), and that ADD is followed by DEL even when the owner crashes in between, is
proven with Docker in `tests/e2e` (`test_churn.py`, `test_durability.py`).

`pytest tests/conformance --conformance-table docs/conformance.md` writes this page from a run; a test fails
when it does not list the sentences and tests there are.

[SPEC.md 1.1.0]: https://github.com/containernetworking/cni/blob/v1.3.0/SPEC.md
[CONVENTIONS.md]: https://github.com/containernetworking/cni/blob/v1.3.0/CONVENTIONS.md

| Section | Sentence | Test in `tests/conformance` | Result |
| --- | --- | --- | --- |
"""


@dataclass(frozen=True, slots=True)
class Proof:
    """A test, and the sentence it proves."""

    section: str
    sentence: str
    test: str
    """As pytest names it: `test_section_1.py::test_...`."""


def sentence(section: str, text: str) -> pytest.MarkDecorator:
    """Marks a test with the sentence it proves, in the words of the section."""
    return pytest.mark.sentence(section, text)


def proofs() -> list[Proof]:
    """The marked tests of this folder, by file and then in the order they are written."""
    return [
        Proof(section, text, f"{path.name}::{name}")
        for path in sorted(_FOLDER.glob("test_*.py"))
        for name, value in vars(importlib.import_module(f"{__package__}.{path.stem}")).items()
        if name.startswith("test_")
        for mark in reversed(getattr(value, "pytestmark", []))
        if mark.name == "sentence"
        for section, text in [mark.args]
    ]


def rendered(proven: Sequence[Proof], outcomes: Mapping[str, str]) -> str:
    """The page; `outcomes` gives each test's outcome, `not run` when it is missing."""
    return _PAGE + "".join(
        f"| {proof.section} | {_cell(proof.sentence)} | `{proof.test}` "
        f"| {outcomes.get(proof.test, 'not run')} |\n"
        for proof in proven
    )


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
