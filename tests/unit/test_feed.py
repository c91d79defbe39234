"""Feeds: whole records in order, bounded, with a descriptor that wakes their reader."""

from __future__ import annotations

import select
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanomq_py.core import happened, message
from nanomq_py.core.message import records
from tests.unit.clib import ffi, lib


def put(feed, payload: bytes) -> bool:
    head = struct.pack("=I", 4 + len(payload))
    kept = [ffi.from_buffer(piece) for piece in (head, payload)]
    pieces = ffi.new("nmq_feed_piece[2]", [(piece, len(piece)) for piece in kept])
    return lib.nmq_feed_put(feed, pieces, 2)


def take(feed) -> list[bytes]:
    chunk = lib.nmq_feed_take(feed)
    if chunk == ffi.NULL:
        return []
    length = ffi.new("size_t *")
    got = bytes(ffi.buffer(lib.nmq_chunk_read(chunk, length), length[0]))
    lib.nmq_chunk_free(chunk)
    return [record[4:] for record in records(got)]


def new(max_bytes: int, *, wakes: bool = True):
    out = ffi.new("nmq_feed **")
    assert lib.nmq_feed_new(max_bytes, wakes, out) == 0
    return out[0]


def readable(feed) -> bool:
    return bool(select.select([lib.nmq_feed_fd(feed)], [], [], 0)[0])


def test_a_feed_is_readable_until_all_was_taken() -> None:
    feed = new(1 << 20)
    assert not readable(feed)
    assert put(feed, b"a")
    assert put(feed, b"x" * 5000)  # no room for it in the first chunk
    assert readable(feed)
    assert take(feed) == [b"a"]
    assert readable(feed)
    assert take(feed) == [b"x" * 5000]
    assert not readable(feed)
    assert take(feed) == []
    lib.nmq_feed_unref(feed)


def test_what_finds_no_room_is_counted_and_the_rest_stays() -> None:
    feed = new(20)
    assert put(feed, b"12345678")
    assert not put(feed, b"123456789")
    assert put(feed, b"1234")
    assert lib.nmq_feed_dropped(feed) == 1
    assert take(feed) == [b"12345678", b"1234"]
    assert put(feed, b"x" * 100)  # alone, however large
    assert not put(feed, b"")
    lib.nmq_feed_unref(feed)


def test_a_feed_without_memory_loses_and_counts() -> None:
    feed = new(1 << 20, wakes=False)
    assert lib.nmq_feed_fd(feed) == -1
    lib.nmq_mem_fail_after(0)
    assert not put(feed, b"a")
    lib.nmq_mem_fail_after(-1)
    assert lib.nmq_feed_dropped(feed) == 1
    assert put(feed, b"b")
    lib.nmq_feed_unref(feed)  # with a record in it
    before = lib.nmq_mem_live()
    lib.nmq_mem_fail_after(0)
    assert lib.nmq_feed_new(1, True, ffi.new("nmq_feed **")) == lib.NMQ_ENOMEM
    lib.nmq_mem_fail_after(-1)
    assert lib.nmq_mem_live() == before


@given(st.lists(st.binary(max_size=9000)), st.data())
def test_records_come_in_their_order_whatever_is_taken_when(
    payloads: list[bytes], data: st.DataObject
) -> None:
    feed = new(1 << 30)
    got: list[bytes] = []
    for payload in payloads:
        assert put(feed, payload)
        if data.draw(st.booleans()):
            got += take(feed)
    while more := take(feed):
        got += more
    assert got == payloads
    assert lib.nmq_feed_bytes(feed) == 0
    lib.nmq_feed_unref(feed)


@pytest.mark.parametrize(
    ("struct", "module"), [("nmq_feed_message", message), ("nmq_feed_event", happened)]
)
def test_python_reads_a_head_where_the_core_writes_it(struct: str, module: Any) -> None:
    """Fill each field with bytes of its own, and look which Python finds there."""
    assert ffi.sizeof(struct) == module._HEAD.size
    raw = ffi.new(f"{struct} *")
    memory = ffi.buffer(raw)
    memory[:] = bytes(n % 251 + 1 for n in range(len(memory)))
    found = iter(module._HEAD.unpack(memory[:]))
    for name in module.Head._fields:
        value = getattr(raw, name)
        if name == "address":
            assert next(found) == bytes(value)
        elif name == "numbers":
            assert [next(found) for _ in value] == list(value)
        else:
            assert next(found) == value, name


def test_flags_of_records_are_those_of_c() -> None:
    for flag in ("RETAIN", "RETAINED", "EXPIRES", "PUBLISHER", "USER_NAME"):
        assert getattr(lib, f"NMQ_FEED_{flag}") == getattr(message, flag)
