"""Topic Aliases, both ways: what they mean, and that they cost what was sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests._core_test import ffi, lib
from tests.unit.clib import content, fail_each_allocation, nothing_leaks, slice_of

SLOT_BYTES = 160  # of tables and of the allocator, for one alias


class Receiver:
    """A client that remembers what each alias means, as the specification has it."""

    def __init__(self, maximum: int) -> None:
        self.at = ffi.new("nmq_aliases *")
        self.maximum = maximum
        self.names: dict[int, bytes] = {}
        self.saved = 0
        lib.nmq_aliases_reset(self.at, maximum)

    def hear(self, name: bytes, memory: int = -1) -> None:
        """Send the name as the broker would, while `memory` allocations succeed."""
        known = ffi.new("bool *")
        keep = ffi.from_buffer(name)
        alias = int(lib.nmq_aliases_find(self.at, slice_of(keep), known))
        assert 0 <= alias <= self.maximum
        if known[0]:
            assert self.names[alias] == name
            self.saved += 1
        elif alias:
            self.names[alias] = name
            lib.nmq_mem_fail_after(memory)
            status = lib.nmq_aliases_learn(self.at, alias, slice_of(keep))
            lib.nmq_mem_fail_after(-1)
            assert status == 0 or memory >= 0


@given(
    st.integers(0, 6),
    st.lists(st.tuples(st.integers(0, 12), st.integers(-1, 3)), max_size=120),
)
def test_receiver_always_knows_the_name(maximum: int, uses: list[tuple[int, int]]) -> None:
    with nothing_leaks():
        receiver = Receiver(maximum)
        for n, memory in uses:
            receiver.hear(b"topic/%d" % n, memory)
        lib.nmq_aliases_reset(receiver.at, 0)


def test_aliases_that_the_broker_sets_cost_what_was_sent() -> None:
    receiver = Receiver(65535)
    with nothing_leaks():
        before = lib.nmq_mem_held()
        for n in range(100):
            receiver.hear(b"topic/%d" % n)
            assert lib.nmq_mem_held() - before <= 512 + SLOT_BYTES * (n + 1)
        for n in range(100):
            receiver.hear(b"topic/%d" % n)
        assert receiver.saved == 100
        lib.nmq_aliases_reset(receiver.at, 0)


def test_long_names_do_not_fill_memory_with_aliases() -> None:
    receiver = Receiver(65535)
    with nothing_leaks():
        before = lib.nmq_mem_held()
        for n in range(100):
            receiver.hear(b"%05d" % n + b"x" * 60_000)
        assert lib.nmq_mem_held() - before <= lib.NMQ_ALIASES_NAMES_BYTES + 65_536
        for _ in range(20):  # one that is used takes a place of those that are not
            receiver.hear(b"00099" + b"x" * 60_000)
        assert receiver.saved > 10
        lib.nmq_aliases_reset(receiver.at, 0)


@given(
    st.lists(st.tuples(st.integers(1, 65535) | st.integers(1, 9), st.integers(0, 9)),
             max_size=80),
)  # fmt: skip
def test_aliases_of_a_client_agree_with_a_dict(sets: list[tuple[int, int]]) -> None:
    with nothing_leaks():
        before = lib.nmq_mem_held()
        names = ffi.new("nmq_alias_names *")
        model: dict[int, bytes] = {}
        for alias, n in sets:
            name = b"t" * (n + 1)
            model[alias] = name
            assert (
                lib.nmq_alias_names_put(names, alias, slice_of(ffi.from_buffer(name))) == 0
            )
            assert names.count == len(model)
            assert lib.nmq_mem_held() - before <= 256 + SLOT_BYTES * len(model)
        for alias in {*model, 1, 5, 65535}:
            got: Any = lib.nmq_alias_names_get(names, alias)
            assert content(got) == model.get(alias, b"")
            assert (got.at != ffi.NULL) == (alias in model)
        lib.nmq_alias_names_free(names)


@pytest.mark.parametrize("alias", [1, 65535])
def test_alias_of_a_client_without_memory_keeps_its_meaning(alias: int) -> None:
    names = ffi.new("nmq_alias_names *")
    old, new = ffi.from_buffer(b"old"), ffi.from_buffer(b"new")
    assert lib.nmq_alias_names_put(names, alias, slice_of(old)) == 0
    fail_each_allocation(
        lambda: int(lib.nmq_alias_names_put(names, alias, slice_of(new))),
        lambda: None,
    )
    assert content(lib.nmq_alias_names_get(names, alias)) == b"new"
    lib.nmq_alias_names_free(names)
