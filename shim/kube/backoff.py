"""Pauses between attempts, so that many nodes do not come back to a weak server all at once."""

import random

_SHORTEST = 0.5
_LONGEST = 30.0


class Backoff:
    """Pauses in seconds: doubled from one to the next, and shortened by chance to a half at most."""

    def __init__(self, shortest: float = _SHORTEST, longest: float = _LONGEST) -> None:
        self._shortest = self._next = shortest
        self._longest = longest

    def reset(self) -> None:
        """Begin with the shortest pause again."""
        self._next = self._shortest

    def pause(self, at_least: float = 0.0) -> float:
        """Seconds to wait now."""
        pause, self._next = self._next, min(2 * self._next, self._longest)
        return max(at_least, pause) * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
