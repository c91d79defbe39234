"""Clients that are banned: at CONNECT, at accept, while they are connected, over a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from nanomq_py import Broker, Config
from nanomq_py.auth import bans as auth_bans
from nanomq_py.auth.enhanced import Step
from nanomq_py.config import ConfigError
from nanomq_py.config.keys.access import User
from nanomq_py.config.keys.listeners import Listener
from nanomq_py.config.keys.store import StoreKeys
from nanomq_py.events import AuthFailed
from nanomq_py.store.banned import Ban, BanKind, BanTable
from nanomq_py.store.faults import StoreError, StoreFullError
from tests.raw import Closed, Raw
from tests.raw import connect as raw_connect

URL = "nmq-tcp://127.0.0.1:0"
BANNED = 0x8A
ADMINISTRATIVE_ACTION = 0x98


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return tmp_path / "nanomq.conf"


@pytest_asyncio.fixture
async def broker(conf: Path) -> AsyncIterator[Broker]:
    async with Broker(Config(url=URL), conf=conf) as running:
        yield running


async def refused(broker: Broker, version: int = 5, **given: object) -> int:
    """Return the code that refuses a client; 0: it is let in."""

    def act() -> int:
        with Raw(broker.ports["url"], version) as c:
            return c.connect(**given).reason  # type: ignore[arg-type]

    return await asyncio.to_thread(act)


async def turned_away(broker: Broker, within_s: float = 20) -> bool:
    """Return whether a connection is closed before it has said anything."""

    def act() -> bool:
        with Raw(broker.ports["url"]) as c:
            return c.hears_within(within_s) and c.sock.recv(1) == b""

    return await asyncio.to_thread(act)


async def given_up(change: Coroutine[Any, Any, object]) -> None:
    """Let a change begin, and then wait for it no longer."""
    task = asyncio.create_task(change)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# --- at CONNECT


@pytest.mark.parametrize(("version", "code"), [(3, 5), (4, 5), (5, BANNED)])
@pytest.mark.spec("MQTT-3.2.2-8")
async def test_a_client_identifier_is_refused(
    broker: Broker, version: int, code: int
) -> None:
    await broker.ban(client_id="bad")
    assert await refused(broker, version, client_id="bad") == code
    assert await refused(broker, version, client_id="bad2") == 0
    assert await refused(broker, version, client_id="ba") == 0
    assert broker.stats().refused_banned == 1


async def test_a_user_name_is_refused_with_the_right_password_too(conf: Path) -> None:
    users = (User(login="bad", password="x"), User(login="good", password="x"))
    async with Broker(Config(url=URL, users=users), conf=conf) as broker:
        await broker.ban(user_name="bad")
        for password in (b"x", b"wrong"):
            code = await refused(broker, client_id="c", user="bad", password=password)
            assert code == BANNED
        assert await refused(broker, client_id="c", user="good", password=b"x") == 0


async def test_an_event_says_who_was_refused(broker: Broker) -> None:
    await broker.ban(client_id="bad", reason="not for others to read")
    async with broker.events([AuthFailed]) as events:
        await refused(broker, client_id="bad", user="u")
        event = await asyncio.wait_for(anext(events), 20)
    assert (event.client.client_id, event.client.user_name) == ("bad", "u")
    assert (event.reason_code, event.reason) == (BANNED, "banned")


async def test_a_name_that_a_method_proves_is_refused(conf: Path) -> None:
    class Exchange:
        def step(self, data: bytes | None) -> Step:
            return Step(0, user_name="bad")

    class Method:
        name = "PLAIN"

        def begin(self, client_id: str) -> Exchange:
            return Exchange()

    async with Broker(Config(url=URL), [Method()], conf=conf) as broker:
        properties = b"\x15\x00\x05PLAIN"
        assert await refused(broker, client_id="c", properties=properties) == 0
        await broker.ban(user_name="bad")
        assert await refused(broker, client_id="c", properties=properties) == BANNED


# --- at accept


async def test_an_address_is_turned_away_before_it_says_anything(broker: Broker) -> None:
    assert not await turned_away(broker, 0.3)
    await broker.ban(address="127.0.0.0/30")
    assert await turned_away(broker)
    assert broker.stats().refused_banned == 1
    assert broker.listeners()["tcp"].refused == 1
    await broker.unban(address="127.0.0.0/30")
    assert not await turned_away(broker, 0.3)
    assert await refused(broker, client_id="c") == 0


async def test_an_address_is_judged_again_at_connect(broker: Broker) -> None:
    with Raw(broker.ports["url"], 5) as early:
        early.send(b"\x10")
        await broker.ban(address="127.0.0.1")
        early.send(raw_connect("c", 5)[1:])
        assert (await asyncio.to_thread(early.read)).reason == BANNED


async def test_behind_a_proxy_the_address_is_the_one_that_it_names(conf: Path) -> None:
    balanced = Listener(name="lb", url=URL, proxy_protocol=True)
    async with Broker(Config(url=None, listeners=(balanced,)), conf=conf) as broker:
        await broker.ban(address="127.0.0.1")  # the proxy's own does not count
        await broker.ban(address="192.0.2.7")

        def code(address: str) -> int:
            with Raw(next(iter(broker.ports.values())), 5) as c:
                c.send(f"PROXY TCP4 {address} 10.0.0.1 4711 1883\r\n".encode())
                try:
                    return c.connect("c").reason
                except Closed:
                    return -1

        assert await asyncio.to_thread(code, "192.0.2.7") == -1
        assert await asyncio.to_thread(code, "192.0.2.8") == 0


# --- who is connected


@pytest.mark.parametrize(
    "whom", [{"client_id": "c"}, {"user_name": "u"}, {"address": "127.0.0.0/8"}]
)
@pytest.mark.parametrize("version", [4, 5])
async def test_who_is_connected_ends_at_once(
    broker: Broker, whom: dict[str, str], version: int
) -> None:
    with Raw(broker.ports["url"], version) as c, Raw(broker.ports["url"]) as watcher:
        watcher.connect("watcher")
        watcher.subscribe(("wills", 0))
        c.connect("c", user="u", will=("wills", b"", 0, False))
        await broker.ban(**whom)  # type: ignore[arg-type]
        packets = await asyncio.to_thread(c.read_until_closed)
        # 0x8A is no reason of a DISCONNECT (3.14.2.1)
        assert [p.reason for p in packets] == [ADMINISTRATIVE_ACTION] * (version == 5)
        if "address" not in whom:
            watcher.assert_silent()  # its will is dropped
    ended = 2 if "address" in whom else 1
    assert broker.stats().users_ended == ended


async def test_others_stay(broker: Broker) -> None:
    with Raw(broker.ports["url"]) as c:
        c.connect("c", user="u")
        await broker.ban(client_id="d")
        await broker.ban(user_name="c")
        await broker.ban(address="127.0.0.2")
        await asyncio.to_thread(c.ping)


async def test_a_client_that_comes_while_it_is_banned_does_not_stay(broker: Broker) -> None:
    """Whichever comes first: it is refused, or found among those who are connected."""
    for n in range(40):
        name = f"racer{n}"
        coming = asyncio.create_task(asyncio.to_thread(comes_and_stays, broker, name))
        for _ in range(n % 5):
            await asyncio.sleep(0)
        await broker.ban(user_name=name)
        assert await coming is False


def comes_and_stays(broker: Broker, name: str) -> bool:
    with Raw(broker.ports["url"], 5) as c:
        if c.connect(name, user=name).reason == BANNED:
            return False
        try:
            return c.read().reason != ADMINISTRATIVE_ACTION
        except TimeoutError:
            return True


# --- for how long


async def test_a_ban_ends_by_its_time(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth_bans, "FORGET_EVERY_S", 0.01)
    await broker.ban(client_id="c", until=time.time() + 2)
    await broker.ban(client_id="d", until=time.time() + 1000)
    assert await refused(broker, client_id="c") == BANNED
    while await refused(broker, client_id="c") != 0:
        await asyncio.sleep(0.02)
    assert [ban.who for ban in await broker.banned()] == ["d"]
    with pytest.raises(KeyError):
        await broker.unban(client_id="c")


async def test_bans_that_are_over_are_forgotten(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth_bans, "FORGET_EVERY_S", 0.01)
    monkeypatch.setattr(auth_bans, "AT_ONCE", 3)  # in several turns
    async with Broker(Config(url=URL), conf=conf) as broker:
        until = time.time() + 2
        for n in range(10):
            await broker.ban(client_id=f"c{n}", until=until)
        bans = broker._running.store.bans
        while bans._count:
            await asyncio.sleep(0.01)
        left = await broker._running.store.store.read(
            lambda c: c.execute("SELECT count(*) FROM banned").fetchone()
        )
        assert left == (0,)
        assert bans._timer is None


async def test_bans_survive_a_restart(conf: Path) -> None:
    until = time.time() + 1000
    async with Broker(Config(url=URL), conf=conf) as broker:
        await broker.ban(client_id="c", until=until, made_by="admin", reason="leaks")
        await broker.ban(user_name="u")
        await broker.ban(address="10.0.0.0/8")
        over = Ban(BanKind.CLIENT_ID, "over", until=until - 2000, since=until - 3000)
        await BanTable(broker._running.store.store).put([over])
    async with Broker(Config(url=URL), conf=conf) as broker:
        assert await refused(broker, client_id="c") == BANNED
        assert await refused(broker, client_id="d", user="u") == BANNED
        assert await refused(broker, client_id="over") == 0
        found = await broker.banned()
    assert [(ban.kind, ban.who) for ban in found] == [
        (BanKind.CLIENT_ID, "c"),
        (BanKind.USER_NAME, "u"),
        (BanKind.ADDRESS, "10.0.0.0/8"),
    ]
    first = found[0]
    assert (first.until, first.made_by, first.reason) == (until, "admin", "leaks")
    assert conf.with_suffix(".db").exists()


async def test_a_broker_whose_store_is_damaged_does_not_start(conf: Path) -> None:
    conf.with_suffix(".db").write_text("damaged" * 1000)
    with pytest.raises(ConfigError, match="not a database: name another file"):
        await Broker(Config(url=URL), conf=conf).start()


async def test_bans_that_a_reload_could_not_read_are_read_by_the_next(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await broker.put_user("u", password=b"p")  # makes the file
    table = BanTable(broker._running.store.store)
    await table.put([Ban(BanKind.CLIENT_ID, "c", until=None, since=0.0)])

    async def fail(*_: object) -> None:
        raise StoreError("damaged")

    with monkeypatch.context() as patch:
        patch.setattr(BanTable, "keys", fail)
        with pytest.raises(ConfigError, match="damaged"):
            await broker.reconfigure(Config(url=URL, max_keepalive=9))
    await broker.reconfigure(Config(url=URL, max_keepalive=9))
    assert await refused(broker, client_id="c") == BANNED


async def test_without_a_place_bans_end_with_the_broker() -> None:
    broker = Broker(Config(url=URL))
    async with broker:
        await broker.ban(client_id="c")
        assert await refused(broker, client_id="c") == BANNED
    async with broker:
        assert await refused(broker, client_id="c") == 0
        assert await broker.banned() == []


# --- what is said and kept


async def test_a_broker_that_bans_nobody_makes_no_file(broker: Broker, conf: Path) -> None:
    assert await broker.banned() == []
    with pytest.raises(KeyError):
        await broker.unban(client_id="c")
    assert list(conf.parent.iterdir()) == []


async def test_bans_come_in_pages(broker: Broker) -> None:
    for n in range(5):
        await broker.ban(client_id=f"c{n}")
    await broker.ban(user_name="c0")
    found: list[Ban] = []
    while page := await broker.banned(after=found[-1] if found else None, limit=2):
        assert len(page) <= 2
        found += page
    assert [ban.who for ban in found] == ["c0", "c1", "c2", "c3", "c4", "c0"]


async def test_a_ban_takes_the_place_of_one_of_the_same(broker: Broker) -> None:
    await broker.ban(address="192.0.2.1", reason="first")
    await broker.ban(address="192.0.2.1/32", reason="second")
    assert [ban.reason for ban in await broker.banned()] == ["second"]
    await broker.unban(address="::ffff:192.0.2.1")
    assert await broker.banned() == []


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"client_id": "c", "user_name": "u"},
        {"client_id": ""},
        {"user_name": "a\0"},
        {"client_id": "x" * 65536},
        {"address": "localhost"},
        {"address": "192.0.2.1/33"},
        {"address": "fe80::1%eth0"},
        {"client_id": "c", "until": 1.0},
        {"client_id": "c", "until": float("nan")},
        {"client_id": "c", "until": 1e300},
        {"client_id": "c", "reason": "a\nb"},
        {"client_id": "c", "made_by": "x" * 1025},
    ],
)
async def test_what_cannot_be_is_refused(broker: Broker, given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        await broker.ban(**given)  # type: ignore[arg-type]
    assert await broker.banned() == []


async def test_bans_have_a_bound(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth_bans, "MOST_BANS", 1)
    await broker.ban(client_id="c")
    with pytest.raises(StoreFullError, match="banned already"):
        await broker.ban(client_id="d")
    assert await refused(broker, client_id="d") == 0


async def test_a_ban_that_cannot_be_kept_is_not_in_force(tmp_path: Path) -> None:
    config = Config(url=URL, store=StoreKeys(path=str(tmp_path / "missing" / "x.db")))
    async with Broker(config) as broker:
        with pytest.raises(StoreError, match="there is no folder"):
            await broker.ban(client_id="c")
        assert await refused(broker, client_id="c") == 0


async def test_one_audit_line_says_who_by_whom_and_why(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "nanomq.audit")
    await broker.ban(client_id="\u202ec", made_by="admin", reason="leaks")
    await broker.unban(client_id="\u202ec", made_by="admin")
    assert caplog.messages == [
        "banned: client id '\\u202ec': for ever, by admin: leaks",
        "no longer banned: client id '\\u202ec': by admin",
    ]


# --- as an API asks for them


async def test_a_list_with_its_total_and_one_of_it(broker: Broker) -> None:
    assert (await broker.ban_rows()).total == 0
    began = time.time() - 100
    made = await broker.ban(
        client_id="b", until=time.time() + 300, since=began, made_by="me", reason="why"
    )
    assert made.since == began
    await broker.ban(client_id="a")
    await broker.ban(address="192.0.2.0/24")
    part = await broker.ban_rows(offset=1, limit=1)
    assert (part.rows, part.total) == ([made], 3)
    assert await broker.ban_of(client_id="b") == made
    assert await broker.ban_of(client_id="c") is None
    found = await broker.ban_of(address="192.0.2.0/24")
    assert found is not None
    assert found.who == "192.0.2.0/24"


async def test_a_ban_that_is_over_is_in_no_list(broker: Broker) -> None:
    await broker.ban(client_id="a", until=time.time() + 1)
    deadline = time.monotonic() + 20
    while (await broker.ban_rows()).total:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert await broker.ban_of(client_id="a") is None


@pytest.mark.parametrize("since", [-1.0, 9e9, float("nan")])
async def test_a_ban_begins_at_a_time_that_has_come(broker: Broker, since: float) -> None:
    with pytest.raises(ValueError, match="since="):
        await broker.ban(client_id="a", since=since)
    assert await broker.ban_of(client_id="a") is None


# --- who asked goes away


async def test_a_ban_that_nobody_waits_for_any_more_is_in_force_too(broker: Broker) -> None:
    """Else a list would show a ban that does not count, and that nobody can take back."""
    await given_up(broker.ban(client_id="bad"))
    await broker.ban(client_id="other")  # after it
    assert await refused(broker, client_id="bad") == BANNED
    assert [each.who for each in await broker.banned()] == ["bad", "other"]
    await given_up(broker.unban(client_id="bad"))
    await broker.unban(client_id="other")
    assert await refused(broker, client_id="bad") == 0
    await broker.ban(client_id="bad")
    await broker.unban(client_id="bad")
