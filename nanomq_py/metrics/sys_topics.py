"""The ``$SYS`` topics, under mosquitto's names: the metrics that ``csrc/metrics.def`` declares.

Source  mosquitto(8), "Broker Status"
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from nanomq_py.config import Config
from nanomq_py.core.binding import Core, CoreError
from nanomq_py.core.declared import MEMORY, METRICS
from nanomq_py.core.metric import Metric
from nanomq_py.core.records import Memory, Stats
from nanomq_py.kernel.part import Change, Part
from nanomq_py.version import __version__

log = logging.getLogger("nanomq")

LOAD_MINUTES = (1, 5, 15)


class Load:
    """Moving averages of a counter's growth a minute, over 1, 5 and 15 minutes."""

    def __init__(self) -> None:
        self._last = 0
        self.averages = dict.fromkeys(LOAD_MINUTES, 0.0)

    def update(self, value: int, elapsed_s: float) -> None:
        """Take the counter's value, ``elapsed_s`` (above 0) after the last time."""
        rate = (value - self._last) * 60 / elapsed_s
        self._last = value
        for minutes, average in self.averages.items():
            weight = math.exp(-elapsed_s / (60 * minutes))
            self.averages[minutes] = rate + weight * (average - rate)


class IntervalChange(Change):
    """Another interval between two looks at the values."""

    def __init__(self, sys_topics: SysTopics, interval_s: int) -> None:
        self._sys_topics = sys_topics
        self._interval_s = interval_s

    def commit(self) -> None:
        self._sys_topics.publish_every(self._interval_s)


class SysTopics(Part):
    """Publishes what has changed, retained."""

    name = "$SYS"

    def __init__(
        self, core: Core, more: Callable[[], Iterable[tuple[str, int]]] = tuple
    ) -> None:
        """Make it. more: what parts say besides, by topic below ``$SYS/broker/``."""
        self._core = core
        self._more = more
        self._interval_s = 0
        self._task: asyncio.Task[None] | None = None
        self._began = self._updated = time.monotonic()
        self._loads = {metric: Load() for metric in METRICS if metric.load}
        self._heap_max = 0
        self._told: dict[str, str] = {}
        self._version = f"nanomq-py version {__version__}"

    async def prepare(self, config: Config) -> Change | None:
        if config.sys_interval == self._interval_s:
            return None
        return IntervalChange(self, config.sys_interval)

    def publish_every(self, interval_s: int) -> None:
        """Publish now, and then every ``interval_s`` seconds; 0: not any more."""
        self._interval_s = interval_s
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if interval_s > 0:
            self._task = asyncio.create_task(self._run(interval_s))

    def leave(self) -> None:
        self.publish_every(0)

    async def _run(self, interval_s: int) -> None:
        while True:
            try:
                self.publish()
            except CoreError as fault:
                log.warning("$SYS: not published: %s", fault)
            await asyncio.sleep(interval_s)

    def publish(self) -> None:
        """Publish the values that have changed since they were last published."""
        for topic, text in self._values():
            if self._told.get(topic) != text:
                self._told[topic] = text
                self._core.publish(
                    f"$SYS/broker/{topic}", text.encode(), qos=0, retain=True
                )

    def _values(self) -> Iterator[tuple[str, str]]:
        now = time.monotonic()
        stats = self._core.stats()
        heap = self._core.heap_bytes()
        self._heap_max = max(self._heap_max, heap)
        yield "version", self._version
        yield "uptime", f"{int(now - self._began)} seconds"
        yield from _told(METRICS, stats)
        yield from _told(MEMORY, self._core.memory())
        if heap > 0:  # else the C library cannot tell
            yield "heap/current", str(heap)
            yield "heap/maximum", str(self._heap_max)
        yield from ((topic, str(value)) for topic, value in self._more())
        if now > self._updated:
            for metric, load in self._loads.items():
                load.update(getattr(stats, metric.name), now - self._updated)
                for minutes, average in load.averages.items():
                    yield f"load/{metric.load}/{minutes}min", f"{average:.2f}"
        self._updated = now


def _told(metrics: Sequence[Metric], values: Stats | Memory) -> Iterator[tuple[str, str]]:
    """Yield the topics of metrics with their values."""
    for metric in metrics:
        for topic in metric.topics:
            yield topic, str(getattr(values, metric.name))
