"""What is counted of single topics: ``Broker.topic_metrics``."""

from __future__ import annotations

import asyncio

import pytest

from nanomq_py import Broker, Config
from nanomq_py.config.keys.listeners import WebSocket
from nanomq_py.topic_metrics import PerCounter
from tests import raw
from tests.conformance.flows import kept
from tests.raw import PUBACK, Raw
from tests.test_limits import limited

pytestmark = pytest.mark.timeout(60)

LOCAL = Config(url="nmq-tcp://127.0.0.1:0", websocket=WebSocket(enable=False))


def counts(broker: Broker, topic: str = "a") -> dict[str, int]:
    """Return the counters that are not 0."""
    got = vars(broker.topic_metrics[topic].counts)
    return {name: count for name, count in got.items() if count}


async def test_messages_are_counted_by_the_qos_they_come_and_go_at() -> None:
    async with Broker(LOCAL) as broker:
        port = broker.ports["url"]
        broker.topic_metrics.register("a")
        with Raw(port, 5) as p, Raw(port, 5) as s0, Raw(port, 5) as s1:
            for client in (p, s0, s1):
                client.connect()
            s0.subscribe(("a", 0))
            s1.subscribe(("+", 1), ("a", 0), ("b", 1))  # one copy, at the higher QoS
            p.publish("a", b"0")
            p.publish("a", b"1", qos=1, packet_id=1)
            p.expect(PUBACK)
            p.publish("b", b"other", qos=1, packet_id=1)
            p.expect(PUBACK)
            broker.publish("a", b"2", qos=2)
        assert counts(broker) == {
            "messages_in": 3,
            "qos0_in": 1,
            "qos1_in": 1,
            "qos2_in": 1,
            "messages_out": 6,
            "qos0_out": 4,
            "qos1_out": 2,
        }


async def test_one_receiver_and_groups_and_sessions_away_are_counted() -> None:
    async with Broker(LOCAL) as broker:
        port = broker.ports["url"]
        broker.topic_metrics.register("a")
        with Raw(port, 5) as c:
            c.connect("c", **kept(5))
            c.subscribe(("a", 1))
            await asyncio.to_thread(c.leave)
        broker.publish("a", b"", qos=1)
        assert counts(broker)["qos1_out"] == 1
        with Raw(port, 5) as one, Raw(port, 5) as two:
            for member in (one, two):
                member.connect()
                member.subscribe(("$share/g/a", 0))
            broker.publish("a", b"")
        assert counts(broker)["qos0_out"] == 1  # of the group; for who is away it is lost
        assert counts(broker)["messages_dropped"] == 1


async def test_lost_messages_are_counted() -> None:
    async with limited(msq_len="2") as (broker, port):
        broker.topic_metrics.register("a")
        with Raw(port, 5) as p:
            p.connect("p")
            p.publish("a", b"nobody wants it", qos=1, packet_id=1)
            assert p.expect(PUBACK).reason == 0x10  # a meter is no subscriber
            assert counts(broker)["messages_dropped"] == 1
            with Raw(port, 5) as c:
                c.connect("c", **kept(5))
                c.subscribe(("a", 1))
                await asyncio.to_thread(c.leave)
            for n in range(4):
                p.publish("a", b"%d" % n, qos=1, packet_id=1)
                p.expect(PUBACK)
        assert counts(broker)["messages_dropped"] == 3
        assert counts(broker)["messages_out"] == 2


async def test_programs_that_listen_are_no_clients() -> None:
    async with Broker(LOCAL) as broker:
        broker.topic_metrics.register("a")
        broker.subscribe("a")
        async with broker.consume("x", ["a"]):
            broker.publish("a", b"")
        assert counts(broker) == {"messages_in": 1, "qos0_in": 1}


async def test_wills_are_counted() -> None:
    async with Broker(LOCAL) as broker:
        broker.topic_metrics.register("a")
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c", will=("a", b"gone", 1, False))
            await broker.discard("c")
        assert counts(broker)["qos1_in"] == 1


async def test_own_message_with_no_local_is_neither_sent_nor_lost() -> None:
    async with Broker(LOCAL) as broker:
        broker.topic_metrics.register("a")
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            c.subscribe(("a", 4))
            c.publish("a", b"")
            c.assert_silent()
        assert counts(broker) == {"messages_in": 1, "qos0_in": 1}


