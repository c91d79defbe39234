"""The queue of one target: read from the disk as it is sent, each key in its order.

::

    put ─> disk ─> window ─┬─> connection ─> taken: deleted, counted
                           ├─> connection ─> failed: its key waits, or the whole target
                           └─> ...

A failure is the target's if nothing was taken since the attempt began: it is left alone then,
and after a while one post finds out whether it is back. Otherwise it is the post's: its key
waits, and others go on.

Threads  belongs to the event loop
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Sequence

from nanomq_py.delivery import table
from nanomq_py.delivery.sender import End, Outcome, Sender
from nanomq_py.delivery.table import Kept, Row, Wanted
from nanomq_py.delivery.target import Counts, Post, QueueFullError, Target
from nanomq_py.delivery.waits import wait_s
from nanomq_py.delivery.window import Lane, Waiting, Window
from nanomq_py.delivery.writer import Writer
from nanomq_py.store.faults import StoreError
from nanomq_py.store.store import Store

log = logging.getLogger("nanomq.delivery")

WINDOW_POSTS = 2048  # of a target, in memory
WINDOW_BYTES = 2 << 20
READ_POSTS = 1024  # at once, from the disk
TELL_AGAIN_S = 60.0  # that it fails
READ_AGAIN_S = 2.0  # after the disk could not be read


def digest_of(url: str) -> str:
    """Return what a URL is known by: there may be a secret in it."""
    return hashlib.sha256(url.encode()).hexdigest()


class Queue:
    """The posts of one target, and what becomes of them."""

    def __init__(self, store: Store, writer: Writer, kept: Kept, sender: Sender) -> None:
        self._store = store
        self._writer = writer
        row = kept.row
        self._number, self._nonce = row.number, row.nonce
        self._next = row.next_place
        self._written = row.next_place - 1  # the last place that is on the disk
        self._succeeded, self._failed, self._dropped = (
            row.succeeded,
            row.failed,
            row.dropped,
        )
        self._off_for = row.off_for
        self._not_before = row.not_before
        self._waiting, self._waiting_bytes = kept.waiting, kept.waiting_bytes
        self._dead = kept.dead
        self._sender = sender
        self._window = Window(WINDOW_POSTS, WINDOW_BYTES)
        if not kept.waiting:
            self._window.loaded_to = self._written
        self._requests: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._reading: asyncio.Task[None] | None = None
        self._paused_at = 0.0  # of the loop's clock: when the last pause began
        self._pause: asyncio.TimerHandle | None = None
        self._failures = 0  # of the target in a row
        self._taken_at = 0.0
        self._ends = False
        self._error = ""
        self._room = asyncio.Event()
        self._is_told, self._told_at = False, -TELL_AGAIN_S

    @property
    def number(self) -> int:
        return self._number

    @property
    def trouble(self) -> str:
        """Why nothing is sent now; empty: it is, or nothing waits."""
        if self.is_off:
            return "switched off: it has answered 410"
        return self._error if self._failures else ""

    @property
    def nonce(self) -> str:
        return self._nonce

    @property
    def target(self) -> Target:
        return self._sender.target

    @property
    def is_off(self) -> bool:
        return self._off_for != ""

    @property
    def _row(self) -> Row:
        return Row(
            self._number,
            self._nonce,
            self._next,
            self._succeeded,
            self._failed,
            self._dropped,
            self._off_for,
            self._not_before,
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
            self._writer.later(self._row)
        left_s = min(self._not_before - time.time(), self.target.most_wait_s)
        if left_s > 0:
            self._begin_pause(left_s)
        self._pump()

    def use(self, sender: Sender) -> None:
        """Tell the target that way from now on, and try it at once."""
        before, self._sender = self._sender, sender
        before.close()
        self._end_pause()
        self._not_before = 0.0
        self._failures = 0
        self._room.set()
        self.start()

    def switch_on(self) -> None:
        """Go on with a target that has answered 410."""
        self._off_for = ""
        self._writer.later(self._row)
        self._pump()

    # --- what comes in

    async def put(self, posts: Sequence[Post]) -> None:
        """Return when these are on the disk. Raises QueueFullError, StoreError."""
        if self.is_off:
            self._dropped += len(posts)
            self._writer.later(self._row)
            return
        size = sum(len(post.body) for post in posts)
        if not self._has_room(len(posts), size):
            raise QueueFullError(
                f"{self._waiting} posts wait for {self.target.name} already"
            )
        # To its end, also where the caller goes away: what is on the disk has to be known of.
        await asyncio.shield(asyncio.ensure_future(self._write(posts, size)))

    async def _write(self, posts: Sequence[Post], size: int) -> None:
        now_s = time.time()
        first = self._next
        self._next += len(posts)
        self._waiting += len(posts)
        self._waiting_bytes += size
        rows = [
            table.row_of(self._number, place, post, now_s)
            for place, post in enumerate(posts, first)
        ]
        try:
            await self._writer.put(rows, self._row)
        except StoreError:
            self._took(len(posts), size)
            raise
        self._is_written(first, posts, now_s)

    def _has_room(self, count: int, size: int) -> bool:
        target = self.target
        return not self._waiting or (
            self._waiting + count <= target.most_posts
            and self._waiting_bytes + size <= target.most_bytes
        )

    async def room(self, posts: Sequence[Post]) -> None:
        """Return when these may be put, or the broker stops."""
        size = sum(len(post.body) for post in posts)
        while not (self.is_off or self._ends or self._has_room(len(posts), size)):
            self._room.clear()
            await self._room.wait()

    def _is_written(self, first: int, posts: Sequence[Post], now_s: float) -> None:
        window = self._window
        is_next = self._reading is None and window.loaded_to == first - 1
        if is_next and self._written == first - 1 and window.room >= len(posts):
            window.add(
                Waiting(place, place, post.key, post.content_type, post.body, now_s)
                for place, post in enumerate(posts, first)
            )
        self._written = max(self._written, first + len(posts) - 1)
        self._pump()

    def _took(self, count: int, size: int) -> None:
        self._waiting -= count
        self._waiting_bytes -= size
        self._room.set()

    # --- what goes out

    @property
    def _most_at_once(self) -> int:
        if self._ends or self.is_off or self._pause is not None:
            return 0
        return 1 if self._failures else self.target.connections

    def _pump(self) -> None:
        """Send what can be sent, and read what is to be sent next."""
        while len(self._requests) < self._most_at_once:
            lane = self._window.take()
            if lane is None:
                break
            task = asyncio.get_running_loop().create_task(self._send(lane))
            self._requests.add(task)
            task.add_done_callback(self._ended)
        if self._reading is None and not self._ends and self._wants_more():
            self._reading = asyncio.get_running_loop().create_task(self._read())

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._requests.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("delivery to %s failed", self.target.name, exc_info=fault)
        self._pump()

    async def _send(self, lane: Lane | None) -> None:
        while lane is not None:
            began = asyncio.get_running_loop().time()
            outcome = await self._sender.send(lane.posts[0])
            self._came_of(lane, outcome, began)
            if len(self._requests) > self._most_at_once:
                return
            if self._reading is None and self._wants_more():
                self._pump()
            lane = self._window.take()

    def _came_of(self, lane: Lane, outcome: Outcome, began: float) -> None:
        if outcome.end is End.TAKEN:
            self._is_taken(lane)
        elif outcome.end is End.GONE:
            self._window.ready(lane)
            self._switch_off(outcome)
        else:
            self._has_failed(lane, outcome, began)

    def _is_taken(self, lane: Lane) -> None:
        post = lane.posts[0]
        self._succeeded += 1
        self._taken_at = asyncio.get_running_loop().time()
        self._take_out(lane)
        self._writer.later(self._row, table.id_of(self._number, post.seq))
        self._error = ""
        if self._failures:
            self._failures = 0
            if self._is_told:
                self._is_told = False
                log.warning("delivery to %s: it takes posts again", self.target.name)
            self._pump()

    def _take_out(self, lane: Lane) -> None:
        post = lane.posts[0]
        self._window.done(lane)
        self._took(1, len(post.body))

    def _has_failed(self, lane: Lane, outcome: Outcome, began: float) -> None:
        post = lane.posts[0]
        self._failed += 1
        self._error = outcome.error
        target = self.target
        is_dead = False
        if outcome.end is not End.UNREACHED:
            post.attempts += 1
            is_dead = post.attempts >= target.most_attempts
        of_target = self._taken_at < began or outcome.after_s is not None
        if of_target:
            self._leave_alone(outcome, began)
        if is_dead:
            self._bury(lane, outcome.error)
            self._failures = min(self._failures, 1)  # the next one has its own attempts
            return
        if of_target:
            self._window.ready(lane)
        else:
            self._window.waits(lane)
            wait = wait_s(post.attempts, target.first_wait_s, target.most_wait_s)
            self._after(wait, lambda: self._window.ready(lane))
        if post.attempts:
            tried = table.tried(self._number, post.seq, post.attempts)
            self._writer.later(self._row, None, tried)
        else:
            self._writer.later(self._row)

    def _after(self, wait: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        def ring() -> None:
            self._timers.discard(timer)
            act()
            self._pump()

        timer = asyncio.get_running_loop().call_later(wait, ring)
        self._timers.add(timer)
        return timer

    def _leave_alone(self, outcome: Outcome, began: float) -> None:
        """Send nothing for a while. Attempts that began before the last while count as one."""
        target = self.target
        asked = min(outcome.after_s or 0.0, target.most_wait_s)
        if began >= self._paused_at:
            self._failures += 1
            wait = wait_s(self._failures, target.first_wait_s, target.most_wait_s)
            self._begin_pause(max(wait, asked))
        elif asked and self._pause is not None and self._ends_at < self._time() + asked:
            self._begin_pause(asked)
        if asked:
            self._not_before = max(self._not_before, time.time() + asked)
        self._tell(outcome.error)

    def _tell(self, error: str) -> None:
        if not self._is_told and self._time() - self._told_at >= TELL_AGAIN_S:
            self._is_told, self._told_at = True, self._time()
            log.warning("delivery to %s: %s", self.target.name, error)

    @property
    def _ends_at(self) -> float:
        return 0.0 if self._pause is None else self._pause.when()

    @staticmethod
    def _time() -> float:
        return asyncio.get_running_loop().time()

    def _begin_pause(self, wait: float) -> None:
        self._end_pause()
        self._paused_at = self._time()
        self._pause = self._after(wait, self._end_pause)

    def _end_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._timers.discard(self._pause)
            self._pause = None

    def _switch_off(self, outcome: Outcome) -> None:
        if not self.is_off:
            self._off_for = digest_of(self.target.url)
            self._error = outcome.error
            self._failed += 1
            self._room.set()
            self._writer.later(self._row)
            log.warning(
                "delivery to %s: switched off: it has answered 410", self.target.name
            )

    # --- dead letters

    def _bury(self, lane: Lane, error: str) -> None:
        post = lane.posts[0]
        acts = [table.bury(self._number, post.seq, post.attempts, time.time(), error)]
        self._dead += 1
        excess = self._dead - self.target.most_dead
        if excess > 0:
            self._dead -= excess
            self._dropped += excess
            acts.append(table.trim(self._number, excess))
        self._take_out(lane)
        self._writer.later(self._row, None, *acts)

    async def revive(self, places: Sequence[int] | None) -> int:
        """Have dead letters wait again, or all of them; return how many. Raises StoreError."""
        await self._writer.settle()
        found = await self._store.read(
            lambda it: table.dead_sizes(it, self._number, places)
        )
        if not found:
            return 0
        size = sum(its for _, its in found)
        first = self._next
        self._next += len(found)
        moves = [(place, first + n) for n, (place, _) in enumerate(found)]
        await self._writer.put([], self._row, table.revive(self._number, moves))
        self._dead -= len(found)
        self._waiting += len(found)
        self._waiting_bytes += size
        self._written = max(self._written, first + len(found) - 1)
        self._pump()
        return len(found)

    async def forget_dead(self, places: Sequence[int] | None) -> int:
        """Forget dead letters, or all of them; return how many. Raises StoreError."""
        await self._writer.settle()
        found = await self._store.read(
            lambda it: table.dead_sizes(it, self._number, places)
        )
        gone = [place for place, _ in found]
        await self._writer.put([], self._row, table.forget_dead(self._number, gone))
        self._dead -= len(gone)
        return len(gone)

    # --- what is read from the disk

    def _wants_more(self) -> bool:
        window = self._window
        if window.lacking:
            return True
        if window.loaded_to >= self._written:
            return False
        if window.room >= WINDOW_POSTS // 2:
            return True
        # Connections have nothing to send, and what others wait for is not in memory.
        is_idle = not window.has_ready and len(self._requests) < self._most_at_once
        return is_idle and (window.room > 0 or window.cut())

    async def _read(self) -> None:
        try:
            while not self._ends and self._wants_more():
                await self._read_some()
        except StoreError as fault:
            if not self._ends:
                log.error("delivery to %s: not read: %s", self.target.name, fault)
                await asyncio.sleep(READ_AGAIN_S)
        finally:
            self._reading = None
        if not self._ends:
            self._pump()

    async def _read_some(self) -> None:
        window = self._window
        if window.lacking:
            lane = window.lacking.pop()
            wanted = self._wanted(lane.cut_at - 1, window.loaded_to, lane.key)
            try:
                found = await self._store.read(lambda it: table.waiting(it, wanted))
            except StoreError:
                window.lacking.append(lane)
                raise
            window.fill(lane, found.posts, found.read_to)
        else:
            wanted = self._wanted(window.loaded_to, self._written, None)
            found = await self._store.read(lambda it: table.waiting(it, wanted))
            window.add(found.posts)
            window.loaded_to = max(window.loaded_to, found.read_to)
        self._pump()

    def _wanted(self, after: int, upto: int, key: str | None) -> Wanted:
        window = self._window
        return Wanted(
            self._number,
            after,
            upto,
            max(1, min(READ_POSTS, window.room)),
            max(1, window.room_bytes),
            key,
        )

    # --- the end

    def leave(self) -> None:
        """Begin no request any more."""
        self._ends = True
        for timer in self._timers:
            timer.cancel()

    async def stop(self, within_s: float) -> None:
        """Return when no request is under way; those that take longer are cancelled."""
        self.leave()
        self._room.set()
        if self._requests:
            await asyncio.wait(self._requests, timeout=within_s)
        rest = [*self._requests, *([self._reading] if self._reading is not None else [])]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        self._sender.close()
