"""Flapping: a client that connects again and again is banned for a while.

::

    Connected ──> counted by client identifier, from the first in a window on ──> Bans

It asks the core for the event while it is switched on. Off costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nanomq_py.auth.bans import Bans
from nanomq_py.config import Config
from nanomq_py.config.keys.flapping import FlappingDetect
from nanomq_py.core.binding import Core, CoreError
from nanomq_py.core.message import ListenerName
from nanomq_py.kernel.part import Change, Part
from nanomq_py.store.banned import Ban, BanKind, made_ban
from nanomq_py.store.faults import StoreError
from nanomq_py.store.moment import wall_s

if TYPE_CHECKING:
    from nanomq_py.events import Connected, Events

log = logging.getLogger("nanomq")

MOST_WATCHED = 100_000  # client identifiers; the ones that began first are forgotten
MOST_DUE = 10_000  # bans that wait for the store
BATCH = 256  # bans that are kept in one write
MADE_BY = "flapping_detect"


@dataclass(slots=True)
class _Window:
    began_ms: int
    count: int = 1


class Counter:
    """Connections of each client identifier within a window that its first one begins."""

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}  # in the order in which they began

    def __len__(self) -> int:
        return len(self._windows)

    def is_over(self, client_id: str, at_ms: int, keys: FlappingDetect) -> bool:
        """Count a connection; return whether there are too many now. It counts anew then.

        at_ms  of the wall clock, as events have it
        """
        self._forget(at_ms, keys.window_time)
        window = self._windows.get(client_id)
        if window is None:
            self._windows[client_id] = _Window(at_ms)
            return False
        window.count += 1
        if window.count < keys.max_count:
            return False
        del self._windows[client_id]
        return True

    def _forget(self, now_ms: int, window_ms: int) -> None:
        """Forget windows that are over; those before a clock that was set back, too."""
        for client_id, window in self._oldest():
            is_on = 0 <= now_ms - window.began_ms < window_ms
            if is_on and len(self._windows) < MOST_WATCHED:
                return
            del self._windows[client_id]

    def _oldest(self) -> Iterator[tuple[str, _Window]]:
        while self._windows:
            client_id = next(iter(self._windows))
            yield client_id, self._windows[client_id]


class _FlappingChange(Change):
    """Other numbers, or detection that begins or ends."""

    def __init__(self, flapping: Flapping, new: FlappingDetect) -> None:
        self._flapping = flapping
        self._old = flapping.keys
        self._new = new

    def commit(self) -> None:
        self._flapping.use(self._new)

    async def undo(self) -> None:
        self._flapping.use(self._old)


class Flapping(Part):
    """Bans client identifiers that connect too often, while ``flapping_detect.enable``."""

    name = "flapping"

    def __init__(self, core: Core, listener_name: ListenerName, bans: Bans) -> None:
        self._core = core
        self._listener_name = listener_name
        self._bans = bans
        self.keys = FlappingDetect()  # in force
        self._events: Events[Connected] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._due: list[Ban] = []
        self._is_keeping = False

    async def prepare(self, config: Config) -> Change | None:
        new = config.flapping_detect
        return None if new == self.keys else _FlappingChange(self, new)

    def use(self, keys: FlappingDetect) -> None:
        """Count by these from now on. Raises CoreError; then they are as they were."""
        if keys.enable and self._events is None:
            self._events = self._opened()
            self._begin(self._watch(self._events))
        elif not keys.enable:
            self.leave()
        self.keys = keys

    def _opened(self) -> Events[Connected]:
        from nanomq_py.events import (
            Connected,
            open_events,
        )  # only who needs them loads them

        return open_events(self._core, self._listener_name, [Connected])

    def leave(self) -> None:
        events, self._events = self._events, None
        if events is not None:
            events.close()

    async def stop(self) -> None:
        self.leave()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self, events: Events[Connected]) -> None:
        counter = Counter()
        async for event in events:
            at_ms = int(event.time * 1000)
            if self._events is events and counter.is_over(
                event.client.client_id, at_ms, self.keys
            ):
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
            log.warning("clients that connect too often are not banned: %s", fault)
        finally:
            self._is_keeping = False
