"""The device platform: a plugin of ours, ``plugins.load=devices``.

Source  iot-platform-api-v1.txt; http-dialects.md, "IoT platform"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nanomq_py.config import Config
from nanomq_py.events import Connected, Disconnected, Events
from nanomq_py.kernel.part import Change, Swap
from nanomq_py.kernel.parts import Changes
from nanomq_py.plugins.devices.commands import keys as of_commands
from nanomq_py.plugins.devices.commands.part import CommandPart
from nanomq_py.plugins.devices.inbox import Inbox
from nanomq_py.plugins.devices.inventory import Inventory
from nanomq_py.plugins.devices.keys import SECTION, Keys
from nanomq_py.plugins.devices.refusals import Refusals
from nanomq_py.plugins.devices.reports import Why
from nanomq_py.plugins.devices.schema import SCHEMA
from nanomq_py.plugins.devices.writer import Writer
from nanomq_py.plugins.plugin import Plugin
from nanomq_py.store.faults import StoreError
from nanomq_py.store.schema import bring

if TYPE_CHECKING:
    from nanomq_py.broker import Broker
    from nanomq_py.http.app import Dialect
    from nanomq_py.http.guard import Gate
    from nanomq_py.plugins.devices.api import Api
    from nanomq_py.plugins.devices.telling import Telling
    from nanomq_py.plugins.devices.tokens import Tokens


class Devices(Plugin):
    """Keeps what devices report, and answers at ``/iot/api/v1``."""

    brings = (SECTION, of_commands.SECTION)
    # After a crash a large store is checked first, on a machine where all clients come again.
    start_within_s = 60.0

    def __init__(self, name: str, broker: Broker) -> None:
        super().__init__(name, broker)
        self._runs = False
        self._events: Events[Connected | Disconnected] | None = None
        self._keys = Keys()
        self._tokens: Tokens | None = None
        self._telling: Telling | None = None
        self._commands = CommandPart(broker, self.work, self.log)
        self._writer = Writer(self.log)
        self._inventory = Inventory(broker, self._writer, self.log)
        self._writer.drain = self._inventory.drain
        self._inbox = Inbox(broker, self._inventory, self._writer, self.log)

    @property
    def refusals(self) -> Refusals:
        """Reports that were refused."""
        return self._inventory.refusals

    @property
    def kept(self) -> int:
        """How many messages of devices are not written yet."""
        return self._inbox.kept

    def counters(self) -> Mapping[str, int]:
        commands = self._commands.commands.counts
        return {
            "reports": self._inventory.counts.total(),
            **{f"refused/{why.value}": self.refusals.counts[why] for why in Why},
            **{f"commands/{name}": count for name, count in commands.items()},
        }

    async def prepare(self, config: Config) -> Change:
        keys = _KeysChange(self, self._keys, config.of_part(Keys))
        return Changes([keys, self._commands.prepare(config)])

    def use(self, keys: Keys) -> None:
        """Follow other keys."""
        before, self._keys = self._keys, keys
        if self._tokens is not None:
            self._tokens.life_s = keys.token_life_s
        if self._telling is not None:
            self._telling.targets.keys = keys
        self._inventory.gateways = frozenset(keys.gateways)
        self._commands.hear(keys.topic_prefix, keys.gateways)
        self._inventory.most_bytes = keys.max_report
        if self._runs and keys.topic_prefix != before.topic_prefix:
            self._inbox.open(keys.topic_prefix)

    async def start(self) -> None:
        store = self.broker.store
        await bring(store, SCHEMA)
        # First, so that nothing is missed: what is known by then may come again.
        kinds: list[type[Connected] | type[Disconnected]] = [Connected, Disconnected]
        self._events = events = self.broker.events(kinds)
        self._writer.open(store)
        await self._inventory.make_true()
        await self._writer.flush()
        self._inbox.open(self._keys.topic_prefix)
        self._runs = True
        self.work(self._writer.run())
        self.work(self._inventory.follow(events))
        self.work(self._inbox.run())
        await self._commands.start()
        if await store.has_rows("devices_callback", "devices_route", "devices_change"):
            telling = self._made_telling()
            await telling.open()
            self.end_orphans(await telling.routes.consumers())
        else:
            self.end_orphans()
        self.work(self.tell_counters())

    def _made_telling(self) -> Telling:
        """Return who is told by HTTP. A platform that nobody asks has none of it."""
        if self._telling is None:
            from nanomq_py.plugins.devices.telling import Telling

            self._telling = Telling(self.broker, self._keys, self.work, self.log)
            self._inventory.changed = self._telling.callbacks.changed
        return self._telling

    async def follow_keys(self) -> None:
        """Tell targets as the keys say now."""
        if self._telling is not None:
            await self._telling.follow_keys()

    def leave(self) -> None:
        self._runs = False
        self._commands.stop()
        self._inbox.close()
        if self._telling is not None:
            self._telling.leave()
        if self._events is not None:
            self._events.close()

    async def stop(self) -> None:
        self.leave()
        try:
            await self._writer.flush()
        except StoreError as fault:
            self.log.warning("the last second of devices is not kept: %s", fault)
        if self.name not in self.broker.config.plugins.load:  # else it comes again
            self._inbox.end()
            self._commands.end()
            if self._telling is not None:
                await self._telling.end()

    def dialects(self, gate: Gate) -> Sequence[Dialect]:
        from nanomq_py.plugins.devices.dialect import Platform

        return [Platform(self.api(gate))]

    def api(self, gate: Gate) -> Api:
        """Return what the endpoints of its dialect work on."""
        from nanomq_py.plugins.devices.api import Api
        from nanomq_py.plugins.devices.tokens import Tokens

        if self._tokens is None:
            self._tokens = Tokens(self.broker, self._keys.token_life_s)
        telling = self._made_telling()
        return Api(
            broker=self.broker,
            gate=gate,
            tokens=self._tokens,
            targets=telling.targets,
            callbacks=telling.callbacks,
            routes=telling.routes,
            commands=self._commands.commands,
            inventory=self._inventory,
        )


class _KeysChange(Swap[Keys]):
    def __init__(self, devices: Devices, old: Keys, new: Keys) -> None:
        super().__init__(devices.use, old, new)
        self._devices = devices

    async def settle(self) -> None:
        await self._devices.follow_keys()
