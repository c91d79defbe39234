"""What devices report, and whether they are connected: collected, written, made true again.

::

    messages ──┐
               ├──> pending ──> one transaction a second ──> who is held to be away and sends is
    events   ──┘                                            looked up

Threads  belongs to the event loop
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING

from nanomq_py.events import Connected, Disconnected, Events
from nanomq_py.plugins.devices.pending import Pending
from nanomq_py.plugins.devices.refusals import Refusals
from nanomq_py.plugins.devices.reports import BadReport, Why, read_report
from nanomq_py.plugins.devices.writer import Act, Writer
from nanomq_py.store.moment import wall_s

if TYPE_CHECKING:
    from sqlite3 import Connection

    from nanomq_py.broker import Broker
    from nanomq_py.core.message import Message
    from nanomq_py.plugins.devices.device_table import Outcome

MOST_PENDING = 5_000  # devices and peripherals: more are not gathered for a second
PIECE = 250  # devices that are looked up without a pause: some 5 ms


class Inventory:
    """Collects it.

    counts    reports that were taken, by topic
    refusals  those that were not
    changed   is called when targets of callbacks have something to hear
    """

    def __init__(self, broker: Broker, writer: Writer, log: logging.Logger) -> None:
        self.counts: Counter[str] = Counter()
        self.refusals = Refusals(log)
        self.gateways: Collection[str] = ()
        self.most_bytes = 0
        self.changed: Callable[[], None] = lambda: None
        self._broker = broker
        self._writer = writer
        self._pending = Pending()

    # --- reports

    def take(self, topic: str, message: Message) -> None:
        """Collect what a message on that topic, without the prefix, says."""
        publisher = message.publisher
        client_id = "" if publisher is None else publisher.client_id
        try:
            self._take(topic, message, client_id)
        except BadReport as fault:
            self.refusals.add(client_id, topic, fault)
        if len(self._pending) >= MOST_PENDING:
            self._writer.mark(soon=True)

    def _take(self, topic: str, message: Message, client_id: str) -> None:
        payload = message.payload
        if len(payload) > self.most_bytes:
            text = f"{len(payload)} bytes, {self.most_bytes} may be"
            raise BadReport(Why.TOO_LARGE, text)
        if not client_id:
            raise BadReport(Why.OTHER_SN, "no client has sent it")
        at = int(message.time)
        reports = read_report(topic, payload, at)
        if reports is None:
            return
        is_gateway = client_id in self.gateways
        for report in reports:
            if report.sn not in ("", client_id) and not is_gateway:
                text = f"sn {report.sn[:64]!r} is not its client identifier"
                raise BadReport(Why.OTHER_SN, text)
        if not reports:  # a device says that it is there itself
            self._pending.hear(client_id, "", at)
        for report in reports:
            via = client_id if report.sn not in ("", client_id) else ""
            self._pending.add(report, client_id, via)
        self.counts[topic] += 1

    # --- connections

    async def follow(self, events: Events[Connected | Disconnected]) -> None:
        """Follow connections until the events end."""
        lost = 0
        async with events:
            async for event in events:
                self._follow(event)
                if events.dropped > lost:
                    lost = events.dropped
                    await self.make_true()

    def _follow(self, event: Connected | Disconnected) -> None:
        client_id, at = event.client.client_id, int(event.time)
        if isinstance(event, Connected):
            self._pending.of(client_id).came(at)
        elif not self._is_connected(client_id):  # else another connection took it over
            self._pending.of(client_id).went(at)
            if client_id in self.gateways:
                self._pending.gone[client_id] = at
        self._writer.mark()

    def _is_connected(self, client_id: str) -> bool:
        client = self._broker.client(client_id)
        return client is not None and client.connected

    def _look_up(self, sn: str, through: str) -> bool:
        """Take note that a device is connected, if it is; return whether it is."""
        client = self._broker.client(through)
        if client is None or not client.connected:
            return False
        at = client.connected_at_ms // 1000 if sn == through else int(wall_s())
        self._pending.of(sn).came(at)
        return True

    async def make_true(self) -> None:
        """Compare what is written with who is connected, after a start or a loss of events.

        Raises   StoreError
        """
        after = ""
        written_at = await self._broker.store.read(_written_at)
        while rows := await self._broker.store.read(partial(_page, after)):
            for sn, via, was_online, latest in rows:
                is_online = self._look_up(sn, via or sn) if was_online or not via else False
                if was_online and not is_online:
                    self._pending.of(sn).went(max(latest, written_at))
            after = rows[-1][0]
        if self._pending:
            self._writer.mark(soon=True)

    # --- what is written

    def drain(self) -> Act | None:
        """Return what writes all that was collected; None: there is nothing."""
        if not self._pending:
            return None
        from nanomq_py.plugins.devices.device_table import write  # with the first device

        pending, self._pending = self._pending, Pending()

        def act(connection: Connection) -> Callable[[], None]:
            return partial(self._written, write(connection, pending, int(wall_s())))

        return act

    def _written(self, outcome: Outcome) -> None:
        for sn, topic, fault in outcome.refused:
            self.refusals.add(sn, topic, fault)
        found = [self._look_up(sn, through) for sn, through in outcome.unsure]
        if any(found):
            self._writer.mark(soon=True)
        if outcome.changed:
            self.changed()


def _written_at(connection: Connection) -> int:
    row = connection.execute(
        "SELECT value FROM devices_state WHERE name = 'written_at'"
    ).fetchone()
    return 0 if row is None else int(row[0])


def _page(after: str, connection: Connection) -> list[tuple[str, str, int, int]]:
    """Return devices: sn, via, whether it is online, and when it was heard of."""
    return connection.execute(
        "SELECT sn, via, online, max(online_at, active_at) FROM devices_device WHERE sn > ?"
        " ORDER BY sn LIMIT ?",
        (after, PIECE),
    ).fetchall()
