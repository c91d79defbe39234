"""Whether a target is left alone: it has failed, or has asked for it.

::

    sends ──fails──> pause ──time──> one post finds out ──taken──> sends
                       ^                     │
                       └────── fails ────────┘ twice as long

Threads  belongs to the event loop
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from nanomq_py.delivery.sender import Outcome
from nanomq_py.delivery.target import Target
from nanomq_py.delivery.waits import wait_s
from nanomq_py.store.moment import wall_s

log = logging.getLogger("nanomq.delivery")

TELL_AGAIN_S = 60.0


def _now() -> float:
    return asyncio.get_running_loop().time()


class Pause:
    """When one target is left alone.

    failures    in a row
    not_before  Unix time that the target has asked for; it outlives the process
    """

    def __init__(self, not_before: float, then: Callable[[], object]) -> None:
        """Make it; ``then`` is called at the end of each pause."""
        self.failures = 0
        self.not_before = not_before
        self._then = then
        self._began = 0.0  # the last pause, by the clock of the loop
        self._taken_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._is_told, self._told_at = False, -TELL_AGAIN_S

    @property
    def is_on(self) -> bool:
        """Whether nothing may be sent."""
        return self._timer is not None

    def start(self, target: Target) -> None:
        """Wait as long as the target has asked for before."""
        left_s = min(self.not_before - wall_s(), target.most_wait_s)
        if left_s > 0:
            self._begin(left_s)

    def reset(self) -> None:
        """Begin anew: it is another target, or somebody says that it is back."""
        self.stop()
        self.failures = 0
        self.not_before = 0.0

    def taken(self, target: Target) -> bool:
        """Take note that it has taken a post; return whether it had failed before."""
        self._taken_at = _now()
        had_failed, self.failures = self.failures > 0, 0
        if had_failed and self._is_told:
            self._is_told = False
            log.warning("delivery to %s: it takes posts again", target.name)
        return had_failed

    def failed(self, target: Target, outcome: Outcome, began: float) -> bool:
        """Take note of a failure; return whether it is the target's, and not the post's.

        It is the target's if nothing was taken since the attempt began.
        """
        if self._taken_at >= began and outcome.after_s is None:
            return False
        asked_s = min(outcome.after_s or 0.0, target.most_wait_s)
        if began >= self._began:  # of those that failed together the first counts
            self.failures += 1
            wait = wait_s(self.failures, target.first_wait_s, target.most_wait_s)
            self._begin(max(wait, asked_s))
        elif self._timer is not None and self._timer.when() < _now() + asked_s:
            self._begin(asked_s)
        if asked_s:
            self.not_before = max(self.not_before, wall_s() + asked_s)
        self._tell(target, outcome.error)
        return True

    def buried(self) -> None:
        """Take note that a post was given up: the next one has its own attempts."""
        self.failures = min(self.failures, 1)

    def _tell(self, target: Target, error: str) -> None:
        if not self._is_told and _now() - self._told_at >= TELL_AGAIN_S:
            self._is_told, self._told_at = True, _now()
            log.warning("delivery to %s: %s", target.name, error)

    def _begin(self, wait: float) -> None:
        self.stop()
        self._began = _now()
        self._timer = asyncio.get_running_loop().call_later(wait, self._end)

    def _end(self) -> None:
        self._timer = None
        self._then()

    def stop(self) -> None:
        """End the pause; nothing is called."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
