"""base/worker: what a thread that reads sockets puts off until it has read more."""

from __future__ import annotations

from typing import Any

import pytest

from tests._core_test import ffi, lib


class Things:
    """Some things to flush, and in which order they were."""

    def __init__(self, count: int) -> None:
        self._all = [ffi.new("nmq_unflushed *") for _ in range(count)]
        self._numbers = {at: n for n, at in enumerate(self._all)}
        self.flushed: list[int] = []

        @ffi.callback("void(nmq_unflushed *)")
        def flush(thing: Any) -> None:
            thing.next = ffi.NULL  # as one that is put on another list
            self.flushed.append(self._numbers[thing])

        self.flush = flush

    def put_off(self, worker: Any, *numbers: int, messages: int = 1) -> None:
        batch = ffi.new("nmq_unflushed_list *")
        for n in numbers:
            lib.nmq_unflushed_put(batch, self._all[n])
        lib.nmq_worker_put_off(worker, batch[0], self.flush, messages)


@pytest.fixture
def worker() -> Any:
    return ffi.new("nmq_worker *")


def test_without_a_worker_a_batch_is_flushed_when_it_ends() -> None:
    things = Things(3)
    things.put_off(ffi.NULL, 2, 0, 1)
    assert things.flushed == [2, 0, 1]


def test_a_worker_flushes_several_batches_together_in_their_order(worker: Any) -> None:
    things = Things(6)
    things.put_off(worker, 3, 1, 0, 2)
    assert lib.nmq_worker_wants_more(worker)
    things.put_off(worker)  # a batch that wrote nothing
    things.put_off(worker, 5, 4)
    assert things.flushed == []
    lib.nmq_worker_flush(worker)
    assert things.flushed == [3, 1, 0, 2, 5, 4]
    lib.nmq_worker_flush(worker)
    assert len(things.flushed) == 6


def test_few_things_are_not_worth_another_batch(worker: Any) -> None:
    things = Things(4)
    things.put_off(worker, 0, 1, 2)
    assert not lib.nmq_worker_wants_more(worker)
    things.put_off(worker, 3)
    assert lib.nmq_worker_wants_more(worker)
    lib.nmq_worker_flush(worker)
    assert not lib.nmq_worker_wants_more(worker)  # it begins anew


def test_a_worker_reads_a_bounded_number_of_batches(worker: Any) -> None:
    Things(4).put_off(worker, 0, 1, 2, 3)
    assert sum(lib.nmq_worker_wants_more(worker) for _ in range(50)) == 15


def test_much_that_is_written_is_not_put_off(worker: Any) -> None:
    things = Things(5)
    things.put_off(worker, 0, 1, 2, messages=1000)
    assert things.flushed == []
    things.put_off(worker, 3, 4, messages=1048)
    assert things.flushed == [0, 1, 2, 3, 4]
    assert not lib.nmq_worker_wants_more(worker)


def test_a_long_batch_ends_while_things_of_earlier_ones_wait(worker: Any) -> None:
    things = Things(4)
    assert not lib.nmq_worker_is_full(ffi.NULL, 5000)
    assert not lib.nmq_worker_is_full(worker, 5000)  # nobody waits
    things.put_off(worker, 0, 1, 2, 3, messages=48)
    assert not lib.nmq_worker_is_full(worker, 1999)
    assert lib.nmq_worker_is_full(worker, 2000)
