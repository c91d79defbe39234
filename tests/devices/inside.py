"""The platform on a broker in the process of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from nanomq_py import Broker, Config
from nanomq_py.config.keys.plugins import Plugins
from nanomq_py.config.keys.store import StoreKeys
from nanomq_py.http.rest.endpoint import Call
from nanomq_py.plugins.devices import listed
from nanomq_py.plugins.devices.api import Api
from nanomq_py.plugins.devices.keys import Keys
from nanomq_py.plugins.devices.paging import PageQuery
from nanomq_py.plugins.devices.plugin import Devices
from nanomq_py.plugins.devices.reports import Why
from tests.raw import Raw

WITHIN_S = 20.0
NOBODY: Any = None


@dataclass(frozen=True)
class Platform:
    """A broker with the plugin on it."""

    broker: Broker
    plugin: Devices

    def connected(self, client_id: str) -> Raw:
        device = Raw(self.broker.ports["url"])
        device.connect(client_id)
        return device

    @property
    def api(self) -> Api:
        return self.plugin.api(NOBODY)

    async def rows(self) -> dict[str, listed.DeviceRow]:
        """Return the devices by their serial number."""
        found = await listed.list_devices(self.api, Call("", query=PageQuery()))
        return {row.sn: row for row in found.rows}

    async def peripherals(self) -> dict[tuple[str, str], listed.PeripheralRow]:
        found = await listed.list_peripherals(self.api, Call("", query=PageQuery()))
        return {(row.sn, row.nid): row for row in found.rows}

    async def row_when(
        self, sn: str, fits: Callable[[listed.DeviceRow], object]
    ) -> listed.DeviceRow:
        """Return the row of a device once it is as wanted."""
        row: listed.DeviceRow | None = None

        async def is_so() -> bool:
            nonlocal row
            row = (await self.rows()).get(sn)
            return row is not None and bool(fits(row))

        await until(is_so)
        assert row is not None
        return row

    async def refused(self, why: Why, count: int = 1) -> None:
        """Return when so many reports were refused for that."""

        async def is_so() -> bool:
            return self.plugin.refusals.counts[why] >= count

        await until(is_so)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async def wait() -> None:
        while not await is_so():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), WITHIN_S)


@asynccontextmanager
async def loaded(broker: Broker, **keys: Any) -> AsyncIterator[Platform]:
    """Have the plugin run on that broker."""
    plugin = Devices("devices", broker)
    plugin.use(Keys(**keys))
    await plugin.start()
    try:
        yield Platform(broker, plugin)
    finally:
        plugin.leave()
        await plugin.stop()
        plugin.end_work()
    assert not plugin.fault


@asynccontextmanager
async def platform(
    path: Path | None = None, sys_interval: int = 0, **keys: Any
) -> AsyncIterator[Platform]:
    """Run a broker with it, whose store is that file."""
    config = Config(
        url="nmq-tcp://127.0.0.1:0",
        store=StoreKeys(path="" if path is None else str(path)),
        plugins=Plugins(load=("devices",)),
        sys_interval=sys_interval,
    )
    async with Broker(config) as broker, loaded(broker, **keys) as made:
        yield made


def report(sn: str, time: float = 100, d: object = (), **more: object) -> bytes:
    return msgspec.json.encode({"sn": sn, "time": time, "d": d, **more})
