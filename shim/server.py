"""HTTP on the driver's socket: the table of calls as routes, and every error as one line.

The engine reads a 404 as "not implemented", which for some calls means success, so 404 is kept for
unknown paths. Source: libnetwork `drivers/remote/driver.go`, engine `pkg/plugins/client.go`.
"""

import contextlib
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from shim import spans, telemetry
from shim.driver import Driver
from shim.errors import InvalidRequestError, ShimError, one_line
from shim.ipam import IpamDriver
from shim.spans import Span
from shim.wire.protocol import CALLS, CONTENT_TYPE, Call, Request, Response, error_envelope

_log = logging.getLogger(__name__)

_Handler = Callable[[web.Request], Awaitable[web.Response]]
_Method = Callable[[Request], Awaitable[Response]]


def application(driver: Driver, ipam_driver: IpamDriver) -> web.Application:
    """The web application that answers the engine with the two drivers."""
    drivers = {"Plugin": driver, "NetworkDriver": driver, "IpamDriver": ipam_driver}
    app = web.Application(client_max_size=0)  # without a limit: 10,000 published ports exceed the default one
    for call in CALLS:
        app.router.add_post(f"/{call.path}", _handler(call, getattr(drivers[call.interface], call.method)))
    app.router.add_route("*", "/{path:(?s:.*)}", _unknown)  # line breaks too
    return app


def _handler(call: Call, method: _Method) -> _Handler:
    async def handle(request: web.Request) -> web.Response:
        with telemetry.call(call.name, request.path) as record:
            try:
                body = await _body(request)
                record.span.tell(request=body)
                response = await method(call.decode(body))
                return _answer(record.span, HTTPStatus.OK, response.to_json())
            except ShimError as error:
                record.error = str(error)
                return _answer(record.span, error.status, error_envelope(str(error)))
            except Exception as error:  # noqa: BLE001 - whatever it is, it must reach the user as one line
                _log.exception("%s failed in a way the shim does not foresee", call.name)
                record.error = one_line(
                    f"internal error in the CNI driver: {error!r} (its log has the details)"
                )
                return _answer(record.span, HTTPStatus.INTERNAL_SERVER_ERROR, error_envelope(record.error))

    return handle


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except (OSError, web.RequestPayloadError) as error:  # nobody may be left to read the answer
        raise InvalidRequestError(f"the request broke off: {error}", cure="repeat the command") from error


async def _unknown(request: web.Request) -> web.Response:
    with spans.span(spans.Kind.CALL, request.path.rpartition(".")[2], path=request.path) as span:
        with contextlib.suppress(InvalidRequestError):  # the answer is the same without it
            span.tell(request=await _body(request))
        span.error = one_line(f"the CNI driver has no call {request.path}")
        return _answer(span, HTTPStatus.NOT_FOUND, error_envelope(span.error))


def _answer(span: Span, status: HTTPStatus, body: Any) -> web.Response:
    response = web.json_response(body, status=status, content_type=CONTENT_TYPE)
    span.tell(status=status.value, answer=response.body)
    return response
