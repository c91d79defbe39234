"""Alarms: troubles of this broker from the moment they are seen until they are over.

::

    troubles of now ──take──> active ──gone, or ended by hand──> past, the last 1,000

One that was ended by hand and lasts does not come again until it was gone. Past ones are kept
in the store if something else has opened it, else in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

from nanomq_py.kernel.part import Trouble
from nanomq_py.store.alarms import MOST_PAST, Alarm, AlarmTable
from nanomq_py.store.faults import StoreError
from nanomq_py.store.moment import wall_s

log = logging.getLogger("nanomq")

MOST_ACTIVE = 1000
MOST_TEXT = 1000  # letters of a message


class Alarms:
    """The alarms of one broker.

    Threads  belongs to the event loop
    """

    def __init__(self, tell: Callable[[Alarm], None] = lambda alarm: None) -> None:
        """``tell`` is called with each that begins, and with each that is over."""
        self._tell = tell
        self._active: dict[str, Alarm] = {}
        self._ended: set[str] = set()  # by hand, of those that last
        self._past: deque[Alarm] = deque(maxlen=MOST_PAST)  # that the store does not have
        self._table: AlarmTable | None = None
        self._turn = asyncio.Lock()
        self._keeping: asyncio.Task[None] | None = None

    def active(self) -> list[Alarm]:
        """Return those that last, the oldest first."""
        return list(self._active.values())

    async def past(self) -> list[Alarm]:
        """Return those that are over, the oldest first. Raises StoreError."""
        async with self._turn:
            await self._keep()
            kept = [] if self._table is None else await self._table.all()
            return [*kept, *self._past][-MOST_PAST:]

    def end(self, name: str) -> None:
        """End one by hand, though its cause may last. Raises KeyError."""
        if name not in self._active:
            raise KeyError(name)
        self._ended.add(name)
        self._over([name])

    async def forget(self) -> None:
        """Forget those that are over. Raises StoreError."""
        async with self._turn:
            if self._table is not None:
                await self._table.clear()
            self._past.clear()

    # --- what the broker tells

    def take(self, troubles: Iterable[Trouble]) -> None:
        """Take these as what is wrong now."""
        now = {trouble.name: trouble for trouble in troubles}
        self._ended &= now.keys()
        self._over([name for name in self._active if name not in now])
        for name, trouble in now.items():
            has_room = name in self._active or len(self._active) < MOST_ACTIVE
            if has_room and name not in self._ended:
                self._begin(trouble)

    def _begin(self, trouble: Trouble) -> None:
        message, details = trouble.message[:MOST_TEXT], dict(trouble.details)
        there = self._active.get(trouble.name)
        if there is not None:  # what it says may have changed
            if (there.message, there.details) != (message, details):
                self._active[trouble.name] = replace(
                    there, message=message, details=details
                )
            return
        begun = Alarm(trouble.name, message, wall_s(), details)
        self._active[trouble.name] = begun
        log.warning("alarm %s: %s", trouble.name, message)
        self._tell(begun)

    def _over(self, names: Iterable[str]) -> None:
        for name in names:
            over = replace(self._active.pop(name), deactivated_at=wall_s())
            self._past.append(over)
            log.warning("alarm %s is over", name)
            self._tell(over)
        if self._past and self._table is not None and self._keeping is None:
            self._keeping = asyncio.create_task(self._kept())

    # --- the store

    def use_store(self, table: AlarmTable) -> None:
        """Keep those that are over there from now on."""
        if self._table is None:
            self._table = table

    async def _kept(self) -> None:
        try:
            while self._past:  # others end while some are written
                async with self._turn:
                    await self._keep()
        except StoreError:
            return  # which is an alarm of its own; they wait in memory
        finally:
            self._keeping = None

    async def _keep(self) -> None:
        if self._table is not None and self._past:
            alarms = list(self._past)
            await self._table.add(alarms)
            for alarm in alarms:
                if self._past and self._past[0] is alarm:
                    self._past.popleft()

    async def stop(self) -> None:
        """Keep what is not kept yet, while the store can still be used."""
        if self._keeping is not None:
            await self._keeping
        with contextlib.suppress(StoreError):
            async with self._turn:
                await self._keep()
