"""What waits for something, by number: so much in all, and so much of one kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Waiting(Generic[K, V]):
    """Keeps what waits, and of which kind it is.

    Threads  of one thread
    """

    def __init__(self, most: int, most_alike: int) -> None:
        self._most = most
        self._most_alike = most_alike
        self._all: dict[int, tuple[K, V]] = {}
        self._alike: Counter[K] = Counter()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers, in the order in which they came; they may be taken meanwhile."""
        return iter(list(self._all))

    def has_room(self, kind: K) -> bool:
        """Return whether one more of that kind may wait."""
        return len(self._all) < self._most and self._alike[kind] < self._most_alike

    def put(self, number: int, kind: K, what: V) -> None:
        """Have it wait, also where there is no room."""
        self._all[number] = (kind, what)
        self._alike[kind] += 1

    def take(self, number: int) -> V | None:
        """Return what waited under that number, and does no more; None: nothing."""
        if number not in self._all:
            return None
        kind, what = self._all.pop(number)
        self._alike[kind] -= 1
        if not self._alike[kind]:
            del self._alike[kind]
        return what
