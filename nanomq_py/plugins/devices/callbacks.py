"""Callbacks: who is told that a device, or a peripheral, comes or goes.

::

    devices_change ──> queue of the target ──> POST {"type":"device","sn",...}
    (written with the state of the device)

A change is deleted once it is in the queue, which is on the disk, too: it arrives once or more.
Each kind of change has a target of its own, and waits for no other.

Source  iot-platform-api-v1.txt, "device status change callbacks"
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nanomq_py.plugins.devices.targets import Targets
from nanomq_py.plugins.devices.words import Refused
from nanomq_py.store.faults import StoreError
from nanomq_py.store.moment import wall_s

if TYPE_CHECKING:
    from sqlite3 import Connection

    from nanomq_py.broker import Broker
    from nanomq_py.store.store import Store

KINDS = ("device", "peripheral")
PIECE = 500  # changes that are put at once
AGAIN_S = 1.0
_COLUMNS = "id, kind, url, enabled, made_at, changed_at"


@dataclass(frozen=True)
class Callback:
    """Who is told of one kind of change. Times are seconds since 1970.

    kind  device or peripheral
    """

    id: int
    kind: str
    url: str
    enabled: bool
    made_at: int
    changed_at: int

    @property
    def target(self) -> str:
        return target_of(self.kind)


def target_of(kind: str) -> str:
    """Return the name of the target of such changes."""
    return f"devices/callback/{kind}"


def _callback(row: tuple[int, str, str, int, int, int]) -> Callback:
    return Callback(*row[:3], bool(row[3]), *row[4:])


def _all(connection: Connection) -> list[Callback]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM devices_callback ORDER BY id")  # noqa: S608
    return [_callback(row) for row in rows]


class Callbacks:
    """Keeps them, and tells their targets.

    Errors   Refused, StoreError
    """

    def __init__(self, broker: Broker, targets: Targets, log: logging.Logger) -> None:
        self._broker = broker
        self._targets = targets
        self._log = log
        self._changed = {kind: asyncio.Event() for kind in KINDS}
        self.changed()  # there may be changes of before

    @property
    def _store(self) -> Store:
        return self._broker.store

    async def open(self) -> None:
        """Set the targets of all."""
        for each in await self.all():
            try:
                await self._targets.set(each.target, each.url)
            except Refused as fault:  # the keys are other ones now
                self._log.error("callback %d: %s", each.id, fault.message)

    async def all(self) -> list[Callback]:
        return await self._store.read(_all)

    async def of(self, kind: str) -> Callback | None:
        return next((each for each in await self.all() if each.kind == kind), None)

    async def set(self, kind: str, url: str, *, enabled: bool) -> Callback:
        """Tell that URL of such changes from now on, in place of the one before."""
        self._targets.check(url)
        now = int(wall_s())

        def act(connection: Connection) -> Callback:
            connection.execute(
                "INSERT INTO devices_callback (kind, url, enabled, made_at, changed_at)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT (kind) DO UPDATE SET url = excluded.url,"
                " enabled = excluded.enabled, changed_at = excluded.changed_at",
                (kind, url, enabled, now, now),
            )
            (made,) = [each for each in _all(connection) if each.kind == kind]
            return made

        made = await self._store.write(act)
        await self._targets.set(made.target, url)
        return made

    async def enable(self, id: int, *, enabled: bool) -> Callback | None:
        """Tell the target of changes from now on, or no more; None: there is no such one.

        One that was switched off since it has answered 410 is told again.
        """
        now = int(wall_s())

        def act(connection: Connection) -> Callback | None:
            connection.execute(
                "UPDATE devices_callback SET enabled = ?, changed_at = ? WHERE id = ?",
                (enabled, now, id),
            )
            return next((each for each in _all(connection) if each.id == id), None)

        made = await self._store.write(act)
        if made is not None:
            await self._targets.set(made.target, made.url)
            if enabled:
                await self._targets.switch_on(made.target)
        return made

    # --- changes

    def changed(self) -> None:
        """Take note that there are changes to tell."""
        for each in self._changed.values():
            each.set()

    async def run(self, kind: str) -> None:
        """Put changes of one kind into the queue of its target until it is cancelled."""
        told, changed = False, self._changed[kind]
        while True:
            await changed.wait()
            changed.clear()
            try:
                while await self._forward(kind):
                    pass
                told = False
            except (StoreError, KeyError) as fault:  # KeyError: its target cannot be set
                if not told:
                    self._log.error("changes of %ss are not told yet: %s", kind, fault)
                told = True
                changed.set()
                await asyncio.sleep(AGAIN_S)

    async def _forward(self, kind: str) -> bool:
        """Put some; return whether there were any. Raises StoreError, KeyError."""
        rows = await self._store.read(
            lambda it: it.execute(
                "SELECT id, sn, body FROM devices_change WHERE kind = ? ORDER BY id LIMIT ?",
                (kind, PIECE),
            ).fetchall()
        )
        if not rows:
            return False
        from nanomq_py.delivery.target import Post

        await self._targets.put(target_of(kind), [Post(sn, body) for _, sn, body in rows])
        last = rows[-1][0]
        await self._store.write(
            lambda it: it.execute(
                "DELETE FROM devices_change WHERE kind = ? AND id <= ?", (kind, last)
            )
        )
        return True
