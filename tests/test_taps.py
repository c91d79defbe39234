"""Taps: retained messages whole, live ones within bounds, and what is lost is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nanomq_py import Broker, Config, Identity, Message
from nanomq_py.broker import Tap
from nanomq_py.config.keys.listeners import WebSocket
from tests.raw import PUBACK, PUBLISH, Raw, connect, text

LOCAL = Config(url="nmq-tcp://127.0.0.1:0", websocket=WebSocket(enable=False))


async def next_of(tap: Tap) -> Message:
    return await asyncio.wait_for(anext(tap), 20)


async def test_retained_messages_come_whole_and_before_what_comes_meanwhile() -> None:
    count = 30_000
    async with Broker(LOCAL) as broker:
        for n in range(count):
            broker.publish(f"r/{n % 100}/{n}", b"%d" % n, retain=True)
        async with broker.subscribe("r/#") as tap:
            first = await next_of(tap)
            broker.publish("r/live", b"live")
            broker.publish("r/0/0", b"later", retain=True)
            retained = {first.payload}
            while len(retained) < count - 1:
                message = await next_of(tap)
                assert message.retained
                retained.add(message.payload)
            last = [await next_of(tap) for _ in range(2)]
            if last[0].retained:  # the one that was replaced had been taken already
                last = [last[1], await next_of(tap)]
            assert [(m.payload, m.retained) for m in last] == [
                (b"live", False),
                (b"later", False),
            ]
            assert tap.dropped == 0


async def test_a_tap_of_a_shared_subscription_gets_no_retained_message() -> None:
    async with Broker(LOCAL) as broker:
        broker.publish("a", b"kept", retain=True)
        async with broker.subscribe("$share/g/a") as tap:
            broker.publish("a", b"live")
            assert (await next_of(tap)).payload == b"live"


async def test_what_a_tap_loses_is_counted_on_it_and_on_no_other() -> None:
    count, size = 20_000, 2_000  # more than the 16 MiB that wait for a reader
    async with Broker(LOCAL) as broker:
        slow, other = broker.subscribe("a"), broker.subscribe("b")
        with Raw(broker.ports["url"]) as c:
            c.connect("c")
            for n in range(count):
                c.publish("a", b"%*d" % (size, n), qos=1, packet_id=n % 60_000 + 1)
                if n % 100 == 99:
                    for _ in range(100):
                        await asyncio.to_thread(c.expect, PUBACK)
        broker.publish("b", b"")
        assert 0 < slow.dropped < count
        assert broker.stats().events_dropped == slow.dropped
        slow.close()
        got = [int(m.payload) async for m in slow]
        assert got == list(range(count - slow.dropped))
        assert ((await next_of(other)).payload, other.dropped) == (b"", 0)
        other.close()


async def test_a_message_larger_than_what_may_wait_comes_alone() -> None:
    async with Broker(LOCAL) as broker, broker.subscribe("a") as tap:
        large = bytes(20 << 20)
        broker.publish("a", large)
        broker.publish("a", b"too much")
        assert len((await next_of(tap)).payload) == len(large)
        broker.publish("a", b"after")
        assert (await next_of(tap)).payload == b"after"
        assert tap.dropped == 1


async def test_a_message_says_who_published_it_where_and_when() -> None:
    async with Broker(LOCAL) as broker, broker.subscribe("#") as tap:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("me", user="who", will=("w", b"will", 1, False))
            c.publish("a", b"1", qos=2, packet_id=1, retain=True)
            address = f"127.0.0.1:{c.sock.getsockname()[1]}"
            me = Identity("me", "who", address, "tcp")
            live = await next_of(tap)
            assert (live.publisher, live.qos, live.retain) == (me, 2, True)
        will = await next_of(tap)
        assert (will.topic_name, will.payload, will.publisher) == ("w", b"will", me)
        broker.publish("b", b"mine")
        assert (await next_of(tap)).publisher is None
        async with broker.subscribe("a") as late:
            kept = await next_of(late)
            assert (kept.publisher, kept.time, kept.retained) == (me, live.time, True)
        assert live.time <= will.time


async def test_a_client_without_a_user_name_has_none_in_its_messages() -> None:
    async with Broker(LOCAL) as broker:
        tap = broker.subscribe("#")
        with Raw(broker.ports["url"], 4) as c:
            c.connect("ö")
            c.publish("a", b"1")
            publisher = (await next_of(tap)).publisher
            assert publisher is not None
            assert (publisher.client_id, publisher.user_name) == ("ö", None)


async def test_a_message_has_the_properties_it_was_published_with() -> None:
    block = b"\x02\0\0\0\x64" + b"\x01\x01\x03" + text("t") + b"\x08" + text("r")
    block += b"\x09" + text(b"\0") + b"\x26" + text("k") + text("v") + b"\x23\0\x01"
    async with Broker(LOCAL) as broker, broker.subscribe("#") as tap:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            c.publish("a", b"1", properties=block)
            got = await next_of(tap)
        assert got.message_expiry_interval in (99, 100)
        assert (got.payload_format_indicator, got.content_type) == (1, "t")
        assert (got.response_topic, got.correlation_data) == ("r", b"\0")
        assert got.user_properties == (("k", "v"),)
        fields: dict[str, Any] = {
            "content_type": "t",
            "response_topic": "r",
            "correlation_data": b"x",
            "user_properties": (("a", "b"), ("a", "c")),
            "message_expiry_interval": 7,
        }
        broker.publish("b", b"", **fields)
        got = await next_of(tap)
        assert {name: getattr(got, name) for name in fields} == fields
        broker.publish("c", b"plain")
        got = await next_of(tap)
        assert {getattr(got, name) for name in fields} == {None, ()}


async def test_a_tap_that_is_read_without_end_lets_others_have_their_turn() -> None:
    async with Broker(LOCAL) as broker, broker.subscribe("n") as tap:
        for n in range(5_000):
            broker.publish("n", b"%d" % n)
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        for _ in range(5_000):
            await anext(tap)
        task.cancel()
        assert turns > 2


async def test_closing_wakes_who_waits_and_what_waits_is_still_read() -> None:
    async with Broker(LOCAL) as broker:
        tap = broker.subscribe("a")
        waiting = asyncio.create_task(anext(tap))
        await asyncio.sleep(0)
        tap.close()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(waiting, 20)
        tap = broker.subscribe("a")
        broker.publish("a", b"1")
        tap.close()
        broker.publish("a", b"2")
    assert [m.payload async for m in tap] == [b"1"]  # the broker has stopped


async def test_many_taps_that_are_left_open_end_with_the_broker() -> None:
    async with Broker(LOCAL) as broker:
        taps = [broker.subscribe("#") for _ in range(20)]
        broker.publish("a", b"", retain=True)
    for tap in taps:
        assert [m.topic_name async for m in tap] == ["a"]


async def test_a_publisher_is_known_before_it_is_in_while_a_tap_is_open() -> None:
    async with Broker(LOCAL) as broker, broker.subscribe("#") as tap:
        with Raw(broker.ports["url"], 5) as c:
            sent = [connect("c", 5)]
            sent += [b"\x30\x05\0\x01a\0x"] * 3  # with the CONNECT, in one piece
            c.send(b"".join(sent))
            got = [await next_of(tap) for _ in range(3)]
        assert [m.publisher.client_id for m in got if m.publisher] == ["c"] * 3


async def test_a_subscriber_beside_a_tap_gets_the_same() -> None:
    async with Broker(LOCAL) as broker, broker.subscribe("a") as tap:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            c.subscribe(("a", 1))
            c.publish("a", b"x", qos=1, packet_id=1)
            got = [c.read(), c.read()]
            assert {p.kind for p in got} == {PUBACK, PUBLISH}
            assert (await next_of(tap)).payload == b"x"


async def test_who_published_a_retained_message_is_known_in_the_next_process() -> None:
    first = Broker(LOCAL)
    await first.start()
    with Raw(first.ports["url"], 5) as c:
        c.connect("me", user="who")
        c.publish("a", b"1", qos=1, packet_id=1, retain=True)
        c.expect(PUBACK)
        me = Identity("me", "who", f"127.0.0.1:{c.sock.getsockname()[1]}", "tcp")
    async with first.subscribe("a") as tap:
        before = await next_of(tap)
    given = first.hand_over()
    await first.stop()
    for _, sock in given.sockets:
        sock.close()
    with open(given.state, "rb") as file:
        file.seek(0)
        saved = file.read()
    second = Broker(LOCAL)
    await second.start(state=saved)
    async with second.subscribe("a") as tap:
        after = await next_of(tap)
    await second.stop()
    assert (after.publisher, after.time, after.payload) == (me, before.time, b"1")
