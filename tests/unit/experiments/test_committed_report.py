"""The report under `docs/` is about the book as it is."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from experiments import book
from experiments.model import Experiment

_DOCS = Path(__file__).resolve().parents[3] / "docs"
_BOOK = {entry.claim.id: entry for entry in book.entries()}


@pytest.fixture(scope="module")
def page() -> ET.Element:
    """The page, parsed."""
    return ET.fromstring((_DOCS / "experiments.html").read_text().partition("<!DOCTYPE html>")[2])


@pytest.fixture(scope="module")
def text() -> str:
    """The Markdown twin."""
    return (_DOCS / "experiments.md").read_text()


def _rows(text: str) -> dict[str, list[str]]:
    """The summary: the cells after the ID, by ID."""
    lines = re.findall(r"^\| \[(E\w+)\]\(#\w+\) \| (.*) \|$", text, re.MULTILINE)
    return {name: re.split(r" (?<!\\)\| ", cells) for name, cells in lines}


def test_the_summary_has_a_row_for_each_claim_in_the_words_of_the_book(text: str) -> None:
    claims = {name: cells[0].removesuffix(" *(source evidence)*") for name, cells in _rows(text).items()}

    assert claims == {name: entry.claim.claim.replace("|", "\\|") for name, entry in _BOOK.items()}


def test_every_experiment_was_run_and_judged(text: str) -> None:
    for name, (_, *verdicts, bridged) in _rows(text).items():
        assert not {"failed", ""} & {*verdicts, bridged}, name
    assert "quick subset" not in text


def test_what_was_predicted_is_what_the_book_predicts(text: str) -> None:
    words = " ".join(text.split())
    for entry in _BOOK.values():
        for prediction in entry.claim.predictions:
            assert f"**Predicted:** {' '.join(prediction.split())}" in words, entry.claim.id


def test_both_forms_are_of_one_run_and_give_the_same_verdicts(page: ET.Element, text: str) -> None:
    (summary,) = (each for each in page.iter("table") if each.get("class") == "overview")
    rows = [row for row in summary.iter("tr") if row.find("td/a") is not None]
    shown = {row[0][0].text: ["".join(cell.itertext()) for cell in row][2:] for row in rows}

    assert shown == {name: cells[1:] for name, cells in _rows(text).items()}
    (date,) = re.findall(r"^(\d{4}-\d\d-\d\d \d\d:\d\d UTC)", text, re.MULTILINE)
    assert date in "".join(page.itertext())


def test_every_measured_chapter_says_how_to_run_it_again(text: str) -> None:
    measured = {name for name, entry in _BOOK.items() if isinstance(entry, Experiment)}

    assert set(re.findall(r"make experiments ONLY=(E\w+)", text)) == measured


@pytest.mark.parametrize("name", ["experiments.html", "experiments.md"])
def test_no_path_of_the_machine_it_was_run_on_is_in_it(name: str) -> None:
    content = (_DOCS / name).read_text()

    assert not re.findall(r"/(?:home|root|work|var/tmp|tmp/pytest)/[\w.-]*", content)
