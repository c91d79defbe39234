"""Consumers: nothing that was not acknowledged is lost, and nobody else pays for one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from nanomq_py import Batch, Broker, Config, Consumer, Identity
from nanomq_py.broker import Tap
from nanomq_py.core.consuming import ConsumerStats
from nanomq_py.events import Dropped, Expired, Unsubscribed, Why
from tests import raw
from tests.raw import PUBACK, Raw
from tests.test_broker import LOCAL
from tests.test_events import a_second_passes, rest_of

NOTHING = ConsumerStats(waiting=0, taken=0, bytes=0, dropped=0)


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with Broker(LOCAL) as running:
        yield running


async def next_of(consumer: Consumer) -> Batch:
    return await asyncio.wait_for(anext(consumer), 20)


async def payloads(consumer: Consumer, count: int) -> list[bytes]:
    """Take so many messages, and acknowledge each batch."""
    got: list[bytes] = []
    while len(got) < count:
        batch = await next_of(consumer)
        got += [message.payload for message in batch]
        batch.ack()
    return got


def numbers(count: int) -> list[bytes]:
    return [b"%d" % n for n in range(count)]


async def test_messages_of_every_qos_come_in_order_until_they_are_acknowledged(
    broker: Broker,
) -> None:
    async with broker.consume("c", ["n/#"]) as consumer:
        for n in range(30):
            broker.publish(f"n/{n}", b"%d" % n, qos=n % 3)
        broker.publish("other", b"x")
        assert await payloads(consumer, 30) == numbers(30)
        assert consumer.stats() == NOTHING


async def test_client_publishes_to_a_consumer_that_waits(broker: Broker) -> None:
    async with broker.consume("c", ["a/+"]) as consumer:
        waiting = asyncio.ensure_future(next_of(consumer))
        await asyncio.sleep(0)
        with Raw(broker.ports["url"], 5) as c:
            c.connect("me", user="u")
            c.publish("a/b", b"x", qos=1, packet_id=1)
            c.expect(PUBACK)
        [message] = await waiting
        assert (message.topic_name, message.payload, message.qos) == ("a/b", b"x", 1)
        assert not message.again
        assert message.publisher is not None
        assert (message.publisher.client_id, message.publisher.user_name) == ("me", "u")


async def test_what_was_not_acknowledged_comes_again_after_it_is_opened_again(
    broker: Broker,
) -> None:
    async with broker.consume("c", ["n"]) as consumer:
        for payload in numbers(10):
            broker.publish("n", payload)
        first = await next_of(consumer)
        assert len(first) == 10
        for payload in (b"10", b"11"):
            broker.publish("n", payload)
        second = await next_of(consumer)
        first.ack()
        assert [m.again for m in second] == [False, False]
    broker.publish("n", b"12")  # while nobody is there
    async with broker.consume("c", ["n"]) as consumer:
        batch = await next_of(consumer)
        assert [(m.payload, m.again) for m in batch] == [
            (b"10", True), (b"11", True), (b"12", False),
        ]  # fmt: skip
        with pytest.raises(RuntimeError, match="come again"):
            second.ack()


async def test_acknowledging_a_batch_acknowledges_those_before(broker: Broker) -> None:
    async with broker.consume("c", ["n"]) as consumer:
        broker.publish("n", b"0")
        first = await next_of(consumer)
        broker.publish("n", b"1")
        second = await next_of(consumer)
        second.ack()
        assert consumer.stats().taken == 0
        first.ack()  # it is already


async def test_again_gives_what_was_not_acknowledged_once_more(broker: Broker) -> None:
    async with broker.consume("c", ["n"]) as consumer:
        broker.publish("n", b"0")
        before = await next_of(consumer)
        consumer.again()
        with pytest.raises(RuntimeError):
            before.ack()
        batch = await next_of(consumer)
        assert [(m.payload, m.again) for m in batch] == [(b"0", True)]
        batch.ack()
        assert consumer.stats() == NOTHING


async def test_who_is_cancelled_while_it_waits_its_turn_loses_nothing(
    broker: Broker,
) -> None:
    async with broker.consume("c", ["n"]) as consumer:
        broker.publish("n", b"first")
        reader = asyncio.ensure_future(anext(consumer))
        await asyncio.sleep(0)  # it has begun
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        broker.publish("n", b"second")
        assert await payloads(consumer, 2) == [b"first", b"second"]
        assert consumer.stats() == NOTHING


async def test_retained_messages_come_once_however_many(broker: Broker) -> None:
    for n in range(3000):
        broker.publish(f"r/{n}", b"%d" % n, retain=True)
    async with broker.consume("c", ["r/#"]) as consumer:
        got = []
        while len(got) < 3000:
            batch = await next_of(consumer)
            assert all(m.retained and m.retain for m in batch)
            got += [m.payload for m in batch]
            batch.ack()
        assert sorted(got) == sorted(numbers(3000))
    async with broker.consume("c", ["r/#", "live"]) as consumer:  # no new one of them
        broker.publish("live", b"x")
        assert [m.topic_name for m in await next_of(consumer)] == ["live"]


async def test_retained_messages_come_within_the_bounds(broker: Broker) -> None:
    for n in range(30):
        broker.publish(f"r/{n}", b"%d" % n, retain=True)
    async with broker.consume("c", ["r/#"], max_messages=10) as consumer:
        batch = await next_of(consumer)
        assert consumer.stats().taken == len(batch) == 10
        waiting = asyncio.ensure_future(next_of(consumer))
        await asyncio.sleep(0)
        assert not waiting.done()
        batch.ack()
        got = [*batch, *(batch := await waiting)]
        batch.ack()
        while len(got) < 30:
            got += (batch := await next_of(consumer))
            batch.ack()
        assert sorted(m.payload for m in got) == sorted(numbers(30))


async def test_filters_of_the_last_opening_count(broker: Broker) -> None:
    async with broker.consume("c", ["a", "b"]):
        pass
    async with broker.consume("c", ["b", "c"]) as consumer:
        for topic in ("a", "b", "c"):
            broker.publish(topic, topic)
        assert await payloads(consumer, 2) == [b"b", b"c"]


async def test_filters_that_go_are_told_and_with_them_what_they_are_owed(
    broker: Broker,
) -> None:
    for n in range(100):
        broker.publish(f"retained/{n}", b"x", retain=True)
    gone = ["retained/#", "retained/+", "a/filter/that/goes/away"]
    async with broker.consume("c", ["kept/1", *gone, "kept/2"]):
        pass
    async with (
        broker.events([Unsubscribed]) as events,
        broker.consume("c", ["kept/2", "kept/1"]) as consumer,
    ):
        told = [await asyncio.wait_for(anext(events), 20) for _ in gone]
        broker.publish("kept/1", b"x")
        assert await payloads(consumer, 1) == [b"x"]
    assert sorted(event.topic_filter for event in told) == sorted(gone)


async def test_nothing_is_lost_while_a_consumer_is_made(broker: Broker) -> None:
    filters = ["n", *(f"other/{n}" for n in range(3000))]
    stopped = threading.Event()

    def publish() -> None:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("me")
            while not stopped.is_set():
                c.send(raw.publish("n", b"x", 5) * 50)
                c.ping()

    publisher = asyncio.ensure_future(asyncio.to_thread(publish))
    while broker.stats().messages_in == 0:
        await asyncio.sleep(0.01)
    dropped = 0
    for _ in range(10):
        async with broker.consume("c", filters) as consumer:
            dropped += consumer.stats().dropped
        broker.end_consumer("c")
    stopped.set()
    await publisher
    assert dropped == 0


async def test_consumers_share_what_is_for_their_group(broker: Broker) -> None:
    async with (
        broker.consume("one", ["$share/g/n"]) as one,
        broker.consume("two", ["$share/g/n"]) as two,
    ):
        for payload in numbers(10):
            broker.publish("n", payload)
        got = [await payloads(one, 5), await payloads(two, 5)]
        assert sorted(got[0] + got[1]) == numbers(10)


async def test_one_that_never_acknowledges_fills_its_own_bound_and_nothing_else(
    broker: Broker,
) -> None:
    async with (
        broker.consume("idle", ["n"], max_messages=50) as idle,
        broker.consume("busy", ["n"]) as busy,
    ):
        count = 0
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            while idle.stats().dropped < 10:  # first those who publish wait for it
                c.publish("n", b"%d" % count, qos=1, packet_id=1)
                c.expect(PUBACK)
                count += 1
                batch = await next_of(busy)
                assert [m.payload for m in batch] == [b"%d" % (count - 1)]
                batch.ack()
        stats = idle.stats()
        assert stats.waiting + stats.dropped == count
        assert stats.waiting >= 50
        assert [m.payload for m in await next_of(idle)] == numbers(stats.waiting)[:512]


async def test_what_a_program_publishes_stays_within_the_bounds(broker: Broker) -> None:
    async with broker.consume("idle", ["n"], max_messages=50) as idle:
        for number in range(1000):  # nobody waits for it here
            broker.publish("n", b"%d" % number, qos=1)
        assert (idle.stats().waiting, idle.stats().dropped) == (50, 950)


async def test_publishers_wait_for_a_consumer_that_takes(broker: Broker) -> None:
    count = 20_000
    async with broker.consume("c", ["n"], max_messages=1000) as consumer:

        def flood() -> None:
            with Raw(broker.ports["url"]) as c:
                c.connect("c")
                packets = b"".join(raw.publish("n", b"%d" % n, qos=0) for n in range(count))
                c.sock.sendall(packets)
                c.ping()

        publishing = asyncio.create_task(asyncio.to_thread(flood))
        assert await payloads(consumer, count) == numbers(count)
        await publishing
        assert consumer.stats().dropped == 0


async def test_consumer_that_stops_while_publishers_wait_is_logged_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def flood(broker: Broker) -> None:
        with Raw(broker.ports["url"]) as c:
            c.connect("c")
            end = time.monotonic() + 20
            while not broker.stats().slow_consumers and time.monotonic() < end:
                c.sock.sendall(raw.publish("n", b"x") * 1000)
                c.ping()

    async with (
        Broker(replace(LOCAL, slow_consumer_time=400)) as broker,
        broker.consume("c", ["n"], max_messages=1000) as consumer,
    ):
        publishing = asyncio.create_task(asyncio.to_thread(flood, broker))
        await payloads(consumer, 5000)  # the publisher waits for it meanwhile
        await publishing
        assert broker.stats().slow_consumers == 1
    assert "consumer 'c' takes messages too slowly" in caplog.text


@pytest.mark.parametrize("patience_s", [0.0, 60.0])
async def test_publishers_wait_as_long_as_the_consumer_says(patience_s: float) -> None:
    count = 100_000

    def flood(broker: Broker) -> None:
        with Raw(broker.ports["url"]) as c:
            c.connect("c")
            c.sock.settimeout(60)
            for first in range(0, count, 1000):
                numbered = range(first, first + 1000)
                c.sock.sendall(b"".join(raw.publish("n", b"%d" % n) for n in numbered))
            c.ping()

    async with (
        Broker(replace(LOCAL, slow_consumer_time=20)) as broker,
        broker.consume("c", ["n"], max_messages=1000, patience_s=patience_s) as consumer,
    ):
        publishing = asyncio.create_task(asyncio.to_thread(flood, broker))
        await anext(consumer)
        if patience_s:
            await asyncio.sleep(0.5)  # it acknowledges nothing, for much longer than 20 ms
            consumer.again()
            assert await payloads(consumer, count) == numbers(count)
        await publishing
        assert (consumer.stats().dropped > 0) == (patience_s == 0)
        assert broker.stats().slow_consumers == (patience_s == 0)


async def test_messages_that_expire_before_they_are_taken_do_not_come(
    broker: Broker,
) -> None:
    async with broker.consume("c", ["n"]) as consumer:
        broker.publish("n", b"short", message_expiry_interval=1)
        broker.publish("n", b"long", message_expiry_interval=1000)
        while consumer.stats().waiting == 2:
            async with broker.consume("probe", ["p"]) as probe:
                broker.publish("p", b"x", message_expiry_interval=1)
                await a_second_passes(broker)  # nobody takes meanwhile
                broker.publish("p", b"y")
                assert [m.payload for m in await next_of(probe)] == [b"y"]
            assert [m.payload for m in await next_of(consumer)] == [b"long"]
        assert consumer.stats().dropped == 1


async def test_expired_messages_do_not_come_behind_others(broker: Broker) -> None:
    async with broker.consume("c", ["n"]) as consumer:
        broker.publish("n", b"before")
        broker.publish("n", b"short", message_expiry_interval=1)
        assert [m.payload for m in await next_of(consumer)] == [b"before", b"short"]
        consumer.again()
        for payload in numbers(600):
            broker.publish("n", payload, message_expiry_interval=1)
        broker.publish("n", b"after")
        await a_second_passes(broker)
        got = [(m.payload, m.again) for m in await next_of(consumer)]
        got += [(m.payload, m.again) for m in await next_of(consumer)]
        assert got == [(b"before", True), (b"after", False)]
        assert consumer.stats().dropped == 601


async def test_large_message_comes_whole(broker: Broker) -> None:
    payload = os.urandom(3_000_000)
    async with broker.consume("c", ["n"]) as consumer:
        broker.publish("n", b"before")
        broker.publish("n", payload)
        broker.publish("n", b"after")
        assert await payloads(consumer, 3) == [b"before", payload, b"after"]


async def hand_over(first: Broker, second: Broker) -> None:
    """End one, and have the other start with what it had in memory."""
    left = first.hand_over()
    await first.stop()
    for _, sock in left.sockets:
        sock.close()
    await second.start(state=os.pread(left.state, os.fstat(left.state).st_size, 0))
    os.close(left.state)


async def test_consumers_go_on_over_a_restart() -> None:
    first, second = Broker(LOCAL), Broker(LOCAL)
    await first.start()
    consumer = first.consume("c", ["n/#"])
    for payload in numbers(6):
        first.publish("n/x", payload)
    batch = await next_of(consumer)
    first.publish("n/y", b"6")
    assert len(batch) == 6
    await hand_over(first, second)
    second.publish("n/z", b"7")  # it subscribes although nobody has opened it yet
    async with second.consume("c", ["n/#"]) as again:
        got = [(m.payload, m.again) for m in await next_of(again)]
    await second.stop()
    assert got == [(p, n < 6) for n, p in enumerate(numbers(8))]


async def test_publishers_wait_for_a_consumer_that_is_not_opened_yet() -> None:
    """After a restart and a kill clients come in before a plugin is there."""
    count = 20_000
    first, second = Broker(LOCAL), Broker(LOCAL)
    await first.start()
    first.consume("c", ["n"], max_messages=1000)
    await hand_over(first, second)

    def kept() -> int:
        return second.consumers().rows[0].stats.waiting

    def flood() -> None:
        with Raw(second.ports["url"]) as c:
            c.connect("c")
            c.sock.settimeout(60)
            for n in range(count):
                c.publish("n", b"%d" % n)
            c.ping()

    publishing = asyncio.create_task(asyncio.to_thread(flood))
    while kept() < 500:  # from half of its bound on they wait
        await asyncio.sleep(0.01)
    assert not second.consumers().rows[0].is_open
    # once it is open, how long they wait is a key's matter: a second, of a busy machine too
    async with second.consume("c", ["n"], max_messages=1000, patience_s=20) as consumer:
        assert await payloads(consumer, count) == numbers(count)
        assert consumer.stats().dropped == 0
    await publishing
    await second.stop()


async def test_clients_are_subscribed_while_they_are_saved() -> None:
    broker = Broker(LOCAL)
    await broker.start()
    with Raw(broker.ports["url"], 4) as c:
        c.connect("c", clean=False)
        filters = [f"f/{n}" for n in range(20_000)]
        subscribing = asyncio.ensure_future(broker.subscribe_client("c", *filters))
        await asyncio.sleep(0.02)
        left = broker.hand_over()
        await broker.stop()
    await asyncio.gather(subscribing, return_exceptions=True)
    for _, sock in left.sockets:
        sock.close()
    second = Broker(LOCAL)
    await second.start(state=os.pread(left.state, os.fstat(left.state).st_size, 0))
    os.close(left.state)
    client = second.client("c")
    await second.stop()
    assert client is not None


async def test_consumers_are_listed_in_pages(broker: Broker) -> None:
    for n in range(5):
        broker.consume(f"c/{n}", ["n"]).close()
    broker.publish("n", b"12345")
    broker.end_consumer("c/3")
    async with broker.consume("c/4", ["n"]) as consumer:
        first = broker.consumers(limit=2)
        assert [each.name for each in first.rows] == ["c/4", "c/2"]
        assert [each.is_open for each in first.rows] == [True, False]
        await next_of(consumer)
        [open_one] = broker.consumers(limit=1).rows
        assert open_one.stats == consumer.stats()
        assert (open_one.stats.waiting, open_one.stats.taken) == (0, 1)
        broker.end_consumer("c/2")  # the page goes on behind it
        broker.consume("new", ["x"]).close()
        second = broker.consumers(limit=2, after=first.next)
        assert [each.name for each in second.rows] == ["c/1", "c/0"]
        assert [each.stats.waiting for each in second.rows] == [1, 1]
        assert second.next is None
    for given in ({"limit": 0}, {"limit": 1001}, {"after": 0}, {"after": 1 << 64}):
        with pytest.raises(ValueError, match="expected"):
            broker.consumers(**given)


async def test_name_is_open_once(broker: Broker) -> None:
    async with broker.consume("c", ["n"]):
        with pytest.raises(RuntimeError, match="'c' is open"):
            broker.consume("c", ["n"])
    async with broker.consume("c", ["n"]):
        pass


@pytest.mark.parametrize(
    ("name", "filters", "more"),
    [
        ("", ["n"], {}),
        ("x" * 65536, ["n"], {}),
        ("c", ["a#"], {}),
        ("c", ["$share//n"], {}),
        ("c", ["a\0"], {}),
        ("c", ["n"], {"qos": 3}),
        ("c", ["n"], {"max_messages": 0}),
        ("c", ["n"], {"max_messages": 1 << 40}),
        ("c", ["n"], {"max_bytes": -1}),
    ],
)
async def test_what_cannot_be_is_refused(
    broker: Broker, name: str, filters: list[str], more: dict[str, int]
) -> None:
    with pytest.raises(ValueError, match="consumer"):
        broker.consume(name, filters, **more)
    assert broker.stats().subscriptions == 0


async def test_one_filter_is_no_list_of_filters(broker: Broker) -> None:
    with pytest.raises(ValueError, match="expected a list of filters"):
        broker.consume("c", "a/#")  # else it hears of "a", "/" and "#"


async def test_end_forgets_a_consumer_and_what_it_keeps(broker: Broker) -> None:
    async with broker.consume("c", ["n"]) as consumer:
        broker.publish("n", b"x")
        broker.end_consumer("c")
        assert [batch async for batch in consumer] == []
    assert broker.stats().subscriptions == 0
    with pytest.raises(KeyError):
        broker.end_consumer("c")
    async with broker.consume("c", ["n"]) as consumer:
        assert consumer.stats().waiting == 0


async def test_client_with_the_name_of_a_consumer_is_another(broker: Broker) -> None:
    async with broker.consume("c", ["n"]) as consumer:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            c.publish("n", b"x", qos=1, packet_id=1)
            c.expect(PUBACK)
            c.leave()
        assert await payloads(consumer, 1) == [b"x"]
        assert broker.client("c") is None
        assert (await broker.subscriptions()).total == 0  # a consumer's are not a client's
        assert [route.topic_filter for route in (await broker.routes()).rows] == ["n"]


async def test_closing_ends_a_reader_that_waits(broker: Broker) -> None:
    consumer = broker.consume("c", ["n"])
    reader = asyncio.ensure_future(anext(consumer))
    await asyncio.sleep(0)
    consumer.close()
    with pytest.raises(StopAsyncIteration):
        await reader


async def test_stop_of_the_broker_ends_the_iteration() -> None:
    broker = Broker(Config(url="nmq-tcp://127.0.0.1:0", websocket=LOCAL.websocket))
    await broker.start()
    consumer = broker.consume("c", ["n"])
    await broker.stop()
    assert [batch async for batch in consumer] == []


async def test_closed_consumer_is_not_asked_for_anything() -> None:
    broker = Broker(LOCAL)
    await broker.start()
    consumer = broker.consume("c", ["n"])
    await broker.stop()  # what it asked is gone
    with pytest.raises(RuntimeError, match="closed"):
        consumer.again()
    with pytest.raises(RuntimeError, match="closed"):
        consumer.stats()


async def test_none_is_opened_that_would_outlive_the_broker() -> None:
    broker = Broker(LOCAL)
    await broker.start()
    stopping = asyncio.ensure_future(broker.stop())
    opened: list[Consumer | Tap] = []
    while not stopping.done():
        with contextlib.suppress(RuntimeError):
            opened.append(broker.consume(f"c{len(opened)}", ["n"]))
        with contextlib.suppress(RuntimeError):
            opened.append(broker.subscribe("n"))
        await asyncio.sleep(0)
    await stopping
    for one in opened:
        assert [thing async for thing in one] == []
        one.close()


async def test_other_waiters_go_on_when_one_is_cancelled(broker: Broker) -> None:
    async with broker.consume("c", ["n"]) as consumer, broker.subscribe("n") as tap:
        for one in (consumer, tap):
            waiting, other = (asyncio.ensure_future(anext(one)) for _ in range(2))
            await asyncio.sleep(0.01)
            other.cancel()
            with pytest.raises(asyncio.CancelledError):
                await other
            broker.publish("n", b"x")
            await asyncio.wait_for(waiting, 20)


# --- what is told of one


ME = Identity("c", None, "local", "")


def told(events: list[Dropped | Expired]) -> list[tuple[Identity | None, bytes]]:
    return [(event.client, event.message.payload) for event in events]


async def test_dropped_tells_what_goes_over_its_bounds_at_every_qos(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    async with broker.consume("c", ["n"], max_messages=1):
        pass
    events = broker.events([Dropped, Expired])
    for qos in range(3):
        broker.publish("n", b"%d" % qos, qos=qos)
    got = await rest_of(events)
    assert told(got) == [(ME, b"1"), (ME, b"2")]
    assert {event.why for event in got if isinstance(event, Dropped)} == {Why.QUEUE_FULL}
    while "consumer 'c': its queue is full, 1 messages are lost so far" not in caplog.text:
        await asyncio.sleep(0.01)


async def test_expired_tells_what_is_not_handed_out(broker: Broker) -> None:
    async with broker.consume("c", ["n"]) as consumer:
        events = broker.events([Dropped, Expired])
        broker.publish("n", b"x", message_expiry_interval=0)
        broker.publish("n", b"y")
        assert await payloads(consumer, 1) == [b"y"]
        [expired] = got = await rest_of(events)
        assert isinstance(expired, Expired)
        assert told(got) == [(ME, b"x")]


async def test_dropped_tells_what_is_lost_when_it_is_forgotten(broker: Broker) -> None:
    async with broker.consume("c", ["n"]):
        broker.publish("n", b"x")
        events = broker.events([Dropped])
        broker.end_consumer("c")
        got = await rest_of(events)
        assert told([*got]) == [(ME, b"x")]
        assert got[0].why is Why.SESSION_ENDED


async def test_what_a_consumer_loses_after_a_restart_is_told() -> None:
    first, second = Broker(LOCAL), Broker(LOCAL)
    await first.start()
    first.consume("c", ["n"], max_messages=1)
    await hand_over(first, second)
    events = second.events([Dropped])
    for payload in numbers(2):
        second.publish("n", payload)
    got = await rest_of(events)
    await second.stop()
    assert told([*got]) == [(ME, b"1")]
