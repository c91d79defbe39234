"""base/: bytes, map, wheel, ring."""

from __future__ import annotations

import select
import subprocess
import time
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tests._core_test import ffi, lib
from tests.conftest import FOREIGN_ENV, ROOT
from tests.unit.clib import slice_of


def test_status_texts_name_every_status() -> None:
    texts = {ffi.string(lib.nmq_status_text(-n)) for n in range(13)}
    assert len(texts) == 13
    assert ffi.string(lib.nmq_status_text(-99)) == b"unknown status"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=200))
def test_map_agrees_with_a_dict(steps: list[tuple[bool, int]]) -> None:
    table = ffi.new("nmq_map *")
    model: dict[int, object] = {}
    keys = {n: ffi.from_buffer(b"key-%d" % n) for n in range(61)}
    values = [ffi.cast("void *", n + 1) for n in range(61)]
    for put, n in steps:
        key = slice_of(keys[n])
        if put:
            assert lib.nmq_map_put(table, key, values[n]) == 0
            model[n] = values[n]
        else:
            assert lib.nmq_map_del(table, key) == model.pop(n, ffi.NULL)
        assert table.count == len(model)
    for n in range(61):
        assert lib.nmq_map_get(table, slice_of(keys[n])) == model.get(n, ffi.NULL)
    lib.nmq_map_free(table)


@given(
    st.lists(st.integers(0, 100_000), max_size=40),
    st.lists(st.integers(1, 40_000), min_size=1, max_size=20),
)
@example([72151], [1, 1, 6600, 40_000])  # a whole turn away, and not on a tick
def test_timers_fire_once_and_never_early(dues: list[int], steps: list[int]) -> None:
    wheel = ffi.new("nmq_wheel *")
    lib.nmq_wheel_init(wheel, 0)
    timers = ffi.new("nmq_timer[]", max(1, len(dues)))
    due_of = {}
    for n, due in enumerate(dues):
        lib.nmq_wheel_arm(wheel, ffi.addressof(timers, n), due)
        due_of[ffi.addressof(timers, n)] = due
    now = 0
    for step in [*steps, 200_000]:
        wait = lib.nmq_wheel_wait_ms(wheel, now)
        assert (wait == -1) == (not due_of)
        if due_of:
            assert wait <= max(min(due_of.values()) - now, 0) + lib.NMQ_WHEEL_TICK_MS
        now += step
        while (timer := lib.nmq_wheel_expired(wheel, now)) != ffi.NULL:
            assert due_of.pop(timer) <= now
        late = [due for due in due_of.values() if due < now - lib.NMQ_WHEEL_TICK_MS]
        assert late == []
    assert due_of == {}


def test_cancelled_timer_does_not_fire() -> None:
    wheel = ffi.new("nmq_wheel *")
    timer = ffi.new("nmq_timer *")
    lib.nmq_wheel_init(wheel, 0)
    lib.nmq_wheel_arm(wheel, timer, 100)
    lib.nmq_wheel_arm(wheel, timer, 900)  # moved, not doubled
    assert wheel.count == 1
    assert lib.nmq_wheel_cancel(wheel, timer)
    assert not lib.nmq_wheel_cancel(wheel, timer)
    assert lib.nmq_wheel_expired(wheel, 10_000) == ffi.NULL


def test_timer_cancelled_or_moved_among_those_that_are_due_does_not_fire() -> None:
    wheel = ffi.new("nmq_wheel *")
    timers = ffi.new("nmq_timer[]", 5)
    at = [ffi.addressof(timers, n) for n in range(5)]
    lib.nmq_wheel_init(wheel, 0)
    for timer in at:
        lib.nmq_wheel_arm(wheel, timer, 100)
    assert lib.nmq_wheel_expired(wheel, 100) == at[0]  # the others are due as well
    assert lib.nmq_wheel_wait_ms(wheel, 100) == 0
    assert lib.nmq_wheel_cancel(wheel, at[1])
    assert not lib.nmq_wheel_cancel(wheel, at[1])
    lib.nmq_wheel_arm(wheel, at[2], 400)
    lib.nmq_wheel_arm(wheel, at[0], 100)  # again, from its own call
    assert lib.nmq_wheel_expired(wheel, 100) == at[3]
    assert lib.nmq_wheel_expired(wheel, 100) == at[4]
    assert lib.nmq_wheel_expired(wheel, 100) == ffi.NULL
    assert lib.nmq_wheel_wait_ms(wheel, 100) == lib.NMQ_WHEEL_TICK_MS
    assert lib.nmq_wheel_expired(wheel, 200) == at[0]
    assert lib.nmq_wheel_expired(wheel, 400) == at[2]
    assert wheel.count == 0


def expire_all(wheel: Any, now_ms: int) -> int:
    """Take all that is due, as the clock does; return how many."""
    fired = 0
    while True:
        if lib.nmq_wheel_expired(wheel, now_ms) != ffi.NULL:
            fired += 1
        elif lib.nmq_wheel_wait_ms(wheel, now_ms) != 0:
            return fired


