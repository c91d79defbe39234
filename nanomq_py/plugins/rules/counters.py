"""How often rules and actions did what, and how fast.

Source  EMQX 4.4, emqx_rule_metrics: its names, and speeds by samples of 10 s
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

SAMPLE_S = 10
SAMPLES = 30  # 5 minutes


class Rate:
    """How many a second, by samples of 10 s. Who does not ask pays an addition and a look."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first = self._tick = self._now()
        self._counts = [0] * SAMPLES
        self._max = 0.0

    def _now(self) -> int:
        return int(self._clock() // SAMPLE_S)

    def add(self, count: int) -> None:
        self._roll()
        self._counts[self._tick % SAMPLES] += count

    def _roll(self) -> None:
        now = self._now()
        if now == self._tick:
            return
        self._max = max(self._max, self._counts[self._tick % SAMPLES] / SAMPLE_S)
        for tick in range(max(self._tick + 1, now - SAMPLES + 1), now + 1):
            self._counts[tick % SAMPLES] = 0
        self._tick = now

    @property
    def current(self) -> float:
        """A second, in the last whole sample."""
        self._roll()
        return self._counts[(self._tick - 1) % SAMPLES] / SAMPLE_S

    @property
    def max(self) -> float:
        self._roll()
        return self._max

    @property
    def last_5m(self) -> float:
        """A second, in the whole samples of the last 5 minutes."""
        self._roll()
        samples = min(self._tick - self._first, SAMPLES - 1)
        if samples == 0:
            return 0.0
        whole = sum(self._counts) - self._counts[self._tick % SAMPLES]
        return whole / (samples * SAMPLE_S)


@dataclass
class RuleCounts:
    """What became of the messages and events of a rule.

    matched    that its FROM names: passed, no_result, exception or dropped
    passed     of which its SQL has made rows
    no_result  that its WHERE did not want
    exception  that its SQL could not work with
    dropped    that were lost before it: its queue was full, or its rows were too many
    """

    matched: int = 0
    passed: int = 0
    no_result: int = 0
    exception: int = 0
    dropped: int = 0
    rate: Rate = field(default_factory=Rate)

    @property
    def failed(self) -> int:
        return self.no_result + self.exception


@dataclass
class ActionCounts:
    """What became of the rows of an action: taken by it with success, or not."""

    success: int = 0
    failed: int = 0


@dataclass
class Totals:
    """Of all rules since the plugin was loaded, those that are gone too."""

    matched: int = 0
    success: int = 0
    failure: int = 0
