"""The system calls that Python 3.11 does not offer. Each raises `OSError` as the `os` module does."""

import ctypes
import os
from pathlib import Path

CLONE_NEWNET = 0x40000000
_MS_BIND = 0x1000
_MNT_DETACH = 0x2

_libc = ctypes.CDLL(None, use_errno=True)


def unshare_network() -> None:
    """Put the calling thread into a new network namespace. Source: unshare(2)."""
    _check(_libc.unshare(CLONE_NEWNET), "unshare")


def enter_network(namespace: int) -> None:
    """Put the calling thread into the network namespace of that file descriptor. Source: setns(2)."""
    _check(_libc.setns(namespace, CLONE_NEWNET), "setns")


def bind(source: Path, target: Path) -> None:
    """Mount `source` on `target` as well. Source: mount(2)."""
    result = _libc.mount(os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(_MS_BIND), None)
    _check(result, str(target))


def unmount(target: Path) -> None:
    """Take the mount off `target`, also while it is in use. Source: umount2(2)."""
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH), str(target))


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
