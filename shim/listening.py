"""A Unix socket that listens, for root alone."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from shim.errors import ShimError


@contextlib.contextmanager
def listening(path: Path, *, cure: str) -> Iterator[socket.socket]:
    """A listening socket of mode 0600; one that a dead instance left behind is replaced.

    Raises `ShimError`, with that cure.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    mask = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise ShimError(f"{path}: cannot listen: {error.strerror or error}", cure=cure) from error
    finally:
        os.umask(mask)
    try:
        yield listener
    finally:
        listener.close()
        path.unlink(missing_ok=True)
