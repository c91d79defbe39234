"""The checker is able to fail: what clients note, and what is found wrong in it."""

from __future__ import annotations

import pytest

from tests.durability.notes import LONG_S, Audience, Message, Notes, Period, Receipt, stamp


def notes_of(*came: int, qos: int = 2, ordered: bool = True) -> tuple[Notes, list[Message]]:
    """Return the notes of a subscriber, of three messages, and of what came of them."""
    notes = Notes()
    audience = Audience("to", "m/+", qos, ordered, [Period(since=stamp())])
    notes.audiences.append(audience)
    messages = [Message("m/a", n, qos, 20, attempts=1) for n in (1, 2, 3)]
    for message in messages:
        message.taken = stamp()
    notes.messages["m/a"] = messages
    audience.receipts["m/a"] = [Receipt(n, dup=False, came_at=0.0) for n in came]
    return notes, messages


def found(notes: Notes) -> dict[str, int]:
    notes.judge()
    return {kind: len(texts) for kind, texts in notes.findings.faults.items()}


@pytest.mark.parametrize(
    ("came", "faults"),
    [
        ((1, 2, 3), {}),
        ((1, 3), {"lost": 1}),
        ((1, 2, 2, 3), {"doubled": 1}),
        ((1, 3, 2), {"order": 1}),
        ((1, 2, 3, 4), {"made up": 1}),
        ((), {"lost": 3}),
    ],
)
def test_what_came_is_judged(came: tuple[int, ...], faults: dict[str, int]) -> None:
    assert found(notes_of(*came)[0]) == faults


def test_at_qos_1_a_message_may_come_again() -> None:
    assert found(notes_of(1, 2, 1, 2, 3, qos=1)[0]) == {}


def test_what_nobody_acknowledged_may_be_missing() -> None:
    notes, messages = notes_of(1, 2)
    messages[2].taken = 0
    assert found(notes) == {}


@pytest.mark.parametrize(("expiry_s", "faults"), [(1, {}), (LONG_S, {"lost": 1})])
def test_what_has_expired_may_be_missing(expiry_s: int, faults: dict[str, int]) -> None:
    notes, messages = notes_of(1, 2)
    messages[2].expiry_s = expiry_s
    assert found(notes) == faults


def test_what_was_sent_before_a_subscription_may_be_missing_or_come() -> None:
    notes, messages = notes_of(2, 3)
    messages[0].sent = 0
    assert found(notes) == {}


def test_nothing_comes_to_who_is_subscribed_no_more() -> None:
    notes, messages = notes_of(1, 2, 3)
    period = notes.audiences[0].periods[0]
    period.until, period.ended = messages[0].taken + 1, messages[1].sent
    assert found(notes) == {"uninvited": 2}


def test_nothing_of_a_session_that_has_ended_comes() -> None:
    notes, _ = notes_of()
    period = notes.audiences[0].periods[0]
    period.until = period.ended = stamp()
    period.session_ended = True
    notes.audiences[0].receipts["m/a"] = [Receipt(1, dup=False, came_at=0.0)]
    assert found(notes) == {"uninvited": 1}


def test_what_was_refused_is_nowhere() -> None:
    notes, messages = notes_of(1, 2, 3)
    messages[1].refused = True
    assert found(notes) == {"refused, and there": 1}


def test_what_had_expired_does_not_come() -> None:
    notes, messages = notes_of(1, 2, 3)
    messages[1].expiry_s, messages[1].taken_at = 1, -10.0
    assert found(notes) == {"expired, and there": 1}


@pytest.mark.parametrize(
    ("held", "well"), [({"r": 2}, True), ({"r": 3}, True), ({"r": 1}, False), ({}, False)]
)
def test_what_is_retained_is_the_last_acknowledged_or_later(
    held: dict[str, int], well: bool
) -> None:
    notes = Notes()
    notes.retained["r"] = [Message("r", n, 1, 20) for n in (1, 2, 3)]
    notes.retained["r"][1].taken = stamp()
    notes.judge_retained(held)
    assert bool(notes.findings) != well
