"""The life of an endpoint as one table: which step is allowed in which state, and where it leads.

A step that changes the world is two entries here: its intent, stored before, and its outcome, stored
after. A state left at an intent therefore says exactly what was under way when the shim died.
"""

from enum import StrEnum

from shim.errors import ConflictError
from shim.model import EndpointID, EndpointState

_S = EndpointState


class Step(StrEnum):
    """What moves an endpoint from one state to the next."""

    ADD = "add"
    ADDED = "added"
    JOIN = "join"
    JOINED = "joined"
    DETACH = "detach"
    DETACHED = "detached"


_TABLE: dict[EndpointState, dict[Step, EndpointState]] = {
    _S.PLANNED: {Step.ADD: _S.ADDING},
    _S.ADDING: {Step.ADDED: _S.CREATED, Step.DETACH: _S.LEAVING},
    _S.CREATED: {Step.JOIN: _S.JOINING, Step.DETACH: _S.LEAVING},
    _S.JOINING: {Step.JOIN: _S.JOINING, Step.JOINED: _S.JOINED, Step.DETACH: _S.LEAVING},
    _S.JOINED: {Step.DETACH: _S.LEAVING},
    _S.LEAVING: {Step.DETACH: _S.LEAVING, Step.DETACHED: _S.LEFT},
    _S.LEFT: {},
}


def advance(endpoint_id: EndpointID, state: EndpointState, step: Step) -> EndpointState:
    """The state that `step` leads to from `state`.

    Raises `ConflictError` when the table has no such step.
    """
    try:
        return _TABLE[state][step]
    except KeyError:
        raise ConflictError(
            f"endpoint {endpoint_id[:12]} is {state}: it cannot {step}", cure="start the container again"
        ) from None
