"""Alarms that are over: the last of them, in the order in which they ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nanomq_py.store.store import Store

if TYPE_CHECKING:
    from sqlite3 import Connection

MOST_PAST = 1000


@dataclass(frozen=True)
class Alarm:
    """A condition of this broker that somebody should know of. Times: seconds since 1970.

    deactivated_at  None: it lasts
    """

    name: str
    message: str
    activated_at: float
    details: Mapping[str, object] = field(default_factory=dict)
    deactivated_at: float | None = None


class AlarmTable:
    """Past alarms in the store. Errors: StoreError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, alarms: Sequence[Alarm]) -> None:
        """Keep them; the oldest over the bound are forgotten."""
        rows = [
            (a.name, a.message, json.dumps(a.details), a.activated_at, a.deactivated_at)
            for a in alarms
        ]

        def act(connection: Connection) -> None:
            connection.executemany(
                "INSERT INTO past_alarm (name, message, details, activated_at,"
                " deactivated_at) VALUES (?, ?, ?, ?, ?)",
                rows,
            )
            connection.execute(
                "DELETE FROM past_alarm WHERE number <="
                " (SELECT max(number) FROM past_alarm) - ?",
                (MOST_PAST,),
            )

        await self._store.write(act)

    async def all(self) -> list[Alarm]:
        """Return those that are kept, the oldest first."""

        def act(connection: Connection) -> list[Alarm]:
            rows = connection.execute(
                "SELECT name, message, activated_at, details, deactivated_at"
                " FROM past_alarm ORDER BY number"
            )
            return [
                Alarm(name, message, began, json.loads(details), ended)
                for name, message, began, details, ended in rows
            ]

        return await self._store.read(act)

    async def clear(self) -> None:
        """Forget all of them."""
        await self._store.write(
            lambda connection: connection.execute("DELETE FROM past_alarm")
        )
