"""A proxy before the API server that delays, refuses and cuts, which a real server does not do on demand.

Usage: `python faulty_proxy.py ADDRESS PORT SERVER AUTHORITY CERTIFICATE KEY ORDERS`. ORDERS is a JSON file:
`delay` in seconds, `status` to refuse with, and `cut`, in seconds, after which a watch is cut.
"""

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

_HOP = {"host", "connection", "transfer-encoding", "content-length", "accept-encoding", "content-encoding"}
"""Headers that belong to one connection, not to the request."""


class Proxy:
    """Forwards to `server`, which `authority` vouches for, as `orders` say."""

    def __init__(self, server: str, authority: str, orders: Path) -> None:
        self._server = server
        self._authority = authority
        self._orders = orders
        self._session: ClientSession | None = None

    async def session(self, _app: web.Application) -> AsyncIterator[None]:
        """Have a connection pool while the proxy runs."""
        connector = TCPConnector(ssl=ssl.create_default_context(cafile=self._authority))
        timeout = ClientTimeout(total=None)
        async with ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False
        ) as self._session:
            yield

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        orders: dict[str, Any] = json.loads(self._orders.read_text())
        await asyncio.sleep(orders.get("delay", 0))
        if status := orders.get("status"):
            return web.json_response({"kind": "Status", "message": "refused by order"}, status=status)
        assert self._session
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP}
        async with self._session.request(
            request.method, f"{self._server}{request.path_qs}", headers=headers, data=await request.read()
        ) as answer:
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in _HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            cut = orders.get("cut") if "watch" in request.query else None
            try:
                async with asyncio.timeout(cut):
                    async for chunk in answer.content.iter_any():
                        await response.write(chunk)
            except TimeoutError:
                if request.transport:
                    request.transport.abort()
            else:
                await response.write_eof()
            return response


def main() -> None:
    """Serve until killed."""
    address, port, server, authority, certificate, key, orders = sys.argv[1:]
    proxy = Proxy(server, authority, Path(orders))
    app = web.Application()
    app.cleanup_ctx.append(proxy.session)
    app.router.add_route("*", "/{path:.*}", proxy.forward)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    web.run_app(app, host=address, port=int(port), ssl_context=context, print=None, handle_signals=False)


if __name__ == "__main__":
    main()
