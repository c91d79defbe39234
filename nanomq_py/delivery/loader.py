"""Reads what is to be sent next from the disk into the window of a queue.

Threads  belongs to the event loop
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from nanomq_py.delivery import table
from nanomq_py.delivery.table import Wanted
from nanomq_py.delivery.window import Waiting, Window
from nanomq_py.store.faults import StoreError
from nanomq_py.store.store import Store

log = logging.getLogger("nanomq.delivery")

MOST_POSTS = 1024  # of one read
AGAIN_S = 2.0  # after one that has failed


class Loader:
    """What reads one queue.

    written  the last place that is on the disk
    """

    def __init__(
        self,
        store: Store,
        number: int,
        window: Window,
        written: int,
        then: Callable[[], object],
    ) -> None:
        """Make it; ``then`` is called when there is more to send."""
        self._store = store
        self._number = number
        self._window = window
        self._then = then
        self._reading: asyncio.Task[None] | None = None
        self._has_ended = False
        self.written = written

    def appended(self, posts: list[Waiting], last: int) -> None:
        """Take note of posts that were just written, up to that place.

        posts  all of them, to be kept in memory if they are next there
        """
        window = self._window
        if (
            posts
            and self._reading is None
            and window.loaded_to == self.written == posts[0].place - 1
            and window.room >= len(posts)
        ):
            window.add(posts)
        self.written = max(self.written, last)

    def load(self, *, is_idle: bool) -> None:
        """Read if there is room for what is on the disk.

        is_idle  connections have nothing to send
        """
        if self._reading is None and not self._has_ended and self._wants(is_idle=is_idle):
            self._reading = asyncio.get_running_loop().create_task(self._read())

    def _wants(self, *, is_idle: bool) -> bool:
        window = self._window
        if window.lacking:
            return True
        if window.loaded_to >= self.written:
            return False
        if window.room >= window.most_posts // 2:
            return True
        # What connections could send is behind the posts of keys that wait.
        return is_idle and (window.room > 0 or window.cut())

    async def _read(self) -> None:
        try:
            await self._read_some()
        except StoreError as fault:
            if not self._has_ended:
                log.error("delivery: a queue cannot be read: %s", fault)
                await asyncio.sleep(AGAIN_S)
        finally:
            self._reading = None
        if not self._has_ended:
            self._then()

    async def _read_some(self) -> None:
        window = self._window
        if not window.lacking:
            wanted = self._wanted(window.loaded_to, self.written)
            found = await self._store.read(lambda it: table.waiting(it, wanted))
            window.add(found.posts)
            window.loaded_to = max(window.loaded_to, found.read_to)
            return
        lane = window.lacking.pop()
        wanted = self._wanted(lane.cut_at - 1, window.loaded_to, lane.key)
        try:
            found = await self._store.read(lambda it: table.waiting(it, wanted))
        except StoreError:
            window.lacking.append(lane)
            raise
        window.fill(lane, found.posts, found.read_to)

    def _wanted(self, after: int, upto: int, key: str | None = None) -> Wanted:
        most = max(1, min(MOST_POSTS, self._window.room))
        return Wanted(self._number, after, upto, most, max(1, self._window.room_bytes), key)

    async def stop(self) -> None:
        """End what is read."""
        self._has_ended = True
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
