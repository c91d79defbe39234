"""How long a commit waits for more (csrc/store/commit_gather.h)."""

from __future__ import annotations

from typing import Any

from tests.unit.clib import ffi, lib

SYNC_NS = 5_000_000
STEP_NS = SYNC_NS // 16
BEGAN_NS = 1 << 40
ENDED_NS = BEGAN_NS + SYNC_NS
AUTO = -1


def committed(let_go: int, came: int) -> Any:
    """Return it as a commit has left it: so many records had it, and came meanwhile."""
    gather = ffi.new("nmq_commit_gather *")
    lib.nmq_commit_gather_take(gather, let_go)
    lib.nmq_commit_gather_end(gather, let_go + came, BEGAN_NS, ENDED_NS)
    return gather


def waited(gather: Any, arrivals: list[int]) -> list[int]:
    """Return how many records were staged at each look, up to the one that ended it.

    arrivals: how many come between two looks.
    """
    ns, again = ENDED_NS, False
    asked = gather.expected - gather.let_go
    looks = []
    for came in [0, *arrivals]:
        asked += came
        looks.append(asked - gather.taken)
        until = lib.nmq_commit_gather_look(gather, AUTO, asked, ns, again)
        if until == 0:
            return looks
        assert ns < until <= ENDED_NS + SYNC_NS + STEP_NS
        ns, again = until, True
    raise AssertionError("it waits for more")


def test_the_first_commit_waits_for_nothing() -> None:
    gather = ffi.new("nmq_commit_gather *")
    assert lib.nmq_commit_gather_look(gather, AUTO, 1, BEGAN_NS, False) == 0


def test_halves_that_take_turns_become_one() -> None:
    gather = committed(25, 25)
    assert waited(gather, [10, 10, 5]) == [25, 35, 45, 50]


def test_one_that_comes_back_alone_goes_at_once() -> None:
    gather = committed(2, 0)
    assert lib.nmq_commit_gather_look(gather, AUTO, 4, ENDED_NS + 1000, False) == 0


def test_who_does_not_come_back_is_waited_for_once() -> None:
    assert waited(committed(50, 3), [0]) == [3, 3]


def test_it_waits_no_longer_once_few_come() -> None:
    gather = committed(3200, 1600)  # 100 a look are what each sync of 16 looks has had
    assert waited(gather, [200, 150, 50]) == [1600, 1800, 1950, 2000]


def test_it_never_waits_longer_than_a_sync() -> None:
    looks = waited(committed(1 << 20, 1), [1000] * 17)
    assert len(looks) == 17


def test_nothing_is_expected_of_a_commit_of_long_ago() -> None:
    gather = committed(50, 0)
    assert lib.nmq_commit_gather_look(gather, AUTO, 51, ENDED_NS + SYNC_NS, False) == 0


def test_it_looks_no_more_often_than_a_fast_disk_is_worth() -> None:
    gather = ffi.new("nmq_commit_gather *")
    lib.nmq_commit_gather_take(gather, 50)
    lib.nmq_commit_gather_end(gather, 50, BEGAN_NS, BEGAN_NS + 80_000)
    now = BEGAN_NS + 81_000
    assert lib.nmq_commit_gather_look(gather, AUTO, 51, now, False) == now + 20_000


def test_a_least_time_counts_from_the_end_of_the_last_commit() -> None:
    gather = committed(50, 50)
    due = ENDED_NS + 3 * SYNC_NS
    assert lib.nmq_commit_gather_look(gather, 3 * SYNC_NS, 200, due - 1, True) == due
    assert lib.nmq_commit_gather_look(gather, 3 * SYNC_NS, 50, due, False) == 0
    assert lib.nmq_commit_gather_look(gather, 0, 50, ENDED_NS, False) == 0
