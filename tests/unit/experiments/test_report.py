"""The report: whole, well-formed, self-contained, and the same in both forms."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from experiments import report, results

from tests.unit.experiments.made_up import ENTRIES, RUN
from tests.unit.experiments.verdicts.case import TRACE

_LOADING = {"src", "srcset", "data", "action", "background", "poster"}
_SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def page() -> ET.Element:
    """The page, parsed as the XML it also is."""
    return ET.fromstring(report.html(ENTRIES, RUN).partition("<!DOCTYPE html>")[2])


def _text(page: ET.Element) -> str:
    return " ".join("".join(page.itertext()).split())


def test_the_page_loads_nothing(page: ET.Element) -> None:
    for element in page.iter():
        assert not _LOADING & element.attrib.keys()
        assert element.tag not in {"script", "link", "iframe", "img", "object"}
        assert element.get("href", "#").startswith("#")
    assert not re.search(r"url\(|@import", report.html(ENTRIES, RUN))


def test_the_summary_has_each_claim_with_its_verdicts_and_leads_to_it(page: ET.Element) -> None:
    rows = [row for row in page.iter("tr") if row.find("td/a") is not None]
    cells = [["".join(cell.itertext()) for cell in row] for row in rows]

    assert cells == [
        ["E1", "It is < so | or not.", "stands", "fixed in 28.0", "partly"],
        ["E2", "It is < so | or not.", "failed", "failed", "-"],
        ["E3°", "It is < so | or not.", "stands", "fixed in 28.0", "partly"],
    ]
    anchors = {element.get("id") for element in page.iter("article")}
    links = [link for row in rows if (link := row.find("td/a")) is not None]
    assert len(links) == len(rows)
    assert {f"#{anchor}" for anchor in anchors} == {str(link.get("href")) for link in links}


def test_the_outcomes_are_counted(page: ET.Element) -> None:
    (table,) = (each for each in page.iter("table") if each.get("class") == "totals")
    assert [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")] == [
        ["Of the claims", "stands", "weakened", "refuted", "fixed"],
        ["Docker 20.10", "2", "0", "0", "0"],
        ["Docker 28.5", "0", "0", "0", "2"],
    ]
    text = report.markdown(ENTRIES, RUN)
    assert "- On Docker 20.10: 2 stands, 0 weakened, 0 refuted, 0 fixed.\n" in text
    assert "- On Docker 28.5: 0 stands, 0 weakened, 0 refuted, 2 fixed.\n" in text


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_both_forms_say_everything(form: str, page: ET.Element) -> None:
    text = _text(page) if form == "html" else " ".join(report.markdown(ENTRIES, RUN).split())
    for expected in (
        *("2026-01-02 03:04 UTC", "20.10.24", "28.5.2", "1.1.1", "1.9.1", "6.1", "a machine, 2 cores"),
        *("1 experiments", "1 entries on source evidence", "1 failed"),
        *("It is so.", "2016-01-14", "Do it.", "How often.", "3 of 3.", "0 of 3.", "One of two."),
        *("Nobody knew.", "the engine <fell> over", "It is written.", "make experiments ONLY=E1"),
        *("A table of 28.5", "a < b"),
    ):
        assert expected in text, expected


def test_predictions_are_kept_whether_they_came_true_or_not(page: ET.Element) -> None:
    assert "It is. came true It was. did not come true" in _text(page)
    text = " ".join(report.markdown(ENTRIES, RUN).split())
    assert "It is. **(came true)**" in text
    assert "It was. **(did not come true)**" in text


def test_tables_in_markdown_have_as_many_cells_in_each_row() -> None:
    blocks = re.findall(r"(?:^\|.*\n)+", report.markdown(ENTRIES, RUN), re.MULTILINE)

    assert len(blocks) >= 6
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    results.begin(tmp_path / "run")
    for result in RUN.results.values():
        results.write(tmp_path / "run", result)
    results.finish(tmp_path / "run", RUN.about)

    assert results.read(tmp_path / "run") == RUN


def test_a_new_run_forgets_the_last_one(tmp_path: Path) -> None:
    results.begin(tmp_path / "run")
    results.write(tmp_path / "run", RUN.results["E1"])
    results.begin(tmp_path / "run")

    assert list((tmp_path / "run").iterdir()) == []


def test_a_trace_is_a_picture_in_the_page_and_a_table_in_both_forms(page: ET.Element) -> None:
    (picture,) = (each for each in page.iter(f"{_SVG}svg"))
    assert "Told by 28.5" in "".join(picture.itertext())
    (figure,) = (each for each in page.iter("figure") if picture in each.iter(f"{_SVG}svg"))
    rows = [["".join(cell.itertext()) for cell in row] for row in figure.iter("tr")]
    assert rows[1:] == [["500", "250", "call", "Join"], ["550", "100", "plugin", "· bridge ADD"]]
    assert "| 550 | 100 | plugin | · bridge ADD |" in report.markdown(ENTRIES, RUN)


def test_a_trace_is_written_as_it_was_recorded(tmp_path: Path) -> None:
    (path,) = report.write_traces(tmp_path, ENTRIES, RUN)

    assert [json.loads(line) for line in path.read_text().splitlines()] == TRACE
