"""Users of the store: who comes in, who they are then, and what a change does to them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import resource
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from nanomq_py import Broker, Config
from nanomq_py.auth import database, verifier
from nanomq_py.auth.chain import Decision, Login
from nanomq_py.config import ConfigError
from nanomq_py.config.keys.access import AclRule, Auth, User
from nanomq_py.config.keys.store import StoreKeys
from nanomq_py.core.queries import ClientFilter
from nanomq_py.store.users import UserExistsError, UserKind
from tests.raw import CONNACK, Raw
from tests.raw import connect as raw_connect

pytestmark = pytest.mark.plain

URL = "nmq-tcp://127.0.0.1:0"
WRONG, NOT_AUTHORIZED = 0x86, 0x87
SALT = base64.b64encode(b"s" * 12).decode()


def hash_of(password: bytes) -> str:
    """Return a hash that costs little."""
    digest = hashlib.sha512(password + b"s" * 12).digest()
    return f"$6${SALT}${base64.b64encode(digest).decode()}"


def config(**given: Any) -> Config:
    auth = Auth(chain=("users", "database", "anonymous"))
    return Config(url=URL, auth=auth, **{"allow_anonymous": False, **given})


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return tmp_path / "nanomq.conf"


@pytest_asyncio.fixture
async def broker(conf: Path) -> AsyncIterator[Broker]:
    async with Broker(config(), conf=conf) as running:
        yield running


async def code(broker: Broker, client_id: str = "c", version: int = 5, **given: Any) -> int:
    def act() -> int:
        with Raw(broker.ports["url"], version) as c:
            return c.connect(client_id, **given).reason

    return await asyncio.to_thread(act)


@contextmanager
def connected(broker: Broker, version: int = 5) -> Iterator[Raw]:
    with Raw(broker.ports["url"], version) as c:
        yield c


# --- who asked goes away


async def test_a_change_that_nobody_waits_for_any_more_ends_connections(
    broker: Broker,
) -> None:
    await broker.put_user("u", hash=hash_of(b"x"))
    with connected(broker) as c:
        assert (
            await asyncio.to_thread(lambda: c.connect("c", user="u", password=b"x").reason)
            == 0
        )
        given_up = asyncio.create_task(broker.delete_user("u"))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert (await asyncio.to_thread(c.read)).reason == NOT_AUTHORIZED


# --- who comes in


@pytest.mark.parametrize("version", [3, 4, 5])
async def test_a_user_by_name(broker: Broker, version: int) -> None:
    assert await broker.put_user("u", hash=hash_of(b"right"))
    refused = WRONG if version == 5 else 4
    for password, expected in {b"right": 0, b"wrong": refused, b"": refused}.items():
        got = await code(broker, version=version, user="u", password=password)
        assert got == expected
    assert await code(broker, version=version, user="u") == refused
    assert await code(broker, version=version, user="v", password=b"right") == refused
    assert await code(broker, version=version, user="u", password=b"right") == 0


@pytest.mark.parametrize("version", [3, 4, 5])
async def test_a_user_by_client_identifier(broker: Broker, version: int) -> None:
    await broker.put_user("pump", hash=hash_of(b"right"), by_client_id=True)
    refused = WRONG if version == 5 else 4
    for password, expected in {b"right": 0, b"wrong": refused}.items():
        got = await code(broker, "pump", version, user="any", password=password)
        assert got == expected
    assert await code(broker, "other", version, user="any", password=b"right") == refused
    if version == 5:  # [MQTT-3.1.2-22 of 3.1.1]
        assert await code(broker, "pump", password=b"right") == 0


async def test_a_known_client_identifier_needs_its_password_where_others_need_none(
    conf: Path,
) -> None:
    async with Broker(config(allow_anonymous=True), conf=conf) as broker:
        await broker.put_user("pump", hash=hash_of(b"right"), by_client_id=True)
        assert await code(broker, "pump") == WRONG
        assert await code(broker, "other") == 0


async def test_the_password_for_a_client_identifier_proves_no_user_name(conf: Path) -> None:
    rules = (
        AclRule(permit="allow", username="admin", topics=("secret",)),
        AclRule(permit="deny", topics=("secret",)),
    )
    async with Broker(config(acl_rules=rules), conf=conf) as broker:
        await broker.put_user("pump", hash=hash_of(b"right"), by_client_id=True)
        await broker.put_user("admin", hash=hash_of(b"other"))
        with connected(broker) as c:
            # as a user of that name he would have to know its password
            wrong = await code(broker, "pump", user="admin", password=b"right")
            assert wrong == WRONG
            await broker.delete_user("admin")
            await asyncio.to_thread(c.connect, "pump", user="admin", password=b"right")
            assert await asyncio.to_thread(c.subscribe, ("secret", 0)) == [NOT_AUTHORIZED]
            page = await broker.clients(ClientFilter(client_id="pump"))
            assert page.rows[0].user_name is None


async def test_the_users_of_the_configuration_come_first(conf: Path) -> None:
    users = (User(login="u", password="theirs"),)
    async with Broker(config(users=users), conf=conf) as broker:
        await broker.put_user("u", hash=hash_of(b"ours"))
        assert await code(broker, user="u", password=b"theirs") == 0
        assert await code(broker, user="u", password=b"ours") == WRONG


async def test_a_superuser_is_bound_by_no_rule(conf: Path) -> None:
    rules = (AclRule(permit="deny", topics=("#",)),)
    async with Broker(config(acl_rules=rules), conf=conf) as broker:
        for name in ("root", "user"):
            hash = hash_of(b"x")
            await broker.put_user(name, hash=hash, is_superuser=name == "root")
        for name, granted in {"root": 0, "user": NOT_AUTHORIZED}.items():
            with connected(broker) as c:
                await asyncio.to_thread(c.connect, name, user=name, password=b"x")
                assert await asyncio.to_thread(c.subscribe, ("a", 0)) == [granted]


async def test_a_password_is_kept_as_a_slow_hash_alone(broker: Broker, conf: Path) -> None:
    await broker.put_user("u", b"the password itself")
    (user,) = await broker.users()
    assert user.hash.startswith("$scrypt$ln=14,r=8,p=1$")
    assert await code(broker, user="u", password=b"the password itself") == 0
    for path in conf.parent.glob("nanomq.db*"):
        assert b"the password itself" not in path.read_bytes()


async def test_without_the_member_nobody_is_looked_for(conf: Path) -> None:
    async with Broker(Config(url=URL, allow_anonymous=False), conf=conf) as broker:
        await broker.put_user("u", hash=hash_of(b"x"))
        assert await code(broker, user="u", password=b"x") != 0


async def test_they_survive_a_restart(conf: Path) -> None:
    for first in (True, False):
        async with Broker(config(), conf=conf) as broker:
            if first:
                await broker.put_user("u", hash=hash_of(b"x"))
            assert await code(broker, user="u", password=b"x") == 0


# --- changes


@pytest.mark.parametrize("by_client_id", [False, True])
async def test_a_change_ends_the_connections_of_the_user_at_once(
    broker: Broker, by_client_id: bool
) -> None:
    await broker.put_user("u", hash=hash_of(b"x"), by_client_id=by_client_id)
    await broker.put_user("v", hash=hash_of(b"x"))
    with connected(broker) as other, connected(broker) as c, connected(broker) as d:
        await asyncio.to_thread(other.connect, "other", user="v", password=b"x")
        await asyncio.to_thread(c.connect, "u", user="u", password=b"x")
        await broker.put_user("u", hash=hash_of(b"y"), by_client_id=by_client_id)
        packets = await asyncio.to_thread(c.read_until_closed)
        assert [p.reason for p in packets] == [NOT_AUTHORIZED]
        assert await code(broker, "u", user="u", password=b"x") == WRONG
        await asyncio.to_thread(d.connect, "u", user="u", password=b"y")
        await broker.delete_user("u", by_client_id=by_client_id)
        packets = await asyncio.to_thread(d.read_until_closed)
        assert [p.reason for p in packets] == [NOT_AUTHORIZED]
        assert await code(broker, "u", user="u", password=b"y") == WRONG
        await asyncio.to_thread(other.ping)


async def test_users_are_listed_in_pages(broker: Broker) -> None:
    for name in ("a", "b", "c"):
        await broker.put_user(name, hash=hash_of(b"x"), is_superuser=name == "b")
    await broker.put_user("d", hash=hash_of(b"x"), by_client_id=True)
    first = await broker.users(limit=2)
    rest = await broker.users(after=first[-1].name)
    found = [(user.name, user.is_superuser) for user in first + rest]
    assert found == [("a", False), ("b", True), ("c", False)]
    (other,) = await broker.users(by_client_id=True)
    assert (other.name, other.kind) == ("d", UserKind.CLIENT_ID)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"password": b""},
        {"password": b"x" * 65536},
        {"password": b"x", "hash": hash_of(b"x")},
        {"hash": "secret"},
        {"hash": "$scrypt$ln=30,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"},
    ],
)
async def test_what_cannot_be_is_refused_and_not_shown(
    broker: Broker, given: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"expected|parameters") as fault:
        await broker.put_user("u", **given)
    assert "secret" not in str(fault.value)
    assert await broker.users() == []
    with pytest.raises(KeyError):
        await broker.delete_user("u")


# --- the store fails


async def test_a_store_that_cannot_be_used_refuses_the_start_and_the_reload(
    tmp_path: Path,
) -> None:
    store = StoreKeys(path=str(tmp_path / "missing" / "x.db"))
    with pytest.raises(ConfigError, match=r"store.path=.*there is no folder"):
        await Broker(config(store=store)).start()
    async with Broker(Config(url=URL, store=store)) as broker:
        with pytest.raises(ConfigError, match=r"store.path=.*there is no folder"):
            await broker.reconfigure(config(store=store))
        assert await code(broker) == 0


async def test_a_login_that_cannot_be_looked_up_is_refused(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    await broker.put_user("u", hash=hash_of(b"x"))
    await broker._running.store.store.write(lambda c: c.execute("DROP TABLE mqtt_user"))
    assert await code(broker, user="u", password=b"x") == 0x80
    assert "authenticator database failed; its client is refused" in caplog.text
    assert "no such table" in caplog.text


async def test_a_full_disk_leaves_those_that_are_there(broker: Broker) -> None:
    await broker.put_user("u", hash=hash_of(b"x"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(Exception, match=r"store.path="):
            await broker.put_user("v" * 60_000, hash=hash_of(b"x"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert await code(broker, user="u", password=b"x") == 0


async def test_audit_lines_say_who_and_no_password(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await broker.put_user("u", b"the secret")
    await broker.put_user("u", b"the secret")
    await broker.delete_user("u", made_by="ops")
    audit = [r.getMessage() for r in caplog.records if r.name == "nanomq.audit"]
    assert audit == [
        "added: user by user name 'u', by (unknown)",
        "changed: user by user name 'u', by (unknown)",
        "deleted: user by user name 'u', by ops",
    ]
    assert "secret" not in caplog.text
    assert "$scrypt" not in caplog.text


async def test_a_login_that_is_under_way_does_not_outlive_its_user(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its password was right, and the user is deleted before the core hears of that."""
    hashing = threading.Event()
    go_on = threading.Event()

    def matches(stored: str, password: bytes) -> bool:
        hashing.set()
        return go_on.wait(20)

    monkeypatch.setattr(verifier, "matches", matches)
    for by_client_id in (False, True):
        hashing.clear()
        go_on.clear()
        await broker.put_user("u", hash=hash_of(b"x"), by_client_id=by_client_id)
        with connected(broker) as c:
            # one that was not right before: that would be remembered
            password = b"by client" if by_client_id else b"by name"
            c.send(raw_connect("u", 5, user="u", password=password))
            assert await asyncio.to_thread(hashing.wait, 20)
            await broker.delete_user("u", by_client_id=by_client_id)
            go_on.set()
            packets = await asyncio.to_thread(c.read_until_closed)
            assert [p.reason for p in packets] == [0x89]


