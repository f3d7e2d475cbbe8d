"""What keeps a task from its work: logged when it begins, changes and ends, and not at each attempt."""

import logging

from shim.errors import ShimError

_log = logging.getLogger(__name__)


class Trouble:
    """The trouble of one task; `work` says what it cannot do then."""

    def __init__(self, work: str) -> None:
        self._work = work
        self.error: ShimError | None = None
        """The trouble now."""

    def meet(self, error: ShimError) -> None:
        """An attempt has failed."""
        if str(error) != str(self.error):
            _log.warning("cannot %s: %s", self._work, error)
        self.error = error

    def end(self) -> None:
        """An attempt has succeeded."""
        if self.error is not None:
            _log.info("can %s again", self._work)
        self.error = None
