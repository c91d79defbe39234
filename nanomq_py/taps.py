"""Taps: messages of the broker, as an asynchronous iterator for Python."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

TAP_QUEUE = 65536  # messages that wait in one tap


@dataclass(frozen=True, slots=True)
class Message:
    """One Application Message as a tap sees it."""

    topic_name: str
    payload: bytes
    qos: int  # as published
    retain: bool  # as published
    retained: bool  # kept from before the subscription


class Tap:
    """Messages that match a filter, as an asynchronous iterator.

    It listens from its making on until :meth:`close`, or the end of ``async with``. When more
    than 65,536 messages wait, the oldest is dropped and ``dropped`` counts it.
    """

    def __init__(self, number: int, close: Callable[[int], None]) -> None:
        """Make the tap that the core calls ``number``; ``close`` takes it from the core."""
        self._number = number
        self._close = close
        self._waiting: deque[Message] = deque(maxlen=TAP_QUEUE)
        self._arrived = asyncio.Event()
        self._closed = False
        self.dropped = 0

    def put(self, message: Message) -> None:
        """Add a message that has come."""
        self.dropped += len(self._waiting) == TAP_QUEUE
        self._waiting.append(message)
        self._arrived.set()

    def __aiter__(self) -> Tap:
        return self

    async def __anext__(self) -> Message:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()

    def close(self) -> None:
        """Stop listening. What waits can still be read; then the iteration ends."""
        if not self._closed:
            self._closed = True
            self._close(self._number)
            self._arrived.set()

    async def __aenter__(self) -> Tap:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
