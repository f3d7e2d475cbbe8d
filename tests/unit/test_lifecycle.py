"""The life of an endpoint: the whole table written out, and what must hold for every path through it."""

import pytest

from shim.errors import ConflictError
from shim.lifecycle import Step, advance
from shim.model import EndpointID, EndpointState

S = EndpointState
ENDPOINT = EndpointID("4f1c09aab2de" + "0" * 52)

ALLOWED = {
    (S.PLANNED, Step.ADD): S.ADDING,
    (S.ADDING, Step.ADDED): S.CREATED,
    (S.ADDING, Step.DETACH): S.LEAVING,
    (S.CREATED, Step.JOIN): S.JOINING,
    (S.CREATED, Step.DETACH): S.LEAVING,
    (S.JOINING, Step.JOIN): S.JOINING,
    (S.JOINING, Step.JOINED): S.JOINED,
    (S.JOINING, Step.DETACH): S.LEAVING,
    (S.JOINED, Step.DETACH): S.LEAVING,
    (S.LEAVING, Step.DETACH): S.LEAVING,
    (S.LEAVING, Step.DETACHED): S.LEFT,
}
REFUSED = [(state, step) for state in S for step in Step if (state, step) not in ALLOWED]


@pytest.mark.parametrize(("state", "step"), ALLOWED)
def test_an_allowed_step_leads_on(state: EndpointState, step: Step) -> None:
    assert advance(ENDPOINT, state, step) is ALLOWED[state, step]


@pytest.mark.parametrize(("state", "step"), REFUSED)
def test_every_other_step_is_refused(state: EndpointState, step: Step) -> None:
    with pytest.raises(ConflictError):
        advance(ENDPOINT, state, step)


def test_a_refusal_names_the_endpoint_as_docker_shows_it_the_state_and_the_step() -> None:
    with pytest.raises(
        ConflictError,
        match=r"^endpoint 4f1c09aab2de is joined: it cannot join \(start the container again\)$",
    ):
        advance(ENDPOINT, S.JOINED, Step.JOIN)


def test_a_start_and_stop_passes_through_every_state() -> None:
    state = S.PLANNED
    seen = [state]
    for step in (Step.ADD, Step.ADDED, Step.JOIN, Step.JOINED, Step.DETACH, Step.DETACHED):
        state = advance(ENDPOINT, state, step)
        seen.append(state)

    assert seen == list(S)


@pytest.mark.parametrize("state", [state for state in S if state not in {S.PLANNED, S.LEFT}])
def test_every_state_can_be_cleaned_up_in_two_steps(state: EndpointState) -> None:
    leaving = advance(ENDPOINT, state, Step.DETACH)

    assert advance(ENDPOINT, leaving, Step.DETACHED) is S.LEFT


@pytest.mark.parametrize("state", [S.PLANNED, S.LEFT])
def test_nothing_is_to_be_cleaned_up_before_add_and_after_del(state: EndpointState) -> None:
    with pytest.raises(ConflictError, match=f"endpoint 4f1c09aab2de is {state}: it cannot detach"):
        advance(ENDPOINT, state, Step.DETACH)


def test_a_join_that_broke_midway_can_be_tried_again() -> None:
    assert advance(ENDPOINT, S.JOINING, Step.JOIN) is S.JOINING


def test_a_failed_cleanup_can_be_tried_again() -> None:
    assert advance(ENDPOINT, S.LEAVING, Step.DETACH) is S.LEAVING
