"""Calls of the core that look at every session, and take their time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from nanomq_py.core.binding import CoreError

log = logging.getLogger("nanomq")


class Settling:
    """Makes such calls in threads, and knows which are under way.

    Threads  belongs to the event loop, which goes on meanwhile
    """

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[object]] = set()

    async def run(self, act: Callable[[], object]) -> None:
        """Return when it is done. It goes on even if nobody waits for it any more.

        A fault is logged: no caller could do something about it.
        """
        task = asyncio.create_task(asyncio.to_thread(act))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            await asyncio.shield(task)
        except CoreError as fault:
            log.error(
                "what is no longer allowed goes on until its clients connect again: %s",
                fault,
            )

    async def ended(self) -> None:
        """Return when all have ended, which is at once after the core's shutdown."""
        await asyncio.gather(*self._under_way, return_exceptions=True)
