"""What a durable broker tells of itself: numbers for ``$SYS``, and troubles for alarms.

A broker with ``durability=off`` does not import this module.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nanomq_py.config import Config
from nanomq_py.core.binding import EIO, ESTORE, Core
from nanomq_py.core.declared import LOGGED, DurabilityStats
from nanomq_py.core.records import DurabilityNote
from nanomq_py.kernel.part import Change, Part, Swap, Trouble

CALM_LOOKS = 6  # without a shortage, until it is over: a minute


@dataclass(frozen=True)
class DurabilityState:
    """What becomes of what is to outlive the process."""

    folder: Path
    is_full: bool  # nothing more is taken, until there is room
    has_failed: bool  # nothing is written any more, until a restart
    why: str  # what the system says of either; empty: nothing
    stats: DurabilityStats


class DurabilityWatch(Part):
    """Looks at what the core logs."""

    name = "durability_watch"

    def __init__(self, core: Core, folder: Path) -> None:
        self._core = core
        self._folder = folder
        self._slow_ms = 0  # 0: no flush is slow
        self._is_slow = False
        self._was_full = False  # since the last look
        self._calm = CALM_LOOKS

    async def prepare(self, config: Config) -> Change | None:
        new = config.durability.slow_flush
        return None if new == self._slow_ms else Swap(self.use, self._slow_ms, new)

    def use(self, slow_ms: int) -> None:
        self._slow_ms = slow_ms

    def state(self) -> DurabilityState:
        state = self._core.durability_look()
        return DurabilityState(
            self._folder,
            is_full=bool(state.stats.full),
            has_failed=state.status in (EIO, ESTORE),
            why=os.strerror(state.error) if state.error else "",
            stats=state.stats,
        )

    def measures(self) -> Iterator[tuple[str, int]]:
        """Yield what ``$SYS`` says, by topic below ``$SYS/broker/``."""
        stats = self.state().stats
        for metric in LOGGED:
            for topic in metric.topics:
                yield topic, getattr(stats, metric.name)

    def hear(self, note: DurabilityNote) -> bool:
        """Take a note of the core. Returns whether somebody should look at once."""
        has_failed = note.status in (EIO, ESTORE)
        self._was_full = self._was_full or (note.status < 0 and not has_failed)
        return has_failed

    def troubles(self) -> Iterator[Trouble]:
        state = self.state()
        details = {
            "folder": str(state.folder),
            "used": state.stats.used,
            "max_size": state.stats.max_size,
        }
        if state.has_failed:
            yield Trouble(
                "store_failed",
                f"{state.folder} cannot be written any more ({state.why or 'out of memory'}):"
                " nothing is safe until a restart",
                {**details, "error": state.why},
            )
        elif self._lacks_room(state):
            why = f"its disk: {state.why}" if state.why else "durability.max_size"
            yield Trouble(
                "store_full",
                f"what is to be kept is refused, as {state.folder} has no room within {why}",
                {**details, "error": state.why},
            )
        yield from self._slowness(state.stats, details)

    def _lacks_room(self, state: DurabilityState) -> bool:
        """Return whether it is full, or was within the last looks."""
        full = state.is_full or self._was_full
        self._was_full = False
        self._calm = 0 if full else self._calm + 1
        return self._calm < CALM_LOOKS

    def _slowness(
        self, stats: DurabilityStats, details: dict[str, object]
    ) -> Iterator[Trouble]:
        took_ms = max(stats.flush_p99_us, stats.flush_now_us) // 1000
        # Half of the bound ends it, so that it does not come and go.
        bound_ms = self._slow_ms // 2 if self._is_slow else self._slow_ms
        self._is_slow = self._slow_ms > 0 and took_ms > bound_ms
        if self._is_slow:
            yield Trouble(
                "store_slow",
                f"the disk of {self._folder} takes {took_ms} ms to write: acknowledgements"
                " wait for it",
                {**details, "p99_ms": took_ms, "slow_flush": self._slow_ms},
            )
