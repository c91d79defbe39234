"""How many commands there are, and whether there is room for more.

Threads  belongs to the event loop
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct


class TooManyError(ValueError):
    """One command more is over a bound; the text says which."""


class Limits(Struct, frozen=True):
    """The most there may be.

    open       commands that are not over
    of_device  of those, for one device
    kept       commands, until they expire
    size       bytes of what those and their answers say
    """

    open: int = 10_000
    of_device: int = 100
    kept: int = 100_000
    size: int = 256 << 20


class Room:
    """What there is.

    open     by device: commands that are not over
    kept, size, limits   see Limits
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.open: Counter[str] = Counter()
        self.kept = 0
        self.size = 0

    def check(self, sns: Sequence[str], size: int) -> None:
        """Raise TooManyError unless each of these devices can have one more, of that size."""
        limits, count = self.limits, len(sns)
        if self.open.total() + count > limits.open:
            raise TooManyError(
                f"{self.open.total()} commands wait for their devices, and {limits.open} are"
                " the most: wait for answers, or let them expire sooner"
            )
        for sn, more in Counter(sns).items():
            if self.open[sn] + more > limits.of_device:
                raise TooManyError(
                    f"{self.open[sn]} commands wait for {sn}, and {limits.of_device} are the"
                    " most: wait for its answers"
                )
        if self.kept + count > limits.kept or self.size + size * count > limits.size:
            raise TooManyError(
                f"{self.kept} commands with {self.size} bytes are kept, and {limits.kept}"
                f" with {limits.size} bytes are the most: let them expire sooner"
            )

    def take(self, sns: Sequence[str], size: int) -> None:
        """Have one more for each of these devices, of that size."""
        self.open.update(sns)
        self.kept += len(sns)
        self.size += len(sns) * size

    def give(self, sns: Sequence[str], size: int) -> None:
        """Take that back."""
        self.close(Counter(sns).items())
        self.kept -= len(sns)
        self.size -= len(sns) * size

    def close(self, over: Iterable[tuple[str, int]]) -> None:
        """So many commands of each of these devices are over."""
        for sn, count in over:
            self.open[sn] -= count
            if self.open[sn] <= 0:
                del self.open[sn]
