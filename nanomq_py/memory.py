"""Memory of the process: how much it may have, and idle memory back to the system."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from nanomq_py import core

INTERVAL_S = 10.0
SLACK_BYTES = 2 << 20  # that may lie idle


def memory_share() -> int:
    """Return three quarters of the memory that this process can have, in bytes."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        group = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or "max"
        group = machine
    return min(machine, group) * 3 // 4


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