class Slow:
    """An authenticator that takes its time."""

    name = "slow"

    def __init__(self) -> None:
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def decide(self, login: Login) -> Decision | None:
        self.asked.set()
        await self.go_on.wait()
        return Decision(0)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("change", ["a user", "the chain"])
async def test_login_that_is_under_way_while_users_change_is_told_to_come_again(
    conf: Path, change: str, version: int
) -> None:
    """It was judged by users that are none any more: CONNACK says so, and no DISCONNECT."""
    slow = Slow()
    chain = ("plugin:slow", "database", "anonymous")
    before = Config(url=URL, auth=Auth(chain=chain), allow_anonymous=False)
    broker = Broker(before, conf=conf)
    broker.add_authenticator(slow)
    async with broker:
        await broker.put_user("u", hash=hash_of(b"x"))
        with Raw(broker.ports["url"], version) as c:
            c.send(raw_connect("c", version, user="other", password=b"x"))
            await asyncio.wait_for(slow.asked.wait(), 20)
            if change == "a user":
                await broker.delete_user("u")
            else:
                await broker.reconfigure(replace(before, auth=Auth(chain=chain[:1])))
            slow.go_on.set()
            packets = await asyncio.to_thread(c.read_until_closed)
            assert [p.kind for p in packets] == [CONNACK]
            assert packets[0].reason == {4: 3, 5: 0x89}[version]
        assert await code(broker, user="other", password=b"x") == 0


