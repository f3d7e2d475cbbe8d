"""Who may run when: one call at a time for a container, and GC alone.

Source: CNI specification 1.1.0, section 3, "Lifecycle & Ordering".
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Turns:
    """Calls for different containers run side by side; those for one container, and GC, wait."""

    def __init__(self) -> None:
        self._containers: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._alone = asyncio.Lock()
        self._open = asyncio.Event()
        self._open.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._running = 0

    @asynccontextmanager
    async def container(self, container_id: str) -> AsyncIterator[None]:
        """The turn of a call for one container."""
        async with self._containers.setdefault(container_id, asyncio.Lock()):
            while not self._open.is_set():
                await self._open.wait()
            self._running += 1
            self._idle.clear()
            try:
                yield
            finally:
                self._running -= 1
                if not self._running:
                    self._idle.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """The turn of a call that nothing else runs beside; those that come meanwhile wait for its end."""
        async with self._alone:
            self._open.clear()
            try:
                await self._idle.wait()
                yield
            finally:
                self._open.set()
