"""How long commits took within the last minute (csrc/store/flush_times.h)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.clib import ffi, lib

TURN_MS = 10_000
BEGAN_MS = 1 << 41
NS_OF_MS = 1_000_000


def add(times: Any, now_ms: int, us: int) -> None:
    """One ends now that took so long."""
    now_ns = now_ms * NS_OF_MS
    lib.nmq_flush_begin(times, now_ns - us * 1000)
    lib.nmq_flush_end(times, now_ns, True)


def looked(times: Any, now_ms: int) -> tuple[int, int, int]:
    found = lib.nmq_flush_look(times, now_ms * NS_OF_MS)
    return found.p50_us, found.p99_us, found.max_us


def of(values: Sequence[int]) -> tuple[int, int, int]:
    times = ffi.new("nmq_flush_times *")
    for value in values:
        add(times, BEGAN_MS, value)
    return looked(times, BEGAN_MS)


def test_without_a_commit_there_is_nothing() -> None:
    assert of([]) == (0, 0, 0)


def test_one_is_all_of_them() -> None:
    assert of([777]) == (777, 777, 777)


def test_a_few_that_are_slow_do_not_count_for_99_of_100() -> None:
    p50, p99, most = of([100] * 990 + [50_000] * 10)
    assert (p50, p99, most) == (111, 111, 50_000)  # 96 to 111 is one bucket
    assert of([100] * 989 + [50_000] * 11)[1] == 50_000


@given(st.lists(st.integers(0, 100_000_000), min_size=1, max_size=200))
def test_a_share_is_a_quarter_too_long_at_most_and_never_too_short(
    values: list[int],
) -> None:
    p50, p99, most = of(values)
    ordered = sorted(values)
    for found, percent in ((p50, 50), (p99, 99)):
        exact = ordered[-(-len(values) * percent // 100) - 1]
        assert exact <= found <= exact + exact // 4
    assert most == ordered[-1]


@pytest.mark.parametrize("value", [150_000_000, 1 << 40, 1 << 50])
def test_what_takes_minutes_is_in_the_last_bucket(value: int) -> None:
    p50, p99, most = of([value])
    assert p50 == p99 == min(most, (1 << 27) - 1)
    assert most == value


def test_those_of_more_than_a_minute_ago_do_not_count() -> None:
    times = ffi.new("nmq_flush_times *")
    add(times, BEGAN_MS, 9000)
    assert looked(times, BEGAN_MS + 60_000)[2] == 9000
    add(times, BEGAN_MS + 60_000, 100)
    assert looked(times, BEGAN_MS + 60_000) == (111, 9000, 9000)
    assert looked(times, BEGAN_MS + 7 * TURN_MS) == (100, 100, 100)
    add(times, BEGAN_MS + 7 * TURN_MS, 50)  # in the place of the first
    assert looked(times, BEGAN_MS + 7 * TURN_MS) == (55, 100, 100)
    assert looked(times, BEGAN_MS + 1000 * TURN_MS) == (0, 0, 0)


def test_it_works_from_the_start_of_the_machine_on() -> None:
    times = ffi.new("nmq_flush_times *")
    add(times, 1, 5)
    assert looked(times, 1) == (5, 5, 5)


def test_the_one_under_way_counts_once_it_has_become_safe() -> None:
    times = ffi.new("nmq_flush_times *")

    def look(us: int) -> tuple[int, int]:
        found = lib.nmq_flush_look(times, us * 1000)
        return found.now_us, found.total_us

    add(times, 1, 500)
    lib.nmq_flush_begin(times, 2_000_000)
    assert look(2000) == (0, 500)
    assert look(2700) == (700, 500)
    lib.nmq_flush_end(times, 3_000_000, False)
    assert look(4000) == (0, 500)
    lib.nmq_flush_begin(times, 4_000_000)
    lib.nmq_flush_end(times, 5_000_000, True)
    assert look(6000) == (0, 1500)