async def test_a_wrong_name_takes_the_time_of_the_hashes_that_there_are(conf: Path) -> None:
    async with Broker(config(), conf=conf) as broker:
        await broker.put_user("u", hash=hash_of(b"x"))
        await broker.put_user("c", hash=hash_of(b"y"), by_client_id=True)
    async with Broker(config(), conf=conf) as broker:
        decoys = broker._running.logins.verifier.decoys
        assert {hash for hashes in decoys for hash in hashes} == {
            hash_of(b"x"), hash_of(b"y"),
        }  # fmt: skip
        assert await code(broker, user="nobody", password=b"x") == WRONG


async def test_hashes_that_stand_in_follow_the_users_that_there_are(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No reload comes between a new user and a login of an unknown one."""
    tried: list[str] = []

    def matches(stored: str, password: bytes) -> bool:
        tried.append(stored)
        return False

    monkeypatch.setattr(verifier, "matches", matches)
    await broker.put_user("u", hash=hash_of(b"x"))
    assert await code(broker, user="nobody", password=b"1") == WRONG
    assert tried == [hash_of(b"x")]
    monkeypatch.setattr(database, "MOST_DECOYS", 1)
    await broker.put_user("v", hash=hash_of(b"y"))
    assert await code(broker, user="nobody", password=b"2") == WRONG
    assert tried == [hash_of(b"x"), hash_of(b"y")]


# --- as an API asks for them


async def test_a_user_is_only_added_or_only_changed_where_asked(broker: Broker) -> None:
    with pytest.raises(KeyError):
        await broker.put_user("u", hash=hash_of(b"x"), exists=True)
    assert await broker.user("u") is None
    assert await broker.put_user("u", hash=hash_of(b"1"), exists=False, is_superuser=True)
    with pytest.raises(UserExistsError):
        await broker.put_user("u", hash=hash_of(b"2"), exists=False)
    assert await code(broker, user="u", password=b"1") == 0
    assert not await broker.put_user(
        "u", hash=hash_of(b"3"), exists=True, is_superuser=None
    )
    assert await code(broker, user="u", password=b"1") == WRONG
    assert await code(broker, user="u", password=b"3") == 0
    found = await broker.user("u")
    assert found is not None
    assert found.is_superuser
    assert 0 < found.created_at <= found.changed_at


async def test_a_list_with_its_total(broker: Broker) -> None:
    for name in ("b", "a", "c"):
        await broker.put_user(name, hash=hash_of(b"x"))
    await broker.put_user("d", hash=hash_of(b"x"), by_client_id=True)
    part = await broker.user_rows(offset=1, limit=1)
    assert ([user.name for user in part.rows], part.total) == (["b"], 3)
    assert (await broker.user_rows(offset=9)).rows == []
    assert (await broker.user_rows(by_client_id=True)).total == 1
    for wrong in ({"limit": 0}, {"limit": 10_001}, {"offset": -1}, {"offset": 1 << 63}):
        with pytest.raises(ValueError, match="expected"):
            await broker.user_rows(**wrong)
