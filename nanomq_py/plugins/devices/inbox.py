"""Messages of devices: one consumer, whose messages go to the inventory."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from nanomq_py.plugins.devices.reports import BELOW
from nanomq_py.plugins.devices.writer import Writer

if TYPE_CHECKING:
    from nanomq_py.broker import Broker
    from nanomq_py.consumers import Consumer
    from nanomq_py.core.message import Message
    from nanomq_py.plugins.devices.inventory import Inventory

NAME = "plugins/devices/reports"
# Behind few messages it waits for more: to wake for each takes more than the message does.
FEW = 100
GATHER_S = 0.1
PATIENCE_S = 30.0  # publishers wait so long while the store takes nothing


class Inbox:
    """The consumer. A batch is acknowledged once the writer has written what it said."""

    def __init__(
        self, broker: Broker, inventory: Inventory, writer: Writer, log: logging.Logger
    ) -> None:
        self._broker = broker
        self._inventory = inventory
        self._writer = writer
        self._log = log
        self._consumer: Consumer | None = None
        self._prefix = ""

    def open(self, prefix: str) -> None:
        """Hear of topics below that prefix from now on."""
        self.close()
        filters = [f"{prefix}/{BELOW}#"]
        self._consumer = self._broker.consume(NAME, filters, patience_s=PATIENCE_S)
        self._prefix = f"{prefix}/"

    @property
    def kept(self) -> int:
        """How many messages the broker keeps for it."""
        if self._consumer is None:
            return 0
        stats = self._consumer.stats()
        return stats.waiting + stats.taken

    def close(self) -> None:
        """Take no more; the broker keeps what comes."""
        if self._consumer is not None:
            self._consumer.close()

    def end(self) -> None:
        """Have the broker keep what comes no more."""
        with contextlib.suppress(KeyError):
            self._broker.end_consumer(NAME)

    async def run(self) -> None:
        """Take messages until it is cancelled."""
        while True:
            consumer = self._consumer
            assert consumer is not None
            async for batch in consumer:
                for message in batch:
                    self._take(message)
                self._writer.mark(batch)
                if len(batch) < FEW:
                    await asyncio.sleep(GATHER_S)
            if consumer is self._consumer:
                return  # the broker is stopping
            await asyncio.sleep(0)

    def _take(self, message: Message) -> None:
        topic = message.topic_name
        if not topic.startswith(self._prefix):  # of the prefix before
            return
        try:
            self._inventory.take(topic[len(self._prefix) :], message)
        except Exception:  # a message must not end the work
            self._log.exception("a message on %.200r is passed over", topic)