def test_due_timers_are_collected_in_one_pass_over_their_slot() -> None:
    wheel = ffi.new("nmq_wheel *")
    far, due = ffi.new("nmq_timer[]", 50_000), ffi.new("nmq_timer[]", 20_000)
    turn_ms = lib.NMQ_WHEEL_TICK_MS * lib.NMQ_WHEEL_SLOTS
    lib.nmq_wheel_init(wheel, 0)
    for n in range(len(far)):
        lib.nmq_wheel_arm(wheel, ffi.addressof(far, n), 1000 + turn_ms)
    for n in range(len(due)):
        lib.nmq_wheel_arm(wheel, ffi.addressof(due, n), 1000)
    begun = time.thread_time()
    fired = expire_all(wheel, 1000)
    # 20,000 walks past 50,000 others are 10**9 steps: seconds on any machine
    assert time.thread_time() - begun < 0.5
    assert fired == len(due)
    assert wheel.count == len(far)
    assert expire_all(wheel, 1000 + turn_ms) == len(far)


def test_lock_is_given_back_amid_a_slot_of_many_timers() -> None:
    wheel = ffi.new("nmq_wheel *")
    timers = ffi.new("nmq_timer[]", 10_000)
    lib.nmq_wheel_init(wheel, 0)
    for n in range(len(timers)):
        lib.nmq_wheel_arm(wheel, ffi.addressof(timers, n), 1_000_000)
    passed = 1_000_000 // lib.NMQ_WHEEL_TICK_MS // lib.NMQ_WHEEL_SLOTS  # its slot, not due
    now_ms = 1_000_000 - passed * lib.NMQ_WHEEL_TICK_MS * lib.NMQ_WHEEL_SLOTS
    calls = 1
    while lib.nmq_wheel_expired(wheel, now_ms) == ffi.NULL:
        if lib.nmq_wheel_wait_ms(wheel, now_ms) != 0:
            break
        calls += 1
    assert calls > 2
    assert wheel.count == len(timers)


def test_ring_keeps_order_is_bounded_and_wakes_its_reader() -> None:
    out = ffi.new("nmq_ring **")
    assert lib.nmq_ring_new(8, 3, out) == 0
    ring, fd = out[0], lib.nmq_ring_fd(out[0])
    record = ffi.new("uint64_t *")
    readable = lambda: bool(select.select([fd], [], [], 0)[0])  # noqa: E731
    assert not readable()
    for n in range(4):
        record[0] = n
        assert lib.nmq_ring_put(ring, record) == (n < 3)
    assert readable()
    got = ffi.new("uint64_t[]", 8)
    assert lib.nmq_ring_take(ring, got, 2) == 2
    assert readable()
    assert lib.nmq_ring_take(ring, got + 2, 6) == 1
    assert list(got[0:3]) == [0, 1, 2]
    assert not readable()
    lib.nmq_ring_free(ring)


HASHES = """
#include <stdio.h>
#include <sys/random.h>
#define getrandom(to, size, flags) (*(to) = 0xfedcba9876543210u, (ssize_t) (size))
#include "base/bytes.c"

int
main(void)
{
    static const uint8_t text[64] = "a/b/c and more than a word, up to and over ff";

    for (size_t n = 0; n <= sizeof text; n++) {
        printf("%llx\\n", (unsigned long long) nmq_bytes_hash((nmq_bytes){text, n}));
    }
}
"""


def test_a_hash_is_the_same_where_no_number_has_128_bits(tmp_path: Path) -> None:
    source = tmp_path / "hashes.c"
    source.write_text(HASHES)
    outputs = []
    for more in ([], ["-U__SIZEOF_INT128__"]):
        program = tmp_path / f"hashes{len(more)}"
        subprocess.run(
            [
                *("gcc", "-std=c11", "-D_GNU_SOURCE", f"-I{ROOT / 'csrc'}", *more),
                *("-o", program, source, ROOT / "csrc/base/mem.c"),
                ROOT / "csrc/base/counters.c",
                ROOT / "csrc/base/shard.c",
            ],
            env=FOREIGN_ENV,
            check=True,
        )
        outputs.append(subprocess.check_output([program], text=True).splitlines())
    assert len(set(outputs[0])) == 65
    assert outputs[0] == outputs[1]


def test_an_array_grows_by_doubling_and_stays_when_memory_is_out() -> None:
    cap = ffi.new("uint32_t *", 0)
    at = lib.nmq_vec_grow(ffi.NULL, cap, 1, 4, 8)
    assert cap[0] == 4
    assert lib.nmq_vec_grow(at, cap, 4, 4, 8) == at  # there is room
    ffi.cast("uint64_t *", at)[3] = 7
    lib.nmq_mem_fail_after(0)
    assert lib.nmq_vec_grow(at, cap, 5, 4, 8) == ffi.NULL
    lib.nmq_mem_fail_after(-1)
    assert cap[0] == 4
    at = lib.nmq_vec_grow(at, cap, 17, 4, 8)
    assert cap[0] == 32
    assert ffi.cast("uint64_t *", at)[3] == 7
    lib.nmq_free(at)
