"""Long answers: who waits for whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest
from starlette.types import Scope

from nanomq_py.http import streamed
from nanomq_py.http.errors import HttpError
from nanomq_py.http.streamed import AT_ONCE, SEND_BYTES, Streamed
from nanomq_py.http.v1.reply import json_response

pytestmark = pytest.mark.plain

SCOPE: Scope = {"type": "http", "method": "GET", "path": "/list"}
GUARD_S = 20.0  # a test that hangs fails


async def _pieces() -> AsyncIterator[bytes]:
    for _ in range(3):
        yield b" " * SEND_BYTES


def _failed(error: HttpError) -> Any:
    return json_response({"message": error.message}, error.status)


def _answer(turns: asyncio.Semaphore, *, is_held: bool) -> Streamed:
    return Streamed(b"[", _pieces(), b"]", turns, _failed, is_held=is_held)


async def _never() -> MutableMapping[str, Any]:
    """Receive nothing: the peer stays."""
    await asyncio.Event().wait()
    raise AssertionError


class _Slow:
    """A peer that takes the beginning of an answer, and then no more."""

    def __init__(self) -> None:
        self.is_stuck = asyncio.Event()

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            self.is_stuck.set()
            await asyncio.Event().wait()


async def _answered_beside_slow_peers(*, is_held: bool) -> bytes:
    """Return what a peer gets while as many slow ones as have turns are answered."""
    turns = asyncio.Semaphore(AT_ONCE)
    slow = [_Slow() for _ in range(AT_ONCE)]
    answers = [
        asyncio.ensure_future(_answer(turns, is_held=is_held)(SCOPE, _never, each.send))
        for each in slow
    ]
    for each in slow:
        await each.is_stuck.wait()
    got = bytearray()

    async def take(message: MutableMapping[str, Any]) -> None:
        got.extend(message.get("body", b""))

    await asyncio.wait_for(_answer(turns, is_held=is_held)(SCOPE, _never, take), GUARD_S)
    for answer in answers:
        answer.cancel()
    await asyncio.gather(*answers, return_exceptions=True)
    return bytes(got)


def test_peers_that_read_no_more_let_nobody_wait() -> None:
    got = asyncio.run(_answered_beside_slow_peers(is_held=False))
    assert got == b"[" + 3 * SEND_BYTES * b" " + b"]"


def test_answer_that_is_held_is_cut_where_its_peer_reads_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(streamed, "HELD_S", 0.01)
    got = asyncio.run(_answered_beside_slow_peers(is_held=True))
    assert got == b"[" + 3 * SEND_BYTES * b" " + b"]"
    assert "/list: an answer is cut" in caplog.text


def test_pieces_are_made_in_turns() -> None:
    """No more than have turns are made at once, of however many peers."""
    most = 0

    async def ask() -> None:
        turns, now = asyncio.Semaphore(AT_ONCE), 0

        async def pieces() -> AsyncIterator[bytes]:
            nonlocal now, most
            for _ in range(3):
                now += 1
                most = max(most, now)
                await asyncio.sleep(0)
                now -= 1
                yield b"1"

        async def take(message: MutableMapping[str, Any]) -> None:
            await asyncio.sleep(0)

        many = [Streamed(b"[", pieces(), b"]", turns, _failed) for _ in range(4 * AT_ONCE)]
        await asyncio.gather(*(each(SCOPE, _never, take) for each in many))

    asyncio.run(ask())
    assert most == AT_ONCE
