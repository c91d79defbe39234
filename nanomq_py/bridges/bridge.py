"""One bridge at work: what the configuration wants, the core's session, its line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from nanomq_py.bridges.line import Clock, Line, State, place_after
from nanomq_py.bridges.places import Place
from nanomq_py.bridges.wanted import Wanted
from nanomq_py.core.binding import CoreError
from nanomq_py.core.bridging import (
    BridgeNews,
    BridgeOptions,
    BridgeState,
    BridgeStats,
    Cause,
    DialTls,
)


class Core(Protocol):
    """The calls of ``core.bridging.Bridging`` that a bridge needs."""

    def put(self, options: BridgeOptions) -> int: ...

    def dial(
        self,
        number: int,
        host: str,
        port: int,
        *,
        tls: DialTls | None = None,
        path: str | None = None,
        timeout_ms: int = 10_000,
    ) -> None: ...

    def hang_up(self, number: int) -> None: ...

    def end(self, name: str) -> None: ...

    def stats(self, number: int) -> BridgeStats: ...


@dataclass(frozen=True)
class Around:
    """What bridges need besides the core.

    chance   returns 0 to 1
    wall_ms  returns Unix time
    probe    finds out whether an address answers
    changed  is called when a bridge is up or down, or has another trouble
    """

    clock: Clock
    chance: Callable[[], float]
    wall_ms: Callable[[], int]
    probe: Callable[[Place, Callable[[bool], None]], None]
    changed: Callable[[str], None]


@dataclass(frozen=True)
class Status:
    """What a bridge is told as.

    address      the one in use, or the last that was tried
    attempts     dials since it was last up
    last_error   why it was not connected, or not any more; empty: nothing was wrong
    refused      why a subscription was refused by the other broker; empty: none was
    changed_ms   Unix time since when it is up, or is not
    """

    name: str
    state: State
    address: str
    attempts: int
    last_error: str
    refused: str
    changed_ms: int
    stats: BridgeStats


class RunningBridge:
    """A bridge of the configuration.

    Threads  belongs to the event loop
    """

    def __init__(self, core: Core, around: Around, wanted: Wanted) -> None:
        """Make it in the core; it connects after :meth:`go`. Raises CoreError."""
        self._core = core
        self._around = around
        self.wanted = wanted
        self._says = wanted.options.bridge_bit  # that it is a bridge
        self.number = core.put(wanted.options)
        self.line = Line(self, around.clock, around.chance, wanted.times)
        self._ups = self._downs = 0
        self._was_up = False
        self._error = self._refused = ""
        self._changed_ms = around.wall_ms()

    def go(self) -> None:
        """Connect, unless it is paused."""
        if not self.wanted.is_paused:
            self.line.start(len(self.wanted.places))

    def change(self, new: Wanted) -> None:
        """Become another one of that name; what waits stays. Raises CoreError."""
        old = self.wanted
        if new == old:
            self.wanted = new  # with its certificates
            return
        if new.greeting != old.greeting or new.may_unmask != old.may_unmask:
            self._says = new.options.bridge_bit
        self._core.put(replace(new.options, bridge_bit=self._says))
        self.wanted = new
        self.line.times = new.times
        at = place_after(old.places, self.line.at, new.places)
        if new.is_paused:
            self.line.pause()
            self._look()
        elif at is None or old.is_paused or new.greeting != old.greeting:
            self.line.start(len(new.places))
        else:
            self.line.move(at, len(new.places))

    def leave(self) -> None:
        self.line.pause()

    def hear(self, news: BridgeNews) -> None:
        """Take what the core says that it has come to."""
        if news.ups > self._ups:
            self._ups = news.ups
            self._error = self._refused = ""
            self.line.up()
            self._look()
        if news.code or news.why:
            self._note(news)
        if news.downs > self._downs:
            self._downs = news.downs
            if news.state is BridgeState.IDLE:  # else another dial is under way
                self.line.down(refused=news.cause is Cause.PEER)
                self._look()

    def _note(self, news: BridgeNews) -> None:
        if news.cause is Cause.SUBACK:
            self._refused = f"{news.why} ({news.code:#04x})"
            self._around.changed(self.wanted.name)
        elif news.cause is Cause.DIAL:
            self._error = news.why
        else:
            self._error = f"{news.why} ({news.code:#04x})" if news.code else news.why

    def _look(self) -> None:
        """Tell if it is up now and was not, or the other way round."""
        is_up = self.line.state is State.UP
        if is_up != self._was_up:
            self._was_up = is_up
            self._changed_ms = self._around.wall_ms()
            self._around.changed(self.wanted.name)

    def status(self) -> Status:
        """Return what it is like now. Raises CoreError."""
        places = self.wanted.places
        return Status(
            name=self.wanted.name,
            state=self.line.state,
            address=places[min(self.line.at, len(places) - 1)].url,
            attempts=self.line.attempts,
            last_error=self._error,
            refused=self._refused,
            changed_ms=self._changed_ms,
            stats=self._core.stats(self.number),
        )

    # --- what the line does

    def dial(self, at: int) -> None:
        place = self.wanted.places[at]
        try:
            self._core.dial(
                self.number,
                place.host,
                place.port,
                tls=place.tls,
                path=place.path,
                timeout_ms=self.wanted.timeout_ms,
            )
        except CoreError as fault:  # such as memory that is out: as a dial that fails
            self._error = str(fault)
            self._around.clock.call_later(0, self.line.down)

    def hang_up(self) -> None:
        self._core.hang_up(self.number)

    def probe(self, at: int, then: Callable[[bool], None]) -> None:
        self._around.probe(self.wanted.places[at], then)

    def unmask(self) -> bool:
        if not self.wanted.may_unmask:
            return False
        says = not self._says
        try:
            self._core.put(replace(self.wanted.options, bridge_bit=says))
        except CoreError as fault:
            self._error = str(fault)
            return False
        self._says = says
        return not says  # with it, it was tried just before: then it waits its turn
