"""Deliveries: the queues of all targets, as :attr:`nanomq_py.Broker.deliveries`.

::

    await deliveries.set_target(Target(name="hook", url="https://example.com/hook"))
    await deliveries.put("hook", [Post("sensors/1", b"{}")])      on the disk now
    deliveries.counts("hook")

A target and its posts stay in the store until :meth:`remove_target`; after a restart they go on
once the target is set again. Targets do not wait for each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial

from nanomq_py.delivery import table
from nanomq_py.delivery.queue import Queue
from nanomq_py.delivery.sender import Sender
from nanomq_py.delivery.target import (
    MOST_KEY_BYTES,
    Counts,
    DeadLetter,
    Post,
    Target,
    check_target,
)
from nanomq_py.delivery.writer import Writer
from nanomq_py.fetch.tls import CertificateError
from nanomq_py.kernel.part import Trouble
from nanomq_py.store.limits import checked_limit
from nanomq_py.store.schema import bring
from nanomq_py.store.store import Store

MOST_POSTS = 10_000  # of one call
STOP_WITHIN_S = 0.5  # for requests that are under way


class Deliveries:
    """Posts to HTTP servers, that arrive once or more.

    Threads  belongs to the event loop
    """

    def __init__(self, store: Store) -> None:
        """Make it; nothing is read before a target is set."""
        self._store = store
        self._writer = Writer(store)
        self._queues: dict[str, Queue] = {}
        self._turn = asyncio.Lock()  # one target at a time is set or removed
        self._is_open = False
        self._ends = False

    @property
    def names(self) -> list[str]:
        """The targets that are set."""
        return list(self._queues)

    def target(self, name: str) -> Target:
        """Return a target as it was set. Raises KeyError."""
        return self._queues[name].target

    def counts(self, name: str) -> Counts:
        """Return what became of its posts. Raises KeyError for a target that is not set."""
        return self._queues[name].counts()

    async def set_target(self, target: Target) -> None:
        """Have posts of that name sent there from now on; what waits is tried at once.

        Raises  ValueError for what cannot be told, with the reason; StoreError
        """
        check_target(target)
        async with self._turn:
            queue = self._queues.get(target.name)
            if queue is not None:
                if queue.target != target or target.url.startswith("https:"):
                    queue.use(await self._sender(target, queue.nonce))
                return
            await self._open()
            kept = await self._store.write(partial(table.kept, name=target.name))
            sender = await self._sender(target, kept.row.nonce)
            queue = Queue(self._store, self._writer, kept, sender)
            self._queues[target.name] = queue
            if not self._ends:
                queue.start()

    async def _open(self) -> None:
        if not self._is_open:
            await bring(self._store, table.SCHEMA)
            self._is_open = True

    @staticmethod
    async def _sender(target: Target, nonce: str) -> Sender:
        try:
            return await asyncio.to_thread(Sender, target, nonce)
        except CertificateError as fault:
            raise ValueError(f"{fault.key}: {fault}") from None

    async def remove_target(self, name: str) -> None:
        """Forget a target with all that waits for it, also one that is not set now.

        Raises  StoreError
        """
        async with self._turn:
            await self._open()
            queue = self._queues.pop(name, None)
            if queue is not None:
                await queue.stop(0.0)
                await self._writer.settle()
            await self._store.write(partial(table.forget, name=name))

    async def release(self, name: str) -> None:
        """Send nothing there any more; what waits stays on the disk. Nothing is raised."""
        async with self._turn:
            queue = self._queues.pop(name, None)
            if queue is not None:
                await queue.stop(STOP_WITHIN_S)
                await self._writer.settle()

    async def put(self, name: str, posts: Sequence[Post], *, patient: bool = False) -> None:
        """Have these sent; return once they are on the disk. All of them are taken, or none.

        A target that is switched off takes none: they are counted as dropped.

        patient  wait until there is room, behind those who wait already
        Raises   KeyError for a target that is not set, ValueError for what cannot be sent,
                 QueueFullError, StoreError
        """
        queue = self._queues[name]
        if len(posts) > MOST_POSTS:
            raise ValueError(f"{len(posts)} posts: expected {MOST_POSTS} at most")
        for post in posts:
            if len(post.key.encode()) > MOST_KEY_BYTES:
                raise ValueError(f"key: expected {MOST_KEY_BYTES} bytes at most")
        if posts:
            await queue.put(posts, patient=patient)

    async def switch_on(self, name: str) -> None:
        """Go on with a target that answered 410. Raises KeyError."""
        self._queues[name].switch_on()

    async def dead_letters(
        self, name: str, after: int = 0, limit: int = 100
    ) -> list[DeadLetter]:
        """Return posts that were given up, those that came first at the front.

        after   the number of the last one of the page before
        Raises  KeyError, ValueError for a limit out of 1 to 10000 or no such number, StoreError
        """
        if not 0 <= after <= table.MOST_PLACE:
            raise ValueError(f"after={after}: expected 0 to {table.MOST_PLACE}")
        checked_limit(limit)
        number = self._queues[name].number
        await self._writer.settle()
        return await self._store.read(
            lambda it: table.dead_letters(it, number, after, limit)
        )

    async def send_again(self, name: str, numbers: Sequence[int] | None = None) -> int:
        """Have dead letters sent again, or all of them; return how many.

        They come behind what waits, with the identifiers that they had.

        Raises  KeyError, StoreError
        """
        return await self._queues[name].revive(numbers)

    async def forget_dead(self, name: str, numbers: Sequence[int] | None = None) -> int:
        """Forget dead letters, or all of them; return how many. Raises KeyError, StoreError."""
        return await self._queues[name].forget_dead(numbers)

    def troubles(self) -> Iterator[Trouble]:
        """Return which targets cannot be told now, and why."""
        for name, queue in self._queues.items():
            if why := queue.trouble:
                yield Trouble(
                    f"delivery_failing/{name}",
                    f"delivery to {name}: {why}",
                    {"target": name},
                )

    def measures(self) -> Iterator[tuple[str, int]]:
        """Return what ``$SYS`` says of each target."""
        for name, queue in self._queues.items():
            for what, value in asdict(queue.counts()).items():
                if isinstance(value, int):
                    yield f"delivery/{name}/{what}", int(value)

    async def leave(self) -> None:
        """Begin no request any more; return once all that was put is on the disk."""
        self._ends = True
        for queue in self._queues.values():
            queue.leave()
        await self._writer.settle()

    async def stop(self) -> None:
        """End, before the store closes: what was sent by now is not sent again."""
        self._ends = True
        queues = self._queues.values()
        await asyncio.gather(*(queue.stop(STOP_WITHIN_S) for queue in queues))
        await self._writer.settle()
        self._writer.close()
