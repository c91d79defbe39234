"""bridges/line: when a bridge dials. Time and chance are the test's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nanomq_py.bridges.line import Line, State, Times

pytestmark = pytest.mark.plain


class Later:
    def __init__(self, due: float, act: Callable[[], object]) -> None:
        self.due, self.act, self.is_off = due, act, False

    def cancel(self) -> None:
        self.is_off = True


class Time:
    """A clock that stands until the test moves it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waiting: list[Later] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, act: Callable[[], object], /) -> Later:
        self.waiting.append(Later(self.now + delay, act))
        return self.waiting[-1]

    @property
    def pending(self) -> list[Later]:
        return [each for each in self.waiting if not each.is_off]

    def next_delay(self) -> float:
        (only,) = self.pending
        return only.due - self.now

    def run(self) -> float:
        """Go on to what comes next; return how long that took."""
        (only,) = self.pending
        took = only.due - self.now
        self.now, self.waiting = only.due, []
        only.act()
        return took


class Bridge:
    """Writes down what it is told to do."""

    def __init__(self, *, may_unmask: bool = False) -> None:
        self.done: list[str] = []
        self.asked: list[Callable[[bool], None]] = []
        self.may_unmask = may_unmask

    def dial(self, at: int) -> None:
        self.done.append(f"dial {at}")

    def hang_up(self) -> None:
        self.done.append("hang up")

    def probe(self, at: int, then: Callable[[bool], None]) -> None:
        self.done.append(f"probe {at}")
        self.asked.append(then)

    def unmask(self) -> bool:
        can, self.may_unmask = self.may_unmask, False
        return can

    def take(self) -> list[str]:
        done, self.done = self.done, []
        return done


TIMES = Times(first=1.0, most=10.0, failback=30.0)


def made(
    count: int = 1, *, chance: float = 1.0, may_unmask: bool = False
) -> tuple[Line, Bridge, Time]:
    bridge, time = Bridge(may_unmask=may_unmask), Time()
    line = Line(bridge, time, lambda: chance, TIMES)
    line.start(count)
    assert bridge.take() == ["dial 0"]
    return line, bridge, time


def test_waits_grow_to_the_longest_and_begin_anew_after_a_connection() -> None:
    line, bridge, time = made()
    waits = []
    for _ in range(6):
        line.down()
        assert line.state is State.WAITING
        waits.append(time.run())
    assert waits == [1, 2, 4, 8, 10, 10]
    assert bridge.take() == ["dial 0"] * 6
    assert line.attempts == 7
    line.up()
    time.now += 100
    line.down()
    assert time.run() == 1  # a first look, soon
    line.down()
    assert time.run() == 1


def test_waits_differ_by_chance() -> None:
    assert [made(chance=c)[0].times.first for c in (0.0, 1.0)] == [1, 1]
    waits = []
    for chance in (0.0, 0.5, 1.0):
        line, _, time = made(chance=chance)
        line.down()
        time.run()
        line.down()
        waits.append(time.run())
    assert waits == [1.0, 1.5, 2.0]


def test_connection_that_ends_at_once_is_a_failure() -> None:
    line, _, time = made()
    waits = []
    for _ in range(4):
        line.up()
        line.down()  # who lets it in and throws it out is not asked without end
        waits.append(time.run())
    assert waits == [1, 2, 4, 8]


def test_next_address_is_tried_at_once_and_the_wait_is_for_all_of_them() -> None:
    line, bridge, time = made(3)
    line.down()
    line.down()
    assert bridge.take() == ["dial 1", "dial 2"]
    line.down()
    assert (bridge.take(), time.run()) == ([], 1)
    assert bridge.take() == ["dial 0"]
    line.down()
    line.up()
    assert (line.state, line.at, bridge.take()) == (State.UP, 1, ["dial 1"])


def test_first_address_is_used_again_when_it_answers() -> None:
    line, bridge, time = made(2)
    line.down()
    line.up()
    bridge.take()
    assert time.run() == 30
    assert bridge.take() == ["probe 0"]
    bridge.asked.pop()(False)
    assert line.state is State.UP  # the other one is used as long as the first is away
    assert time.run() == 30
    bridge.asked.pop()(True)
    assert bridge.take() == ["probe 0", "dial 0"]
    line.up()
    assert (line.at, time.pending) == (0, [])


def test_answer_that_comes_too_late_changes_nothing() -> None:
    line, bridge, time = made(2)
    line.down()
    line.up()
    time.run()
    late = bridge.asked.pop()
    line.down()
    bridge.take()
    late(True)
    assert bridge.take() == []
    line.pause()
    late(True)
    assert bridge.take() == []


def test_first_address_is_lost_and_found() -> None:
    line, bridge, time = made(2)
    line.up()
    assert time.pending == []  # it is the preferred one
    time.now += 50
    line.down()
    time.run()
    assert bridge.take() == ["dial 0"]
    line.down()
    assert bridge.take() == ["dial 1"]


def test_paused_bridge_does_nothing_until_it_is_started() -> None:
    line, bridge, time = made()
    line.down()
    line.pause()
    assert (line.state, time.pending, bridge.take()) == (State.PAUSED, [], [])
    line.down()
    line.up()
    assert (line.state, time.pending, bridge.take()) == (State.PAUSED, [], [])
    line.start(1)
    line.up()
    line.pause()
    assert bridge.take() == ["dial 0", "hang up"]


def test_broker_that_refuses_a_bridge_is_asked_once_more_as_a_client() -> None:
    line, bridge, time = made(may_unmask=True)
    line.down(refused=True)
    assert (bridge.take(), time.pending) == (["dial 0"], [])
    line.down(refused=True)  # it is refused for another reason
    assert (bridge.take(), time.next_delay()) == ([], 1)
    other, bridge, time = made(may_unmask=True)
    other.down()  # nobody was there
    assert (bridge.take(), time.next_delay()) == ([], 1)


def test_other_list_of_addresses_leaves_the_connection_alone() -> None:
    line, bridge, time = made(3)
    line.down()
    line.down()
    line.up()
    bridge.take()
    line.move(0, 2)  # what it uses is the preferred one now
    assert (bridge.take(), time.pending) == ([], [])
    line.move(1, 2)
    assert time.next_delay() == 30


class Lines(RuleBasedStateMachine):
    """Whatever happens: one thing is under way, unless it is paused."""

    def __init__(self) -> None:
        super().__init__()
        self.bridge, self.time = Bridge(may_unmask=True), Time()
        self.line = Line(self.bridge, self.time, lambda: 0.5, TIMES)

    @rule(count=st.integers(1, 3))
    def start(self, count: int) -> None:
        self.line.start(count)

    @rule()
    def pause(self) -> None:
        self.line.pause()

    @rule()
    def up(self) -> None:
        self.line.up()

    @rule(refused=st.booleans())
    def down(self, refused: bool) -> None:
        self.line.down(refused=refused)

    @precondition(lambda self: self.time.pending)
    @rule()
    def time_goes_on(self) -> None:
        self.time.run()

    @precondition(lambda self: self.bridge.asked)
    @rule(answers=st.booleans())
    def answer(self, answers: bool) -> None:
        self.bridge.asked.pop()(answers)

    @invariant()
    def is_never_stuck(self) -> None:
        pending = len(self.time.pending)
        if self.line.state is State.WAITING:
            assert pending == 1
            assert 0 <= self.time.next_delay() <= TIMES.most
        elif self.line.state is State.UP:
            looked = pending or self.bridge.asked
            assert looked or not self.line.at
        else:
            assert pending == 0


TestLines = Lines.TestCase
