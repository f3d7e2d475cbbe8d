"""One kind of objects, listed once and watched from then on, whatever happens to the API server.

Source: Kubernetes documentation, "Kubernetes API Concepts", "Efficient detection of changes".
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, NoReturn, TypeVar

from shim.errors import ShimError
from shim.kube.backoff import Backoff
from shim.kube.client import Client
from shim.kube.errors import UNREACHED, KubeError
from shim.kube.index import Index
from shim.kube.objects import Key, Resource, key
from shim.model import JSONObject
from shim.trouble import Trouble

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_STABLE = 10.0
"""Seconds a watch must have lasted for the next attempt to follow soon."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which objects are watched."""

    resource: Resource
    namespace: str = ""
    """Empty: all namespaces."""
    selector: str = ""
    """By label; empty: all objects."""

    def __str__(self) -> str:
        place = f" in namespace {self.namespace}" if self.namespace else ""
        labels = f" with {self.selector}" if self.selector else ""
        return f"{self.resource}{place}{labels}"


class Watch(Generic[_T]):
    """Keeps `index` as the API server has the objects of `scope`; tells `changed` when it has changed."""

    def __init__(self, client: Client, scope: Scope, index: Index[_T], changed: Callable[[], None]) -> None:
        self._client = client
        self.scope = scope
        self._index = index
        self._changed = changed
        self._version = ""
        """The `resourceVersion` seen last; empty when the objects must be listed."""
        self.listed = asyncio.Event()
        """Set once all objects are known."""
        self._trouble = Trouble(f"watch {scope} in Kubernetes")

    @property
    def problem(self) -> ShimError | None:
        """What keeps it from being up to date now."""
        return self._trouble.error

    def is_behind(self, item: JSONObject) -> bool:
        """Whether an event of this object is yet to come.

        Source: Kubernetes documentation, "Kubernetes API Concepts", "Resource versions": they grow.
        """
        meta = item["metadata"]
        is_seen = int(meta["resourceVersion"]) <= int(self._version or 0)
        return self.scope.namespace in {"", meta["namespace"]} and not is_seen

    async def run(self) -> NoReturn:
        """List and watch until cancelled."""
        backoff = Backoff()
        while True:
            start = time.monotonic()
            retry_after = 0.0
            try:
                if not self._version:
                    await self._list()
                await self._follow()
            except KubeError as error:
                retry_after = error.retry_after
                if error.code == HTTPStatus.GONE:
                    self._version = ""
                else:
                    self._trouble.meet(error)
            except ShimError as error:
                self._trouble.meet(error)
            if time.monotonic() - start > _STABLE:
                backoff.reset()
            await asyncio.sleep(backoff.pause(retry_after))

    async def _list(self) -> None:
        seen: set[Key] = set()
        version = await self._client.list(
            self.scope.resource,
            self.scope.namespace,
            lambda item: seen.add(self._index.put(item)),
            selector=self.scope.selector,
            from_cache=bool(self.scope.selector) and not self.listed.is_set(),
        )
        self._index.retain(seen, self.scope.namespace)
        self._version = version
        if not self.listed.is_set():
            _log.info("Kubernetes: %d objects of %s", len(seen), self.scope)
        self.listed.set()
        self._changed()

    async def _follow(self) -> None:
        """Take in events until the watch ends; that it was cut is no problem as long as another succeeds."""
        established = False
        watch = self._client.watch(
            self.scope.resource, self.scope.namespace, self._version, selector=self.scope.selector
        )
        async with contextlib.aclosing(watch) as events:
            try:
                async for event in events:
                    if established:
                        self._take(event)
                    else:
                        established = True
                        self._trouble.end()
            except KubeError as error:
                if not established or error.code != UNREACHED:
                    raise
                _log.debug("Kubernetes: the watch of %s was cut: %s", self.scope, error)
            except (KeyError, TypeError, AttributeError) as error:
                self._version = ""  # it would only come again
                raise KubeError(f"{self._client}: sent an event that is none: {error!r}") from error

    def _take(self, event: dict[str, Any]) -> None:
        item = event["object"]
        match event["type"]:
            case "ADDED" | "MODIFIED":
                self._index.put(item)
                self._changed()
            case "DELETED":
                self._index.drop(key(item))
                self._changed()
            case "BOOKMARK":
                pass
            case "ERROR":
                raise KubeError(f"{self._client}: {item.get('message')}", code=item.get("code") or UNREACHED)
            case other:
                _log.warning("Kubernetes: unknown event %s of %s", other, self.scope)
                return
        self._version = item["metadata"]["resourceVersion"]
