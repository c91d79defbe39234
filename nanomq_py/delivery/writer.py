"""What changes in the queues, written many changes at a time.

::

    put ──────> urgent: written now, with all that waits; who puts waits for the disk
    done, ... ─> written within LATER_S, or with the next that is urgent

What was sent and is not written yet comes again after a kill -9, and after nothing else.

Threads  belongs to the event loop
"""

from __future__ import annotations

import asyncio
import logging

from nanomq_py.delivery.table import Act, Changes, Row
from nanomq_py.store.faults import StoreError
from nanomq_py.store.store import Store

log = logging.getLogger("nanomq.delivery")

LATER_S = 0.5
AGAIN_S = 2.0  # after a write that has failed
MOST_LATER = 2000  # changes that nobody waits for

Rows = list[tuple[int, int, str, str, bytes, float]]


class Writer:
    """Writes changes, in the order in which they came."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changes = Changes()
        self._waiting: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._has_failed = False

    async def put(self, posts: Rows, row: Row, *acts: Act) -> None:
        """Return when these are on the disk. Raises StoreError, and none of them is."""
        future = asyncio.get_running_loop().create_future()
        self._changes.posts += posts
        self._changes.put_acts += acts
        self._changes.rows[row.number] = row
        self._waiting.append(future)
        self._now()
        await future

    def later(self, row: Row, done: int | None = None, *acts: Act) -> None:
        """Have these written soon; nobody waits for it.

        done  the identifier of a post that is to be deleted
        """
        changes = self._changes
        changes.rows[row.number] = row
        changes.acts += acts
        if done is not None:
            changes.done.append((done,))
        if self._is_due and not self._has_failed:
            self._now()
        else:
            self._soon()

    @property
    def _is_due(self) -> bool:
        changes = self._changes
        return bool(self._waiting) or len(changes.done) + len(changes.acts) >= MOST_LATER

    def _soon(self) -> None:
        if self._timer is None and self._task is None:
            wait_s = AGAIN_S if self._has_failed else LATER_S
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._now)

    def _now(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        try:
            while await self._write_one() and self._is_due:
                pass
        finally:
            self._task = None
        if self._waiting:  # they came behind a write that has failed
            self._now()
        elif self._changes.rows:
            self._soon()

    async def _write_one(self) -> bool:
        """Write what there is; return whether it is on the disk."""
        changes, self._changes = self._changes, Changes()
        waiting, self._waiting = self._waiting, []
        try:
            await self._store.write(changes.write)
        except StoreError as fault:
            self._failed(changes, waiting, fault)
            return False
        self._has_failed = False
        for future in waiting:
            if not future.done():
                future.set_result(None)
        return True

    def _failed(
        self, changes: Changes, waiting: list[asyncio.Future[None]], fault: StoreError
    ) -> None:
        """Take back what somebody has put, and keep the rest for the next time."""
        if not self._has_failed:
            log.error("delivery: the queues cannot be written: %s", fault)
        self._has_failed = True
        for future in waiting:
            if not future.done():
                future.set_exception(fault)
        newer = self._changes
        newer.done[:0] = changes.done
        newer.rows = {**changes.rows, **newer.rows}
        newer.acts[:0] = changes.acts

    async def settle(self) -> None:
        """Return when all that there is now is written, or cannot be."""
        while self._task is not None:
            await asyncio.wait({self._task})
        if self._changes.rows:
            self._now()
            assert self._task is not None
            await asyncio.wait({self._task})

    def close(self) -> None:
        """Write nothing more."""
        if self._timer is not None:
            self._timer.cancel()
