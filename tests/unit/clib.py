"""Bytes and packets between Python and the test build of the core."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests._core_test import ffi, lib

ENOMEM = -1


def slice_of(buffer: Any) -> Any:
    """A nmq_bytes over a cffi buffer or bytes. Keep `buffer` alive while it is used."""
    view = ffi.from_buffer(buffer) if isinstance(buffer, bytes) else buffer
    return ffi.new("nmq_bytes *", (ffi.cast("uint8_t *", view), len(buffer)))[0]


def content(slice_: Any) -> bytes:
    return b"" if slice_.at == ffi.NULL else bytes(ffi.buffer(slice_.at, slice_.len))


class Exact:
    """Bytes in a heap block of exactly their size: a read past the end is seen by ASan."""

    def __init__(self, data: bytes) -> None:
        self.at = lib.nmq_alloc(len(data))
        ffi.memmove(self.at, data, len(data))
        self.slice = ffi.new("nmq_bytes *", (ffi.cast("uint8_t *", self.at), len(data)))[0]

    def __del__(self) -> None:
        lib.nmq_free(self.at)


@contextmanager
def nothing_leaks() -> Iterator[None]:
    live = lib.nmq_mem_live()
    yield
    assert lib.nmq_mem_live() == live


def fail_each_allocation(act: Callable[[], int], check: Callable[[], None]) -> int:
    """Run `act` with its first allocation failing, then its second, ... until it succeeds.

    Each failure must be ENOMEM, free what it took, and leave `check` content. Returns the
    last result.
    """
    for n in itertools.count():
        live = lib.nmq_mem_live()
        lib.nmq_mem_fail_after(n)
        try:
            result = act()
        finally:
            lib.nmq_mem_fail_after(-1)
        if result != ENOMEM:
            return result
        assert lib.nmq_mem_live() == live, f"allocation {n} failed and something leaked"
        check()
    raise AssertionError


def message(
    topic: bytes = b"a/b",
    payload: bytes = b"hello",
    *,
    qos: int = 0,
    retain: bool = False,
    props: bytes = b"",
    expires_at_ms: int = 0,
) -> Any:
    """A new nmq_message with one reference, which is the caller's."""
    parts, keep = message_parts(topic, payload, qos, retain, props, expires_at_ms)
    made = lib.nmq_message_new(parts)
    assert made != ffi.NULL
    del keep
    return made


def message_parts(
    topic: bytes,
    payload: bytes,
    qos: int = 0,
    retain: bool = False,
    props: bytes = b"",
    expires_at_ms: int = 0,
) -> tuple[Any, Any]:
    keep = [ffi.from_buffer(x) for x in (topic, props, payload)]
    parts = ffi.new("nmq_message_parts *")
    parts.topic_name, parts.props, parts.payload = (slice_of(k) for k in keep)
    parts.qos, parts.retain, parts.expires_at_ms = qos, retain, expires_at_ms
    return parts, keep


def outbox_bytes(outbox: Any) -> bytes:
    """Take everything out of an outbox, as the send side would."""
    parts = ffi.new("nmq_bytes[8]")
    out = b""
    while n := lib.nmq_outbox_parts(outbox, parts, 8):
        run = b"".join(content(parts[i]) for i in range(n))
        out += run
        lib.nmq_outbox_advance(outbox, len(run))
    assert outbox.total == 0
    lib.nmq_outbox_reset(outbox, 0)
    return out
