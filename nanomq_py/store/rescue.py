"""A damaged database of the store becomes one with the rows that can still be read.

The rows of a table are read in the order of its key up to what is damaged, then from its end
down to it; what lies between is lost.

Source  https://sqlite.org/recovery.html
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path

from nanomq_py.config.file import sync_folder
from nanomq_py.store.backup import look_over
from nanomq_py.store.faults import StoreError
from nanomq_py.store.file import where
from nanomq_py.store.journal_repair import damaged_name
from nanomq_py.store.migrations import APPLICATION_ID, MIGRATIONS, migrate

_HOW = "restore a backup (docs/store.md), or try: sqlite3 nanomq.db .recover"


def repair_database(path: Path) -> list[str]:
    """Repair it; return what was done, a line each. No broker may run. Blocks.

    Raises   StoreError; then the file is as it was
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as fault:
        raise StoreError(f"{where(path)}: {fault.strerror}") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _repair(path)
    except BlockingIOError:
        raise StoreError(f"{where(path)}: a broker uses it: stop it first") from None
    except OSError as fault:
        raise StoreError(f"{where(path)}: {fault.strerror}") from None
    finally:
        os.close(fd)


def _repair(path: Path) -> list[str]:
    with contextlib.suppress(StoreError):
        return [f"{path}: {look_over(path)}: there is nothing to repair"]
    made = path.with_name(f".{path.name}.repaired")
    made.unlink(missing_ok=True)
    try:
        counts = _rescue(path, made)
        kept = _put_in_place(path, made)
    except sqlite3.Error as fault:
        raise StoreError(
            f"{where(path)}: nothing of it can be read ({fault}): {_HOW}"
        ) from None
    finally:
        made.unlink(missing_ok=True)
    rows = ", ".join(f"{table} {count}" for table, count in counts.items() if count)
    return [
        f"{path}: repaired; rows that are left: {rows or 'none'}",
        f"what was damaged: {kept}; compare what is lost, or restore a backup",
    ]


def _rescue(path: Path, made: Path) -> dict[str, int]:
    """Write a new database with what is left; return how many rows of each table."""
    os.close(os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with (
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as old,
        contextlib.closing(sqlite3.connect(made, isolation_level=None)) as new,
    ):
        (program,) = old.execute("PRAGMA application_id").fetchone()
        (steps,) = old.execute("PRAGMA user_version").fetchone()
        if program != APPLICATION_ID or steps > len(MIGRATIONS):
            raise StoreError(f"{where(path)}: not of this version, or no store: {_HOW}")
        migrate(new, where(made))
        new.execute("PRAGMA synchronous = FULL")
        new.execute("BEGIN")
        counts = {table: _copy(old, new, table) for table in _tables(old, new)}
        new.execute("COMMIT")
    return counts


def _tables(old: sqlite3.Connection, new: sqlite3.Connection) -> list[str]:
    """Make the tables and indexes that features have brought; return all tables."""
    asked = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"
    there = {name for _, name, _ in new.execute(asked)}
    found = old.execute(asked).fetchall()
    for kind in ("table", "index"):
        for its, name, sql in found:
            if its == kind and name not in there and not name.startswith("sqlite_"):
                new.execute(sql)
    return [name for kind, name, _ in found if kind == "table"]


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> int:
    quoted = '"' + table.replace('"', '""') + '"'
    columns = old.execute(f"PRAGMA table_info({quoted})").fetchall()
    names = ", ".join(f'"{column[1]}"' for column in columns)
    keys = [f'"{c[1]}"' for c in sorted(columns, key=lambda c: int(c[5])) if c[5]]
    marks = ", ".join("?" * len(columns))
    put = f"INSERT OR REPLACE INTO {quoted} ({names}) VALUES ({marks})"  # noqa: S608
    for way in ("ASC", "DESC"):
        order = ", ".join(f"{key} {way}" for key in keys or ["rowid"])
        asked = f"SELECT {names} FROM {quoted} ORDER BY {order}"  # noqa: S608
        if _copy_rows(old, asked, new, put):
            break
    (count,) = new.execute(f"SELECT count(*) FROM {quoted}").fetchone()  # noqa: S608
    return int(count)


def _copy_rows(
    old: sqlite3.Connection, asked: str, new: sqlite3.Connection, put: str
) -> bool:
    """Copy rows up to what is damaged; return whether that were all."""
    try:
        for row in old.execute(asked):
            with contextlib.suppress(sqlite3.IntegrityError):
                new.execute(put, row)
    except sqlite3.DatabaseError:
        return False
    return True


def _put_in_place(path: Path, made: Path) -> Path:
    kept = path.parent / damaged_name()
    kept.mkdir(0o700, exist_ok=True)
    for each in (
        path,
        path.with_name(f"{path.name}-wal"),
        path.with_name(f"{path.name}-shm"),
    ):
        with contextlib.suppress(FileNotFoundError):
            os.rename(each, kept / each.name)
    sync_folder(kept)
    os.rename(made, path)
    sync_folder(path.parent)
    return kept
