"""Consumers: messages for a program that must not lose one, in batches to acknowledge."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Protocol

from nanomq_py.core.binding import Core, CoreError
from nanomq_py.core.consuming import ConsumerStats, CoreConsumer, KeptConsumer
from nanomq_py.core.message import ListenerName, Message, records
from nanomq_py.core.queries import Page
from nanomq_py.feeds import Arrivals
from nanomq_py.kernel.part import Part

log = logging.getLogger("nanomq")

MAX_MESSAGES = 100_000
MAX_BYTES = 64 << 20
OF_PLUGINS = "plugins/"  # and the name of the plugin: how names of its consumers begin
MOST_LOOKED_AT = 1_000  # at once
MOST_NAMED = 5  # in a line of the log


class Batch:
    """Some messages, in the order in which they came."""

    def __init__(self, messages: list[Message], ack: Callable[[], None]) -> None:
        """Make a batch. ack: acknowledges it and what came before."""
        self._messages = messages
        self._ack = ack

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    def ack(self) -> None:
        """Acknowledge these messages, and all that came before them.

        Raises   RuntimeError once they are to come again, or the consumer is closed
        """
        self._ack()


class Consumer:
    """A kept session whose other end is this program, as an asynchronous iterator of batches.

    The broker keeps each message until its batch is acknowledged: over :meth:`close`, over a
    restart, and over the end of this object. A consumer that is opened again gets what was
    not acknowledged once more, with ``message.again``. It keeps messages of every QoS.

    When half of its bounds is reached, publishers wait for it as for any slow subscriber; what
    goes over them, while it takes nothing, is dropped and counted in :meth:`stats`.

    Threads  belongs to the event loop
    """

    def __init__(
        self, core: CoreConsumer, close: Callable[[], object], listener_name: ListenerName
    ) -> None:
        """Make it of an open consumer of the core. close: forgets it among those open."""
        self._core = core
        self._close = close
        self._listener_name = listener_name
        self._taken = 0  # messages, since it was opened or they were to come again
        self._acked = 0
        self._round = 0  # counts how often they were to come again
        self._closed = False
        self._arrivals = Arrivals(core.fd, partial(os.read, core.fd, 8))

    def __aiter__(self) -> Consumer:
        return self

    async def __anext__(self) -> Batch:
        """Return the next messages, one or more; wait for some."""
        while True:
            # Others have their turn before something is taken: who is cancelled loses nothing.
            await asyncio.sleep(0)
            if self._closed:
                raise StopAsyncIteration
            count, chunk = self._core.take()
            if count > 0:
                return self._batch(count, chunk)
            await self._arrivals.wait()

    def _batch(self, count: int, chunk: bytes) -> Batch:
        self._taken += count
        until, turn = self._taken, self._round
        messages = [Message(record, self._listener_name) for record in records(chunk)]
        return Batch(messages, lambda: self._ack(until, turn))

    def _ack(self, until: int, turn: int) -> None:
        if self._closed or turn != self._round:
            raise RuntimeError(
                "these messages come again: they were not acknowledged in time"
            )
        if until > self._acked:
            self._core.ack(until - self._acked)
            self._acked = until

    def again(self) -> None:
        """Have every message that was not acknowledged come again, in the same order.

        Raises   RuntimeError when it is closed
        """
        self._check_open()
        self._core.again()
        self._taken, self._acked = 0, 0
        self._round += 1

    def stats(self) -> ConsumerStats:
        """Return what it keeps. Raises RuntimeError when it is closed."""
        self._check_open()
        return self._core.stats()

    def _check_open(self) -> None:
        if self._closed:  # its core may be gone
            raise RuntimeError("the consumer is closed")

    def close(self) -> None:
        """End the iteration. The broker keeps what was not acknowledged, and what comes."""
        if not self._closed:
            self._closed = True
            self._arrivals.end()
            self._core.close()
            self._close()

    async def __aenter__(self) -> Consumer:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Consumers(Part):
    """The consumers that are open, by name."""

    name = "consumers"

    def __init__(self, core: Core, listener_name: ListenerName) -> None:
        self._core = core
        self._listener_name = listener_name
        self._open: dict[str, Consumer] = {}
        self._stopped = False

    def open(
        self,
        name: str,
        topic_filters: tuple[str, ...],
        qos: int,
        max_messages: int,
        max_bytes: int,
        patience_s: float = 0.0,
    ) -> Consumer:
        """Return that consumer. Raises ValueError, or RuntimeError if it is open."""
        if self._stopped:
            raise RuntimeError("the broker is not running")
        if name in self._open:
            raise RuntimeError(f"the consumer {name!r} is open")
        try:
            core = self._core.open_consumer(
                name,
                topic_filters,
                qos=qos,
                max_messages=max_messages,
                max_bytes=max_bytes,
                patience_ms=int(patience_s * 1000),
            )
        except (CoreError, OverflowError) as fault:
            raise ValueError(f"consumer {name!r}: {fault}") from None
        consumer = Consumer(core, partial(self._open.pop, name), self._listener_name)
        self._open[name] = consumer
        return consumer

    def end(self, name: str) -> None:
        """Forget the consumer of that name, and what it keeps. Raises KeyError."""
        if name in self._open:
            self._open[name].close()
        try:
            self._core.end_consumer(name)
        except CoreError:
            raise KeyError(name) from None

    async def stop(self) -> None:
        """Close all, and open none any more; the core keeps what was not acknowledged."""
        self._stopped = True
        for consumer in list(self._open.values()):
            consumer.close()


class KeepsConsumers(Protocol):
    """What is called of a Broker."""

    def consumers(self, *, limit: int, after: int | None) -> Page[KeptConsumer]: ...

    def end_consumer(self, name: str) -> None: ...


def end_orphans(
    broker: KeepsConsumers, below: str, is_wanted: Callable[[str], bool]
) -> None:
    """End the consumers that are not open, and that nobody is going to open.

    Such a consumer, of the process before, would hold publishers up, and then drop for ever.

    below      how their names begin
    is_wanted  says so of a name
    """
    ended: list[str] = []
    lost, after = 0, None
    while True:
        page = broker.consumers(limit=MOST_LOOKED_AT, after=after)
        for each in page.rows:
            if each.is_open or not each.name.startswith(below) or is_wanted(each.name):
                continue
            broker.end_consumer(each.name)
            ended.append(each.name)
            lost += each.stats.waiting + each.stats.taken
        after = page.next
        if after is None:
            break
    if ended:
        named = ", ".join(f"{name[:100]!r}" for name in sorted(ended)[:MOST_NAMED])
        more = ", ..." if len(ended) > MOST_NAMED else ""
        text = "ended consumers that nothing wants any more: %d, with %d messages: %s%s"
        log.warning(text, len(ended), lost, named, more)
