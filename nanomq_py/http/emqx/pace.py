"""How fast values grow that only grow, such as counters."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

LEAST_S = 1.0  # that two looks are apart


class Pace:
    """Growth a second since an earlier look, a second ago at least, or since the start.

    Each look may become the earlier one of the next: nothing runs in between.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, begun: Sequence[float] = ()
    ) -> None:
        """Begin with these values; without any, all are 0."""
        self._clock = clock
        self._older: tuple[float, Sequence[float]] = (clock(), begun)
        self._newer: tuple[float, Sequence[float]] = self._older

    def per_second(self, *values: float) -> list[float]:
        """Return how much each has grown a second; the same values at each look."""
        now = self._clock()
        if now - self._newer[0] >= LEAST_S:
            self._older, self._newer = self._newer, (now, values)
        since, before = self._older
        elapsed = max(now - since, 0.001)
        before = before or [0.0] * len(values)
        return [(now - then) / elapsed for now, then in zip(values, before, strict=True)]


class Processors:
    """Share of all processors that this process takes, in percent.

    most  that was told so far
    """

    def __init__(self) -> None:
        self._pace = Pace(begun=(time.process_time(),))
        self.most = 0.0

    def percent(self) -> float:
        """Return the share since an earlier look; 100 is all of every processor."""
        (taken,) = self._pace.per_second(time.process_time())
        told = min(round(100 * taken / (os.cpu_count() or 1), 2), 100.0)
        self.most = max(self.most, told)
        return told
