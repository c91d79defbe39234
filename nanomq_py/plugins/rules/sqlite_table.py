"""The action that puts rows into a table of a SQLite file, which is not the broker's store.

The table has the columns of the rows; one that a row brings is added. What is no number, text
or bytes stands in it as JSON. The oldest rows go when there are too many.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanomq_py.plugins.rules.action import (
    NO_FAULTS,
    Action,
    Faults,
    Row,
    Selected,
    Tools,
    check_names,
    json_of,
    text,
    whole,
)
from nanomq_py.plugins.rules.faults import RowError, RuleFault
from nanomq_py.plugins.rules.lines import is_gone
from nanomq_py.plugins.rules.model import Params

if TYPE_CHECKING:
    from sqlite3 import Connection

PARAMS = ("table", "path", "max_rows")
MOST_COLUMNS = 100
BUSY_MS = 5000
_TABLE = re.compile(r"(?!sqlite_)[A-Za-z_][A-Za-z0-9_]{0,62}", re.IGNORECASE)
_MOST_WHOLE = 1 << 63


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _value(value: object) -> Any:
    """Return what SQLite keeps. Raises RowError."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value if -_MOST_WHOLE <= value < _MOST_WHOLE else str(value)
    if value is None or isinstance(value, float | str | bytes):
        return value
    return json_of(value).decode()


class Table:
    """The table.

    Threads  any, one at a time
    """

    def __init__(self, path: Path, name: str, max_rows: int) -> None:
        self._path = path
        self._name = name
        self._max_rows = max_rows
        self._connection: Connection | None = None
        self._opened = os.stat_result(range(10))  # that file, once there is one
        self._columns: dict[str, str] = {}  # by their names in small letters

    def _open(self) -> Connection:
        if self._connection is not None and is_gone(self._path, self._opened):
            self.close()
        if self._connection is None:
            import sqlite3

            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._path.exists():
                self._path.touch(0o600)
            if self._path.is_symlink():
                raise RowError(f"sqlite {self._path.name}: it is a symbolic link")
            connection = sqlite3.connect(
                self._path, check_same_thread=False, isolation_level=None
            )
            connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {_quoted(self._name)}"
                " (RowId INTEGER PRIMARY KEY AUTOINCREMENT)"
            )
            self._connection = connection
            self._opened = os.lstat(self._path)
            self._read_columns(connection)
        return self._connection

    def _read_columns(self, connection: Connection) -> None:
        found = connection.execute(f"PRAGMA table_info({_quoted(self._name)})")
        self._columns = {row[1].lower(): row[1] for row in found}

    def insert(self, rows: Sequence[Row]) -> Faults:
        """Put rows in, in one transaction; return the faults. Raises RowError."""
        import sqlite3

        faults: dict[int, str] = {}
        try:
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                for at, row in enumerate(rows):
                    try:
                        self._insert(connection, row)
                    except (RowError, UnicodeEncodeError, sqlite3.IntegrityError) as fault:
                        faults[at] = f"sqlite table {self._name}: {fault}"
                self._trim(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._read_columns(connection)
                raise
        except (sqlite3.Error, OSError) as fault:
            raise RowError(f"sqlite {self._path.name}: {fault}") from None
        return faults or NO_FAULTS

    def _insert(self, connection: Connection, row: Row) -> None:
        values = {name: _value(value) for name, value in row.items()}
        if len({name.lower() for name in values}) < len(values):
            raise RowError("two columns have one name: SQLite takes A for a")
        if any(name.lower() == "rowid" for name in values):
            raise RowError("column rowid: it numbers the rows")
        for name in values:
            if name.lower() not in self._columns:
                self._add(connection, name)
        names = ", ".join(_quoted(name) for name in values)
        marks = ", ".join("?" * len(values))
        sql = f"INSERT INTO {_quoted(self._name)} ({names}) VALUES ({marks})"  # noqa: S608
        if not values:
            sql = f"INSERT INTO {_quoted(self._name)} DEFAULT VALUES"
        connection.execute(sql, list(values.values()))

    def _add(self, connection: Connection, name: str) -> None:
        if len(self._columns) >= MOST_COLUMNS:
            raise RowError(f"column {name[:64]!r}: there are {MOST_COLUMNS} already")
        if not 0 < len(name) <= 100 or "\0" in name:
            raise RowError(f"column {name[:64]!r}: expected a name of 1 to 100 letters")
        connection.execute(f"ALTER TABLE {_quoted(self._name)} ADD COLUMN {_quoted(name)}")
        self._columns[name.lower()] = name

    def _trim(self, connection: Connection) -> None:
        connection.execute(
            f"DELETE FROM {_quoted(self._name)} WHERE RowId <="  # noqa: S608
            f" (SELECT max(RowId) - ? FROM {_quoted(self._name)})",
            (self._max_rows,),
        )

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class PutInTable(Action):
    """Puts each row into the table."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self._table = table

    async def act(self, selected: Sequence[Selected]) -> Faults:
        rows = [each.row for each in selected]
        return await asyncio.to_thread(self._table.insert, rows)

    async def close(self) -> None:
        await asyncio.to_thread(self._table.close)


def put_in_table(params: Params, tools: Tools) -> PutInTable:
    """Make the action. Raises RuleFault."""
    check_names(params, PARAMS)
    name = text(params, "table")
    if _TABLE.fullmatch(name) is None:
        raise RuleFault(
            f"table: {name[:64]!r}: expected letters, digits and '_', and no name of SQLite's"
        )
    path = tools.place(text(params, "path", "rules.db"))
    return PutInTable(Table(path, name, whole(params, "max_rows", 1, 10**9, 10**6)))
