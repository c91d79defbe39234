"""The queue of one target: read from the disk as it is sent, each key in its order.

::

    put ─> disk ─> window ─┬─> connection ─> taken: deleted, counted
                           ├─> connection ─> failed: its key waits, or the whole target
                           └─> ...

Threads  belongs to the event loop
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence

from nanomq_py.delivery import table
from nanomq_py.delivery.loader import Loader
from nanomq_py.delivery.pause import Pause
from nanomq_py.delivery.sender import End, Outcome, Sender
from nanomq_py.delivery.table import Kept, Row
from nanomq_py.delivery.target import Counts, Post, QueueFullError, Target
from nanomq_py.delivery.waits import wait_s
from nanomq_py.delivery.window import Lane, Waiting, Window
from nanomq_py.delivery.writer import Writer
from nanomq_py.store.faults import StoreError
from nanomq_py.store.moment import wall_s
from nanomq_py.store.store import Store

log = logging.getLogger("nanomq.delivery")

WINDOW_POSTS = 2048  # of a target, in memory
WINDOW_BYTES = 2 << 20


def digest_of(url: str) -> str:
    """Return what a URL is known by: there may be a secret in it."""
    return hashlib.sha256(url.encode()).hexdigest()


class Queue:
    """The posts of one target, and what becomes of them.

    number   of the target, in the store
    nonce    makes the identifiers of its messages ours alone
    """

    def __init__(self, store: Store, writer: Writer, kept: Kept, sender: Sender) -> None:
        row = kept.row
        self.number, self.nonce = row.number, row.nonce
        self._store = store
        self._writer = writer
        self._sender = sender
        self._next = row.next_place
        self._succeeded, self._failed = row.succeeded, row.failed
        self._dropped, self._off_for = row.dropped, row.off_for
        self._waiting, self._waiting_bytes = kept.waiting, kept.waiting_bytes
        self._dead = kept.dead
        self._dead_turn = asyncio.Lock()  # one change of the dead letters at a time
        self._error = ""
        self._window = Window(WINDOW_POSTS, WINDOW_BYTES)
        written = row.next_place - 1
        if not kept.waiting:
            self._window.loaded_to = written
        self._loader = Loader(store, self.number, self._window, written, self._pump)
        self._pause = Pause(row.not_before, self._pump)
        self._requests: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()  # of keys that wait
        self._room = asyncio.Event()
        self._turn = asyncio.Lock()  # who puts comes in turn
        self._ends = False
        self._is_shut = False  # somebody was refused at the end: who is behind is, too

    @property
    def target(self) -> Target:
        return self._sender.target

    @property
    def is_off(self) -> bool:
        """Whether it has answered 410."""
        return self._off_for != ""

    @property
    def trouble(self) -> str:
        """Why nothing is sent now; empty: it is, or nothing waits."""
        if self.is_off:
            return "switched off: it has answered 410"
        return self._error if self._pause.failures else ""

    @property
    def row(self) -> Row:
        """What is kept of it in the store besides its posts."""
        return Row(
            self.number,
            self.nonce,
            self._next,
            self._succeeded,
            self._failed,
            self._dropped,
            self._off_for,
            self._pause.not_before,
        )

    def counts(self) -> Counts:
        return Counts(
            succeeded=self._succeeded,
            failed=self._failed,
            waiting=self._waiting,
            waiting_bytes=self._waiting_bytes,
            dead=self._dead,
            dropped=self._dropped,
            is_off=self.is_off,
            last_error=self._error,
        )

    def start(self) -> None:
        """Begin to send what is there."""
        if self.is_off and self._off_for != digest_of(self.target.url):
            self._off_for = ""
            self._writer.later(self)
        self._pause.start(self.target)
        self._pump()

    def use(self, sender: Sender) -> None:
        """Tell the target that way from now on, and try it at once."""
        before, self._sender = self._sender, sender
        before.close()
        self._pause.reset()
        self._room.set()
        self.start()

    def switch_on(self) -> None:
        """Go on with a target that has answered 410."""
        self._off_for = ""
        self._writer.later(self)
        self._pump()

    # --- what comes in

    async def put(self, posts: Sequence[Post], *, patient: bool) -> None:
        """Return when these are on the disk.

        patient  wait for room, behind those who wait already
        Raises   QueueFullError, StoreError
        """
        size = sum(len(post.body) for post in posts)
        async with self._turn:
            while self._is_shut or not (self.is_off or self._has_room(len(posts), size)):
                if not patient:
                    raise QueueFullError(
                        f"{self._waiting} posts wait for {self.target.name} already"
                    )
                await self._wait_for_room()
            if self.is_off:
                self._dropped += len(posts)
                self._writer.later(self)
                return
            writing = asyncio.ensure_future(self._write(self._taken_in(posts, size), size))
        # To its end, also where the caller goes away: what is on the disk has to be known of.
        await asyncio.shield(writing)

    def _taken_in(self, posts: Sequence[Post], size: int) -> list[Waiting]:
        """Give these posts their places."""
        now_s = wall_s()
        first = self._next
        self._next += len(posts)
        self._waiting += len(posts)
        self._waiting_bytes += size
        return [
            Waiting(place, place, post.key, post.content_type, post.body, now_s)
            for place, post in enumerate(posts, first)
        ]

    async def _write(self, its: list[Waiting], size: int) -> None:
        rows = [table.row_of(self.number, each) for each in its]
        try:
            await self._writer.put(rows, self)
        except StoreError:
            self._took(len(its), size)
            raise
        self._loader.appended(its, its[-1].place)
        self._pump()

    def _has_room(self, count: int, size: int) -> bool:
        target = self.target
        return not self._waiting or (
            self._waiting + count <= target.most_posts
            and self._waiting_bytes + size <= target.most_bytes
        )

    async def _wait_for_room(self) -> None:
        """Return when there may be more room. Raises StoreError when the broker stops."""
        if self._ends:
            self._is_shut = True
            raise StoreError("the broker is stopping")
        self._room.clear()
        await self._room.wait()

    def _took(self, count: int, size: int) -> None:
        self._waiting -= count
        self._waiting_bytes -= size
        self._room.set()

    # --- what goes out

    @property
    def _most_at_once(self) -> int:
        if self._ends or self.is_off or self._pause.is_on:
            return 0
        return 1 if self._pause.failures else self.target.connections

    def _pump(self) -> None:
        """Send what can be sent, and read what is to be sent next."""
        while len(self._requests) < self._most_at_once:
            lane = self._window.take()
            if lane is None:
                break
            task = asyncio.get_running_loop().create_task(self._send(lane))
            self._requests.add(task)
            task.add_done_callback(self._ended)
        is_idle = not self._window.has_ready and len(self._requests) < self._most_at_once
        self._loader.load(is_idle=is_idle)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._requests.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("delivery to %s failed", self.target.name, exc_info=fault)
        self._pump()

    async def _send(self, lane: Lane | None) -> None:
        """Send the first posts of that lane and of others, while that may go on."""
        while lane is not None:
            began = asyncio.get_running_loop().time()
            outcome = await self._sender.send(lane.posts[0])
            self._came_of(lane, outcome, began)
            if len(self._requests) > self._most_at_once:
                return
            self._loader.load(is_idle=False)
            lane = self._window.take()

    def _came_of(self, lane: Lane, outcome: Outcome, began: float) -> None:
        if outcome.end is End.TAKEN:
            self._is_taken(lane)
            return
        self._failed += 1
        self._error = outcome.error
        if outcome.end is End.GONE:
            self._window.ready(lane)
            self._switch_off()
        else:
            self._has_failed(lane, outcome, began)

    def _is_taken(self, lane: Lane) -> None:
        post = lane.posts[0]
        self._succeeded += 1
        self._error = ""
        self._take_out(lane)
        self._writer.later(self, done=table.id_of(self.number, post.place))
        if self._pause.taken(self.target):
            self._pump()

    def _take_out(self, lane: Lane) -> None:
        post = lane.posts[0]
        self._window.done(lane)
        self._took(1, len(post.body))

    def _has_failed(self, lane: Lane, outcome: Outcome, began: float) -> None:
        post, target = lane.posts[0], self.target
        if outcome.end is not End.UNREACHED:
            post.attempts += 1
        is_targets = self._pause.failed(target, outcome, began)
        if post.attempts >= target.most_attempts:
            self._pause.buried()
            self._bury(lane, outcome.error)
            return
        self._writer.later(self, table.tried(self.number, post.place, post.attempts))
        if is_targets:
            self._window.ready(lane)
        else:
            self._window.waits(lane)
            self._ready_in(
                wait_s(post.attempts, target.first_wait_s, target.most_wait_s), lane
            )

    def _ready_in(self, wait: float, lane: Lane) -> None:
        def ring() -> None:
            self._timers.discard(timer)
            self._window.ready(lane)
            self._pump()

        timer = asyncio.get_running_loop().call_later(wait, ring)
        self._timers.add(timer)

    def _switch_off(self) -> None:
        if not self.is_off:
            self._off_for = digest_of(self.target.url)
            self._room.set()
            self._writer.later(self)
            log.warning(
                "delivery to %s: switched off: it has answered 410", self.target.name
            )

    # --- dead letters

    def _bury(self, lane: Lane, error: str) -> None:
        post = lane.posts[0]
        acts = [table.bury(self.number, post.place, post.attempts, wall_s(), error)]
        self._dead += 1
        excess = self._dead - self.target.most_dead
        if excess > 0:
            self._dead -= excess
            self._dropped += excess
            acts.append(table.trim(self.number, excess))
        self._take_out(lane)
        self._writer.later(self, *acts)
        log.warning(
            "delivery to %s: given up after %d attempts: %s",
            *(self.target.name, post.attempts, error),
        )

    async def _dead_of(self, places: Sequence[int] | None) -> list[tuple[int, int]]:
        await self._writer.settle()
        return await self._store.read(lambda it: table.dead_sizes(it, self.number, places))

    async def revive(self, places: Sequence[int] | None) -> int:
        """Have dead letters wait again, or all of them; return how many. Raises StoreError."""
        async with self._dead_turn:
            found = await self._dead_of(places)
            if not found:
                return 0
            first = self._next
            self._next += len(found)
            moves = [(place, first + n) for n, (place, _) in enumerate(found)]
            await self._writer.put([], self, table.revive(self.number, moves))
            self._dead -= len(found)
            self._waiting += len(found)
            self._waiting_bytes += sum(size for _, size in found)
        self._loader.appended([], first + len(found) - 1)
        self._pump()
        return len(found)

    async def forget_dead(self, places: Sequence[int] | None) -> int:
        """Forget dead letters, or all of them; return how many. Raises StoreError."""
        async with self._dead_turn:
            gone = [place for place, _ in await self._dead_of(places)]
            await self._writer.put([], self, table.forget_dead(self.number, gone))
            self._dead -= len(gone)
        return len(gone)

    # --- the end

    def leave(self) -> None:
        """Begin no request any more."""
        self._ends = True
        self._pause.stop()
        for timer in self._timers:
            timer.cancel()
        self._room.set()

    async def stop(self, within_s: float) -> None:
        """Return when no request is under way; those that take longer are cancelled."""
        self.leave()
        if self._requests:
            await asyncio.wait(self._requests, timeout=within_s)
        for task in self._requests:
            task.cancel()
        await asyncio.gather(*self._requests, return_exceptions=True)
        await self._loader.stop()
        self._sender.close()
