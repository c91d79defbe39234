"""The file of the store: made, locked, opened, and what is wrong with it said in words.

::

    nanomq.db        0600, locked by the broker that uses it
    nanomq.db-wal    what was committed since the last checkpoint; SQLite gives both the mode
    nanomq.db-shm    of the file. A process that reads, as a backup does, waits for nobody

Source  https://sqlite.org/wal.html, https://sqlite.org/rescode.html
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nanomq_py.store.faults import DamagedError, StoreError
from nanomq_py.store.migrations import is_current, migrate
from nanomq_py.store.place import make_home_for

BUSY_S = 2.0  # another process may hold a lock so long
COMMAND_S = 1.0  # a command beside the broker has the file so long at most
MOST_BYTES = 1 << 30  # of the file: some 5,000,000 users
CHECKED_BYTES = 64 << 20  # a file up to this size is checked whole after a crash: 0.5 s

_PRAGMAS = (
    "PRAGMA foreign_keys = ON",
    # One sync of the disk for each transaction. With NORMAL a power cut would take back the
    # last ones: a user who was deleted could log in again. Few are written, and no client
    # waits for them.
    "PRAGMA synchronous = FULL",
    "PRAGMA cache_size = -128",  # KiB: an idle store is to cost little
    "PRAGMA temp_store = MEMORY",
    f"PRAGMA max_page_count = {MOST_BYTES // 4096}",
    "PRAGMA journal_size_limit = 1048576",  # bytes of the -wal after a checkpoint
    "PRAGMA trusted_schema = OFF",
)

_GOES_ON = (
    "restore a backup (docs/store.md), or move the file away to begin with an empty one"
)


def where(path: Path | None) -> str:
    """Return the name of the store for errors: its key and its file."""
    return f"store.path={path if path is not None else '(in memory)'}"


def _os_fault(path: Path, fault: OSError) -> StoreError:
    at = where(path)
    if fault.errno == errno.ENOENT:
        return StoreError(
            f"{at}: there is no folder {path.parent}: make it, or name another"
        )
    if fault.errno in (errno.EISDIR, errno.ENOTDIR):
        return StoreError(f"{at}: {fault.strerror}: expected a file in a folder")
    if fault.errno == errno.ELOOP:
        return StoreError(f"{at}: a symbolic link: name the file itself")
    if fault.errno == errno.EROFS:
        return StoreError(f"{at}: the file system is read-only: name a file on another one")
    return StoreError(
        f"{at}: {fault.strerror}: expected a file that this user (number {os.geteuid()}) can"
        " write, in a folder where it can make files, or the name of another one"
    )


# By the texts of SQLite's result codes: Python 3.10 tells no codes.
_TEXTS = {
    "database disk image is malformed": f"the file is damaged: {_GOES_ON}",
    "malformed database schema": f"the file is damaged: {_GOES_ON}",
    "file is not a database": f"not a database: name another file, {_GOES_ON}",
    "database or disk is full": (
        "no room is left on its file system, or it has come to 1 GiB, its most: make room, or"
        " delete some of what is in it; nothing has changed"
    ),
    "disk I/O error": (
        "the disk does not read or write it: look at the log of the system, and at bounds of"
        " the process (ulimit -f); nothing has changed"
    ),
    "attempt to write a readonly database": (
        "it cannot be written: look at owner, mode and mount of the file and its folder"
    ),
    "unable to open database file": (
        "it cannot be opened: look at owner and mode of the file, of those with -wal and -shm"
        " beside it, and of their folder"
    ),
    "database is locked": (
        "locked by another process: end what uses the file, then try again"
    ),
    "database table is locked": (
        "locked by another process: end what uses the file, then try again"
    ),
}


_DAMAGE = (
    "database disk image is malformed",
    "malformed database schema",
    "file is not a database",
)


def fault_of(path: Path | None, fault: sqlite3.Error) -> StoreError:
    """Return what SQLite says with what to do about it."""
    text = str(fault)
    for known, advice in _TEXTS.items():
        if text.startswith(known):
            kind = DamagedError if known in _DAMAGE else StoreError
            return kind(f"{where(path)}: {advice}")
    return StoreError(f"{where(path)}: {text}")


@contextmanager
def as_store_error(path: Path | None) -> Iterator[None]:
    """Raise StoreError for what SQLite or the system says."""
    try:
        yield
    except sqlite3.Error as fault:
        raise fault_of(path, fault) from None
    except OSError as fault:
        if path is None:
            raise
        raise _os_fault(path, fault) from None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _lock(fd: int, within_s: float) -> bool:
    """Lock the file for this process; return whether nobody else has it."""
    until = time.monotonic() + within_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.02)
        else:
            return True


def _made(path: Path) -> int:
    """Return a descriptor of the file, which is 0600 from its first moment on."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    fd = os.open(path, flags, 0o600)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{where(path)}: not a file: name another one")
        if found.st_nlink > 1:  # the -wal goes by the name
            raise StoreError(f"{where(path)}: a file with a second name: name another one")
        if stat.S_IMODE(found.st_mode) != 0o600:
            os.fchmod(fd, 0o600)  # secrets of clients are in it
    except BaseException:
        os.close(fd)
        raise
    return fd


