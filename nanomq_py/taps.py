"""Taps: messages of the broker, as an asynchronous iterator for Python."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from nanomq_py.core.binding import Core, CoreError
from nanomq_py.core.records import MessageEvent
from nanomq_py.kernel.part import Hears, Part

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

    It listens from the moment it is made until :meth:`close`, or the end of ``async with``.
    When more than 65,536 messages wait, the oldest is dropped and ``dropped`` counts it.
    """

    def __init__(self, number: int, close: Callable[[int], None]) -> None:
        """Make the tap that the core knows by ``number``; ``close`` ends it in the core."""
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


class Taps(Part):
    """The taps that are open, by the core's number."""

    name = "taps"

    def __init__(self, core: Core) -> None:
        self._core = core
        self._open: dict[int, Tap] = {}

    @property
    def hears(self) -> Hears:
        return {MessageEvent: self._put}

    def open(self, topic_filter: str, qos: int) -> Tap:
        """Return a tap of the messages that match. Raises ValueError for the filter."""
        try:
            number = self._core.open_tap(topic_filter, qos=qos)
        except CoreError as fault:
            raise ValueError(f"{topic_filter!r}: {fault}") from None
        tap = self._open[number] = Tap(number, self._close)
        return tap

    def _close(self, number: int) -> None:
        if self._open.pop(number, None) is not None:
            self._core.close_tap(number)

    def _put(self, event: MessageEvent) -> None:
        tap = self._open.get(event.tap)
        if tap is not None:
            tap.put(
                Message(
                    event.topic_name, event.payload, event.qos, event.retain, event.retained
                )
            )

    async def stop(self) -> None:
        """Close all; what waits in them can still be read."""
        for tap in list(self._open.values()):
            tap.close()
