"""An answer of any length, sent piece by piece as long as its peer takes it.

::

    head  piece piece piece ...  tail
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from nanomq_py.http.errors import HttpError, Unexpected

log = logging.getLogger("nanomq.http")

SEND_BYTES = 32 * 1024
AT_ONCE = 2  # long answers of a dialect; others wait


class Streamed:
    """An ASGI answer of JSON. It begins when it is called and gets one of ``turns``."""

    def __init__(
        self,
        head: bytes,
        pieces: AsyncIterator[bytes],
        tail: bytes,
        turns: asyncio.Semaphore,
        failed: Callable[[HttpError], ASGIApp],
    ) -> None:
        """Make it.

        failed  makes what answers in its place if the pieces fail before any was sent
        """
        self._head, self._pieces, self._tail = head, pieces, tail
        self._turns = turns
        self._failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            async with self._turns:
                if not gone.done():
                    await self._answer(scope, receive, send, gone)
        finally:
            gone.cancel()

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, gone: asyncio.Future[None]
    ) -> None:
        ready, has_begun = self._head, False
        try:
            async for piece in self._pieces:
                ready += piece
                if gone.done():
                    return
                if len(ready) >= SEND_BYTES:
                    if not has_begun:
                        await send(_start([]))
                        has_begun = True
                    await send(
                        {"type": "http.response.body", "body": ready, "more_body": True}
                    )
                    ready = b""
        except Exception as fault:
            error = _error_of(fault, scope)
            if has_begun:
                raise  # the connection ends, and with it the answer
            await self._failed(error)(scope, receive, send)
            return
        ready += self._tail
        if not has_begun:
            await send(_start([(b"content-length", str(len(ready)).encode())]))
        await send({"type": "http.response.body", "body": ready})


def _error_of(fault: Exception, scope: Scope) -> HttpError:
    """Return what the peer is told; what is our fault is logged."""
    if isinstance(fault, HttpError):
        return fault
    log.error("%s %s failed", scope["method"], scope["path"], exc_info=fault)
    return Unexpected()


def _start(headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    headers = [*headers, (b"content-type", b"application/json")]
    return {"type": "http.response.start", "status": 200, "headers": headers}


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