async def test_message_for_very_many_is_counted_for_each() -> None:
    async with Broker(LOCAL) as broker:
        port = broker.ports["url"]
        broker.topic_metrics.register("a")
        for n in range(50):
            with Raw(port, 5) as c:
                c.connect(f"c{n}", **kept(5))
                c.subscribe(("a", 1))
                c.send(raw.disconnect(5))
        broker.publish("a", b"", qos=1)
        assert counts(broker)["qos1_out"] == 50


async def test_topics_come_and_go() -> None:
    async with Broker(LOCAL) as broker:
        metrics = broker.topic_metrics
        for _ in range(2):  # also one that the tree has looked up already
            broker.publish("a", b"")
            metrics.register("a")
            broker.publish("a", b"")
            assert counts(broker) == {"messages_in": 1, "qos0_in": 1}
            assert [one.topic for one in metrics] == ["a"]
            assert "a" in metrics
            metrics.unregister("a")
            assert len(metrics) == 0
            with pytest.raises(KeyError, match="a"):
                metrics["a"]
            with pytest.raises(KeyError, match="a"):
                metrics.unregister("a")
        metrics.load(["a", "b", "a"])
        assert metrics.save() == ["a", "b"]


async def test_counts_begin_anew() -> None:
    async with Broker(LOCAL) as broker:
        metrics = broker.topic_metrics
        metrics.load(["a", "b"])
        for topic in ("a", "b"):
            broker.publish(topic, b"")
        metrics.reset("a")
        assert counts(broker, "a") == {}
        assert counts(broker, "b") != {}
        metrics.reset()
        assert counts(broker, "b") == {}
        with pytest.raises(KeyError, match="c"):
            metrics.reset("c")


async def test_rate_is_a_moving_average_a_second() -> None:
    async with Broker(LOCAL) as broker:
        metrics = broker.topic_metrics
        metrics.register("a")
        metrics.stop()  # this test is the clock
        for _ in range(10):
            broker.publish("a", b"")
        metrics.sample(2.0)
        assert metrics["a"].rates.messages_in == pytest.approx(5 / 5)
        metrics.sample(1.0)
        assert metrics["a"].rates.qos0_in == pytest.approx(1 * 4 / 5)
        metrics.reset("a")
        assert metrics["a"].rates == PerCounter(*[0.0] * 9)


async def test_rates_are_sampled_while_a_topic_is_registered() -> None:
    async with Broker(LOCAL) as broker:
        metrics = broker.topic_metrics
        metrics.register("a")
        broker.publish("a", b"")
        while metrics["a"].rates.messages_in == 0:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("topic", ["", "a/#", "+", "a\0b"])
async def test_what_is_no_topic_name_is_refused(topic: str) -> None:
    async with Broker(LOCAL) as broker:
        with pytest.raises(ValueError, match="not a valid topic name"):
            broker.topic_metrics.register(topic)


async def test_topics_are_bounded_and_each_is_registered_once() -> None:
    async with Broker(LOCAL) as broker:
        metrics = broker.topic_metrics
        metrics.load(f"t/{n}" for n in range(512))
        with pytest.raises(RuntimeError, match="512 topics are registered"):
            metrics.register("one more")
        with pytest.raises(ValueError, match="'t/7': it is registered"):
            metrics.register("t/7")
        metrics.unregister("t/7")
        metrics.register("one more")


# --- one retained message


async def test_retained_message_of_a_topic_is_read_and_removed() -> None:
    async with Broker(LOCAL) as broker:
        assert broker.retained_message("a") is None
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c", user="anna")
            c.publish("a", b"kept", qos=1, packet_id=1, retain=True)
            c.expect(PUBACK)
        message = broker.retained_message("a")
        assert message is not None
        assert (message.topic_name, message.payload, message.qos) == ("a", b"kept", 1)
        assert message.retained
        assert message.publisher is not None
        assert message.publisher.client_id == "c"
        broker.publish("a", b"", retain=True)
        assert broker.retained_message("a") is None
        assert [
            row for row in (await broker.retained()).rows if row.topic_name == "a"
        ] == []
        for no_topic in ("", "#", "a\0", "\ud800"):
            assert broker.retained_message(no_topic) is None


async def test_expired_message_is_not_read() -> None:
    async with Broker(LOCAL) as broker:
        broker.publish("a", b"x", retain=True, message_expiry_interval=0)
        assert broker.retained_message("a") is None
        broker.publish("a", b"x", retain=True, message_expiry_interval=100)
        message = broker.retained_message("a")
        assert message is not None
        assert message.message_expiry_interval in (99, 100)
