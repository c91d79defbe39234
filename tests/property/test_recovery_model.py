"""A log that is read again, and again, and one with a hole, whatever kept sessions have done
(csrc/route/handover_restore.h)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial

import pytest

from tests._core_test import ffi, lib
from tests.journaled import (
    OF_SESSION,
    Journaled,
    State,
    journaled,
    new_broker,
    replayed,
    saved,
    state,
)
from tests.property.test_journal_model import BOUNDS, Anew, cuts, play
from tests.unit.clib import nothing_leaks

MOST_COMMIT = 40  # records


@pytest.mark.parametrize("seed", range(400, 412))
def test_what_is_recovered_twice_is_what_was_recovered_once(seed: int) -> None:
    with journaled(**BOUNDS) as home:
        play(home, seed, Anew(home, seed))
        log = home.log()  # it is killed
    with journaled(log=log, **BOUNDS) as home:
        once, log = settled(home.broker, home.log)
    with journaled(log=log, **BOUNDS) as home:
        twice, _ = settled(home.broker, home.log)
    assert twice.retained == once.retained
    assert twice.sessions == once.sessions


def without_leaving(all_: State) -> State:
    """Return the same but for what becomes of a client whose connection ends."""
    for session in all_.sessions.values():
        about = list(session["session"])
        del about[1 + OF_SESSION.index("disconnected_at_ms")], about[0]  # expires_at_ms
        session["session"] = tuple(about)
        if "will" in session:
            message, _due, *others = session["will"]
            session["will"] = (message, *others)
    return all_


@pytest.mark.parametrize("seed", range(600, 606))
def test_a_log_is_at_any_time_the_broker_that_writes_it(seed: int) -> None:
    seen = []

    with journaled(**BOUNDS) as home:

        def note(step: int) -> None:
            while step % 4 == 0:  # connections end a moment later
                log, kept = home.log(), saved(home.broker)
                if home.log() == log:
                    seen.append((without_leaving(state(kept)), log))
                    break

        play(home, seed, note)
    for then, log in seen:
        with replayed(log, **BOUNDS) as broker:
            now = without_leaving(state(saved(broker)))
        assert now.retained == then.retained
        assert now.sessions == then.sessions


def commits(log: bytes, rng: random.Random) -> list[bytes]:
    """Return the log in pieces of whole records."""
    ends = cuts(log)
    made, at = [], 0
    while at < len(log):
        ends = ends[rng.randrange(1, MOST_COMMIT) :]
        end = ends[0] if ends else len(log)
        made.append(log[at:end])
        at = end
    return made


def settled(broker: object, log: Callable[[], bytes]) -> tuple[State, bytes]:
    """Return what it keeps, and its log, once each will that is due has gone out."""
    end = time.monotonic() + 20
    while True:
        before, records = log(), saved(broker)
        soon_ms = time.time_ns() // 1_000_000 + 1000
        due = [v["due_at_ms"] for name, v in records if name == "will"]
        is_over = all(isinstance(at, int) and at > soon_ms for at in due)
        if is_over and log() == before:
            return state(records), before
        assert time.monotonic() < end
        time.sleep(0.005)


def read(log: bytes, *, skip: bool) -> tuple[Journaled, object]:
    broker = new_broker(**BOUNDS)
    passed = ffi.new("uint64_t *")
    made = lib.test_journal_over(broker, log, len(log), 0, passed if skip else ffi.NULL)
    return broker, made


@pytest.mark.parametrize("seed", range(500, 516))
def test_a_log_with_a_hole_is_read_or_refused(seed: int) -> None:
    """With `skip` it is read, and what is logged behind it can be read with it."""
    rng = random.Random(seed)
    with journaled(**BOUNDS) as home:
        play(home, seed, Anew(home, seed))
        pieces = commits(home.log(), rng)
    for _ in range(12):
        lost = {rng.randrange(len(pieces)) for _ in range(rng.choice([1, 1, 3]))}
        log = b"".join(piece for n, piece in enumerate(pieces) if n not in lost)
        with nothing_leaks():
            for skip in (False, True):
                broker, made = read(log, skip=skip)
                assert made != ffi.NULL or not skip
                if made == ffi.NULL:
                    lib.nmq_broker_free(broker)
                    continue
                once, more = settled(broker, partial(grown, made))
                lib.nmq_broker_free(broker)
                lib.test_journal_free(made)
                broker, made = read(more, skip=skip)
                assert made != ffi.NULL
                twice, _ = settled(broker, partial(grown, made))
                lib.nmq_broker_free(broker)
                lib.test_journal_free(made)
                assert twice.retained == once.retained
                assert twice.sessions == once.sessions


def grown(made: object) -> bytes:
    """Return the log with what was logged since."""
    lib.test_journal_take(made)
    length = ffi.new("size_t *")
    at = lib.test_journal_bytes(made, length)
    return bytes(ffi.buffer(at, length[0]))