class OpenFile:
    """The file, open and locked for this process; in memory without a path.

    Threads  belongs to the one that made it
    """

    def __init__(self, path: Path | None, *, beside: bool = False) -> None:
        """Open it, and make it if there is none. Raises StoreError. Blocks.

        beside   a broker may have it, too, and is not disturbed
        """
        self.path = path
        self._fd = -1
        alone = True
        with as_store_error(path), contextlib.ExitStack() as on_failure:
            if path is not None:
                make_home_for(path)
                crashed = _size(path.with_name(f"{path.name}-wal")) > 0
                self._fd = _made(path)
                on_failure.callback(os.close, self._fd)
                alone = _lock(self._fd, 0 if beside else COMMAND_S)
                if not alone and not beside:
                    raise StoreError(
                        f"{where(path)}: another broker uses it: give each broker a file of"
                        " its own"
                    )
            self.connection = sqlite3.connect(
                ":memory:" if path is None else path, timeout=BUSY_S, isolation_level=None
            )
            on_failure.callback(self.connection.close)
            self._prepare(alone=alone)
            if path is not None and alone and crashed and _size(path) <= CHECKED_BYTES:
                check(self.connection, path, "quick_check")
            on_failure.pop_all()

    def _prepare(self, *, alone: bool) -> None:
        for pragma in _PRAGMAS:
            self.connection.execute(pragma)
        if self.path is not None:
            # Readers, as a backup, do not wait for a writer, and no writer for them.
            (mode,) = self.connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StoreError(
                    f"{where(self.path)}: its file system has no shared memory: name a file on"
                    " a local one"
                )
        if not alone and not is_current(self.connection):
            raise StoreError(
                f"{where(self.path)}: the broker that uses it is of another version: restart it"
            )
        migrate(self.connection, where(self.path))

    def check_named(self) -> None:
        """Raise StoreError where the name is another file's now: a write would be lost."""
        if self.path is None:
            return
        mine, named = os.fstat(self._fd), None
        with contextlib.suppress(FileNotFoundError):
            named = os.stat(self.path)
        if named is None or not os.path.samestat(mine, named):
            raise StoreError(
                f"{where(self.path)}: the file was moved or replaced while this broker uses it:"
                " restart the broker, or put the file back"
            )

    def close(self) -> None:
        """Close it: what is in the -wal goes into the file. Blocks."""
        try:
            self.connection.close()
        finally:
            # Last: a closed descriptor of a file takes SQLite's locks of it away.
            if self._fd >= 0:
                os.close(self._fd)


def check(connection: sqlite3.Connection, path: Path, how: str) -> None:
    """Look for damage with that pragma. Raises StoreError, or sqlite3.Error."""
    found = [str(text) for (text,) in connection.execute(f"PRAGMA {how}(10)")]
    if found != ["ok"]:
        raise DamagedError(f"{where(path)}: damaged ({'; '.join(found)[:500]}): {_GOES_ON}")
