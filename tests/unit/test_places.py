"""base/places: entries keep their place, and the n-th is found at once."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests._core_test import ffi, lib
from tests.unit.clib import fail_each_allocation, nothing_leaks

NONE = lib.NMQ_NO_PLACE


class Places:
    """A list of numbers."""

    def __init__(self) -> None:
        self.at = ffi.new("nmq_places *", {"entry_bytes": 4})

    def put(self, number: int) -> int:
        place = ffi.new("uint32_t *")
        assert lib.nmq_places_put(self.at, ffi.new("uint32_t *", number), place) == 0
        return int(place[0])

    def delete(self, place: int) -> None:
        lib.nmq_places_del(self.at, place)

    def get(self, place: int) -> int | None:
        entry = lib.nmq_places_at(self.at, place)
        return None if entry == ffi.NULL else ffi.cast("uint32_t *", entry)[0]

    def all(self) -> list[tuple[int, int | None]]:
        found, at = [], 0
        while (at := lib.nmq_places_next(self.at, at)) != NONE:
            found.append((at, self.get(at)))
            at += 1
        return found


def check(places: Places, model: list[int | None]) -> None:
    """Compare with a list that has None where a place is free."""
    used = [(place, number) for place, number in enumerate(model) if number is not None]
    assert places.at.count == len(used)
    assert places.all() == used
    for rank, (place, _) in enumerate(used):
        assert lib.nmq_places_nth(places.at, rank) == place
        assert lib.nmq_places_rank(places.at, place) == rank
    for absurd in (len(used), len(used) + 1, 2**32, 2**64 - 1):
        assert lib.nmq_places_nth(places.at, absurd) == NONE
    for place in (len(model), 2**31, NONE):
        assert lib.nmq_places_rank(places.at, place) == len(used)
        assert lib.nmq_places_next(places.at, place) == NONE
        assert places.get(place) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 999), max_size=400))
def test_places_are_those_of_a_plain_list(steps: list[int]) -> None:
    with nothing_leaks():
        places, model = Places(), []
        model: list[int | None]
        for number, step in enumerate(steps):
            used = [place for place, held in enumerate(model) if held is not None]
            if used and step % 3 == 0:
                gone = used[step % len(used)]
                places.delete(gone)
                model[gone] = None
            else:
                place = model.index(None) if None in model else len(model)
                model[place:] = [number, *model[place + 1 :]]
                assert places.put(number) == place
        check(places, model)
        lib.nmq_places_free(places.at)


def test_many_come_and_go_and_leave_nothing() -> None:
    with nothing_leaks():
        places = Places()
        assert [places.put(n) for n in range(5000)] == list(range(5000))
        model: list[int | None] = list(range(5000))
        for place in [*range(0, 5000, 2), *range(1000, 4000)]:
            if model[place] is not None:
                places.delete(place)
                model[place] = None
        check(places, model)
        assert places.put(7) == 0  # the lowest that is free
        for place, _ in places.all():
            places.delete(place)
        assert places.at.count == 0


def test_entry_stays_where_it_is_while_others_come() -> None:
    places = Places()
    places.put(1)
    entry: Any = lib.nmq_places_at(places.at, 0)
    for number in range(1000):
        places.put(number)
    assert lib.nmq_places_at(places.at, 0) == entry
    lib.nmq_places_free(places.at)


def test_put_out_of_memory_leaves_the_list_as_it_was() -> None:
    places = Places()
    place = ffi.new("uint32_t *")
    model: list[int | None] = []
    for number in range(129):  # the first of the third chunk
        entry = ffi.new("uint32_t *", number)
        fail_each_allocation(
            lambda entry=entry: lib.nmq_places_put(places.at, entry, place),  # type: ignore[misc]
            lambda: check(places, model),
        )
        model.append(number)
    check(places, model)
    lib.nmq_places_free(places.at)
