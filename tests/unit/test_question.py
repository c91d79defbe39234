"""A question to Python: what is written is what is read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests._core_test import ffi, lib
from tests.unit.clib import fail_each_allocation, nothing_leaks, slice_of

FIELDS = ["address", "client_id", "user_name", "password", "method", "data"]
TEXTS = st.one_of(st.none(), st.binary(max_size=40))
Who = tuple[int, list[bytes | None]]


def credentials(who: Who) -> tuple[Any, list[Any]]:
    """Return them for C, and what must be kept while they are used."""
    number, texts = who
    c = ffi.new("nmq_credentials *", {"listener": number})
    keep = [None if t is None else ffi.new("char[]", t) for t in texts]
    for name, text, at in zip(FIELDS, texts, keep, strict=True):
        setattr(c, name, ffi.NULL if at is None else at)
        setattr(c, f"{name}_len", len(text or b""))
    return c, keep


def texts_of(c: Any, fields: list[str] = FIELDS) -> list[bytes | None]:
    found = []
    for name in fields:
        at, size = getattr(c, name), getattr(c, f"{name}_len")
        found.append(None if at == ffi.NULL else bytes(ffi.buffer(at, size)))
    return found


@given(number=st.integers(0, 2**32 - 1), texts=st.lists(TEXTS, min_size=6, max_size=6))
def test_what_is_written_is_read(number: int, texts: list[bytes | None]) -> None:
    c, _keep = credentials((number, texts))
    buf = ffi.new("nmq_buf *")
    with nothing_leaks():
        assert lib.nmq_question_write(buf, c) == 0
        read = ffi.new("nmq_credentials *")
        lib.nmq_question_read(ffi.cast("char *", buf.at), read)
        assert (read.listener, texts_of(read)) == (number, texts)
        lib.nmq_buf_wipe(buf)
    assert buf.at == ffi.NULL


def wish_of(number: int, publish: bool, who: list[bytes | None]) -> tuple[Any, list[Any]]:
    wish = ffi.new("nmq_wish *", {"listener": number, "publish": publish})
    keep = [None if t is None else ffi.new("char[]", t) for t in who]
    for name, text, at in zip(FIELDS, who, keep, strict=False):
        setattr(wish, name, ffi.NULL if at is None else at)
        setattr(wish, f"{name}_len", len(text or b""))
    return wish, keep


@given(
    number=st.integers(0, 2**32 - 1),
    publish=st.booleans(),
    who=st.lists(TEXTS, min_size=3, max_size=3),
    topics=st.lists(st.binary(max_size=20), max_size=5),
)
def test_a_wish_is_read_with_its_topics(
    number: int, publish: bool, who: list[bytes | None], topics: list[bytes]
) -> None:
    wish, _keep = wish_of(number, publish, who)
    buf = ffi.new("nmq_buf *")
    with nothing_leaks():
        assert lib.nmq_wish_write(buf, wish) == 0
        for topic in topics:
            assert lib.nmq_wish_write_topic(buf, slice_of(topic)) == 0
        read = ffi.new("nmq_wish *")
        lib.nmq_wish_read(ffi.cast("char *", buf.at), buf.len, read)
        assert (read.listener, read.publish) == (number, publish)
        assert texts_of(read, FIELDS[:3]) == who
        got = []
        while lib.nmq_wish_topic(read):
            got.append(bytes(ffi.buffer(read.topic, read.topic_len)))
        assert got == topics
        lib.nmq_buf_free(buf)


@pytest.mark.parametrize("size", [1, 100, 5000])
def test_without_memory_it_says_so(size: int) -> None:
    c, _keep = credentials((1, [b"a" * size] * 6))
    buf = ffi.new("nmq_buf *")

    def write() -> int:
        result: int = lib.nmq_question_write(buf, c)
        if result != 0:
            lib.nmq_buf_free(buf)
        return result

    assert fail_each_allocation(write, lambda: None) == 0
    lib.nmq_buf_free(buf)
