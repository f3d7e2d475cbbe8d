"""Each verdict is computed from the data, and each that an experiment can give is given for some data."""

import inspect
import re
import sys

import pytest
from experiments import book
from experiments.model import ENGINES, SECTIONS, Documented, Experiment, Outcome

from tests.unit.experiments.verdicts import CASES
from tests.unit.experiments.verdicts.case import Case

ENTRIES = {entry.claim.id: entry for entry in book.entries()}
EXPERIMENTS = {name: entry for name, entry in ENTRIES.items() if isinstance(entry, Experiment)}
_NAMES = {name: [case for case in CASES if case.experiment == name] for name in EXPERIMENTS}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.experiment} {case.title}")
def test_data_lead_to_their_verdict(case: Case) -> None:
    judgement = EXPERIMENTS[case.experiment].judge(case.data)

    assert {name: str(verdict) for name, verdict in judgement.verdicts.items()} == case.expected
    assert judgement.bridge.degree.value == case.bridged
    assert judgement.came_true == case.came_true
    for verdict in judgement.verdicts.values():
        _is_a_sentence(verdict.why)
    _is_a_sentence(judgement.bridge.why)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.experiment} {case.title}")
def test_data_can_be_shown(case: Case) -> None:
    assert EXPERIMENTS[case.experiment].show(case.data)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_verdict_and_degree_that_an_experiment_can_give_is_given(name: str) -> None:
    experiment = EXPERIMENTS[name]
    source = inspect.getsource(sys.modules[experiment.judge.__module__])
    judgements = [experiment.judge(case.data) for case in _NAMES[name]]

    outcomes = {verdict.outcome for judgement in judgements for verdict in judgement.verdicts.values()}
    assert outcomes == {one for one in Outcome if re.search(rf"\b{one.value}\(", source)}
    degrees = {judgement.bridge.degree.name for judgement in judgements}
    assert degrees == set(re.findall(r"\bDegree\.([A-Z_]+)", source))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_verdict_can_be_another_one(name: str) -> None:
    experiment = EXPERIMENTS[name]
    given = {str(experiment.judge(case.data).verdicts) for case in _NAMES[name]}

    assert len(given) >= 2


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_complete(name: str) -> None:
    claim = ENTRIES[name].claim

    assert claim.section in SECTIONS
    for text in (claim.claim, claim.procedure, claim.measured, *claim.predictions):
        _is_a_sentence(text)
    assert claim.sources
    for source in claim.sources:
        assert re.fullmatch(r"\d{4}(-\d\d){0,2}", source.date)


@pytest.mark.parametrize("name", [name for name, one in ENTRIES.items() if isinstance(one, Documented)])
def test_a_documented_entry_has_evidence_and_a_word_on_each_prediction(name: str) -> None:
    entry = ENTRIES[name]
    assert isinstance(entry, Documented)
    assert entry.evidence
    assert len(entry.judgement.came_true) == len(entry.claim.predictions)
    assert set(entry.judgement.verdicts) <= set(ENGINES)


def _is_a_sentence(text: str) -> None:
    assert text == text.strip()
    assert text.endswith((".", "?"))
    assert "\n" not in text
