"""Tables that a feature brings: a broker where it is off has none of them.

::

    await bring(store, Schema("devices", ((CREATE TABLE ..., ), ...)))    before it is used

A step is never changed once a version was published: a change is one more step at the end.
The row ``schema.NAME`` of ``about`` counts the steps that a file has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nanomq_py.store.faults import StoreError
from nanomq_py.store.store import Store
from nanomq_py.version import __version__

if TYPE_CHECKING:
    from sqlite3 import Connection


@dataclass(frozen=True)
class Schema:
    """Tables of one feature.

    name   begins the name of each table
    steps  each some statements, in the order in which they were published
    """

    name: str
    steps: tuple[tuple[str, ...], ...]


async def bring(store: Store, schema: Schema) -> None:
    """Bring these tables to this version: all steps that the file lacks, or none.

    Raises  StoreError, also for tables of a newer version
    """
    row = f"schema.{schema.name}"

    def act(connection: Connection) -> None:
        found = connection.execute(
            "SELECT value FROM about WHERE name = ?", (row,)
        ).fetchone()
        steps = int(found[0]) if found else 0
        if steps > len(schema.steps):
            raise StoreError(
                f"{store.path}: the tables of {schema.name} are newer than this nanomq-py"
                f" {__version__}: start the version that wrote them, or restore a backup"
            )
        if steps == len(schema.steps):
            return
        for statements in schema.steps[steps:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(
            "INSERT OR REPLACE INTO about VALUES (?, ?)", (row, str(len(schema.steps)))
        )

    await store.write(act)
