"""A write-ahead log on a disk in memory (tests/c/disk_memory.h)."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests._core_test import ffi, lib
from tests.unit.clib import content, slice_of

PAGE = 4096
SEGMENT = 8 * PAGE
FOUND = [
    "torn_segment",
    "torn_at",
    "damaged",
    "bad_segment",
    "bad_at",
    "next_segment",
    "next_at",
    "next_sequence",
    "missing",
    "lost",
]


def make_newer(path: Path, at: int = 0) -> None:
    """Have a block of a file be of a format that no version knows yet."""
    whole = bytearray(path.read_bytes())
    (length,) = struct.unpack_from("<I", whole, at + 56)
    struct.pack_into("<I", whole, at + 8, 99)
    counted = slice_of(bytes(whole[at + 8 : at + 64 + length]))
    struct.pack_into("<I", whole, at + 4, lib.nmq_crc32c(0, counted))
    path.write_bytes(whole)


class Disk:
    """A disk in memory."""

    def __init__(self, made: Any = None) -> None:
        self.it = made if made is not None else lib.test_disk_new()
        self.disk = lib.test_disk_of(self.it)

    def __enter__(self) -> Disk:
        return self

    def __exit__(self, *fault: object) -> None:
        lib.test_disk_free(self.it)

    def copy(self) -> Disk:
        return Disk(lib.test_disk_copy(self.it))

    def cut(self, choices: bytes = b"\0", names: int = 0) -> None:
        """Cut the power: what was not made safe is gone, or as the choices say."""
        lib.test_disk_cut(self.it, choices, len(choices), names)

    def fail(self, op: int, error: int) -> None:
        lib.test_disk_fail(self.it, op, error)

    def ops(self) -> int:
        return int(lib.test_disk_op_count(self.it))

    def files(self) -> list[str]:
        count = lib.test_disk_files(self.it)
        names = (lib.test_disk_name(self.it, n) for n in range(count))
        known = (name for name in names if name != ffi.NULL)  # else it goes meanwhile
        return sorted(ffi.string(name).decode() for name in known)

    def bytes_of(self, name: str) -> Any:
        """Return the file as a buffer, to read and to change."""
        length = ffi.new("size_t *")
        at = lib.test_disk_bytes(self.it, name.encode(), length)
        return ffi.buffer(at, length[0])


@dataclass
class Wal:
    """A log that was opened."""

    it: Any
    found: dict[str, int]
    status: int

    def append(self, commit: bytes, wall_ms: int = 1) -> int:
        return int(lib.nmq_wal_append(self.it, slice_of(commit), wall_ms))

    def tidy(self) -> int:
        return int(lib.nmq_wal_tidy(self.it))

    def keep_from(self, sequence: int) -> None:
        lib.nmq_wal_keep_from(self.it, sequence)

    def replay(self, *, skip: bool = False) -> list[tuple[int, bytes]]:
        commits: list[tuple[int, bytes]] = []

        @ffi.callback("nmq_wal_commit_fn")  # type: ignore[untyped-decorator, unused-ignore]
        def take(_: Any, sequence: int, commit: Any) -> int:
            commits.append((sequence, content(commit)))
            return 0

        assert lib.nmq_wal_replay(self.it, skip, take, ffi.NULL) == 0
        return commits


@contextlib.contextmanager
def opened(
    disk: Any,
    *,
    segment_bytes: int = SEGMENT,
    bytes_max: int = 64 * SEGMENT,
    skip: bool = False,
) -> Iterator[Wal]:
    """Yield the log of a disk, whatever opening it has said."""
    it, found = ffi.new("nmq_wal *"), ffi.new("nmq_wal_found *")
    options = ffi.new(
        "nmq_wal_options *",
        {"segment_bytes": segment_bytes, "bytes_max": bytes_max, "skip": skip},
    )
    status = lib.nmq_wal_open(it, disk, options, found)
    try:
        yield Wal(it, {name: getattr(found, name) for name in FOUND}, status)
    finally:
        lib.nmq_wal_close(it)


def commits_of(disk: Disk, *, skip: bool = False) -> list[tuple[int, bytes]]:
    """Return what is read of a disk that was left."""
    with opened(disk.disk, skip=skip) as wal:
        assert wal.status == 0, (wal.status, wal.found)
        return wal.replay(skip=skip)
