"""The errors of the shim: one readable line each, with what failed, why, and the cure.

Every error a user can meet is a `ShimError`. Rooms of floor 1 derive their own errors from it, and
`server.py` turns any of them into the one line the engine prints behind `docker run`.
"""

from http import HTTPStatus

_LONGEST = 1000
"""Characters."""


class ShimError(Exception):
    """Something failed for a reason worth telling the person who typed the command.

    `cause` says what failed and why; `cure`, when there is one, says what to do or type. Both are
    folded into a single line, since that is all the Docker client shows.
    """

    status = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(self, cause: str, *, cure: str = "") -> None:
        super().__init__(cause)
        self.cause = one_line(cause)
        self.cure = one_line(cure)

    def __str__(self) -> str:
        return f"{self.cause} ({self.cure})" if self.cure else self.cause


class InvalidRequestError(ShimError):
    """The request itself is wrong: repeating it unchanged cannot help."""

    status = HTTPStatus.BAD_REQUEST


class ConflictError(ShimError):
    """The request does not fit the present state, for example a port that is taken."""

    status = HTTPStatus.CONFLICT


class UnavailableError(ShimError):
    """Something the request needs cannot be reached now: repeating it later may help."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class ConfigError(ShimError):
    """The settings are wrong; the text names file, key and what was expected."""


def one_line(text: str) -> str:
    """`text` with every run of white space, line breaks included, folded into one blank.

    A text may quote what somebody sent, of any length: the middle of one that nobody would read is left out.
    """
    line = " ".join(text.split())
    if len(line) <= _LONGEST:
        return line
    return f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"
