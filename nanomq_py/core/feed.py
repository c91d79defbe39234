"""A queue of records in the core that one reader takes, chunk by chunk."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nanomq_py.core.native import check, ffi, lib

if TYPE_CHECKING:
    from nanomq_py._core import nmq_chunk, nmq_feed

NO_BOUND = sys.maxsize  # bytes


class Feed:
    """The reading side; it outlives the broker.

    Threads  one at a time
    """

    def __init__(self, handle: nmq_feed) -> None:
        """Take the reference."""
        self._handle = ffi.gc(handle, lib.nmq_feed_unref)

    @classmethod
    def unbounded(cls) -> Feed:
        """Return a feed that only its reader has filled. Raises CoreError."""
        out = ffi.new("nmq_feed **")
        check(lib.nmq_feed_new(NO_BOUND, False, out))
        return cls(out[0])

    @property
    def handle(self) -> nmq_feed:
        """The core's own; borrowed."""
        return self._handle

    @property
    def fd(self) -> int:
        """A descriptor that is readable while there is something to take."""
        return int(lib.nmq_feed_fd(self._handle))

    def take(self) -> bytes:
        """Return the oldest records; empty: there are none."""
        return taken(lib.nmq_feed_take(self._handle))

    @property
    def dropped(self) -> int:
        """How many records have found no room so far."""
        return int(lib.nmq_feed_dropped(self._handle))


def taken(chunk: nmq_chunk) -> bytes:
    """Return what is in a chunk, and free it. NULL is empty."""
    if chunk == ffi.NULL:
        return b""
    try:
        length = ffi.new("size_t *")
        at = lib.nmq_chunk_read(chunk, length)
        return bytes(ffi.buffer(at, length[0]))
    finally:
        lib.nmq_chunk_free(chunk)
