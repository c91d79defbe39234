"""The state machine of a command, alone: what each thing that happens makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from nanomq_py.plugins.devices.commands import machine
from nanomq_py.plugins.devices.commands.machine import (
    AGAIN_S,
    RETRY_S,
    Command,
    Phase,
    State,
)

pytestmark = pytest.mark.plain

NOW = 1000.0
NEW = Command(1, "d", True, 2, NOW + 600)
SENT = machine.published(machine.made(NEW, NOW, online=False), NOW)
FAILED_ONCE = machine.answered(SENT, NOW, b"no", ok=False)


def test_one_that_waits_for_its_device() -> None:
    waits = replace(NEW, now=False)
    assert machine.made(waits, NOW, online=False).due_at is None
    assert machine.made(waits, NOW, online=True).due_at == NOW
    assert machine.came(waits, NOW).due_at == NOW
    assert machine.resumed(waits, NOW, online=False) is waits


def test_what_nobody_took_is_as_if_it_was_not_tried() -> None:
    back = machine.missed(SENT, NOW)
    assert (back.state, back.phase, back.tries) == (State.READY, Phase.QUEUED, 0)
    assert back.due_at is None
    again = machine.published(machine.listens(back, NOW), NOW)
    assert (again.state, again.phase, again.tries) == (State.IN_PROGRESS, Phase.SENT, 1)


def test_device_that_is_there_and_takes_nothing_is_asked_again_later() -> None:
    back = machine.missed(SENT, NOW, online=True)
    assert (back.state, back.phase) == (State.READY, Phase.QUEUED)
    assert back.due_at == NOW + machine.UNTAKEN_S
    assert not back.is_due(NOW)
    assert machine.listens(back, NOW).due_at == NOW  # now it takes it


def test_pause_before_the_next_try_and_the_end_of_tries() -> None:
    assert (FAILED_ONCE.state, FAILED_ONCE.phase) == (State.IN_PROGRESS, Phase.QUEUED)
    assert FAILED_ONCE.due_at == NOW + RETRY_S
    assert not FAILED_ONCE.is_due(NOW)
    assert machine.came(FAILED_ONCE, NOW) is FAILED_ONCE
    second = machine.acknowledged(machine.published(FAILED_ONCE, NOW), NOW)
    assert second.tries == 2
    over = machine.answered(second, NOW, b"no", ok=False)
    assert (over.state, over.phase, over.failed_at) == (State.FAILED, Phase.ANSWERED, NOW)


def test_failure_said_twice_costs_one_try() -> None:
    assert machine.answered(FAILED_ONCE, NOW, b"no", ok=False) is FAILED_ONCE
    second = machine.published(FAILED_ONCE, NOW)
    assert machine.answered(second, NOW, b"no", ok=False) is second
    assert machine.answered(second, NOW, b"no, again", ok=False).state is State.FAILED


def test_success_counts_whenever_it_comes() -> None:
    for command in (
        SENT,
        machine.acknowledged(SENT, NOW),
        FAILED_ONCE,
        machine.missed(SENT, NOW),
    ):
        assert machine.answered(command, NOW, b"y", ok=True).state is State.SUCCEEDED
    assert machine.answered(NEW, NOW, b"y", ok=True) is NEW  # nobody was told of it


def test_the_same_try_is_published_again_after_a_pause() -> None:
    assert machine.came(SENT, NOW + 1).due_at == NOW + AGAIN_S
    assert machine.came(SENT, NOW + 60).due_at == NOW + 60
    delivered = machine.acknowledged(SENT, NOW)
    assert machine.listens(delivered, NOW) is delivered
    assert machine.published(machine.came(delivered, NOW + 60), NOW + 60).tries == 1


def test_clock_that_went_back_holds_nothing_up() -> None:
    assert FAILED_ONCE.is_due(NOW - 3600)
    assert machine.came(SENT, NOW - 3600).due_at == NOW - 3600


EVENTS = st.sampled_from(
    [
        "due",
        "missed",
        "untaken",
        "acked",
        "came",
        "listens",
        "resumed",
        "ok",
        "failed",
        "again",
    ]
)


def after(command: Command, event: str, now: float, nth: int) -> Command:
    match event:
        case "due":
            return machine.published(command, now) if command.is_due(now) else command
        case "missed":
            return machine.missed(command, now)
        case "untaken":
            return machine.missed(command, now, online=True)
        case "acked":
            return machine.acknowledged(command, now)
        case "came":
            return machine.came(command, now)
        case "listens":
            return machine.listens(command, now)
        case "resumed":
            return machine.resumed(command, now, online=False)
        case "ok":
            return machine.answered(command, now, b"y", ok=True)
        case "failed":
            return machine.answered(command, now, str(nth).encode(), ok=False)
    return machine.answered(command, now, command.answer, ok=False)


@given(st.lists(st.tuples(EVENTS, st.floats(-10, 100)), max_size=40), st.booleans())
def test_whatever_happens_in_whatever_order(
    events: list[tuple[str, float]], publish_now: bool
) -> None:
    now = NOW
    command = machine.made(replace(NEW, now=publish_now), now, online=False)
    for nth, (event, later_s) in enumerate(events):
        now += later_s
        before, command = command, after(command, event, now, nth)
        assert not before.is_over or command is before
        assert 0 <= command.tries <= command.max_tries
        assert command.tries >= before.tries or event in ("missed", "untaken")
        assert (command.phase is Phase.ANSWERED) == command.is_over
        assert not command.is_over or command.due_at is None
        if command.state is State.READY:
            assert (command.phase, command.tries) == (Phase.QUEUED, 0)
        if command.phase in (Phase.SENT, Phase.DELIVERED):
            assert command.state is State.IN_PROGRESS
            assert command.tries > 0
