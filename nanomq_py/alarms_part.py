"""What looks for troubles of the broker every 10 seconds; the first one loads the alarms.

::

    the core's gauges and counters ──┐
    Part.troubles of all parts ──────┴──> Alarms ──> $SYS, where sys_interval is above 0
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from nanomq_py.config import Config
from nanomq_py.core.binding import Core
from nanomq_py.kernel.node import node_name
from nanomq_py.kernel.part import Change, Part, Swap, Trouble
from nanomq_py.store_part import StorePart

if TYPE_CHECKING:
    from nanomq_py.alarms import Alarms
    from nanomq_py.store.alarms import Alarm

LOOK_S = 10.0
CALM_LOOKS = 6  # without a refusal, until the alarm of it is over

# Counters of refusals, the alarm, and what the bound is.
_REFUSALS = (
    ("refused_connections", "connections_refused", "max_connections"),
    ("refused_listener", "connections_refused_by_listener", "a listener's max_connections"),
    ("refused_address", "connections_refused_by_address", "max_connections_per_address"),
    ("starved", "listeners_starved", "the last descriptors, or for memory"),
    ("refused_sessions", "sessions_refused", "max_sessions"),
    ("refused_retained", "retained_refused", "the bounds of retained messages"),
)


class _Refusals:
    """A counter whose growth is a trouble."""

    def __init__(self, counter: str, name: str, bound: str) -> None:
        self.counter = counter
        self._name = name
        self._bound = bound
        self._last = 0
        self._calm = CALM_LOOKS

    def troubles(self, count: int) -> Iterator[Trouble]:
        self._calm = 0 if count > self._last else self._calm + 1
        self._last = count
        if self._calm < CALM_LOOKS:
            message = f"clients are turned away at {self._bound}: {count} so far"
            yield Trouble(self._name, message, {"refused": count})


class AlarmsPart(Part):
    """The alarms of a broker."""

    name = "alarms"

    def __init__(
        self, core: Core, store: StorePart, asked: Callable[[], Iterable[Trouble]]
    ) -> None:
        """Begin to look. ``asked`` returns the troubles of all parts."""
        self._core = core
        self._store = store
        self._asked = asked
        self._alarms: Alarms | None = None
        self._told_as: str | None = None  # the name of this node in $SYS topics; None: not
        self._refusals = [_Refusals(*each) for each in _REFUSALS]
        self._timer: asyncio.TimerHandle | None = None
        self._wait()

    @property
    def alarms(self) -> Alarms:
        """The alarms, of which the first use loads what keeps them."""
        if self._alarms is None:
            from nanomq_py.alarms import Alarms

            self._alarms = Alarms(self._tell)
        if self._store.is_open:
            self._alarms.use_store(self._store.past_alarms)
        return self._alarms

    async def prepare(self, config: Config) -> Change | None:
        new = node_name(config) if config.sys_interval > 0 else None
        return None if new == self._told_as else Swap(self._tell_as, self._told_as, new)

    def _tell_as(self, name: str | None) -> None:
        self._told_as = name

    def _tell(self, alarm: Alarm) -> None:
        if self._told_as is not None:
            from nanomq_py.alarm_topics import publish  # few brokers have an alarm

            publish(self._core, self._told_as, alarm)

    def look(self) -> None:
        """Look for troubles now."""
        found = [*self._of_core(), *self._asked()]
        if found or self._alarms is not None:
            self.alarms.take(found)

    def _of_core(self) -> Iterator[Trouble]:
        memory, stats = self._core.memory(), self._core.stats()
        if memory.level > 0:
            what = "out: who holds much is cut" if memory.level > 1 else "short"
            yield Trouble(
                "memory_out" if memory.level > 1 else "memory_short",
                f"memory is {what}: {memory.total} of max_memory, {memory.max} bytes",
                {"total": memory.total, "max": memory.max},
            )
        for each in self._refusals:
            yield from each.troubles(getattr(stats, each.counter))

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._on_timer)

    def _on_timer(self) -> None:
        self._wait()
        self.look()

    def leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def stop(self) -> None:
        if self._alarms is not None:
            await self.alarms.stop()  # of the store, if it was opened meanwhile
