"""An answer of any length, sent piece by piece as long as its peer takes it.

::

    head  piece piece piece ...  tail

A piece is made in a turn. None is held while the peer takes what was sent: peers that read
slowly let nobody else wait.
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
AT_ONCE = 2  # long answers of a dialect whose pieces are made; others wait
HELD_S = 60.0  # an answer that is held whole is to be made and taken in that time


class Streamed:
    """An ASGI answer of JSON. It begins when it is called."""

    def __init__(
        self,
        head: bytes,
        pieces: AsyncIterator[bytes],
        tail: bytes,
        turns: asyncio.Semaphore,
        failed: Callable[[HttpError], ASGIApp],
        *,
        is_held: bool = False,
    ) -> None:
        """Make it.

        turns    bound how many are made at once
        failed   makes what answers in its place if the pieces fail before any was sent
        is_held  it takes much memory from its first piece to its last: one turn is for all
                 of it, and ends after HELD_S
        """
        self._head, self._pieces, self._tail = head, pieces, tail
        self._turns = turns
        self._failed = failed
        self._is_held = is_held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            if self._is_held:
                await self._answer_held(scope, receive, send, gone)
            else:
                await self._answer(scope, receive, send, gone)
        finally:
            gone.cancel()

    async def _answer_held(
        self, scope: Scope, receive: Receive, send: Send, gone: asyncio.Future[None]
    ) -> None:
        async with self._turns:
            if gone.done():
                return
            answer = self._answer(scope, receive, send, gone)
            try:
                await asyncio.wait_for(answer, HELD_S)
            except asyncio.TimeoutError:  # the connection ends, and with it the answer
                log.warning("%s: an answer is cut: its peer is slow", scope["path"])

    async def _next(self) -> bytes | None:
        """Return the next piece; None: there is none."""
        if self._is_held:
            return await anext(self._pieces, None)
        async with self._turns:
            return await anext(self._pieces, None)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, gone: asyncio.Future[None]
    ) -> None:
        ready, has_begun = self._head, False
        try:
            while (piece := await self._next()) is not None:
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
