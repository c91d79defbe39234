"""Passwords are judged beside the loop: in turn, bounded, and remembered when right."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Callable

import pytest

from nanomq_py.auth import verifier as module
from nanomq_py.auth.chain import Decision, Login
from nanomq_py.auth.verifier import Verifier
from nanomq_py.core.declared import ReasonCode

pytestmark = pytest.mark.plain

RIGHT = Decision(ReasonCode.SUCCESS, listed=True)
WRONG = ReasonCode.BAD_USER_NAME_OR_PASSWORD
BUSY = ReasonCode.SERVER_BUSY


class Hashes:
    """Stands in for hashing: a stored "hash" is the password, and hashes wait for ``go``."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.niceness: list[int] = []
        self.threads: list[str] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, stored: str, password: bytes) -> bool:
        self.asked.append((stored, password))
        self.niceness.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        self.threads.append(threading.current_thread().name)
        assert self.go.wait(30)
        return stored.encode() == password


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> Hashes:
    made = Hashes()
    monkeypatch.setattr(module, "matches", made)
    return made


def login(
    password: bytes | None = b"p", user: str | None = "u", at: str = "192.0.2.1"
) -> Login:
    return Login(1, at, "c", user, password)


async def code(verifier: Verifier, one: Login, stored: str = "p") -> int:
    answer = verifier.judge(one, stored, RIGHT)
    return (await answer if inspect.isawaitable(answer) else answer).reason_code


async def test_right_password_is_remembered_and_no_other(hashes: Hashes) -> None:
    verifier = Verifier()
    for _ in range(3):
        assert await code(verifier, login()) == 0
        assert await code(verifier, login(b"wrong")) == WRONG
    assert verifier.judge(login(), "p", RIGHT) is RIGHT  # at once
    assert sorted(hashes.asked) == [("p", b"p"), *[("p", b"wrong")] * 3]
    assert await code(verifier, login(), "other") == WRONG  # the hash has changed
    assert await code(verifier, login(user="v"), "p") == 0
    assert len(hashes.asked) == 6
    verifier.close()


async def test_what_is_remembered_is_bounded(
    hashes: Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_RIGHT", 2)
    verifier = Verifier()
    for user in ("a", "b", "a", "c", "a"):
        assert await code(verifier, login(user=user)) == 0
    assert len(hashes.asked) == 3
    assert await code(verifier, login(user="b")) == 0
    assert len(hashes.asked) == 4
    verifier.close()


@pytest.mark.parametrize("password", [None, b""])
async def test_missing_or_empty_password_is_wrong_even_where_its_hash_is_stored(
    hashes: Hashes, password: bytes | None
) -> None:
    verifier = Verifier()
    for _ in range(2):
        assert await code(verifier, login(password), "") == WRONG
    assert len(hashes.asked) == 2
    verifier.close()


async def test_unknown_user_is_hashed_against_one_and_the_same_other(
    hashes: Hashes,
) -> None:
    verifier = Verifier()
    others = [f"stored{n}" for n in range(100)]
    verifier.decoys = [others[:30], (), others[30:]]
    for user in ("eve", "mallory", "eve"):
        assert (await verifier.refuse(login(user=user))).reason_code == WRONG
    stored = [stored for stored, _ in hashes.asked]
    assert stored[0] == stored[2]
    assert set(stored) <= set(others)
    # not even the password of that other user lets it in
    guess = login(stored[0].encode(), "eve")
    assert (await verifier.refuse(guess)).reason_code == WRONG
    assert (await verifier.refuse(guess)).reason_code == WRONG
    verifier.close()


async def test_hashes_run_in_threads_of_low_priority(hashes: Hashes) -> None:
    verifier = Verifier()
    assert verifier._pool is None  # no thread before the first login
    assert await code(verifier, login()) == 0
    assert hashes.threads[0].startswith("hashing")
    assert hashes.niceness == [module.NICENESS]
    assert os.getpriority(os.PRIO_PROCESS, 0) < module.NICENESS
    verifier.close()


async def started(*answers: Callable[[], object]) -> None:
    """Return when tasks that were made have had their turns."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_same_login_at_the_same_time_is_hashed_once(hashes: Hashes) -> None:
    hashes.go.clear()
    verifier = Verifier()
    all_ = [asyncio.ensure_future(code(verifier, login())) for _ in range(50)]
    await started()
    hashes.go.set()
    assert await asyncio.gather(*all_) == [0] * 50
    assert len(hashes.asked) == 1
    verifier.close()


async def test_too_many_are_told_that_the_server_is_busy(
    hashes: Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 6)
    monkeypatch.setattr(module, "MOST_WAITING_ALIKE", 4)
    hashes.go.clear()
    verifier = Verifier()
    verifier._threads = 1
    flood = [
        asyncio.ensure_future(code(verifier, login(b"%d" % n), "x")) for n in range(20)
    ]
    await started()
    others = [
        asyncio.ensure_future(code(verifier, login(at=f"192.0.2.{n}", user=str(n))))
        for n in range(2, 9)
    ]
    await started()
    hashes.go.set()
    # one runs, four of its address wait; of the others two
    assert sorted(await asyncio.gather(*flood)) == [WRONG] * 5 + [BUSY] * 15
    assert await asyncio.gather(*others) == [0, 0] + [BUSY] * 5
    assert await code(verifier, login()) == 0  # there is room again
    verifier.close()


async def test_addresses_take_turns(hashes: Hashes) -> None:
    hashes.go.clear()
    verifier = Verifier()
    verifier._threads = 1
    flood = [
        asyncio.ensure_future(code(verifier, login(b"%d" % n), "x")) for n in range(20)
    ]
    await started()
    other = asyncio.ensure_future(code(verifier, login(at="2001:db8::1")))
    await started()
    hashes.go.set()
    await asyncio.gather(*flood, other)
    assert hashes.asked.index(("p", b"p")) == 2  # behind the one that ran, and one more
    verifier.close()


async def test_login_that_nobody_waits_for_any_more_is_not_hashed(hashes: Hashes) -> None:
    hashes.go.clear()
    verifier = Verifier()
    verifier._threads = 1
    first = asyncio.ensure_future(code(verifier, login()))
    await started()
    verifier.patience_s = 0.0
    late = asyncio.ensure_future(code(verifier, login(b"late")))
    await started()
    hashes.go.set()
    assert await first == 0
    assert await late == BUSY
    assert len(hashes.asked) == 1
    verifier.close()


async def test_hash_that_fails_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = Verifier()  # the real hashes, of a text that is none
    assert await code(verifier, login(), "p") == BUSY
    verifier.close()


async def test_close_answers_who_waits(hashes: Hashes) -> None:
    hashes.go.clear()
    verifier = Verifier()
    verifier._threads = 1
    all_ = [asyncio.ensure_future(code(verifier, login(b"%d" % n))) for n in range(3)]
    await started()
    verifier.close()
    hashes.go.set()
    assert (await asyncio.gather(*all_))[1:] == [BUSY, BUSY]
