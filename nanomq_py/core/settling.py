"""Calls of the core that look at every session and take their time, and whole changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from nanomq_py.core.binding import CoreError

log = logging.getLogger("nanomq")
T = TypeVar("T")


class Settling:
    """Makes such calls in threads, and knows what is under way.

    Threads  belongs to the event loop, which goes on meanwhile
    """

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[object]] = set()

    async def run(self, act: Callable[[], object]) -> None:
        """Return when it is done. It goes on even if nobody waits for it any more.

        A fault is logged: no caller could do something about it.
        """
        try:
            await self.whole(asyncio.to_thread(act))
        except CoreError as fault:
            log.error(
                "what is no longer allowed goes on until its clients connect again: %s",
                fault,
            )

    async def whole(self, change: Coroutine[Any, Any, T]) -> T:
        """Return what a change does. It goes on even if nobody waits for it any more.

        What the store has and the core has not would count only after a restart.
        """
        task = asyncio.create_task(change)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def ended(self) -> None:
        """Return when all have ended: after the core's shutdown the store alone delays it."""
        while self._under_way:  # what they begin is waited for, too
            await asyncio.gather(*self._under_way, return_exceptions=True)
