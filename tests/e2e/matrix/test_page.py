"""The committed table of what containers get says what the tests say."""

from pathlib import Path

from tests.e2e.matrix.cases import CASES
from tests.e2e.matrix.expected import FLAWS, REFUSALS
from tests.e2e.matrix.page import all_passed, rendered

_PAGE = Path(__file__).parents[3] / "docs/fidelity.md"


def test_the_table_is_what_the_tests_say() -> None:
    """A test that fails makes the run fail, so all that a committed table may tell is what passed."""
    assert _PAGE.read_text() == rendered(all_passed())


def test_each_flaw_and_each_refusal_is_of_a_case_that_there_is() -> None:
    cases = {flaw.case for flaw in FLAWS} | {refusal.case for refusal in REFUSALS}
    assert cases <= {case.name for case in CASES}


def test_each_property_of_a_case_has_a_name_of_its_own() -> None:
    for case in CASES:
        names = [item.name for item in case.all_properties()]
        assert sorted(set(names)) == sorted(names)
