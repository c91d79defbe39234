"""Writes once a second at most what was collected, and acknowledges messages after that.

::

    inventory ──> one transaction ──> batches are acknowledged ──> it hears what became of it

What cannot be written is tried again, the same; more is collected meanwhile.

Threads  belongs to the event loop
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from nanomq_py.store.faults import StoreError

if TYPE_CHECKING:
    from sqlite3 import Connection

    from nanomq_py.consumers import Batch
    from nanomq_py.store.store import Store

EVERY_S = 1.0

# Runs in the thread of the store; what it returns is called on the loop once all is written.
Act = Callable[["Connection"], Callable[[], None]]


class Writer:
    """The one who writes.

    drain   returns what writes all that was collected; None: there is nothing
    """

    def __init__(self, log: logging.Logger) -> None:
        self.drain: Callable[[], Act | None] = lambda: None
        self._log = log
        self._store: Store | None = None
        self._batch: Batch | None = None  # the latest that was collected
        self._act: Act | None = None  # that could not be written
        self._act_batch: Batch | None = None  # the one that it is of
        self._marked = asyncio.Event()
        self._soon = asyncio.Event()
        self._turn = asyncio.Lock()

    def mark(self, batch: Batch | None = None, *, soon: bool = False) -> None:
        """Have what was collected written: at once, or a second after the time before.

        soon   at once, whenever it was
        """
        if batch is not None:
            self._batch = batch
        self._marked.set()
        if soon:
            self._soon.set()

    def open(self, store: Store) -> None:
        """Write into that store from now on."""
        self._store = store

    async def run(self) -> None:
        """Write until it is cancelled."""
        loop = asyncio.get_running_loop()
        told, next_at = False, 0.0
        while True:
            await self._marked.wait()
            if (wait_s := next_at - loop.time()) > 0:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._soon.wait(), wait_s)
            next_at = loop.time() + EVERY_S
            try:
                await self.flush()
                told = False
            except StoreError as fault:
                if not told:
                    self._log.error("what devices report is not kept: %s", fault)
                told = True
                self._marked.set()

    async def flush(self) -> None:
        """Write what there is now. Raises StoreError, and it is written another time."""
        if self._store is None:
            return
        async with self._turn:
            if self._act is None:
                self._marked.clear()
                self._soon.clear()
                self._act = self.drain()
                self._act_batch, self._batch = self._batch, None
            tell = None if self._act is None else await self._store.write(self._act)
            batch, self._act, self._act_batch = self._act_batch, None, None
            if batch is not None:
                with contextlib.suppress(RuntimeError):  # it comes again, and is the same
                    batch.ack()
            if tell is not None:
                tell()
