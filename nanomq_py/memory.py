"""Memory of the process: given back to the system when it lies idle in the C library's heap."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from nanomq_py import core

INTERVAL_S = 10.0
SLACK_BYTES = 2 << 20  # that may lie idle


def resident_bytes() -> int:
    """Return what of this process is in memory; 0 where the system does not tell."""
    try:
        fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


class Trimmer:
    """Trims the heap when more lies idle in it than after the last time."""

    def __init__(self) -> None:
        self._idle = self._now()

    @staticmethod
    def _now() -> int:
        return resident_bytes() - core.held_bytes()

    def look(self) -> bool:
        """Trim if it is worth it; return whether it was. Takes milliseconds if so."""
        idle = self._now()
        if idle <= self._idle + SLACK_BYTES:
            self._idle = min(self._idle, idle)
            return False
        core.trim_memory()
        self._idle = self._now()
        return True

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            await asyncio.to_thread(self.look)
