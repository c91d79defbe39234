"""The store: one SQLite file, and the one thread that touches it.

::

    await store.write(act)  ──> queue ──> BEGIN, act(connection), COMMIT ──> what act returned

A store that nobody uses is not opened, has no thread, and SQLite is not imported for it.

Threads  belongs to the event loop; ``act`` runs in the store's thread
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from nanomq_py.store.faults import StoreError, StoreFullError

if TYPE_CHECKING:
    from sqlite3 import Connection

    from nanomq_py.store.file import OpenFile

T = TypeVar("T")

MOST_WAITING = 10_000  # calls


def _leave_signals() -> None:
    """Leave the signals of the process to its main thread."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


class _Inside:
    """What only the store's thread touches."""

    def __init__(self, path: Path | None, *, beside: bool) -> None:
        self._path = path
        self._beside = beside
        self._file: OpenFile | None = None

    def open(self) -> Connection:
        if self._file is None:
            from nanomq_py.store.file import OpenFile

            self._file = OpenFile(self._path, beside=self._beside)
        return self._file.connection

    def write(self, act: Callable[[Connection], T]) -> T:
        self.open()
        assert self._file is not None
        from nanomq_py.store.file import as_store_error

        with as_store_error(self._path):
            self._file.check_named()
        return self.run("BEGIN IMMEDIATE", act)

    def run(self, begin: str, act: Callable[[Connection], T]) -> T:
        connection = self.open()
        from nanomq_py.store.file import as_store_error

        with as_store_error(self._path):
            connection.execute(begin)
            try:
                made = act(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        return made

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


class Store:
    """One file, opened when it is used for the first time.

    Errors   each call raises StoreError, and then nothing has changed
    """

    def __init__(self, path: Path | None, *, beside: bool = False) -> None:
        """Make it; None: it is kept in memory, and ends with this object.

        beside   a broker may use the file, too: for a command
        """
        self.path = path
        self._inside = _Inside(path, beside=beside)
        self._thread: ThreadPoolExecutor | None = None
        self._waiting = 0
        self._closed = False
        self._faults: dict[bool, str] = {}  # of the last write, and of the last read

    @property
    def fault(self) -> str:
        """Why it could not be used the last time; empty: it could."""
        return next(iter(self._faults.values()), "")

    async def open(self) -> None:
        """Open the file now, and make it if there is none."""
        await self._call(self._inside.open, is_write=True)

    async def read(self, act: Callable[[Connection], T]) -> T:
        """Return what ``act`` does: all that it reads is of one moment."""
        return await self._call(lambda: self._inside.run("BEGIN", act), is_write=False)

    async def has_rows(self, *tables: str) -> bool:
        """Return whether any of these tables, named by this program, has a row."""
        asked = " UNION ALL ".join(f"SELECT 1 FROM {table}" for table in tables)  # noqa: S608
        return (
            await self.read(lambda it: it.execute(f"{asked} LIMIT 1").fetchone())
            is not None
        )

    async def write(self, act: Callable[[Connection], T]) -> T:
        """Return what ``act`` does, once it is on the disk: all of it, or nothing.

        It is done to its end, even if nobody waits for it any more.
        """
        return await self._call(lambda: self._inside.write(act), is_write=True)

    async def _call(self, act: Callable[[], T], *, is_write: bool) -> T:
        if self._closed:
            raise StoreError("the store is closed: the broker is stopping")
        if self._waiting >= MOST_WAITING:
            raise StoreFullError(
                f"{MOST_WAITING} calls wait for the store: try again later"
            )
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "store", _leave_signals)
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._thread, act)
        future.add_done_callback(partial(self._done, is_write))
        return await asyncio.shield(future)

    def _done(self, is_write: bool, future: asyncio.Future[T]) -> None:
        self._waiting -= 1
        if future.cancelled():
            return
        fault = future.exception()  # whoever asked may have gone away
        if fault is None:
            self._faults.pop(is_write, None)
        elif isinstance(fault, StoreError) and not isinstance(fault, StoreFullError):
            self._faults[is_write] = str(fault)

    async def close(self) -> None:
        """Close the file, after the calls that wait. It can be called again."""
        self._closed = True
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._inside.close)
            thread.shutdown()
