"""Who is told by HTTP: callbacks and message routes. It is made once there are some."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from nanomq_py.plugins.devices.callbacks import KINDS, Callbacks
from nanomq_py.plugins.devices.routes import MessageRoutes
from nanomq_py.plugins.devices.targets import Targets

if TYPE_CHECKING:
    from nanomq_py.broker import Broker
    from nanomq_py.plugins.devices.keys import Keys


class Telling:
    """Both, and their targets.

    Errors  StoreError
    """

    def __init__(
        self,
        broker: Broker,
        keys: Keys,
        work: Callable[[Coroutine[Any, Any, object]], None],
        log: logging.Logger,
    ) -> None:
        """``work`` has something done beside everything else."""
        self.targets = Targets(broker, keys)
        self.callbacks = Callbacks(broker, self.targets, log)
        self.routes = MessageRoutes(broker, self.targets, work, log)
        self._log = log
        for kind in KINDS:
            work(self.callbacks.run(kind))

    async def open(self) -> None:
        """Go on with those that the store has."""
        await self.callbacks.open()
        await self.routes.open()

    async def follow_keys(self) -> None:
        """Tell targets as the keys say now."""
        for name, why in (await self.targets.set_again()).items():
            self._log.error("%s is told nothing: %s", name, why)

    def leave(self) -> None:
        """Take no more messages; the broker keeps what comes."""
        self.routes.close()

    async def end(self) -> None:
        """Have the broker keep no messages, and tell nobody; what waits stays on the disk."""
        await self.routes.end()
        await self.targets.release()
