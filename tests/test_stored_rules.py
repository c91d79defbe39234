"""Access rules of the store: which one decides, and what a change does to who is connected."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from nanomq_py import Broker, Config
from nanomq_py.auth import acl
from nanomq_py.auth.stored_rules import LINES_AT_ONCE, _grouped
from nanomq_py.config import ConfigError
from nanomq_py.config.keys.access import AclRule, Auth, User
from nanomq_py.core.rules import Rules
from nanomq_py.store import rules
from nanomq_py.store.faults import StoreFullError
from nanomq_py.store.rules import AccessRule, Action, RuleKind
from tests.raw import PUBLISH, Raw

URL = "nmq-tcp://127.0.0.1:0"
NO = 0x87
USERS = (User(login="ann", password="x"), User(login="bob", password="x"))
PUB, SUB, BOTH = Action.PUBLISH, Action.SUBSCRIBE, Action.PUBSUB


def config(**given: Any) -> Config:
    return Config(url=URL, **{"users": USERS, "acl_nomatch": "deny", **given})


def allow(topic: str, action: Action = BOTH, **whom: str) -> AccessRule:
    return AccessRule(topic=topic, action=action, allow=True, **whom)


def deny(topic: str, action: Action = BOTH, **whom: str) -> AccessRule:
    return AccessRule(topic=topic, action=action, allow=False, **whom)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return tmp_path / "nanomq.conf"


@pytest_asyncio.fixture
async def broker(conf: Path) -> AsyncIterator[Broker]:
    async with Broker(config(), conf=conf) as running:
        yield running


async def entered(broker: Broker, client_id: str, **given: Any) -> Raw:
    def act() -> Raw:
        c = Raw(broker.ports["url"], 5)
        assert c.connect(client_id, **given).reason == 0
        return c

    return await asyncio.to_thread(act)


async def subscribed(c: Raw, *topics: str) -> list[int]:
    return await asyncio.to_thread(c.subscribe, *((topic, 0) for topic in topics))


async def published(c: Raw, topic: str) -> int:
    def act() -> int:
        c.publish(topic, b"x", qos=1, packet_id=7)
        return c.read().reason

    return await asyncio.to_thread(act)


# --- which one decides


async def test_rules_of_a_client_then_of_its_user_then_for_everybody(
    broker: Broker,
) -> None:
    await broker.put_rules(
        allow("a/#"),
        deny("a/user", user_name="ann"),
        allow("a/both", user_name="ann"),
        deny("a/both", client_id="c"),
        deny("a/+"),  # newer than the first, older than nothing of a client or user
        allow("a/mine", client_id="c"),
    )
    c = await entered(broker, "c", user="ann", password=b"x")
    asked = ("a/mine", "a/user", "a/both", "a/x", "a/x/y", "b")
    assert await subscribed(c, *asked) == [0, NO, NO, NO, 0, NO]
    c.close()
    d = await entered(broker, "d", user="ann", password=b"x")
    assert await subscribed(d, *asked) == [NO, NO, 0, NO, 0, NO]
    d.close()


async def test_the_newest_of_one_client_decides_first(broker: Broker) -> None:
    await broker.put_rules(allow("a/#", client_id="c"))
    await broker.put_rules(deny("a/b", client_id="c"))
    c = await entered(broker, "c")
    assert await subscribed(c, "a/b", "a/c") == [NO, 0]
    await broker.put_rules(allow("a/#", client_id="c"))  # again, so it is the newest
    assert await subscribed(c, "a/b", "a/c") == [0, 0]
    c.close()


async def test_each_action_has_a_rule_of_its_own(broker: Broker) -> None:
    await broker.put_rules(
        allow("up", PUB, client_id="c"), allow("down", SUB, client_id="c")
    )
    c = await entered(broker, "c")
    assert await subscribed(c, "up", "down") == [NO, 0]
    assert [await published(c, "up"), await published(c, "down")] == [0x10, NO]
    await broker.put_rules(deny("up", BOTH, client_id="c"))
    assert await published(c, "up") == NO
    c.close()


async def test_marks_stand_for_the_names_of_the_client(broker: Broker) -> None:
    await broker.put_rules(allow("of/%c/#"), allow("home/%u"))
    c = await entered(broker, "c", user="ann", password=b"x")
    assert await subscribed(c, "of/c/x", "of/d/x", "home/ann", "home/bob") == [0, NO, 0, NO]
    c.close()


async def test_they_stand_before_the_rules_of_the_configuration(conf: Path) -> None:
    rules = (AclRule(permit="deny", topics=("a/#",)), AclRule(permit="allow"))
    async with Broker(config(acl_rules=rules), conf=conf) as broker:
        c = await entered(broker, "c")
        assert await subscribed(c, "a/b", "b") == [NO, 0]
        await broker.put_rules(allow("a/b"), deny("b"))
        assert await subscribed(c, "a/b", "a/c", "b", "d") == [0, NO, NO, 0]
        c.close()


async def test_a_superuser_is_bound_by_none(conf: Path) -> None:
    async with Broker(config(auth=Auth(superusers=("ann",))), conf=conf) as broker:
        await broker.put_rules(deny("#"))
        c = await entered(broker, "c", user="ann", password=b"x")
        assert await subscribed(c, "a") == [0]
        c.close()


async def test_rules_about_users_want_users_who_prove_their_names(conf: Path) -> None:
    async with Broker(config(users=()), conf=conf) as broker:
        for rule in (allow("a", user_name="ann"), allow("home/%u")):
            with pytest.raises(ValueError, match="no client has to prove its user name"):
                await broker.put_rules(rule)
        await broker.put_rules(allow("a", client_id="c"))


async def test_rules_about_users_do_not_count_while_nobody_proves_a_name(
    conf: Path,
) -> None:
    async with Broker(config(), conf=conf) as broker:
        await broker.put_rules(allow("a", user_name="ann"), allow("b"))
        await broker.reconfigure(config(users=()))
        c = await entered(broker, "c", user="ann", password=b"x")
        assert await subscribed(c, "a", "b") == [NO, 0]
        c.close()
        await broker.reconfigure(config())
        c = await entered(broker, "c", user="ann", password=b"x")
        assert await subscribed(c, "a", "b") == [0, 0]
        c.close()


# --- a change


async def test_a_change_ends_subscriptions_at_once(broker: Broker) -> None:
    await broker.put_rules(allow("#"))
    c = await entered(broker, "c")
    other = await entered(broker, "d")
    for each in (c, other):
        assert await subscribed(each, "a/b", "a/c") == [0, 0]
    await broker.put_rules(deny("a/b", client_id="c"))
    assert broker.publish("a/b", b"no") == 1
    assert broker.publish("a/c", b"yes") == 2
    assert (await asyncio.to_thread(c.expect, PUBLISH)).topic == "a/c"
    assert (await asyncio.to_thread(other.expect, PUBLISH)).topic == "a/b"
    await broker.delete_rules("a/b", client_id="c")
    assert await subscribed(c, "a/b") == [0]
    c.close()
    other.close()


async def test_a_change_counts_for_wills(broker: Broker) -> None:
    await broker.put_rules(allow("#"))
    watcher = await entered(broker, "w")
    assert await subscribed(watcher, "will/#") == [0]
    c = await entered(broker, "c", will=("will/c", b"gone", 0, False))
    d = await entered(broker, "d", will=("will/d", b"gone", 0, False))
    await broker.put_rules(deny("will/#", PUB, client_id="c"))
    c.close()
    d.close()
    got = await asyncio.to_thread(watcher.expect, PUBLISH)
    assert got.topic == "will/d"
    await asyncio.to_thread(watcher.assert_silent)
    watcher.close()


async def test_a_change_counts_for_retained_messages(broker: Broker) -> None:
    await broker.put_rules(allow("#"))
    c = await entered(broker, "c")
    for topic in ("r/1", "r/2"):
        await asyncio.to_thread(c.publish, topic, b"x", retain=True)
    await asyncio.to_thread(c.ping)
    await broker.put_rules(deny("r/1", PUB, client_id="c"))
    d = await entered(broker, "d")
    assert await subscribed(d, "r/#") == [0]
    assert (await asyncio.to_thread(d.expect, PUBLISH)).topic == "r/2"
    await asyncio.to_thread(d.assert_silent)
    c.close()
    d.close()


async def test_a_change_counts_for_messages_that_wait(broker: Broker) -> None:
    await broker.put_rules(allow("#"))
    kept = {"clean": False, "properties": b"\x11\x00\x00\x0e\x10"}
    c = await entered(broker, "c", **kept)
    assert await asyncio.to_thread(c.subscribe, ("a/#", 1), ("b", 1)) == [1, 1]
    await asyncio.to_thread(c.leave)
    for topic in ("a/1", "b"):
        assert broker.publish(topic, b"x", qos=1) == 1
    await broker.put_rules(deny("a/#", SUB, client_id="c"))
    c = await entered(broker, "c", **kept)
    assert (await asyncio.to_thread(c.expect, PUBLISH)).topic == "b"
    c.close()


async def test_many_changes_at_once_are_all_in_force(broker: Broker) -> None:
    await asyncio.gather(
        *(broker.put_rules(allow(f"t/{n}", client_id="c")) for n in range(40))
    )
    c = await entered(broker, "c")
    assert await subscribed(c, *(f"t/{n}" for n in range(41))) == [0] * 40 + [NO]
    c.close()


async def test_a_change_beside_one_of_the_configuration(broker: Broker) -> None:
    other = config(acl_rules=(AclRule(permit="allow", topics=("conf",)),))
    change = await broker.prepare(other)
    await broker.put_rules(allow("store"))
    change.commit()
    await change.settle()
    c = await entered(broker, "c")
    assert await subscribed(c, "store", "conf", "none") == [0, 0, NO]
    c.close()


# --- over a restart


async def test_they_are_in_force_from_the_start(conf: Path) -> None:
    async with Broker(config(), conf=conf) as broker:
        await broker.put_rules(allow("a"), deny("b", client_id="c"))
    async with Broker(config(), conf=conf) as broker:
        c = await entered(broker, "c")
        assert await subscribed(c, "a", "b") == [0, NO]
        c.close()
        assert (await broker.rules(RuleKind.ALL)).total == 1


async def test_a_session_that_is_handed_over_keeps_what_they_allow(conf: Path) -> None:
    first, second = Broker(config(), conf=conf), Broker(config(), conf=conf)
    await first.start()
    await first.put_rules(allow("a"), allow("home/%u"))
    kept = {"clean": False, "properties": b"\x11\x00\x00\x0e\x10"}
    c = await entered(first, "c", user="ann", password=b"x", **kept)
    assert await subscribed(c, "a", "home/ann") == [0, 0]
    left = first.hand_over()
    await first.stop()
    c.close()
    for _, sock in left.sockets:
        sock.close()
    state = os.pread(left.state, os.fstat(left.state).st_size, 0)
    os.close(left.state)
    await second.start(state=state)
    topics = [s.topic_filter for s in (await second.subscriptions()).rows]
    await second.stop()
    assert sorted(topics) == ["a", "home/ann"]


async def test_a_store_that_cannot_be_read_refuses_the_start(conf: Path) -> None:
    conf.with_suffix(".db").write_bytes(b"no database at all" * 100)
    with pytest.raises(ConfigError, match=r"store\.path"):
        await Broker(config(), conf=conf).start()


async def test_without_a_store_nothing_is_loaded(conf: Path) -> None:
    for name in [n for n in sys.modules if n.startswith("nanomq_py.auth.stored_rules")]:
        del sys.modules[name]
    async with Broker(config(), conf=conf):
        assert "nanomq_py.auth.stored_rules" not in sys.modules
    assert not conf.with_suffix(".db").exists()


# --- lists, and what cannot be


async def test_lists_go_by_kind_and_by_whom(broker: Broker) -> None:
    await broker.put_rules(
        allow("a"), allow("x", client_id="c"), deny("y", client_id="c"),
        allow("z", client_id="b"), allow("u", user_name="ann"),
    )  # fmt: skip
    page = await broker.rules(RuleKind.CLIENT_ID)
    assert [(r.client_id, r.topic) for r in page.rows] == [
        ("b", "z"),
        ("c", "y"),
        ("c", "x"),
    ]
    assert page.total == 3
    part = await broker.rules(RuleKind.CLIENT_ID, offset=1, limit=1)
    assert [r.topic for r in part.rows] == ["y"]
    assert part.total == 3
    assert [r.topic for r in (await broker.rules(RuleKind.CLIENT_ID, "c")).rows] == [
        "y",
        "x",
    ]
    assert (await broker.rules(RuleKind.CLIENT_ID, "no")).rows == []
    assert [r.topic for r in (await broker.rules(RuleKind.USER_NAME)).rows] == ["u"]
    assert [r.topic for r in (await broker.rules(RuleKind.ALL)).rows] == ["a"]
    assert page.rows[0].made_at > 0


async def test_what_is_absent_is_deleted_without_a_fault(broker: Broker) -> None:
    assert await broker.delete_rules("a") == 0
    await broker.put_rules(allow("a", PUB), deny("a", SUB), allow("b"))
    assert await broker.delete_rules("a") == 2
    assert [r.topic for r in (await broker.rules(RuleKind.ALL)).rows] == ["b"]


@pytest.mark.parametrize(
    "rule",
    [
        allow("a/#/b"), allow(""), allow("a\nb"), allow("\ud800"), allow("a", client_id=""),
        allow("a", client_id="c", user_name="ann"), allow("a", user_name="a\0"),
    ],
)  # fmt: skip
async def test_what_cannot_be_a_rule_is_refused_with_all(
    broker: Broker, rule: AccessRule
) -> None:
    with pytest.raises(ValueError, match="expected"):
        await broker.put_rules(allow("good"), rule)
    assert (await broker.rules(RuleKind.ALL)).total == 0


async def test_what_nobody_waits_for_any_more_is_in_force_too(broker: Broker) -> None:
    """Else a list would show a rule that counts only after a restart."""
    await broker.put_rules(allow("a", client_id="c"), allow("b", client_id="c"))
    c = await entered(broker, "c")
    for change in (
        broker.put_rules(deny("a", client_id="c")),
        broker.delete_rules("b", client_id="c"),
    ):
        given_up = asyncio.ensure_future(change)
        await asyncio.sleep(0)  # it has begun
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
    await broker.put_rules(allow("other"))  # after them
    kept = await broker.rules(RuleKind.CLIENT_ID)
    assert [(rule.topic, rule.allow) for rule in kept.rows] == [("a", False)]
    assert [await published(c, "a"), await published(c, "b")] == [NO, NO]
    c.close()


async def test_a_store_that_cannot_be_read_takes_no_half_of_a_change(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await broker.put_rules(allow("a", client_id="c"))
    c = await entered(broker, "c")

    async def fails(act: object) -> None:
        raise StoreFullError("others wait")

    monkeypatch.setattr(broker._running.store.store, "read", fails)
    await broker.put_rules(deny("a", client_id="c"), allow("b", client_id="c"))
    assert [await published(c, "a"), await published(c, "b")] == [NO, 0x10]
    await broker.delete_rules("b", client_id="c")
    assert await published(c, "b") == NO
    c.close()


async def test_they_have_a_bound(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MOST_RULES", 2)
    await broker.put_rules(allow("a"), allow("b"))
    with pytest.raises(StoreFullError, match="more than 2 access rules"):
        await broker.put_rules(allow("c"))
    await broker.put_rules(deny("a"))  # in place of one
    assert (await broker.rules(RuleKind.ALL)).total == 2


# --- what a change costs others


async def test_rules_of_before_are_freed_off_the_loop(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of 100,000 takes some tenths of a second."""
    threads: list[threading.Thread] = []

    class Watched(Rules):
        def __init__(self, *given: Any, **more: Any) -> None:
            super().__init__(*given, **more)
            weakref.finalize(self, lambda: threads.append(threading.current_thread()))

    monkeypatch.setattr(acl, "Rules", Watched)
    await broker.put_rules(allow("a", client_id="c"))
    await broker.put_rules(allow("b", client_id="c"))
    until = time.monotonic() + 20
    while not threads:
        assert time.monotonic() < until
        await asyncio.sleep(0.01)
    assert threads[0] is not threading.main_thread()


async def test_others_have_the_loop_while_many_rules_are_logged(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    many = 3 * LINES_AT_ONCE
    most = before = 0

    async def count() -> None:
        nonlocal most, before
        while True:
            most, before = max(most, len(caplog.records) - before), len(caplog.records)
            await asyncio.sleep(0)

    caplog.set_level("INFO", "nanomq.audit")
    counting = asyncio.create_task(count())
    await broker.put_rules(*(allow(f"a/{n}", client_id="c") for n in range(many)))
    await asyncio.sleep(0)
    counting.cancel()
    assert sum("access rule by" in each.message for each in caplog.records) == many
    assert 0 < most <= LINES_AT_ONCE


# --- many


def test_rules_of_a_client_are_one_object_for_the_garbage_collector() -> None:
    """It stops the event loop while it looks at all of them."""
    many = 1000
    gc.collect()
    before = len(gc.get_objects())
    made = _grouped(
        [
            AccessRule(
                client_id=f"c{n}", topic=f"up/{n}/#", action=Action.PUBSUB, allow=True
            )
            for n in range(many)
        ]
    )
    gc.collect()  # which finds out that a tuple holds nothing that it has to look at
    assert sum(map(len, made)) == many
    assert len(gc.get_objects()) - before < many * 1.1
