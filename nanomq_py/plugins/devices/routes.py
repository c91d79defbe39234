"""Message routes: messages on a topic are posted to a URL.

::

    consumer of the route ──> queue of its target, on the disk ──> POST {"topic","payload",...}
                                        └──> the batch is acknowledged

Each route has a consumer of its own: a target that takes nothing delays no other one.

Source  iot-platform-api-v1.txt, "Message Route"; http-dialects.md, "IoT platform"
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from nanomq_py.config.keys.access import is_filter
from nanomq_py.plugins.devices.targets import Targets
from nanomq_py.plugins.devices.words import Refused
from nanomq_py.plugins.texts import text_or_base64
from nanomq_py.store.faults import StoreError
from nanomq_py.store.moment import wall_s

if TYPE_CHECKING:
    from sqlite3 import Connection

    from nanomq_py.broker import Broker
    from nanomq_py.consumers import Batch, Consumer
    from nanomq_py.core.message import Message
    from nanomq_py.delivery.target import Post

MOST = 1_000  # routes
AGAIN_S = 1.0
PATIENCE_S = 60.0  # publishers wait while a queue or the store is full: nothing is lost
_COLUMNS = "id, name, topic, url, made_at, changed_at"


@dataclass(frozen=True)
class MessageRoute:
    """Where messages on one Topic Filter go. Times are seconds since 1970."""

    id: int
    name: str
    topic: str
    url: str
    made_at: int
    changed_at: int

    @property
    def target(self) -> str:
        """The name of its target."""
        return target_of(self.id)

    @property
    def consumer(self) -> str:
        """The name of its consumer."""
        return f"plugins/{self.target}"


def target_of(id: int) -> str:
    """Return the name of the target of a route."""
    return f"devices/route/{id}"


class Routed(msgspec.Struct, frozen=True):
    """What is posted.

    sn        the client that published it; empty: it is not known
    encoding  plain; base64: the payload is no UTF-8
    time      seconds since 1970
    """

    topic: str
    sn: str
    qos: int
    retain: bool
    time: int
    payload: str
    encoding: str


def _post_of(message: Message) -> Post:
    from nanomq_py.delivery.target import Post

    publisher = message.publisher
    sn = "" if publisher is None else publisher.client_id
    payload, is_base64 = text_or_base64(message.payload)
    routed = Routed(
        topic=message.topic_name,
        sn=sn,
        qos=message.qos,
        retain=message.retain,
        time=int(message.time),
        payload=payload,
        encoding="base64" if is_base64 else "plain",
    )
    return Post(sn or message.topic_name, msgspec.json.encode(routed))


def _no_filter(topic: str) -> Refused:
    return Refused("bad_topic", f"topic: {topic[:200]!r} is no Topic Filter")


def _check_topic(topic: str) -> None:
    if not is_filter(topic):
        raise _no_filter(topic)


def _put(route: MessageRoute, connection: Connection) -> None:
    connection.execute(
        "UPDATE devices_route SET name = ?, topic = ?, url = ?, changed_at = ? WHERE id = ?",
        (route.name, route.topic, route.url, route.changed_at, route.id),
    )


def _all(connection: Connection) -> list[MessageRoute]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM devices_route ORDER BY id")  # noqa: S608
    return [MessageRoute(*row) for row in rows]


class MessageRoutes:
    """Keeps them, and moves their messages.

    Errors   Refused, StoreError
    """

    def __init__(
        self,
        broker: Broker,
        targets: Targets,
        work: Callable[[Coroutine[Any, Any, object]], None],
        log: logging.Logger,
    ) -> None:
        """``work`` has something done beside everything else."""
        self._broker = broker
        self._targets = targets
        self._work = work
        self._log = log
        self._consumers: dict[int, Consumer] = {}
        self._turn = asyncio.Lock()  # one change at a time

    async def open(self) -> None:
        """Have all of them go on."""
        for each in await self.all():
            try:
                await self._targets.set(each.target, each.url)
                self._consume(each)
            except Refused as fault:  # the keys are other ones now
                self._log.error("message route %d: %s", each.id, fault.message)

    def close(self) -> None:
        """Take no more messages; the broker keeps what comes."""
        for consumer in self._consumers.values():
            consumer.close()
        self._consumers.clear()

    async def end(self) -> None:
        """Have the broker keep messages for none any more. Raises StoreError."""
        for each in await self.all():
            with contextlib.suppress(KeyError):
                self._broker.end_consumer(each.consumer)

    async def consumers(self) -> frozenset[str]:
        """Return the names of those of all routes, also of one that is told nothing now."""
        return frozenset(each.consumer for each in await self.all())

    def kept(self, id: int) -> int:
        """Return how many messages of a route its target's queue does not have yet."""
        stats = self._consumers[id].stats()
        return stats.waiting + stats.taken

    async def all(self) -> list[MessageRoute]:
        return await self._broker.store.read(_all)

    async def add(self, name: str, topic: str, url: str) -> MessageRoute:
        _check_topic(topic)
        self._targets.check(url)
        now = int(wall_s())

        def act(connection: Connection) -> MessageRoute:
            (count,) = connection.execute("SELECT count(*) FROM devices_route").fetchone()
            if count >= MOST:
                raise Refused("too_many", f"{MOST} message routes are the most", 409)
            done = connection.execute(
                "INSERT INTO devices_route (name, topic, url, made_at, changed_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (name, topic, url, now, now),
            )
            return MessageRoute(done.lastrowid or 0, name, topic, url, now, now)

        async with self._turn:
            made = await self._broker.store.write(act)
            try:
                await self._targets.set(made.target, made.url)
                self._consume(made)
            except Refused:
                await self._delete(made.id)
                raise
        return made

    async def update(
        self, id: int, name: str | None, topic: str | None, url: str | None
    ) -> MessageRoute | None:
        """Change what is given; None: there is no such route."""
        if topic is not None:
            _check_topic(topic)
        if url is not None:
            self._targets.check(url)
        async with self._turn:
            before = next((each for each in await self.all() if each.id == id), None)
            if before is None:
                return None
            made = replace(
                before,
                name=before.name if name is None else name,
                topic=before.topic if topic is None else topic,
                url=before.url if url is None else url,
                changed_at=int(wall_s()),
            )
            if made.topic != before.topic:
                self._consume(made, before)
            try:
                await self._broker.store.write(partial(_put, made))
            except StoreError:
                self._consume(before)
                raise
            await self._targets.set(made.target, made.url)
            await self._targets.switch_on(made.target)
        return made

    async def delete(self, id: int) -> int:
        """Forget a route, and what waits for its target; return how many there were."""
        async with self._turn:
            return await self._delete(id)

    async def _delete(self, id: int) -> int:
        name = target_of(id)
        count = await self._broker.store.write(
            lambda it: it.execute("DELETE FROM devices_route WHERE id = ?", (id,)).rowcount
        )
        if self._consumers.pop(id, None) is not None:
            self._broker.end_consumer(f"plugins/{name}")
        if count:
            await self._targets.remove(name)
        return count

    # --- messages

    def _consume(self, route: MessageRoute, before: MessageRoute | None = None) -> None:
        """Take messages on the topic of a route from now on.

        Raises   Refused for what is no Topic Filter; those of the one before are taken then
        """
        if route.id in self._consumers:
            self._consumers[route.id].close()
        try:
            consumer = self._broker.consume(
                route.consumer, [route.topic], patience_s=PATIENCE_S
            )
        except ValueError:
            if before is not None:
                self._consume(before)
            raise _no_filter(route.topic) from None
        self._consumers[route.id] = consumer
        self._work(self._move(route, consumer))

    async def _move(self, route: MessageRoute, consumer: Consumer) -> None:
        """Move messages into the queue of the target until the consumer is closed."""
        told = False
        async for batch in consumer:
            while True:
                try:
                    await self._put(route, batch)
                    break
                except KeyError:  # the route is deleted
                    return
                except StoreError as fault:
                    if not told:
                        self._log.error("message route %d: %s", route.id, fault)
                    told = True
                    await asyncio.sleep(AGAIN_S)

    async def _put(self, route: MessageRoute, batch: Batch) -> None:
        # Retained messages come once more when a consumer is made.
        posts = [_post_of(message) for message in batch if not message.retained]
        if posts:
            await self._targets.put(route.target, posts)
        try:
            batch.ack()
        except RuntimeError:
            self._log.debug("message route %d: its messages come again", route.id)
