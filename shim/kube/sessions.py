"""Connections to the API server with the credentials as they are now, however often these change.

`kubernetes.aio` is loaded in a thread when it is first needed, so that the event loop does not stand still.
"""

import asyncio
import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from shim.kube.access import Access
from shim.kube.errors import AccessError

if TYPE_CHECKING:
    from kubernetes.aio.client import CustomObjectsApi

_DEADLINE = 10.0
"""Seconds to wait for the credentials."""
_MODULES = ("kubernetes.aio.client.api.custom_objects_api", "kubernetes.aio.config")
"""All that is imported here and by `access`."""

_Stamp = tuple[int, int, int] | None


class Sessions:
    """One session at a time, by `access`; `scratch` is a folder for keys that are no files of their own."""

    def __init__(self, access: Access, scratch: Path) -> None:
        self.access = access
        self._scratch = scratch
        self._api: CustomObjectsApi | None = None
        self._files: dict[Path, _Stamp] = {}
        """What the credentials were read from, as it was then."""
        self._opening: asyncio.Task[None] | None = None

    def __str__(self) -> str:
        return str(self._api.api_client.configuration.host if self._api else self.access)

    async def current(self) -> "CustomObjectsApi":
        """The session, with the credentials as they are now.

        A program that gives them may hang: it is waited for by everybody, and not started again meanwhile.
        Raises `AccessError`.
        """
        if self._api is not None and self._files != _stamps(self._files):
            await self.close()
        while self._api is None:
            if self._opening is None or self._opening.done():
                self._opening = asyncio.create_task(self._open())
                self._opening.add_done_callback(_note_end)
            try:
                async with asyncio.timeout(_DEADLINE):
                    await asyncio.shield(self._opening)
            except TimeoutError:
                raise AccessError(f"{self.access}: no credentials within {_DEADLINE:g} s") from None
        return self._api

    def is_current(self, api: "CustomObjectsApi") -> bool:
        """Whether this session has not been closed meanwhile."""
        return api is self._api

    async def close(self) -> None:
        """End the session; the next one reads the credentials again."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        api, self._api = self._api, None
        if api is not None:
            await api.api_client.close()

    async def _open(self) -> None:
        for module in _MODULES:
            await asyncio.to_thread(importlib.import_module, module)
        from kubernetes.aio.client import ApiClient, CustomObjectsApi  # noqa: PLC0415

        try:
            self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise AccessError(f"{self._scratch}: cannot be made: {error.strerror}") from error
        configuration = await self.access.load(self._scratch)
        self._files = _stamps(self.access.files(configuration))
        try:
            api_client = await asyncio.to_thread(ApiClient, configuration)  # reads the certificates
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise AccessError(f"{self.access}: certificates cannot be used: {error}") from error
        api_client.user_agent = "cnm-cni"
        self._api = CustomObjectsApi(api_client)


def _note_end(task: asyncio.Task[None]) -> None:
    """Take note of how a task ended, even if nobody waits for it any more."""
    if not task.cancelled():
        task.exception()


def _stamps(files: Iterable[Path]) -> dict[Path, _Stamp]:
    """What tells whether a file has changed; None for one that is missing."""
    return {path: _stamp(path) for path in files}


def _stamp(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
