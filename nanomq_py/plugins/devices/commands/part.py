"""Commands as a part of the plugin: with its keys, and what it refuses logged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Coroutine
from typing import Any

from nanomq_py.broker import Broker
from nanomq_py.config import Config
from nanomq_py.kernel.part import Change, Swap
from nanomq_py.plugins.devices.commands.commands import Commands
from nanomq_py.plugins.devices.commands.keys import CommandKeys
from nanomq_py.plugins.devices.commands.room import Limits
from nanomq_py.plugins.devices.refusals import Refusals


def _limits(keys: CommandKeys) -> Limits:
    return Limits(keys.most_open, keys.most_of_device, keys.most_kept, keys.most_bytes)


class CommandPart:
    """The commands of the plugin.

    refusals  messages that are no answers
    """

    def __init__(
        self,
        broker: Broker,
        work: Callable[[Coroutine[Any, Any, object]], None],
        log: logging.Logger,
    ) -> None:
        """Make it. work: has a coroutine run beside everything else."""
        self.refusals = Refusals(log)
        self._keys = CommandKeys()
        self._gateways: Collection[str] = ()
        self.commands = Commands(
            broker, work, may_speak=self._may_speak, refused=self.refusals.add
        )

    def _may_speak(self, client_id: str, sn: str) -> bool:
        return client_id in self._gateways

    def prepare(self, config: Config) -> Change:
        return Swap(self._use, self._keys, config.of_part(CommandKeys))

    def _use(self, keys: CommandKeys) -> None:
        self._keys = keys
        self.commands.room.limits = _limits(keys)

    def hear(self, prefix: str, gateways: Collection[str]) -> None:
        """Take answers below that prefix, of devices, and of gateways for others."""
        self._gateways = frozenset(gateways)
        self.commands.use_prefix(prefix)

    async def start(self) -> None:
        """Begin. Raises StoreError."""
        await self.commands.start()

    def stop(self) -> None:
        self.commands.stop()

    def end(self) -> None:
        """Keep no answers for a later start."""
        self.commands.end()
