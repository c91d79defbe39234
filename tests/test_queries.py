"""What a program asks a running broker, and what it gets for what makes no sense."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nanomq_py import Broker, Config
from nanomq_py.config.keys.listeners import WebSocket
from nanomq_py.core.queries import (
    ClientFilter,
    Order,
    Page,
    RetainedFilter,
    RouteFilter,
    SubscriptionFilter,
)
from tests import raw
from tests.raw import Raw

LOCAL = Config(url="nmq-tcp://127.0.0.1:0", websocket=WebSocket(enable=False))
KINDS = ["clients", "sessions", "details", "subscriptions", "routes", "retained"]


async def test_session_is_told_with_what_it_holds() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("kept", clean=False, properties=b"\x11\x00\x00\x00\x3c")
            c.subscribe(("a", 1), ("$share/g/b", 1))
            await asyncio.to_thread(c.leave)
        for n in range(3):
            broker.publish("a", b"%d" % n, qos=1)
        (session,) = (await broker.sessions()).rows
        assert (session.client_id, session.connected) == ("kept", False)
        assert (session.subscription_count, session.group_count) == (2, 1)
        assert (session.queued, session.in_flight, session.has_will) == (3, 0, False)
        assert session.held_bytes > 0
        assert session.expiry_interval_s == 60
        client = broker.client("kept")
        assert client is not None
        assert client.created_at_ms == session.created_at_ms
        assert client.disconnected_at_ms >= client.connected_at_ms >= client.created_at_ms


async def test_session_keeps_its_place_and_birth_when_its_client_comes_back() -> None:
    async with Broker(LOCAL) as broker:
        port = broker.ports["url"]
        with Raw(port) as a, Raw(port) as b, Raw(port) as again:
            a.connect("a", clean=False)
            b.connect("b")
            before = broker.client("a")
            again.connect("a", clean=False)  # takes over
            after = broker.client("a")
            assert before is not None
            assert after is not None
            assert before.created_at_ms == after.created_at_ms
            assert [c.client_id for c in (await broker.clients()).rows] == ["a", "b"]


async def test_retained_messages_are_told_with_their_publisher() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("publisher")
            minute = b"\x02\x00\x00\x00\x3c"
            c.publish("a/b", b"12345", retain=True, properties=minute)
            c.publish("a/c", b"1", retain=True, qos=1, packet_id=1)
            c.expect(raw.PUBACK)
        broker.publish("b", b"", retain=True)
        broker.publish("b", b"123", retain=True)
        rows = (await broker.retained(RetainedFilter(topic_filter="#"))).rows
        assert [(r.topic_name, r.qos, r.payload_bytes, r.client_id) for r in rows] == [
            ("a/b", 0, 5, "publisher"),
            ("a/c", 1, 1, "publisher"),
            ("b", 0, 3, None),
        ]
        assert rows[0].expires_in_ms is not None
        assert 0 < rows[0].expires_in_ms <= 60_000
        assert rows[1].expires_in_ms is None
        page = await broker.retained(RetainedFilter(topic_filter="a/+", qos=1))
        assert ([r.topic_name for r in page.rows], page.total) == (["a/c"], 1)


async def test_subscriptions_of_a_client_that_stay_come_once_while_others_go() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"]) as c:
            c.connect("c")
            stays = [f"s/{n}" for n in range(300)]
            for n, text in enumerate(stays):
                c.subscribe((text, 1), (f"goes/{n}", 1))
            mine = SubscriptionFilter(client_id="c")
            seen: list[str] = []
            page = await broker.subscriptions(mine, limit=7)
            assert page.total == 600
            for n in range(1000):
                seen += [s.topic_filter for s in page.rows]
                if page.next is None:
                    break
                c.send(raw.unsubscribe(1, f"goes/{n * 2}", f"goes/{299 - n}"))
                c.expect(raw.UNSUBACK)
                c.subscribe((f"new/{n}", 0))
                page = await broker.subscriptions(mine, limit=7, after=page.next)
            assert [text for text in seen if text in set(stays)] == stays


@pytest.mark.parametrize("limit", [1, 7, 100])
@pytest.mark.parametrize("order", Order)
async def test_subscriptions_of_several_clients_come_in_pages(
    limit: int, order: Order
) -> None:
    async with Broker(LOCAL) as broker:
        port = broker.ports["url"]
        with Raw(port) as a, Raw(port) as b, Raw(port) as c, Raw(port) as none:
            for name, client in (("a", a), ("b", b), ("c", c), ("none", none)):
                client.connect(name)
            expected = []
            for n in range(10):
                for name, client in (("a", a), ("b", b), ("c", c)):
                    client.subscribe((f"{name}/{n}", n % 3))
                    expected.append((name, f"{name}/{n}"))
            wanted = ("c", "none", "a", "nobody")
            expected = [(name, text) for name, text in expected if name in wanted]
            found = []
            after = None
            while True:
                page = await broker.subscriptions(
                    SubscriptionFilter(client_ids=wanted),
                    limit=limit,
                    order=order,
                    after=after,
                )
                found += [(row.client_id, row.topic_filter) for row in page.rows]
                if (after := page.next) is None:
                    break
            assert found == (expected if order is Order.UPWARD else expected[::-1])
            for ids, qos, total in (((), None, 0), (("a", "b"), 1, 6), (("x",), None, 0)):
                some = SubscriptionFilter(client_ids=ids, qos=qos)
                assert (await broker.subscriptions(some)).total == total
            with pytest.raises(ValueError, match="client_ids"):
                await broker.subscriptions(SubscriptionFilter(client_ids=["a"] * 1025))
            both = SubscriptionFilter(client_id="a", client_ids=("a",))
            with pytest.raises(ValueError, match="client_ids"):
                await broker.subscriptions(both)


@pytest.mark.parametrize("kind", KINDS)
async def test_absurd_page_is_refused_or_empty(kind: str) -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"]) as c:
            c.connect("c")
            c.subscribe(("a", 0))
            broker.publish("a", b"x", retain=True)
            ask: Any = getattr(broker, kind)
            for wrong, said in (
                ({"offset": -1}, "offset=-1: expected 0 or more"),
                ({"limit": -1}, "limit=-1: expected 0 to 10000"),
                ({"limit": 10_001}, "limit=10001: expected 0 to 10000"),
                ({"limit": 10**30}, "expected 0 to 10000"),
                ({"after": 0}, "expected Page.next"),
                ({"after": 1 << 32}, "expected Page.next"),
            ):
                with pytest.raises(ValueError, match=said):
                    await ask(**wrong)
            for absurd in (1 << 32, (1 << 64) - 1, 10**30):
                for order in Order:
                    page = await ask(offset=absurd, order=order)
                    assert (page.rows, page.next) == ([], None)
            page = await ask(after=(1 << 32) - 1)
            assert (page.rows, page.next) == ([], None)
            page = await ask(limit=10_000)
            assert len(page.rows) == page.total >= 1
            assert (await ask(limit=0)).rows == []


@pytest.mark.parametrize(
    ("kind", "filter_", "said"),
    [
        ("clients", ClientFilter(client_id="x" * 65_536), "client_id: .* 65535 bytes"),
        ("clients", ClientFilter(address="x"), "^address='x': "),
        ("sessions", ClientFilter(user_name_like="é" * 32_768), "user_name_like"),
        ("clients", ClientFilter(client_id="\ud800"), "surrogates"),
        ("subscriptions", SubscriptionFilter(topic_filter="a/#/b"), "topic filter"),
        ("subscriptions", SubscriptionFilter(topic_name="a/+"), "topic name"),
        ("subscriptions", SubscriptionFilter(topic_name="a\x00"), "topic name"),
        ("routes", RouteFilter(below=""), "topic filter"),
        ("retained", RetainedFilter(topic_filter="+a"), "topic filter"),
        ("retained", ClientFilter(client_id="c"), "^client_id='c': argument out of range"),
    ],
)
async def test_filter_that_is_none_is_a_value_error(
    kind: str, filter_: Any, said: str
) -> None:
    async with Broker(LOCAL) as broker:
        with pytest.raises(ValueError, match=said):
            await getattr(broker, kind)(filter_)


async def test_absurd_filter_lets_nobody_in() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"]) as c:
            c.connect("c")
            for absurd in (
                ClientFilter(queued=(10**30, None)),
                ClientFilter(dropped=(None, -(10**30))),
                ClientFilter(connected_at_ms=(5, 4)),
                ClientFilter(version=10**30),
                ClientFilter(client_id=""),
                ClientFilter(address="0.0.0.1/32"),
            ):
                assert await broker.clients(absurd) == Page([], 0, None)
            everybody = ClientFilter(queued=(-(10**30), 10**30), client_id_like="")
            assert (await broker.clients(everybody)).total == 1
            assert broker.client("\x00") is broker.client("x" * 65_535) is None


async def test_who_asks_a_broker_that_does_not_run_is_told() -> None:
    with pytest.raises(RuntimeError, match="not running"):
        await Broker(LOCAL).clients()
