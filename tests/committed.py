"""A broker in this process whose journal is written to a disk in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from tests._core_test import ffi, lib
from tests.journaled import Journaled
from tests.wal import Disk, opened

AUTO = 0xFFFFFFFF


class NotOpened(Exception):
    """The log of the disk cannot be read."""


class Committed(Journaled):
    """A broker that logs, and commits by itself."""

    def __init__(
        self,
        disk: Any,  # a Disk, or a folder of this machine
        *,
        full_bytes: int = 8 << 20,
        gather_ms: int = AUTO,
        segment_bytes: int = 128 << 10,
        bytes_max: int = 256 << 20,
        hold_ms: int = 20_000,
        on_error: int = 0,
        topics: bytes = b"",
        **options: object,
    ) -> None:
        self.disk = disk
        self._topics = ffi.new("char[]", topics)
        self._options = ffi.new(
            "disk_journal_options *",
            {
                "segment_bytes": segment_bytes,
                "bytes_max": bytes_max,
                "full_bytes": full_bytes,
                "gather_ms": gather_ms,
                "hold_ms": hold_ms,
                "on_error": on_error,
                "topics": self._topics,
                "topics_len": len(topics),
            },
        )
        self._stopped = False
        super().__init__(**options)  # type: ignore[arg-type]

    def _new_journal(self) -> Any:
        made = ffi.new("disk_journal **")
        disk = self.disk.disk if isinstance(self.disk, Disk) else self.disk
        self.sessions = lib.disk_journal_open(self.broker, disk, self._options, made)
        if self.sessions < 0:
            lib.nmq_broker_free(self.broker)
            raise NotOpened(self.sessions)
        return made[0]

    def commits(self) -> int:
        return int(lib.disk_journal_commits(self.journal))

    def rounds(self) -> int:
        return int(lib.disk_journal_rounds(self.journal))

    def status(self) -> tuple[int, int]:
        error = ffi.new("int *")
        return lib.disk_journal_status(self.journal, error), error[0]

    def is_full(self) -> bool:
        return bool(lib.disk_journal_is_full(self.journal))

    def log(self) -> bytes:
        """Return what is read of the disk as it is now."""
        assert isinstance(self.disk, Disk)
        with self.disk.copy() as copied, opened(copied.disk) as wal:
            assert wal.status == 0
            return b"".join(commit for _, commit in wal.replay())

    def stop(self) -> None:
        super().stop()
        self._stopped = True
        lib.disk_journal_stop(self.journal)

    def close(self) -> None:
        if not self._stopped:
            self.stop()
        for client in self.clients:
            client.close()
        lib.nmq_broker_free(self.broker)
        lib.disk_journal_free(self.journal)


@contextlib.contextmanager
def committed(disk: Disk, **options: Any) -> Iterator[Committed]:
    home = Committed(disk, **options)
    try:
        yield home
    finally:
        home.close()
