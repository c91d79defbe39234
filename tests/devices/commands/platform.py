"""A broker with commands on it, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from nanomq_py import Broker, Config
from nanomq_py.config.keys.store import StoreKeys
from nanomq_py.plugins.devices.commands.commands import Commands
from nanomq_py.plugins.devices.commands.table import Order, Row

WITHIN_S = 20.0


@asynccontextmanager
async def platform(path: Path, **options: Any) -> AsyncIterator[tuple[Broker, Commands]]:
    """Run a broker whose store is that file, with commands. options: of Commands."""
    tasks: set[asyncio.Task[Any]] = set()

    def work(coroutine: Coroutine[Any, Any, object]) -> None:
        tasks.add(asyncio.get_running_loop().create_task(coroutine))

    config = Config(url="nmq-tcp://127.0.0.1:0", store=StoreKeys(path=str(path)))
    async with Broker(config) as broker:
        commands = Commands(broker, work, **options)
        await commands.start()
        try:
            yield broker, commands
        finally:
            commands.stop()
            for task in tasks:
                if task.done() and not task.cancelled():
                    task.result()  # raises what it has raised
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def order(**given: Any) -> Order:
    fields: dict[str, Any] = {
        "sender": "test",
        "command": "sh",
        "method": "",
        "body": b'{"shcmd":"whoami"}',
        "detached": True,
        "publish_now": True,
        "max_retries": 3,
        "expires_s": 600,
    }
    return Order(**{**fields, **given})


async def row_when(commands: Commands, number: int, fits: Callable[[Row], bool]) -> Row:
    """Return the row of a command once it is as wanted."""
    row: Row | None = None
    for _ in range(int(WITHIN_S / 0.01)):
        row = await commands.get(number)
        if row is not None and fits(row):
            return row
        await asyncio.sleep(0.01)
    raise AssertionError(f"it stays {row}")


def answer(number: int, sn: str, status: str = "ok", **fields: object) -> bytes:
    said = {"id": number, "sn": sn, "command": "sh", "status": status, "d": {"result": ""}}
    return msgspec.json.encode({**said, "time": 1, **fields})
