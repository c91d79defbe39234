"""What brings messages and events to the queue of web hooks, until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import orjson

from nanomq_py.broker import Batch, Broker, Consumer
from nanomq_py.config.keys.http_client import WebHook
from nanomq_py.core.message import Message
from nanomq_py.delivery.target import Post
from nanomq_py.events import Event, Events
from nanomq_py.plugins.webhook.actions import Actions, message_publish
from nanomq_py.plugins.webhook.payloads import WRITERS
from nanomq_py.store.faults import StoreError

AGAIN_S = 1.0  # after the store did not take something
MOST_PUT = 1000  # posts of one transaction
MOST_PUTTING = 16  # batches on their way to the disk
# Of the consumer: from half of it on publishers wait, so long if the disk takes nothing.
PATIENCE_S = 30.0
MOST_KEPT, MOST_KEPT_BYTES = 8192, 16 << 20
MOST_HELD = 10_000  # events that wait for the store; the core keeps more

Work = Callable[[Coroutine[Any, Any, object]], None]


def filters_of(hook: WebHook) -> dict[str, tuple[str, ...]]:
    """Return the topic filters of each event that is told; none: whatever the topic."""
    found: dict[str, list[str | None]] = {}
    for rule in hook.rules:
        found.setdefault(rule.event, []).append(rule.topic)
    return {
        event: () if None in filters else tuple(dict.fromkeys(filter(None, filters)))
        for event, filters in found.items()
    }


class Telling:
    """The consumer and the events of one configuration.

    Threads  belongs to the event loop
    """

    def __init__(
        self,
        broker: Broker,
        name: str,
        consumer_name: str,
        hook: WebHook,
        log: logging.Logger,
    ) -> None:
        """Make it; the target of that name is set."""
        self._broker = broker
        self._consumer_name = consumer_name
        self._name = name
        self._log = log
        self._write = WRITERS[hook.encoding]
        filters = filters_of(hook)
        published = filters.pop("message.publish", None)
        self._published = ("#",) if published == () else published
        self._actions = Actions(filters, self._write)
        self._consumer: Consumer | None = None
        self._events: Events[Event] | None = None
        self._held: list[Post] = []  # of events, on their way to the store
        # Batches on their way to the disk, the oldest first.
        self._putting: asyncio.Queue[tuple[asyncio.Future[None], Batch]] = asyncio.Queue(
            MOST_PUTTING
        )
        self._unacked = 0
        self._leaves = False
        self._tasks: set[asyncio.Task[object]] = set()
        self._has_failed = False

    def start(self, work: Work) -> None:
        """Begin; ``work`` has something done beside everything else."""
        if self._published is not None:
            self._consumer = self._broker.consume(
                self._consumer_name,
                self._published,
                max_messages=MOST_KEPT,
                max_bytes=MOST_KEPT_BYTES,
                patience_s=PATIENCE_S,
            )
            work(self._known(self._publishes(self._consumer)))
        if self._actions.kinds:
            self._events = self._broker.events(self._actions.kinds)
            work(self._known(self._happenings(self._events)))

    async def _known(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await work
        finally:
            self._tasks.discard(task)

    async def _publishes(self, consumer: Consumer) -> None:
        """Take messages while others are on their way to the disk: publishers wait for it."""
        acking = asyncio.ensure_future(self._acknowledge())
        try:
            async with consumer:
                async for batch in consumer:
                    if self._leaves:
                        break  # it comes again
                    posts = [self._post(each) for each in batch if not each.retained]
                    self._unacked += 1
                    putting = asyncio.ensure_future(self._put(posts))
                    await self._putting.put((putting, batch))
                await self._putting.join()
        finally:
            acking.cancel()

    async def _acknowledge(self) -> None:
        while True:
            putting, batch = await self._putting.get()
            await putting
            with contextlib.suppress(RuntimeError):  # it was closed meanwhile
                batch.ack()
            self._unacked -= 1
            self._putting.task_done()
            if self._leaves and not self._unacked and self._consumer is not None:
                self._consumer.close()

    def _post(self, message: Message) -> Post:
        fields = message_publish(message, self._write)
        return Post(message.topic_name, orjson.dumps(fields))

    async def _happenings(self, events: Events[Event]) -> None:
        putting: asyncio.Task[None] | None = None
        async with events:
            async for event in events:
                for told in self._actions.of(event):
                    self._held.append(Post(told.key, orjson.dumps(told.fields)))
                if self._held and (putting is None or putting.done()):
                    putting = asyncio.ensure_future(self._put_held())
                if len(self._held) >= MOST_HELD and putting is not None:
                    await putting
        if putting is not None:
            await putting

    async def _put_held(self) -> None:
        while self._held:
            posts, self._held = self._held, []
            await self._put(posts)

    async def _put(self, posts: Sequence[Post]) -> None:
        """Return once they are on the disk, however long that takes."""
        for first in range(0, len(posts), MOST_PUT):
            some = posts[first : first + MOST_PUT]
            while True:
                try:
                    await self._broker.deliveries.put(self._name, some, patient=True)
                    self._has_failed = False
                    break
                except StoreError as fault:
                    if not self._has_failed:
                        self._log.error("web.hook: not kept yet: %s", fault)
                        self._has_failed = True
                    await asyncio.sleep(AGAIN_S)

    # --- the end

    def leave(self) -> None:
        """Take no more messages: what was taken is acknowledged, or comes again."""
        self._leaves = True
        if self._consumer is not None and not self._unacked:
            self._consumer.close()

    async def stop(self, within_s: float, *, is_last: bool) -> None:
        """Return when all that was heard is on the disk, or within that time.

        is_last  the broker stops: it ends the events, after those of its clients' end
        """
        self.leave()
        if self._events is not None and not is_last:
            self._events.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
