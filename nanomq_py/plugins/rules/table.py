"""Rules and resources in the store, each a row of JSON: they outlive the process.

Errors  StoreError, and then nothing has changed
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import msgspec

from nanomq_py.plugins.rules.model import ResourceSpec, RuleSpec
from nanomq_py.store.schema import Schema, bring
from nanomq_py.store.store import Store

if TYPE_CHECKING:
    from sqlite3 import Connection

SCHEMA = Schema(
    "rules",
    (
        (
            "CREATE TABLE rules_rule (id TEXT PRIMARY KEY, told TEXT NOT NULL) STRICT",
            "CREATE TABLE rules_resource (id TEXT PRIMARY KEY, told TEXT NOT NULL) STRICT",
        ),
    ),
)
_TABLES = {RuleSpec: "rules_rule", ResourceSpec: "rules_resource"}


async def _is_there(store: Store) -> bool:
    path = store.path
    return path is not None and await asyncio.to_thread(os.path.exists, path)


async def are_kept(store: Store) -> bool:
    """Return whether there is a rule or a resource; a store that is not there stays so."""
    if not await _is_there(store):
        return False

    def act(connection: Connection) -> bool:
        tables = "SELECT count(*) FROM sqlite_master WHERE name LIKE 'rules_r%'"
        if connection.execute(tables).fetchone()[0] == 0:
            return False
        rows = "SELECT 1 FROM rules_rule UNION ALL SELECT 1 FROM rules_resource LIMIT 1"
        return connection.execute(rows).fetchone() is not None

    return await store.read(act)


class RuleTable:
    """Rules and resources of the store.

    A store that is not there yet is made with the first of them.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._is_brought = False

    async def _bring(self) -> None:
        if not self._is_brought:
            await bring(self._store, SCHEMA)
            self._is_brought = True

    async def all(self) -> tuple[list[RuleSpec], list[ResourceSpec]]:
        """Return all that are kept."""
        if not await _is_there(self._store):
            return [], []
        await self._bring()

        def act(connection: Connection) -> tuple[list[RuleSpec], list[ResourceSpec]]:
            rules = connection.execute("SELECT told FROM rules_rule")
            resources = connection.execute("SELECT told FROM rules_resource")
            return (
                [msgspec.json.decode(told, type=RuleSpec) for (told,) in rules],
                [msgspec.json.decode(told, type=ResourceSpec) for (told,) in resources],
            )

        return await self._store.read(act)

    async def put(self, spec: RuleSpec | ResourceSpec) -> None:
        """Keep it, in place of one of that id."""
        await self._bring()
        row = (spec.id, msgspec.json.encode(spec).decode())
        sql = f"INSERT OR REPLACE INTO {_TABLES[type(spec)]} VALUES (?, ?)"  # noqa: S608
        await self._store.write(lambda connection: connection.execute(sql, row))

    async def delete(self, spec: RuleSpec | ResourceSpec) -> None:
        await self._bring()
        sql = f"DELETE FROM {_TABLES[type(spec)]} WHERE id = ?"  # noqa: S608
        await self._store.write(lambda connection: connection.execute(sql, (spec.id,)))
