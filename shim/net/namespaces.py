"""Staging namespaces: made without a process in them, named by a file, removed without a trace."""

import fcntl
import os
from pathlib import Path

from shim.net import libc
from shim.net.thread import NetlinkThread, in_new_thread

_OWN = Path("/proc/thread-self/ns/net")

_NS_GET_NSTYPE = 0xB703
"""The kind of a namespace. Source: ioctl_ns(2)."""


class Namespaces:
    """The staging namespaces in `folder`, one file each. Every call may raise `KernelError`."""

    def __init__(self, thread: NetlinkThread, folder: Path) -> None:
        self._thread = thread
        self._folder = folder
        self._empty: int | None = None

    def path(self, name: str) -> Path:
        """Where the namespace of that name stands, or would."""
        return self._folder / name

    async def create(self, name: str) -> Path:
        """Make the namespace unless it stands already. Returns its path."""
        path = self.path(name)
        await self._thread.run(f"make the network namespace {path}", lambda: _create(path))
        return path

    async def remove(self, name: str) -> None:
        """Remove the namespace with every virtual link in it; harmless when there is none."""
        path = self.path(name)
        if path.exists():  # a glance, where the thread may have others to wait for
            await self._thread.run(f"remove the network namespace {path}", lambda: _remove(path))

    async def empty(self) -> Path:
        """Path of a namespace for all that insist on one and do nothing in it; it ends with this process."""
        if self._empty is None:
            await self._thread.run("make an empty network namespace", self._make_empty)
        return Path(f"/proc/{os.getpid()}/fd/{self._empty}")

    def close(self) -> None:
        """Let go of the empty namespace."""
        if self._empty is not None:
            os.close(self._empty)
            self._empty = None

    async def names(self) -> list[str]:
        """The names of all that stand."""
        return await self._thread.run(
            f"list {self._folder}",
            lambda: sorted(file.name for file in self._folder.iterdir()) if self._folder.exists() else [],
        )

    def _make_empty(self) -> None:
        if self._empty is None:  # somebody may have been faster
            self._empty = in_new_thread(_unnamed)


def is_namespace(path: Path) -> bool:
    """Whether `path` is a network namespace now.

    Before engine 28.0 a sandbox is none yet at Join, and its file stays when it is none any more; so the
    file system of the path is what tells (nsfs is one device), neither its existence nor a version.
    """
    try:
        if path.stat().st_dev != _OWN.stat().st_dev:
            return False
        with path.open() as namespace:
            return fcntl.ioctl(namespace, _NS_GET_NSTYPE) == libc.CLONE_NEWNET
    except OSError:
        return False


def _unnamed() -> int:
    """A file descriptor of a new namespace, in which the calling thread stays."""
    libc.unshare_network()
    return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)


def _create(path: Path) -> None:
    if is_namespace(path):
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)

    def pin() -> None:
        libc.unshare_network()
        libc.bind(_OWN, path)

    try:
        in_new_thread(pin)
    except OSError:
        path.unlink()
        raise


def _remove(path: Path) -> None:
    if is_namespace(path):
        libc.unmount(path)
    path.unlink(missing_ok=True)
