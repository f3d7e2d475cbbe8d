"""What can go wrong when Kubernetes is asked."""

from http import HTTPStatus

from shim.errors import ShimError, UnavailableError

UNREACHED = 0
"""In place of a status: there was no answer."""


class AccessError(ShimError):
    """The credentials for Kubernetes, or the way to it, cannot be used; the text names the file."""


class KubeError(UnavailableError):
    """The API server cannot be reached, or refused."""

    def __init__(
        self, cause: str, *, code: int = UNREACHED, retry_after: float = 0.0, cure: str = ""
    ) -> None:
        super().__init__(cause, cure=cure)
        self.code = code
        """The HTTP status; `UNREACHED` when there was no answer."""
        self.retry_after = retry_after
        """Seconds to wait before another attempt, when the server asks for that."""

    @property
    def is_general(self) -> bool:
        """Whether any other request would meet the same: the server is away, overloaded or knows us not."""
        return (
            self.code in {UNREACHED, HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS}
            or self.code >= HTTPStatus.INTERNAL_SERVER_ERROR
        )


class NotFoundError(KubeError):
    """There is no such object."""
