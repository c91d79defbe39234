"""Failed logins: who waits how long, and what is kept of whom."""

from __future__ import annotations

import asyncio

import pytest

from nanomq_py.auth import answers, throttle
from nanomq_py.auth.answers import Answers
from nanomq_py.auth.enhanced import Step
from nanomq_py.auth.throttle import Throttle

pytestmark = pytest.mark.plain

HERE, THERE = "192.0.2.1", "192.0.2.2"
WRONG, RIGHT, BUSY = Step(0x86), Step(0), Step(0x89)


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(throttle, "time", made)
    return made


def fail(made: Throttle, times: int, address: str = HERE, user: str = "u") -> None:
    for _ in range(times):
        made.failed(address, user)


def test_wait_doubles_to_a_second(clock: Clock) -> None:
    made = Throttle()
    waits = []
    for _ in range(12):
        waits.append(made.wait_s(HERE, "u"))
        fail(made, 1)
    assert waits == [0, 0, 0, 0, 0, 0, 0.1, 0.2, 0.4, 0.8, 1, 1]


def test_other_users_and_addresses_do_not_wait_for_one_wrong_client(clock: Clock) -> None:
    made = Throttle()
    fail(made, 10_000)
    assert made.wait_s(HERE, "v") == made.wait_s(THERE, "u") == 0


def test_address_that_tries_many_users_waits_for_all_of_them(clock: Clock) -> None:
    made = Throttle()
    for n in range(30):
        fail(made, 1, user=f"u{n}")
    assert made.wait_s(HERE, "another") == 1
    assert made.wait_s(THERE, "another") == 0


def test_user_that_is_tried_from_many_addresses_waits_everywhere(clock: Clock) -> None:
    made = Throttle()
    for n in range(30):
        fail(made, 1, address=f"192.0.2.{n}")
    assert made.wait_s("198.51.100.1", "u") == 1
    assert made.wait_s("198.51.100.1", "v") == 0


def test_network_of_64_bits_is_one_address(clock: Clock) -> None:
    made = Throttle()
    for n in range(8):
        fail(made, 1, address=f"2001:db8::{n:x}")
    assert made.wait_s("2001:db8::ffff", "u") == 0.4
    assert made.wait_s("2001:db8:0:1::1", "u") == 0


def test_right_login_ends_the_wait_unless_somebody_guesses(clock: Clock) -> None:
    made = Throttle()
    fail(made, 20)
    made.succeeded(HERE, "u")
    assert made.wait_s(HERE, "u") == 1
    clock.now += throttle.CALM_S + 1
    made.succeeded(HERE, "u")
    assert made.wait_s(HERE, "u") == 0


def test_failures_are_forgotten(clock: Clock) -> None:
    made = Throttle()
    fail(made, 20)
    clock.now += throttle.FORGET_AFTER_S + 1
    assert made.wait_s(HERE, "u") == 0


def test_what_is_kept_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST_KEYS", 10)
    made = Throttle()
    for n in range(1000):
        fail(made, 1, address=f"198.51.{n // 250}.{n % 250}", user="u" * n)
    assert len(made) <= 30


# --- answers to MQTT clients


class Given(list[tuple[int, Step]]):
    def give(self, number: int, step: Step) -> None:
        self.append((number, step))


async def test_wrong_and_right_answers_of_one_user_are_slowed_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(throttle, "FIRST_WAIT_S", 0.01)
    given = Given()
    made = Answers(given.give)
    for number in range(6):
        made.put(number, HERE, "u", WRONG)
    assert given == [(n, WRONG) for n in range(6)]
    made.put(6, HERE, "u", RIGHT)
    made.put(7, HERE, "v", RIGHT)
    assert given[6:] == [(7, RIGHT)]
    while len(given) < 8:
        await asyncio.sleep(0.001)
    assert given[7] == (6, RIGHT)
    assert len(made) == 0


@pytest.mark.parametrize("bound", ["MOST_WAITING", "MOST_WAITING_ALIKE"])
async def test_answers_that_wait_are_bounded(
    monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(answers, bound, 3)
    given = Given()
    made = Answers(given.give)
    for number in range(12):
        made.put(number, HERE, "u", WRONG)
    assert given[6:] == [(9, BUSY), (10, BUSY), (11, BUSY)]
    made.forget(6)
    made.put(12, HERE, "u", RIGHT)
    assert len(made) == 3
    made.close()
    assert len(made) == 0
    assert not made._waiting._alike
