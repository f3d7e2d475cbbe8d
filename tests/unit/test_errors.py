"""Errors are one readable line, and carry the HTTP status the engine sees."""

from http import HTTPStatus

import pytest

from shim.errors import (
    ConfigError,
    ConflictError,
    InvalidRequestError,
    ShimError,
    UnavailableError,
    one_line,
)


def test_the_text_is_the_cause_when_there_is_no_cure() -> None:
    assert str(ShimError("the bridge plugin failed")) == "the bridge plugin failed"


def test_the_cure_follows_the_cause_in_brackets() -> None:
    error = ShimError("host port 80 is not free", cure="publish another one")

    assert str(error) == "host port 80 is not free (publish another one)"
    assert (error.cause, error.cure) == ("host port 80 is not free", "publish another one")


def test_line_breaks_in_cause_and_cure_are_folded() -> None:
    error = ShimError("failed:\n  exit status 1\r\n\tno such file", cure=" run\nthis ")

    assert str(error) == "failed: exit status 1 no such file (run this)"


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r", "\v", "\f", "\x85", "\u2028", "\u2029"])
def test_one_line_folds_every_line_break_unicode_knows(line_break: str) -> None:
    assert one_line(f"a{line_break}b") == "a b"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ShimError, HTTPStatus.INTERNAL_SERVER_ERROR),
        (ConfigError, HTTPStatus.INTERNAL_SERVER_ERROR),
        (InvalidRequestError, HTTPStatus.BAD_REQUEST),
        (ConflictError, HTTPStatus.CONFLICT),
        (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
    ],
)
def test_each_error_has_its_status(error: type[ShimError], status: HTTPStatus) -> None:
    assert error("why").status is status


@pytest.mark.parametrize(
    "error", [ShimError, ConfigError, InvalidRequestError, ConflictError, UnavailableError]
)
def test_no_error_is_a_404_which_the_engine_takes_for_success(error: type[ShimError]) -> None:
    assert error("why").status is not HTTPStatus.NOT_FOUND
