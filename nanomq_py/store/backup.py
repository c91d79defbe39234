"""A copy of the store while a broker uses it, and a look for damage: for the command line.

Source  https://sqlite.org/lang_vacuum.html: VACUUM INTO reads one moment of a database
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nanomq_py.config.file import sync_folder
from nanomq_py.store.faults import StoreError
from nanomq_py.store.file import BUSY_S, as_store_error, check, where
from nanomq_py.store.migrations import APPLICATION_ID, MIGRATIONS
from nanomq_py.store.rules import AccessRule, all_rules

# What is counted, and what it is called.
_TABLES = {"mqtt_user": "users", "banned": "bans", "access_rule": "rules"}


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that changes nothing in the store."""
    if not path.exists():
        raise StoreError(f"{where(path)}: there is no such file: nothing has been kept yet")
    with (
        as_store_error(path),
        contextlib.closing(
            # rw, since without a broker the -shm has to be made
            sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=BUSY_S,
                isolation_level=None,
            )
        ) as connection,
    ):
        connection.execute("PRAGMA query_only = ON")
        (program,) = connection.execute("PRAGMA application_id").fetchone()
        if program != APPLICATION_ID:
            raise StoreError(f"{where(path)}: the database of another program")
        yield connection


def back_up(path: Path, to: Path) -> int:
    """Write a copy of the store to a new file, 0600; return its bytes.

    The file appears once it is whole and on the disk. What is changed meanwhile is not in
    it.

    Raises   StoreError; then there is no new file
    """
    if to.exists() or to.is_symlink():
        raise StoreError(f"{to}: there is such a file already: name a new one")
    try:
        fd, name = tempfile.mkstemp(prefix=f".{to.name[:100]}.", dir=to.parent)  # 0600
    except OSError as fault:
        raise StoreError(f"{to}: {fault.strerror}") from None
    try:
        with _opened(path) as connection:
            connection.execute("PRAGMA query_only = OFF")  # of another file
            connection.execute("VACUUM INTO ?", (name,))
        os.fsync(fd)
        size = os.fstat(fd).st_size
        os.link(name, to)  # as the system does it, nobody's file is replaced
        sync_folder(to.parent)
    except FileExistsError:
        raise StoreError(f"{to}: there is such a file already: name a new one") from None
    except OSError as fault:
        raise StoreError(f"{to}: {fault.strerror}") from None
    finally:
        os.close(fd)
        os.unlink(name)
    return size


def _has(connection: sqlite3.Connection, table: str) -> bool:
    """Return whether there is that table: an older version has not made all."""
    asked = "SELECT 1 FROM sqlite_master WHERE name = ?"
    return connection.execute(asked, (table,)).fetchone() is not None


def look_over(path: Path) -> str:
    """Read the whole store; return what is in it. Raises StoreError where it is damaged."""
    with _opened(path) as connection:
        check(connection, path, "integrity_check")
        (steps,) = connection.execute("PRAGMA user_version").fetchone()
        if steps > len(MIGRATIONS):
            return f"good, of a newer version (format {steps}, known: {len(MIGRATIONS)})"
        counts = []
        for table, name in _TABLES.items():
            if not _has(connection, table):
                continue
            (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
            counts.append(f"{count} {name}")
    return f"good: {', '.join(counts)}, format {steps}"


def rows_of(path: Path) -> tuple[int, dict[str, int]]:
    """Return the format of the file, and how many rows each table has. Raises StoreError."""
    with _opened(path) as connection:
        (steps,) = connection.execute("PRAGMA user_version").fetchone()
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'about'"
            " ORDER BY name"
        ).fetchall()
        rows = {
            name: int(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])  # noqa: S608
            for (name,) in names
        }
    return int(steps), rows


def rules_of(path: Path) -> list[AccessRule]:
    """Return the access rules of a store, in their order. Raises StoreError."""
    with _opened(path) as connection:
        return all_rules(connection) if _has(connection, "access_rule") else []
