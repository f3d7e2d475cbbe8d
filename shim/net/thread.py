"""One thread for all work on namespaces and links, so that the event loop never waits for the kernel.

Moving or deleting a link holds the kernel's routing lock for a grace period (some 17 ms), during which
`send` does not return. More threads would only queue for the same lock, but for a second one that needs none.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pyroute2.netlink.exceptions import NetlinkError

from shim import spans
from shim.errors import ShimError
from shim.net import libc, netlink

_T = TypeVar("_T")


class KernelError(ShimError):
    """The kernel refused to change or show a namespace or a link."""


class NetlinkThread:
    """Runs functions one after the other, away from the event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="netlink")
        self._beside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="beside")

    async def run(self, what: str, work: Callable[[], _T]) -> _T:
        """The result of `work`; `what` says in an error what was tried.

        The work runs to its end even when the caller is cancelled. Raises `KernelError`.
        """
        return await self._run_by(self._thread, what, work)

    async def run_beside(self, what: str, work: Callable[[], _T]) -> _T:
        """The same for work that needs no lock of the kernel's, while other work waits for one."""
        return await self._run_by(self._beside, what, work)

    def close(self) -> None:
        """Finish what is under way and end the threads."""
        self._thread.shutdown()
        self._beside.shutdown()

    @staticmethod
    async def _run_by(thread: ThreadPoolExecutor, what: str, work: Callable[[], _T]) -> _T:
        with spans.span(spans.Kind.KERNEL, what) as span:

            def take_turn() -> _T:
                span.begin()
                return work()

            try:
                return await asyncio.get_running_loop().run_in_executor(thread, take_turn)
            except (NetlinkError, OSError) as error:
                reason = error.args[-1] if isinstance(error, NetlinkError) else netlink.reason(error)
                raise KernelError(f"cannot {what}: {reason}", cure="does the shim run as root?") from error


def inside(namespace: Path, work: Callable[[], _T]) -> _T:
    """The result of `work`, run in `namespace` by a thread of its own, so that nothing is to be restored.

    Raises `FileNotFoundError` when there is no such namespace, and whatever `work` raises.
    """
    with open_descriptor(namespace) as descriptor:

        def enter_and_work() -> _T:
            libc.enter_network(descriptor)
            return work()

        return in_new_thread(enter_and_work)


@contextmanager
def open_descriptor(namespace: Path) -> Iterator[int]:
    """A file descriptor of `namespace`, closed at the end of the block."""
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def in_new_thread(work: Callable[[], _T]) -> _T:
    """The result of `work`, run by a thread that ends with it. Raises whatever `work` raises."""
    outcome: Future[_T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - carried to the caller
            outcome.set_exception(error)

    thread = threading.Thread(target=run, name="namespace")
    thread.start()
    thread.join()
    return outcome.result()
