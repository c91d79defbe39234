"""One rule that runs: what its FROM names goes through its SQL, and the rows to its actions.

::

    consumer of the rule ─> batch ─> 64 at a time ─> rows ─> action, action, ... ─> acknowledged
    events ───────────> list ─┘

Each rule has a consumer of its own. What it costs more than one for all is that a message of
two rules is copied twice; what it saves is to match each message with the filters of all rules
in Python, and a rule that is slow or has failed has only its own messages waiting, which are
acknowledged by itself. A message that was acknowledged to its publisher is kept until the
actions have had it: over a reload, and over a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from nanomq_py.consumers import Consumer
from nanomq_py.events import Event, Events
from nanomq_py.plugins.rules.action import Action, Complaints, Selected
from nanomq_py.plugins.rules.columns import EVENTS, Columns, MessageColumns, columns_of
from nanomq_py.plugins.rules.counters import RuleCounts, Totals

if TYPE_CHECKING:
    from nanomq_py.broker import Broker

AT_ONCE = 64  # messages before others have the loop
MOST_ROWS = 1000  # of one message
MOST_EVENTS = 10_000  # that wait for a rule
FINISH_S = 0.5  # for the batch under way, at the end


class Runs(Protocol):
    """What is called of a statement."""

    def run(self, columns: Columns) -> Sequence[dict[str, Any]]: ...


class Running:
    """A rule from its start to its end.

    Threads  belongs to the event loop
    """

    def __init__(
        self,
        statement: Runs,
        actions: Sequence[Action],
        counts: RuleCounts,
        totals: Totals,
        complaints: Complaints,
        *,
        stops_at_failure: bool,
        node: str,
        wanted: Sequence[str],
    ) -> None:
        """Make it.

        wanted   columns of a message that the statement looks at
        """
        self._statement = statement
        self._actions = actions
        self._counts = counts
        self._totals = totals
        self._complaints = complaints
        self._stops_at_failure = stops_at_failure
        self._node = node
        self._wanted = wanted
        self._consumer: Consumer | None = None
        self._events: Events[Event] | None = None
        self._names: dict[type[Event], list[str]] = {}
        self._waiting: list[Columns] = []
        self._came = asyncio.Event()
        self._turn = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    def start(
        self, consumer: Consumer | None, broker: Broker, names: Sequence[str]
    ) -> None:
        """Begin. names: of events. Raises OSError out of descriptors."""
        for name in names:
            for kind in EVENTS[name][0]:
                self._names.setdefault(kind, []).append(name)
        if self._names:
            self._events = broker.events(self._names)
            self._begin(self._hear(self._events))
            self._begin(self._take_events())
        if consumer is not None:
            self._consumer = consumer
            self._begin(self._take_messages(consumer))

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._complaints.note(f"it has ended: {type(fault).__name__}: {fault}")

    @property
    def lost_events(self) -> int:
        return self._events.dropped if self._events is not None else 0

    @property
    def lost(self) -> int:
        """Messages and events that found no room before they came to it."""
        lost = self.lost_events
        if self._consumer is not None:
            with contextlib.suppress(RuntimeError):  # it is closed
                lost += self._consumer.stats().dropped
        return lost

    async def stop(self) -> None:
        """End, after the batch that is under way if that does not take long."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._turn.acquire(), FINISH_S)
        for task in self._tasks:
            task.cancel()
        if self._events is not None:
            self._events.close()
        if self._consumer is not None:
            self._consumer.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- messages

    async def _take_messages(self, consumer: Consumer) -> None:
        async for batch in consumer:
            async with self._turn:
                # What is retained was there before the rule.
                node, wanted = self._node, self._wanted
                live = [MessageColumns(m, node, wanted) for m in batch if not m.retained]
                await self._apply_all(live)
                batch.ack()

    # --- events

    async def _hear(self, events: Events[Event]) -> None:
        async for event in events:
            for name in self._names[type(event)]:
                columns = columns_of(name, event, self._node)
                if columns is None:
                    continue
                if len(self._waiting) >= MOST_EVENTS:
                    self._counts.matched += 1
                    self._counts.dropped += 1
                    continue
                self._waiting.append(columns)
                self._came.set()

    async def _take_events(self) -> None:
        while True:
            await self._came.wait()
            async with self._turn:
                self._came.clear()
                waiting, self._waiting = self._waiting, []
                await self._apply_all(waiting)

    # --- both

    async def _apply_all(self, all_columns: Sequence[Columns]) -> None:
        for at in range(0, len(all_columns), AT_ONCE):
            part = all_columns[at : at + AT_ONCE]
            selected = list(self._selected(part))
            self._counts.matched += len(part)
            self._counts.rate.add(len(part))
            self._totals.matched += len(part)
            if selected:
                await self._act(selected)
            await asyncio.sleep(0)

    def _selected(self, all_columns: Sequence[Columns]) -> Iterator[Selected]:
        """Yield the rows of messages or events; count those without any."""
        counts, run = self._counts, self._statement.run
        for columns in all_columns:
            try:
                rows = run(columns)
            except Exception as fault:  # whatever a message makes of the statement
                counts.exception += 1
                self._complaints.note(str(fault) or type(fault).__name__)
                continue
            if not rows:
                counts.no_result += 1
            elif len(rows) > MOST_ROWS:
                counts.dropped += 1
                self._complaints.note(f"a message has made more than {MOST_ROWS} rows")
            else:
                counts.passed += 1
                for row in rows:
                    yield Selected(row, columns)

    async def _act(self, selected: Sequence[Selected]) -> None:
        for action in self._actions:
            faults = await action.take(selected, self._complaints)
            self._totals.success += len(selected) - len(faults)
            self._totals.failure += len(faults)
            if faults and self._stops_at_failure:
                selected = [s for at, s in enumerate(selected) if at not in faults]
                if not selected:
                    return
