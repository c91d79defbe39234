"""Answers of any length, made and sent piece by piece: others get the loop in between.

::

    {"code":0,"seq":1,"rep":5,"data":[   {...},{...}   ,{...}   ]}
                    head                    pieces of about a millisecond
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from nanomq_py.core.records import ClientState, Snapshot
from nanomq_py.http.v1.reply import Code, json_response

log = logging.getLogger("nanomq.http")

PIECE = 128  # records that are read at once: a millisecond
SEND_BYTES = 32 * 1024
AT_ONCE = 2  # lists; others wait

Pieces = Callable[[Snapshot], Iterator[bytes]]


def _inner(records: list[dict[str, Any]]) -> bytes:
    """Return the JSON of a list without its brackets."""
    return orjson.dumps(records)[1:-1]


def client_pieces(
    snapshot: Snapshot, as_json: Callable[[ClientState], dict[str, Any]]
) -> Iterator[bytes]:
    """Yield every client, as JSON for the inside of a list."""
    for first in range(0, len(snapshot), PIECE):
        text = _inner([as_json(state) for state in snapshot.states(first, PIECE)])
        yield b"," + text if first > 0 else text


def subscription_pieces(snapshot: Snapshot) -> Iterator[bytes]:
    """Yield every client that has subscriptions, with them.

    A piece is empty when it has looked at many clients and found none.

    A client may have more subscriptions than fit one piece.
    """
    text, weight, comma = b"", 0, b""
    for index in range(len(snapshot)):
        weight += 1
        if count := snapshot.subscription_count(index):
            head = {"client_id": snapshot.client_id(index), "subscriptions": []}
            text += comma + orjson.dumps(head)[:-2]
            comma = b","
            for first in range(0, count, PIECE):
                found = snapshot.subscriptions(index, first, PIECE)
                text += b"," if first > 0 else b""
                text += _inner([{"topic": s.topic_filter, "qos": s.qos} for s in found])
                weight += len(found)
                if weight >= PIECE:
                    yield text
                    text, weight = b"", 0
            text += b"]}"
        if weight >= PIECE:
            yield text
            text, weight = b"", 0
    yield text


class ListAnswer:
    """An ASGI answer: a list over a snapshot, as long as its peer takes it."""

    def __init__(
        self,
        seq: int,
        req: int,
        snapshot: Callable[[], Awaitable[Snapshot]],
        pieces: Pieces,
        turns: asyncio.Semaphore,
    ) -> None:
        """Make it. It begins when it is called and gets one of ``turns``."""
        self._envelope = {"code": int(Code.SUCCEED), "seq": seq, "rep": req}
        self._snapshot = snapshot
        self._pieces = pieces
        self._turns = turns

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
        try:
            pieces = self._pieces(await self._snapshot())
        except Exception:
            log.exception("req %s failed", self._envelope["rep"])
            content = {**self._envelope, "code": int(Code.UNKNOWN_MISTAKE)}
            await json_response(content, 500)(scope, receive, send)
            return
        ready = orjson.dumps({**self._envelope, "data": []})[:-2]
        begun = False
        for piece in pieces:
            ready += piece
            await asyncio.sleep(0)
            if gone.done():
                return
            if len(ready) >= SEND_BYTES:
                if not begun:
                    await send(_start([]))
                    begun = True
                await send({"type": "http.response.body", "body": ready, "more_body": True})
                ready = b""
        ready += b"]}"
        if not begun:
            await send(_start([(b"content-length", str(len(ready)).encode())]))
        await send({"type": "http.response.body", "body": ready})


def _start(headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    headers = [*headers, (b"content-type", b"application/json")]
    return {"type": "http.response.start", "status": 200, "headers": headers}


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
