"""The device platform: a plugin of ours, ``plugins.load=devices``.

Source  iot-platform-api-v1.txt; http-dialects.md, "IoT platform"
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nanomq_py.config import Config
from nanomq_py.kernel.part import Change, Swap
from nanomq_py.plugins.devices.keys import SECTION, Keys
from nanomq_py.plugins.devices.schema import SCHEMA
from nanomq_py.plugins.devices.tokens import Tokens
from nanomq_py.plugins.plugin import Plugin
from nanomq_py.store.schema import bring

if TYPE_CHECKING:
    from nanomq_py.broker import Broker
    from nanomq_py.http.app import Dialect
    from nanomq_py.http.guard import Gate


class Devices(Plugin):
    """Keeps what devices report, and answers at ``/iot/api/v1``."""

    brings = (SECTION,)

    def __init__(self, name: str, broker: Broker) -> None:
        super().__init__(name, broker)
        self._keys = Keys()
        self._tokens = Tokens(broker, self._keys.token_life_s)

    async def prepare(self, config: Config) -> Change:
        return Swap(self._use, self._keys, config.of_part(Keys))

    def _use(self, keys: Keys) -> None:
        self._keys = keys
        self._tokens.life_s = keys.token_life_s

    async def start(self) -> None:
        await bring(self.broker.store, SCHEMA)

    def dialects(self, gate: Gate) -> Sequence[Dialect]:
        from nanomq_py.plugins.devices.api import Api
        from nanomq_py.plugins.devices.dialect import Platform

        return [Platform(Api(self.broker, gate, self._tokens))]
