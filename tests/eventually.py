"""What another thread or the loop has still to do is looked at until it is done.

A counter, an event, a log line or the end of a session may follow the answer that a client
has got: one look is too early on a busy machine. Nothing waits where it is so at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

WITHIN_S = 20.0  # sanitizer builds are slow


def eventually(
    look: Callable[[], Any], expected: object = True, within_s: float = WITHIN_S
) -> None:
    """Return when ``look()`` is as expected."""
    until = time.monotonic() + within_s
    while look() != expected and time.monotonic() < until:
        time.sleep(0.005)
    assert look() == expected


async def eventually_on_loop(
    look: Callable[[], Any], expected: object = True, within_s: float = WITHIN_S
) -> None:
    """Return when ``look()`` is as expected; the loop goes on meanwhile."""
    until = time.monotonic() + within_s
    while look() != expected and time.monotonic() < until:
        await asyncio.sleep(0.005)
    assert look() == expected
