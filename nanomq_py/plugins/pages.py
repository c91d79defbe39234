"""The HTTP API of plugins: ``/plugins/NAME/...``, behind the login of every other request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Router
from starlette.types import Receive, Scope, Send

from nanomq_py.http.errors import BadRequest, HttpError, NotFound, Unexpected, error_of
from nanomq_py.http.guard import Gate
from nanomq_py.http.request import MAX_BODY_BYTES, check_may_change, log_in
from nanomq_py.plugins.held import Held

log = logging.getLogger("nanomq.plugins")

_READS = {"GET", "HEAD", "OPTIONS"}  # RFC 9110, 9.2.1


class Pages:
    """An ASGI application: lets callers in, and hands each request to its plugin.

    What a plugin raises is logged and answered with 500.
    """

    def __init__(self, serving: Callable[[str], Held | None], gate: Gate) -> None:
        """Take what returns the plugin of a name, if it serves."""
        self._serving = serving
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def tell(message: MutableMapping[str, Any]) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        name = scope["path"].split("/")[2]
        try:
            await self._hand_on(name, scope, receive, tell)
            return
        except HttpError as fault:
            error = fault
        except HTTPException as fault:
            error = error_of(fault.status_code, fault.headers)
            error.message = fault.detail
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException:
            log.exception("plugin %s: %s %s failed", name, scope["method"], scope["path"])
            error = Unexpected()
        if not has_begun:  # else the connection is closed in the middle of an answer
            await _rendered(error)(scope, receive, send)

    async def _hand_on(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        caller = await log_in(Request(scope, receive), self._gate)
        if scope["method"] not in _READS:
            check_may_change(caller)
        held = self._serving(name)
        if held is None or held.plugin is None:
            raise NotFound(f"no plugin {name[:64]!r} is loaded")
        if held.app is None:
            held.app = Router([Mount(f"/{name}", routes=list(held.plugin.routes()))])
        below = {**scope, "state": {**scope.get("state", {}), "who": str(caller)}}
        below.pop("starlette.exception_handlers", None)  # errors come out here
        if not await held.answer(held.app(below, _bounded(receive), send)):
            raise NotFound(f"the plugin {name!r} is loaded no more")


def _bounded(receive: Receive) -> Receive:
    """Return what receives a body of 1 MiB at most. It raises BadRequest."""
    left = MAX_BODY_BYTES

    async def take() -> MutableMapping[str, Any]:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise BadRequest("the body is larger than 1 MiB")
        return message

    return take


def _rendered(error: HttpError) -> Response:
    content = {"message": error.message or type(error).__name__}
    return Response(orjson.dumps(content), error.status, error.headers, "application/json")
