"""When a bridge dials: again after a wait, another address, back to the first one.

::

    start ──> dial ──up──> connected ──lost──┐
               ^  └──failed──> next address ──┤ all have failed
               └───────────── wait ──────────┘ twice as long each time

The clock and chance are arguments. Each dial looks the name up anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """Monotonic seconds, and what is to be called later: an event loop is one."""

    def time(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer: ...


@dataclass(frozen=True)
class Times:
    """Waits, in seconds.

    first, most  between rounds of all addresses
    failback     between looks at the first address; 0: none
    """

    first: float = 1.0
    most: float = 60.0
    failback: float = 60.0


class Does(Protocol):
    """What a line does to its bridge."""

    def dial(self, at: int) -> None:
        """Connect to the address of that number; what was tried before is given up."""

    def hang_up(self) -> None: ...

    def probe(self, at: int, then: Callable[[bool], None]) -> None:
        """Find out whether that address answers, and call ``then`` later."""

    def unmask(self) -> bool:
        """Say that it is a bridge, or not, from the next dial on; False: it cannot choose."""


class State(Enum):
    PAUSED = "paused"
    CONNECTING = "connecting"
    WAITING = "waiting"
    UP = "up"


class Line:
    """The connection of one bridge, as seen from here.

    attempts  dials since it was last up
    at        the address in use, by its number
    """

    def __init__(
        self, does: Does, clock: Clock, chance: Callable[[], float], times: Times
    ) -> None:
        """Make it, paused. ``chance`` returns 0 to 1."""
        self._does = does
        self._clock = clock
        self._chance = chance
        self.times = times
        self.state = State.PAUSED
        self.attempts = 0
        self.at = 0
        self._count = 0  # of addresses
        self._tried = 0  # of them, in this round
        self._rounds = 0  # that have failed, in a row
        self._up_at = 0.0
        self._timer: Timer | None = None

    def start(self, count: int) -> None:
        """Dial the first of so many addresses now, whatever was before."""
        self._count = count
        self._tried = self._rounds = self.attempts = 0
        self._dial(0)

    def move(self, at: int, count: int) -> None:
        """Take note that the address in use has that number now, of so many."""
        self.at, self._count, self._tried = at, count, 0
        if self.state is State.UP:
            self._look_back()

    def pause(self) -> None:
        """Connect no more, until :meth:`start`."""
        self._stop_timer()
        if self.state in (State.CONNECTING, State.UP):
            self._does.hang_up()
        self.state = State.PAUSED

    def up(self) -> None:
        """Hear that it is connected."""
        if self.state is State.CONNECTING:
            self.state = State.UP
            self._up_at = self._clock.time()
            self.attempts = 0
            self._look_back()

    def down(self, *, refused: bool = False) -> None:
        """Hear that the dial has failed, or that the connection has ended.

        refused  the other broker has answered CONNECT, or ended the connection before
        """
        if self.state not in (State.CONNECTING, State.UP):
            return
        lasted = (
            self.state is State.UP and self._clock.time() - self._up_at >= self.times.first
        )
        if lasted:
            self._tried = self._rounds = 0
            self._wait(self.times.first * self._chance(), 0)
        elif refused and self.state is State.CONNECTING and self._does.unmask():
            self._dial(self.at)
        else:
            self._fail()

    def _fail(self) -> None:
        """Go on with the next address, or wait where all of them have failed."""
        self._tried += 1
        if self._tried < self._count:
            self._dial((self.at + 1) % self._count)
            return
        self._tried = 0
        doubled = self.times.first * 2.0 ** min(self._rounds, 32)
        self._rounds += 1
        longest = max(self.times.first, self.times.most)
        self._wait(min(longest, doubled) * (1 + self._chance()) / 2, 0)

    def _wait(self, delay: float, at: int) -> None:
        self._stop_timer()
        self.state = State.WAITING
        self._timer = self._clock.call_later(delay, lambda: self._dial(at))

    def _dial(self, at: int) -> None:
        self._stop_timer()
        self.at = at
        self.state = State.CONNECTING
        self.attempts += 1
        self._does.dial(at)

    def _look_back(self) -> None:
        """Look at the first address after a while, if another one is used."""
        self._stop_timer()
        if self.at and self.times.failback:
            self._timer = self._clock.call_later(self.times.failback, self._probe)

    def _probe(self) -> None:
        self._timer = None
        self._does.probe(0, self._probed)

    def _probed(self, answers: bool) -> None:
        if self.state is not State.UP or not self.at or self._timer is not None:
            return  # something else has happened meanwhile
        if answers:
            self._tried = 0
            self._dial(0)
        else:
            self._look_back()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def place_after(before: Sequence[object], used: int, now: Sequence[object]) -> int | None:
    """Return the number that the address in use has now; None: it is not there any more.

    >>> place_after(["a", "b"], 1, ["b", "c"]), place_after(["a"], 0, ["b"])
    (0, None)
    """
    return now.index(before[used]) if before[used] in now else None
