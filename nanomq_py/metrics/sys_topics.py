"""The ``$SYS`` topics, under mosquitto's names, from the broker's own counters.

Source  mosquitto(8), "Broker Status"
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator

from nanomq_py.config import Config
from nanomq_py.core.binding import Core, CoreError
from nanomq_py.core.records import Stats
from nanomq_py.kernel.part import Change, Part
from nanomq_py.version import __version__

log = logging.getLogger("nanomq")

LOAD_MINUTES = (1, 5, 15)

# Topic below $SYS/broker -> its value.
_VALUES: dict[str, Callable[[Stats], int]] = {
    "clients/total": lambda s: s.clients,
    "clients/maximum": lambda s: s.clients_max,
    "clients/connected": lambda s: s.connected,
    "clients/active": lambda s: s.connected,  # the older name
    "clients/disconnected": lambda s: s.clients - s.connected,
    "clients/inactive": lambda s: s.clients - s.connected,  # the older name
    "clients/expired": lambda s: s.sessions_expired,
    "messages/received": lambda s: s.packets_in,
    "messages/sent": lambda s: s.packets_out,
    "messages/stored": lambda s: s.stored,  # the older name
    "store/messages/count": lambda s: s.stored,
    "store/messages/bytes": lambda s: s.stored_bytes,
    "subscriptions/count": lambda s: s.subscriptions,
    "shared_subscriptions/count": lambda s: s.shared_subscriptions,
    "retained messages/count": lambda s: s.retained,
    "publish/messages/received": lambda s: s.messages_in,
    "publish/messages/sent": lambda s: s.messages_out,
    "publish/messages/dropped": lambda s: s.messages_dropped,
    "publish/bytes/received": lambda s: s.payload_in,
    "publish/bytes/sent": lambda s: s.payload_out,
    "bytes/received": lambda s: s.bytes_in,
    "bytes/sent": lambda s: s.bytes_out,
    "memory/held": lambda s: s.held_bytes,
}
# Counters of Stats that tell what limits did; each is $SYS/broker/limits/NAME.
LIMITS = (
    "refused_connections",
    "refused_listener",
    "refused_address",
    "starved",
    "connect_timeouts",
    "keep_alive_timeouts",
    "packets_too_large",
    "topics_too_deep",
    "subscriptions_refused",
    "receive_max_exceeded",
    "queue_full",
    "rate_waits",
    "slow_consumers",
    "memory_cuts",
    "subscriptions_ended",
    "messages_denied",
    "users_ended",
    "memory_shortages",
    "memory_refused",
    "refused_sessions",
    "refused_client_ids",
    "refused_retained",
    "refused_groups",
    "refused_filters",
    "connects_too_large",
    "keep_alives_lowered",
)
# Fields of Memory; each is $SYS/broker/memory/NAME.
MEMORY = (
    "total",
    "max",
    "retained",
    "sessions",
    "wills",
    "subscriptions",
    "connections",
    "tls",
    "other",
)
# Topic below $SYS/broker/load -> the counter whose growth a minute it tells.
_LOADS: dict[str, Callable[[Stats], int]] = {
    "messages/received": lambda s: s.packets_in,
    "messages/sent": lambda s: s.packets_out,
    "publish/received": lambda s: s.messages_in,
    "publish/sent": lambda s: s.messages_out,
    "publish/dropped": lambda s: s.messages_dropped,
    "bytes/received": lambda s: s.bytes_in,
    "bytes/sent": lambda s: s.bytes_out,
    "sockets": lambda s: s.connections_accepted,
    "connections": lambda s: s.connects,
}


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

    def __init__(self, core: Core) -> None:
        self._core = core
        self._interval_s = 0
        self._task: asyncio.Task[None] | None = None
        self._began = self._updated = time.monotonic()
        self._loads = {topic: Load() for topic in _LOADS}
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
        """Publish the values that differ from what was told last."""
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
        for topic, read in _VALUES.items():
            yield topic, str(read(stats))
        for name in LIMITS:
            yield f"limits/{name}", str(getattr(stats, name))
        memory = self._core.memory()
        for name in MEMORY:
            yield f"memory/{name}", str(getattr(memory, name))
        if heap > 0:  # else the C library cannot tell
            yield "heap/current", str(heap)
            yield "heap/maximum", str(self._heap_max)
        if now > self._updated:
            for topic, load in self._loads.items():
                load.update(_LOADS[topic](stats), now - self._updated)
                for minutes, average in load.averages.items():
                    yield f"load/{topic}/{minutes}min", f"{average:.2f}"
        self._updated = now
