"""Flapping: a client that connects again and again is banned for a while.

::

    Connected ──> counted by client identifier, from the first in a window on ──> Bans

It asks the core for the event while it is switched on. Off costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine

from nanomq_py.auth.bans import Bans
from nanomq_py.config.keys.flapping import FlappingDetect
from nanomq_py.core.binding import Core, CoreError
from nanomq_py.core.message import ListenerName
from nanomq_py.events import Connected, Events, open_events
from nanomq_py.store.banned import Ban, BanKind, made_ban
from nanomq_py.store.faults import StoreError
from nanomq_py.store.moment import wall_s

log = logging.getLogger("nanomq")

MOST_WATCHED = 100_000  # client identifiers; the ones that began first are forgotten
MOST_DUE = 10_000  # bans that wait for the store
BATCH = 256  # bans that are kept in one write
MADE_BY = "flapping_detect"


class Counter:
    """Connections of each client identifier within a window that its first one begins."""

    def __init__(self) -> None:
        # When the window began, and how many there were; in the order of the former.
        self._windows: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def is_over(self, client_id: str, at_ms: int, keys: FlappingDetect) -> bool:
        """Count a connection; return whether there are too many now. It counts anew then.

        at_ms  of the wall clock, as events have it
        """
        self._forget(at_ms, keys.window_time)
        began_ms, count = self._windows.get(client_id, (at_ms, 0))
        if count + 1 >= keys.max_count:
            self._windows.pop(client_id, None)
            return True
        self._windows[client_id] = (began_ms, count + 1)
        return False

    def _forget(self, now_ms: int, window_ms: int) -> None:
        """Forget windows that are over; those before a clock that was set back, too."""
        while self._windows:
            client_id = next(iter(self._windows))
            is_on = 0 <= now_ms - self._windows[client_id][0] < window_ms
            if is_on and len(self._windows) < MOST_WATCHED:
                return
            del self._windows[client_id]


class Detector:
    """Counts clients that come, and bans those that come too often, until :meth:`leave`."""

    def __init__(
        self, core: Core, listener_name: ListenerName, bans: Bans, keys: FlappingDetect
    ) -> None:
        """Begin. Raises CoreError."""
        self.keys = keys  # may be replaced
        self._bans = bans
        self._tasks: set[asyncio.Task[None]] = set()
        self._due: list[Ban] = []
        self._is_keeping = False
        self._left = False
        self._events = open_events(core, listener_name, [Connected])
        self._begin(self._watch(self._events))

    def leave(self) -> None:
        self._left = True
        self._events.close()

    async def stop(self) -> None:
        """Return when all has ended that it began, after :meth:`leave`."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self, events: Events[Connected]) -> None:
        counter = Counter()
        async for event in events:
            at_ms = int(event.time * 1000)
            if self._left:
                return
            if counter.is_over(event.client.client_id, at_ms, self.keys):
                self._ban(event.client.client_id)

    def _ban(self, client_id: str) -> None:
        if len(self._due) >= MOST_DUE:
            return  # it is counted again
        until = wall_s() + self.keys.ban_time / 1000
        times = (
            f"{self.keys.max_count} connections within {self.keys.window_time // 1000} s"
        )
        self._due.append(made_ban(BanKind.CLIENT_ID, client_id, until, MADE_BY, times))
        if not self._is_keeping:
            self._is_keeping = True
            self._begin(self._keep())

    async def _keep(self) -> None:
        """Put those that are due in force, many in one write."""
        try:
            while self._due:
                bans, self._due = self._due[:BATCH], self._due[BATCH:]
                await self._bans.ban_all(bans)
        except (StoreError, CoreError) as fault:
            self._due.clear()
            if not self._left:
                log.warning("clients that connect too often are not banned: %s", fault)
        finally:
            self._is_keeping = False
