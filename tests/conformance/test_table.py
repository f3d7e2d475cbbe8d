"""The committed table says what the tests say."""

from pathlib import Path

from tests.conformance.table import proofs, rendered

_PAGE = Path(__file__).parents[2] / "docs/conformance.md"


def test_the_table_lists_each_sentence_with_its_test_and_all_passed() -> None:
    """A test that fails makes the run fail, so all that a committed table may say is `passed`."""
    proven = proofs()

    assert _PAGE.read_text() == rendered(proven, {proof.test: "passed" for proof in proven})


def test_each_section_is_in_the_names_of_its_tests() -> None:
    strays = [
        proof.test
        for proof in proofs()
        if not proof.test.partition("::")[2].startswith(_prefix(proof.section))
    ]

    assert strays == []


def _prefix(section: str) -> str:
    number = section.split(maxsplit=1)[0]
    return f"test_section_{number}_" if number.isdecimal() else f"test_{number.lower()}_"
