"""Bridges as a part of the broker: they follow ``bridge.mqtt``.

::

    bridge.mqtt.NAME.bridge_mode ──> Table ──> sessions of the core, and $SYS

While there is none, what runs them is not imported.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from nanomq_py.config import Config, ConfigError
from nanomq_py.core.binding import Core, CoreError
from nanomq_py.kernel.node import node_name
from nanomq_py.kernel.part import Change, Part, Trouble

if TYPE_CHECKING:
    from nanomq_py.bridges.bridge import Status
    from nanomq_py.bridges.table import Table
    from nanomq_py.bridges.wanted import Wanted

log = logging.getLogger("nanomq.bridges")

Wants = Mapping[str, "Wanted"]


def _load(config: Config) -> Wants:
    """Return what the configuration wants. Blocks. Raises ConfigError."""
    from nanomq_py.bridges import table as table  # before it is needed on the loop
    from nanomq_py.bridges.wanted import wanted_of

    return wanted_of(config)


class _BridgesChange(Change):
    def __init__(self, part: Bridges, new: Wants, node: str | None) -> None:
        self._part = part
        self._old, self._new = part.wanted, new
        self._old_node, self._node = part.told_as, node

    def commit(self) -> None:
        self._part.use(self._new, self._node)

    async def undo(self) -> None:
        self._part.use(self._old, self._old_node)
        self._part.end_gone()  # what came with this change

    async def settle(self) -> None:
        self._part.end_gone()


class Bridges(Part):
    """The bridges of a broker. It comes before the listeners: what comes in is to cross."""

    name = "bridges"

    def __init__(self, core: Core) -> None:
        self._core = core
        self.wanted: Wants = {}  # in force
        self.told_as: str | None = None  # the name of this node in $SYS topics; None: not
        self._table: Table | None = None
        self._is_begun = False

    async def prepare(self, config: Config) -> Change | None:
        runs = any(bridge.bridge_mode for bridge in config.bridges)
        new = await asyncio.to_thread(_load, config) if runs else {}
        node = node_name(config) if config.sys_interval > 0 else None
        if self._is_begun and not new and not self.wanted:
            return None
        return _BridgesChange(self, new, node)

    def use(self, wanted: Wants, node: str | None) -> None:
        """Put these in force. Raises ConfigError; some are in force then."""
        self.told_as = node
        if wanted and self._table is None:
            from nanomq_py.bridges.table import Table

            self._table = Table(self._core.bridging(), self._tell)
        if self._table is not None:
            try:
                self._table.use(wanted)
            except CoreError as fault:
                raise ConfigError(f"bridge.mqtt: not put in force: {fault}") from None
        self.wanted = wanted
        if not self._is_begun:
            self._is_begun = True
            if orphans := self._core.bridging().end_orphans():
                log.info("%d bridges that are not configured any more have ended", orphans)

    def end_gone(self) -> None:
        if self._table is not None:
            for name in self._table.end_gone():
                log.info("bridge %s: ended", name)
                self._publish(name, b"")

    def _tell(self, name: str) -> None:
        """Tell that a bridge is up or down, or that something was refused."""
        status = self.status(name)
        if status is None:
            return
        state = "up" if status.state.value == "up" else "down"
        if status.refused:
            log.warning("bridge %s: %s", name, status.refused)
        if state == "up":
            log.info("bridge %s: connected to %s", name, status.address)
        else:
            why = status.last_error or status.state.value
            log.warning("bridge %s: not connected to %s: %s", name, status.address, why)
        self._publish(name, state.encode())

    def _publish(self, name: str, state: bytes) -> None:
        if self.told_as is not None:
            topic = f"$SYS/brokers/{self.told_as}/bridge/{name}/state"
            try:
                self._core.publish(topic, state, qos=0, retain=True)
            except CoreError as fault:
                log.warning("$SYS: not published: %s", fault)

    def status(self, name: str) -> Status | None:
        """Return what a bridge is like now; None: it does not run."""
        return None if self._table is None else self._table.status(name)

    def statuses(self) -> Iterator[Status]:
        for name in self.wanted:
            if (status := self.status(name)) is not None:
                yield status

    def measures(self) -> Iterator[tuple[str, int]]:
        """Yield what ``$SYS`` says, by topic below ``$SYS/broker/``."""
        for status in self.statuses():
            at = f"bridge/{status.name}"
            stats = status.stats
            yield f"{at}/waiting", stats.waiting
            yield f"{at}/in_flight", stats.in_flight
            yield f"{at}/acked", stats.acked
            yield f"{at}/received", stats.received
            yield f"{at}/dropped", stats.dropped

    def troubles(self) -> Iterable[Trouble]:
        return () if self._table is None else self._table.troubles()

    def leave(self) -> None:
        if self._table is not None:
            self._table.leave()

    def close(self) -> None:
        """Hear no more of the core, between its shutdown and its end."""
        if self._table is not None:
            self._table.close()
            self._table = None
