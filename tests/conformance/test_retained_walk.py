"""Retained messages that go out little by little: which, in what order, how often."""

from __future__ import annotations

import pytest

from tests import raw
from tests.conformance.flows import kept, modern, take, u16
from tests.conftest import Process, StartBroker
from tests.raw import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK, Raw

ONE_AT_A_TIME = u16(0x21, 1)  # Receive Maximum
MANY = 200  # more than go out with the SUBACK


def fill(broker: Process, name: str, qos: int = 1, payload: bytes = b"old") -> set[str]:
    """Retain MANY messages below the name; return their topics."""
    topics = [f"{name}/{n}" for n in range(MANY)]
    with broker.raw(5) as c:
        c.connect(name + "_filler")
        for n, topic in enumerate(topics, start=1):
            c.publish(topic, payload, qos=qos, packet_id=n, retain=True)
        if qos:
            for _ in topics:
                c.expect(PUBACK if qos == 1 else PUBREC)
        c.ping()
    return set(topics)


def publish(broker: Process, topic: str, payload: bytes, **options: object) -> None:
    with broker.raw(5) as c:
        c.connect(topic.replace("/", "_") + "_pub")
        c.publish(topic, payload, qos=1, packet_id=1, **options)
        c.expect(PUBACK)


@modern
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.spec("MQTT-3.3.1-9")
def test_each_retained_message_comes_once(
    broker: Process, version: int, qos: int, name: str
) -> None:
    topics = fill(broker, name, qos)
    with broker.raw(version) as c:
        c.connect(name)
        c.subscribe((f"{name}/#", 2))
        got: list[str] = []
        released = 0
        while len(got) < MANY or released < (MANY if qos == 2 else 0):
            packet = c.read()
            if packet.kind == PUBREL:
                released += 1
                c.send(raw.ack(PUBCOMP, packet.packet_id))
                continue
            assert (packet.kind, packet.qos, packet.retain) == (PUBLISH, qos, True)
            got.append(packet.topic)
            if qos:
                c.send(raw.ack(PUBACK if qos == 1 else PUBREC, packet.packet_id))
        assert len(got) == MANY
        assert set(got) == topics


@pytest.mark.spec("MQTT-4.6.0-6")
def test_live_messages_come_after_the_retained_ones_that_were_there_before(
    broker: Process, name: str
) -> None:
    topics = fill(broker, name)
    with broker.raw(5) as c:
        c.connect(name, properties=ONE_AT_A_TIME)
        c.subscribe((f"{name}/#", 1))
        publish(broker, f"{name}/{MANY - 1}", b"live")
        got = [take(c) for _ in range(MANY + 1)]
        assert {topic for topic, payload, _ in got[:-1] if payload == b"old"} == topics
        assert got[-1] == (f"{name}/{MANY - 1}", b"live", 1)
        c.assert_silent()


def test_message_that_is_replaced_before_its_turn_comes_as_the_new_one_only(
    broker: Process, name: str
) -> None:
    fill(broker, name)
    topic = f"{name}/{MANY - 1}"
    with broker.raw(5) as c:
        c.connect(name, properties=ONE_AT_A_TIME)
        c.subscribe((f"{name}/#", 1))
        publish(broker, topic, b"new", retain=True)
        got = [take(c) for _ in range(MANY)]
        assert [payload for at, payload, _ in got if at == topic] == [b"new"]
        c.assert_silent()


def test_filter_that_a_packet_names_often_counts_once(broker: Process, name: str) -> None:
    topics = fill(broker, name)
    with broker.raw(5) as c:
        c.connect(name)
        c.send(raw.subscribe(1, *[(f"{name}/#", 0)] * 1000, version=5))
        assert c.expect(SUBACK).codes == [0] * 1000
        assert {take(c)[0] for _ in range(MANY)} == topics
        c.assert_silent()


@pytest.mark.spec("MQTT-3.8.4-3")
def test_subscribing_again_begins_anew(broker: Process, name: str) -> None:
    topics = fill(broker, name)
    with broker.raw(5) as c:
        c.connect(name, properties=ONE_AT_A_TIME)
        c.subscribe((f"{name}/#", 1))
        take(c)
        c.send(raw.subscribe(2, (f"{name}/#", 1), version=5))
        got: list[str] = []
        while not topics <= set(got):
            packet = c.read()
            if packet.kind == PUBLISH:
                got.append(packet.topic)
                c.send(raw.ack(PUBACK, packet.packet_id))
        assert len(got) < 2 * MANY  # the first walk has ended where it was


@pytest.mark.spec("MQTT-3.10.4-2", "MQTT-3.10.4-3")
def test_unsubscribing_ends_the_walk(broker: Process, name: str) -> None:
    fill(broker, name)
    with broker.raw(5) as c:
        c.connect(name, properties=ONE_AT_A_TIME)
        c.subscribe((f"{name}/#", 1))
        take(c)
        c.send(raw.unsubscribe(3, f"{name}/#", version=5))
        c.send(raw.packet(raw.PINGREQ))
        after = 0
        while True:
            packet = c.read()
            if packet.kind == PUBLISH:
                after += 1
                c.send(raw.ack(PUBACK, packet.packet_id), raw.packet(raw.PINGREQ))
            elif packet.kind == UNSUBACK:
                assert packet.codes == [0]
            elif after >= 1 and packet.kind == raw.PINGRESP:
                break
        drain(c)
        assert after < MANY // 2


def drain(c: Raw) -> None:
    """Take what has begun already."""
    for _ in range(40):
        c.send(raw.packet(raw.PINGREQ))
        packet = c.read()
        while packet.kind != raw.PINGRESP:
            c.send(raw.ack(PUBACK, packet.packet_id))
            packet = c.read()


@modern
def test_walk_goes_on_after_the_client_has_come_back(
    broker: Process, version: int, name: str
) -> None:
    topics = fill(broker, name)
    with broker.raw(version) as c:
        options = kept(version)
        if version == 5:
            options["properties"] = bytes(options["properties"]) + ONE_AT_A_TIME  # type: ignore[arg-type]
        c.connect(name, **options)
        c.subscribe((f"{name}/#", 1))
        got = {take(c)[0] for _ in range(5)}
    with broker.raw(version) as c:
        assert c.connect(name, **kept(version)).flags == 1
        while got != topics:
            got.add(take(c)[0])


def test_walk_of_a_client_that_has_left_is_over(broker: Process, name: str) -> None:
    fill(broker, name)
    for _ in range(3):
        with broker.raw(5) as c:
            c.connect(name, properties=ONE_AT_A_TIME)
            c.subscribe((f"{name}/#", 1))
            take(c)
    for n in range(MANY):
        publish(broker, f"{name}/{n}", b"", retain=True)
    with broker.raw(5) as c:
        c.connect(name)
        c.subscribe((f"{name}/#", 1))
        c.assert_silent()


@pytest.mark.parametrize("qos", [1, 2])
def test_message_larger_than_the_queue_may_be_gets_through(
    start_broker: StartBroker, qos: int
) -> None:
    process = start_broker(max_queue_size="1KB")
    with process.raw(5) as sub, process.raw(5) as pub:
        sub.connect("sub")
        sub.subscribe(("t", qos))
        pub.connect("pub")
        for n in range(1, 4):
            pub.publish("t", bytes(5000), qos=1, packet_id=n)
            pub.expect(PUBACK)
            assert take(sub) == ("t", bytes(5000), 1)
