"""Every authenticator against every kind of password; and what a failed login leaves behind."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nanomq_py import Broker, Config
from nanomq_py.auth import verifier
from nanomq_py.auth.chain import Decision, Login
from nanomq_py.auth.hashing import hashed
from nanomq_py.config.keys.access import Auth, User
from nanomq_py.config.keys.log import Log
from nanomq_py.events import AuthFailed
from tests import raw
from tests.conformance.flows import text
from tests.raw import CONNACK, Raw
from tests.test_logins import pbkdf2, sha512

WRONG, DENIED, BUSY, NO_METHOD = 0x86, 0x87, 0x89, 0x8C


class Own:
    """An authenticator of a program, which needs time."""

    name = "own"

    async def decide(self, login: Login) -> Decision | None:
        await asyncio.sleep(0)
        if login.user_name != "own":
            return None
        return Decision(0 if login.password == b"right" else WRONG)


USERS = {
    "scrypt": hashed(b"right"),
    "pbkdf2": pbkdf2("right"),
    "sha512": sha512("right"),
}


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    file = tmp_path / "users"
    file.write_text("".join(f"{name}:{stored}\n" for name, stored in USERS.items()))
    config = Config(
        url="nmq-tcp://127.0.0.1:0",
        users=(User(login="conf", password="right"),),
        auth=Auth(password_file=str(file)),
        log=Log(level="info"),
    )
    broker = Broker(config)
    broker.add_authenticator(Own())
    async with broker:
        yield broker


def connack(broker: Broker, **given: object) -> int:
    with Raw(broker.ports["url"], 5) as c:
        c.send(raw.connect("c", 5, **given))  # type: ignore[arg-type]
        return c.expect(CONNACK).reason


PASSWORDS: dict[str, bytes | None] = {
    "right": b"right",
    "wrong": b"wrong",
    "longer": b"right\0",
    "empty": b"",
    "missing": None,
    "huge": b"right" * 12_000,
    "not UTF-8": b"\xff\xfe\x00\x80",
}


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("user", ["conf", *USERS, "own", "stranger"])
async def test_only_the_right_password_lets_a_user_in(
    broker: Broker, user: str, password: str
) -> None:
    given = {"user": user, "password": PASSWORDS[password]}
    is_right = password == "right" and user != "stranger"
    if password == "longer" and user in ("scrypt", "pbkdf2"):
        is_right = True  # HMAC, which both are made of, fills short keys up with zeros
    for _ in range(2):  # the second time something may be remembered
        code = await asyncio.to_thread(connack, broker, **given)
        assert code == (0 if is_right else WRONG)


async def test_clients_without_a_user_name(broker: Broker) -> None:
    assert await asyncio.to_thread(connack, broker) == 0
    assert await asyncio.to_thread(connack, broker, user="", password=b"wrong") == 0
    assert await asyncio.to_thread(connack, broker, password=b"right") == WRONG


METHOD, DATA = text(0x15, "SCRAM-SHA-256"), 0x16
FAILURES: dict[str, tuple[dict[str, object], int]] = {
    "wrong password": ({"user": "conf", "password": b"geheim"}, WRONG),
    "wrong password of the file": ({"user": "scrypt", "password": b"geheim"}, WRONG),
    "nobody": ({"user": "stranger", "password": b"geheim"}, WRONG),
    "unknown method": ({"properties": text(0x15, "GEHEIM")}, NO_METHOD),
    "bad data": ({"properties": METHOD + text(DATA, "geheim")}, DENIED),
    "too many data": ({"properties": METHOD + text(DATA, "geheim" * 200)}, DENIED),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_failed_login_has_one_code_one_event_one_count_and_one_line(
    broker: Broker, failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    given, code = FAILURES[failure]
    caplog.set_level("INFO", "nanomq")
    async with broker.events([AuthFailed]) as events:
        assert await asyncio.to_thread(connack, broker, **given) == code
        event = await anext(events)
        assert (event.client.client_id, event.reason_code) == ("c", code)
        assert broker.stats().logins_refused == 1
        assert await asyncio.to_thread(connack, broker, **FAILURES["nobody"][0]) == WRONG
        assert (await anext(events)).client.user_name == "stranger"  # there was no other

    async def logged() -> None:
        while len([line for line in caplog.messages if "refused" in line]) < 2:
            await asyncio.sleep(0.01)

    await asyncio.wait_for(logged(), 20)
    await broker.stop()  # then all is told
    assert len([line for line in caplog.messages if "refused" in line]) == 2
    assert "geheim" not in "".join(caplog.messages)


async def test_busy_login_has_one_code_one_event_and_one_count(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifier, "MOST_WAITING", 0)
    async with broker.events([AuthFailed]) as events:
        given = {"user": "scrypt", "password": b"right"}
        assert await asyncio.to_thread(connack, broker, **given) == BUSY
        assert (await anext(events)).reason_code == BUSY
        assert broker.stats().logins_refused == 1


# --- time


async def refused_s(broker: Broker, user: str, n: int) -> float:
    """Return how long refusing takes: another password from another address each time."""
    login = Login(1, f"192.0.{n}.2", LOGINS[user], user, b"wrong-%d" % n)
    began = time.perf_counter()
    answer = broker._running.logins._chain.decide(login)
    decision = answer if isinstance(answer, Decision) else await answer
    taken_s = time.perf_counter() - began
    assert decision.reason_code == WRONG
    return taken_s


# The client identifier of each user: those of the password file, of the configuration, of the
# store by user name and by client identifier, and one that there is not.
LOGINS = {"user-1": "c", "conf": "c", "stored": "c", "any": "pump", "nobody": "c"}


@pytest.fixture
async def slow_broker(tmp_path: Path) -> AsyncIterator[Broker]:
    """A broker that has scrypt alone, as of nanomq passwd and of an API."""
    file = tmp_path / "users"
    file.write_text("".join(f"user-{n}:{hashed(b'%d' % n)}\n" for n in range(4)))
    config = Config(
        url="nmq-tcp://127.0.0.1:0",
        users=(User(login="conf", password="right"),),
        auth=Auth(
            chain=("users", "file", "database", "anonymous"), password_file=str(file)
        ),
    )
    async with Broker(config, conf=tmp_path / "x.conf") as broker:
        await broker.put_user("stored", b"right")
        await broker.put_user("pump", b"right", by_client_id=True)
        yield broker


@pytest.mark.alone
async def test_wrong_user_takes_the_time_of_a_wrong_password(slow_broker: Broker) -> None:
    times: dict[str, list[float]] = {user: [] for user in LOGINS}
    for n in range(15):  # side by side: the machine may be busy for a while
        for user in LOGINS:
            times[user].append(await refused_s(slow_broker, user, n))
    found = {user: statistics.median(times[user]) for user in LOGINS}
    assert max(found.values()) < 1.5 * min(found.values()), found
