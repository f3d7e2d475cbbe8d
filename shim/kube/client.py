"""The API server, asked in a few verbs, each with a deadline and with errors that say what was refused.

Answers are read raw: `kubernetes.aio` would copy each object several times on the way.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp

from shim import spans
from shim.kube.access import Access
from shim.kube.errors import KubeError, NotFoundError
from shim.kube.lists import ListReader
from shim.kube.objects import Resource
from shim.kube.sessions import Sessions
from shim.model import JSONObject

_DEADLINE = 10.0
"""Seconds for one answer, unless the caller has less time."""
_PAGE = 250
"""Objects in one page of a list: what a page takes in memory is soon given back."""
_SILENCE = 90.0
"""Seconds without a word after which a watch counts as dead; the server sends bookmarks every minute."""
_LONGEST_WATCH = 300
"""Seconds after which the server ends a watch, so that watches spread again over several servers."""

_MERGE_PATCH = "application/merge-patch+json"


class Client:
    """The API server that `access` leads to. Every call may raise `KubeError` and `AccessError`.

    Credentials are read again when their files change, and when the server does not accept them. `scratch`
    is a folder for keys that are no files of their own.
    """

    def __init__(self, access: Access, scratch: Path) -> None:
        self._sessions = Sessions(access, scratch)

    def __str__(self) -> str:
        return f"Kubernetes at {self._sessions}"

    async def close(self) -> None:
        """End all connections; the next call opens new ones."""
        await self._sessions.close()

    async def get(
        self, resource: Resource, namespace: str, name: str, *, deadline: float = _DEADLINE
    ) -> dict[str, Any] | None:
        """The object of that name, None when there is none; `deadline` in seconds, connecting included."""
        try:
            async with asyncio.timeout(deadline):
                return await self._ask("get", resource, namespace, name)
        except TimeoutError:
            raise KubeError(f"{self}: no answer within {deadline:g} s") from None
        except NotFoundError:
            return None

    async def list(
        self,
        resource: Resource,
        namespace: str,
        take: Callable[[dict[str, Any]], object],
        *,
        selector: str = "",
        from_cache: bool = False,
    ) -> str:
        """Hand all objects of a kind to `take`, those of all namespaces when none is given.

        Returns the `resourceVersion` of the list. `from_cache` takes what the server has in memory, a moment
        old: that is cheap where few of many objects are wanted.
        """
        options = {
            "limit": _PAGE,
            "label_selector": selector or None,
            "resource_version": "0" if from_cache else None,
        }
        while True:
            text = await self._read("list", resource, namespace, **options)
            try:
                page = ListReader(text.decode())
                for number, item in enumerate(page):
                    take(item)
                    if number % _PAGE == 0:  # lists from the cache have no pages: let others have their turn
                        await asyncio.sleep(0)
                meta = page.rest["metadata"]
            except (ValueError, RecursionError, KeyError) as error:
                raise KubeError(f"{self}: its list cannot be read: {error!r}") from error
            if not meta.get("continue"):
                version: str = meta["resourceVersion"]
                return version
            options |= {"_continue": meta["continue"], "resource_version": None}

    async def watch(
        self, resource: Resource, namespace: str, version: str, *, selector: str = ""
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The events since `version`, as the server sends them, until it ends the watch.

        An empty object comes first, as soon as the server has accepted.
        """
        try:
            async with asyncio.timeout(_DEADLINE):
                response = await self._send(
                    "list",
                    resource,
                    namespace,
                    label_selector=selector or None,
                    resource_version=version,
                    watch=True,
                    allow_watch_bookmarks=True,
                    timeout_seconds=_LONGEST_WATCH,
                    _request_timeout=float(2 * _LONGEST_WATCH),
                )
        except TimeoutError as error:
            raise self._unreached(error) from error
        try:
            yield {}
            async for line in self._lines(response):
                yield self._parsed(line)
        finally:
            response.close()

    async def create(self, resource: Resource, item: JSONObject) -> dict[str, Any]:
        """Create an object; it comes back as the server stored it."""
        return await self._ask("create", resource, item["metadata"]["namespace"], body=item)

    async def replace(self, resource: Resource, item: JSONObject) -> dict[str, Any]:
        """Put `item` in the place of the object it was made from, unless that has changed since."""
        meta = item["metadata"]
        return await self._ask("replace", resource, meta["namespace"], meta["name"], body=item)

    async def patch(
        self, resource: Resource, namespace: str, name: str, change: JSONObject
    ) -> dict[str, Any]:
        """Merge a change into an object (RFC 7386)."""
        return await self._ask("patch", resource, namespace, name, body=change, _content_type=_MERGE_PATCH)

    async def patch_status(
        self, resource: Resource, namespace: str, name: str, status: JSONObject
    ) -> dict[str, Any]:
        """Merge a change into the status of an object (RFC 7386)."""
        return await self._ask(
            "patch",
            resource,
            namespace,
            name,
            subresource="_status",
            body={"status": status},
            _content_type=_MERGE_PATCH,
        )

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete an object; harmless when there is none."""
        with contextlib.suppress(NotFoundError):
            await self._ask("delete", resource, namespace, name)

    async def _ask(
        self, verb: str, resource: Resource, namespace: str, *names: str, **options: Any
    ) -> dict[str, Any]:
        """The object in the answer."""
        return self._parsed(await self._read(verb, resource, namespace, *names, **options))

    async def _read(
        self, verb: str, resource: Resource, namespace: str, *names: str, **options: Any
    ) -> bytes:
        response = await self._send(verb, resource, namespace, *names, _request_timeout=_DEADLINE, **options)
        try:
            return await response.read()
        except _TRANSPORT as error:
            raise self._unreached(error) from error

    async def _send(
        self, verb: str, resource: Resource, namespace: str, *names: str, **options: Any
    ) -> aiohttp.ClientResponse:
        """The answer, accepted and not read yet."""
        with contextlib.suppress(_OutdatedError):
            return await self._attempt(verb, resource, namespace, *names, **options)
        return await self._attempt(verb, resource, namespace, *names, **options)

    async def _attempt(
        self,
        verb: str,
        resource: Resource,
        namespace: str,
        *names: str,
        subresource: str = "",
        **options: Any,
    ) -> aiohttp.ClientResponse:
        """Raises `_OutdatedError` when another attempt, with the credentials as they are now, may help."""
        body = options.get("body")
        name = names[0] if names else (body or {}).get("metadata", {}).get("name", "")
        shown = "watch" if options.get("watch") else verb
        with spans.span(
            spans.Kind.KUBERNETES,
            " ".join(filter(None, (shown, resource.plural, name, subresource.lstrip("_")))),
            namespace=namespace,
            selector=options.get("label_selector") or "",
            request=body,
        ) as span:
            return await self._request(
                span, verb, resource, namespace, *names, subresource=subresource, **options
            )

    async def _request(
        self,
        span: spans.Span,
        verb: str,
        resource: Resource,
        namespace: str,
        *names: str,
        subresource: str,
        **options: Any,
    ) -> aiohttp.ClientResponse:
        api = await self._sessions.current()
        scope = "namespaced_custom_object" if namespace else "custom_object_for_all_namespaces"
        place = (namespace, resource.plural) if namespace else (resource.plural,)
        send = getattr(api, f"{verb}_{scope}{subresource}_without_preload_content")
        try:
            response: aiohttp.ClientResponse = await send(
                resource.group, resource.version, *place, *names, **options
            )
        except _TRANSPORT as error:
            if not self._sessions.is_current(api):  # closed meanwhile, for newer credentials
                raise _OutdatedError(f"{self}: {_reason(error)}") from error
            raise self._unreached(error) from error
        span.tell(status=response.status)
        if response.status == HTTPStatus.UNAUTHORIZED:
            refusal = await self._refused(response, resource)
            if self._sessions.is_current(api):
                await self._sessions.close()
            raise _OutdatedError(refusal.cause, code=refusal.code, cure=refusal.cure)
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise await self._refused(response, resource)
        return response

    async def _lines(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        rest = b""
        while True:
            try:
                async with asyncio.timeout(_SILENCE):
                    chunk = await response.content.readany()
            except _TRANSPORT as error:
                raise self._unreached(error) from error
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line

    def _parsed(self, text: bytes) -> dict[str, Any]:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise KubeError(f"{self}: its answer is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise KubeError(f"{self}: its answer is no object")
        return value

    def _unreached(self, error: Exception) -> KubeError:
        is_untrusted = isinstance(error, aiohttp.ClientConnectorCertificateError)
        cure = "has the server another certificate authority, or an expired certificate?"
        return KubeError(f"{self}: {_reason(error)}", cure=cure if is_untrusted else "")

    async def _refused(self, response: aiohttp.ClientResponse, resource: Resource) -> KubeError:
        try:
            body = await response.read()
        except _TRANSPORT as error:
            return self._unreached(error)
        try:
            said = json.loads(body)["message"]
        except (ValueError, TypeError, KeyError):
            said = ""
        if response.status == HTTPStatus.NOT_FOUND:
            if said:
                return NotFoundError(f"{self}: {said}", code=response.status)
            return KubeError(
                f"{self}: knows no {resource}",
                code=response.status,
                cure=f"kubectl apply -f examples/kubernetes/{resource.plural}.yaml",
            )
        return KubeError(
            f"{self}: {said or response.reason or response.status}",
            code=response.status,
            retry_after=_seconds(response.headers.get("Retry-After", "")),
            cure=self._cure(response.status),
        )

    def _cure(self, status: int) -> str:
        if status == HTTPStatus.UNAUTHORIZED:
            return f"are the credentials expired? they come from {self._sessions.access}"
        if status == HTTPStatus.FORBIDDEN:
            return "grant it: kubectl apply -f examples/kubernetes/access.yaml"
        return ""


_TRANSPORT = (aiohttp.ClientError, TimeoutError, OSError, RuntimeError)
"""What a request that gets no answer raises; `RuntimeError` when its session was closed meanwhile."""


class _OutdatedError(KubeError):
    """The credentials are not, or no longer, those that the server accepts."""


def _reason(error: Exception) -> str:
    """Why there was no answer, in a few words."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        return f"its certificate is refused: {getattr(cause, 'verify_message', '') or cause}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"its name is not known: {error.os_error.strerror}"
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno:
        return os.strerror(error.os_error.errno)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdecimal() else 0.0
