"""One line per step that takes a while: what is being done, and how long it took."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def step(text: str) -> Iterator[None]:
    """Print `text` before the work and the elapsed time, or that it failed, after it."""
    start = time.monotonic()
    sys.stdout.write(f"  {text} ... ")
    sys.stdout.flush()
    outcome = "failed after"
    try:
        yield
        outcome = "done in"
    finally:
        sys.stdout.write(f"{outcome} {time.monotonic() - start:.1f} s\n")
        sys.stdout.flush()
