"""PUBLISH, its acknowledgements, SUBSCRIBE and retained messages, against a real broker."""

from __future__ import annotations

import struct

import pytest

from tests import raw
from tests.conformance.flows import both, kept, modern, take, versions
from tests.conftest import Process, StartBroker
from tests.raw import (
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
)


@versions
@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.spec("MQTT-3.8.4-8", "MQTT-4.3.1-1", "MQTT-4.3.2-4", "MQTT-4.3.3-8")
def test_message_comes_at_the_lesser_qos(
    broker: Process, version: int, qos: int, granted: int, name: str
) -> None:
    with broker.raw(version) as sub, broker.raw(version) as pub:
        sub.connect(name)
        pub.connect(name + "_p")
        assert sub.subscribe((name, granted)) == [granted]
        pub.publish(name, b"hello", qos=qos, packet_id=7)
        if qos == 1:
            assert pub.expect(PUBACK).packet_id == 7
        if qos == 2:
            assert pub.expect(PUBREC).packet_id == 7
            pub.send(raw.ack(PUBREL, 7))
            assert pub.expect(PUBCOMP).packet_id == 7
        assert take(sub) == (name, b"hello", min(qos, granted))
        sub.assert_silent()


@pytest.mark.spec("MQTT-4.3.3-10")
@modern
def test_qos2_message_sent_again_is_delivered_once(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as sub, broker.raw(version) as pub:
        sub.connect(name)
        sub.subscribe((name, 0))
        pub.connect(name + "_p")
        for dup in (False, True, True):
            pub.publish(name, b"once", qos=2, packet_id=9, dup=dup)
            pub.expect(PUBREC)
        pub.send(raw.ack(PUBREL, 9), raw.ack(PUBREL, 9))
        assert pub.expect(PUBCOMP).reason == 0
        assert pub.expect(PUBCOMP).reason == (0x92 if version == 5 else 0)
        assert sub.expect(PUBLISH).payload == b"once"
        sub.assert_silent()


@modern
def test_messages_for_a_client_that_is_away_wait(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as pub:
        pub.connect(name + "_p")
        with broker.raw(version) as sub:
            sub.connect(name, **kept(version))
            sub.subscribe((name, 1))
            sub.send(raw.disconnect(version))
            sub.read_until_closed()
        for n in range(100):
            pub.publish(name, b"%d" % n, qos=1, packet_id=n + 1)
        pub.publish(name, b"lost", qos=0)  # QoS 0 does not wait
        for _ in range(100):
            pub.expect(PUBACK)
        with broker.raw(version) as sub:
            sub.connect(name, **kept(version))
            assert [take(sub)[1] for _ in range(100)] == [b"%d" % n for n in range(100)]
            sub.assert_silent()


@pytest.mark.spec("MQTT-3.3.4-9", "MQTT-4.9.0-1", "MQTT-4.9.0-2")
def test_receive_maximum_of_the_client_is_kept(broker: Process, name: str) -> None:
    with broker.raw(5) as sub, broker.raw(5) as pub:
        sub.connect(name, properties=b"\x21\x00\x02")
        sub.subscribe((name, 1))
        pub.connect(name + "_p")
        for n in range(5):
            pub.publish(name, b"%d" % n, qos=1, packet_id=n + 1)
        for _ in range(5):
            pub.expect(PUBACK)
        first, second = sub.expect(PUBLISH), sub.expect(PUBLISH)
        sub.assert_silent()
        sub.send(raw.ack(PUBACK, first.packet_id))
        assert sub.expect(PUBLISH).payload == b"2"
        sub.send(raw.ack(PUBACK, second.packet_id))
        assert sub.expect(PUBLISH).payload == b"3"


@pytest.mark.spec("MQTT-3.3.1-5", "MQTT-3.3.1-6", "MQTT-3.3.1-12")
@versions
def test_retained_message_reaches_later_subscribers(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as pub, broker.raw(version) as sub:
        pub.connect(name + "_p")
        sub.connect(name)
        pub.publish(name + "/a", b"old", retain=True)
        pub.publish(name + "/a", b"new", retain=True)
        pub.publish(name + "/b", b"b", retain=True)
        pub.publish(name + "/b", b"", retain=True)  # removes it
        pub.ping()
        sub.subscribe((name + "/#", 0))
        got = sub.expect(PUBLISH)
        assert (got.payload, got.retain) == (b"new", True)
        pub.publish(name + "/a", b"live", retain=True)
        assert not sub.expect(PUBLISH).retain
        sub.assert_silent()


@pytest.mark.spec("MQTT-3.3.1-9", "MQTT-3.3.1-10", "MQTT-3.3.1-11")
@pytest.mark.parametrize(("handling", "first", "second"), [(0, 1, 1), (1, 1, 0), (2, 0, 0)])
def test_retain_handling(
    broker: Process, handling: int, first: int, second: int, name: str
) -> None:
    with broker.raw(5) as c:
        c.connect(name)
        c.publish(name, b"kept", retain=True)
        for expected in (first, second):
            c.subscribe((name, handling << 4))
            for _ in range(expected):
                assert c.expect(PUBLISH).retain
            c.assert_silent()


@pytest.mark.spec("MQTT-3.3.4-2", "MQTT-3.3.4-3", "MQTT-3.3.4-4")
def test_overlapping_subscriptions_give_one_copy_with_all_identifiers(
    broker: Process, name: str
) -> None:
    with broker.raw(5) as c:
        c.connect(name)
        c.subscribe((name + "/#", 0), properties=b"\x0b\x07")
        c.subscribe((name + "/+", 2), properties=b"\x0b\x81\x01")
        c.subscribe((name + "/x", 1))
        c.publish(name + "/x", b"1", qos=2, packet_id=3)
        got = both(c, PUBREC, PUBLISH)
        assert got.qos == 2
        assert got.properties in (b"\x0b\x07\x0b\x81\x01", b"\x0b\x81\x01\x0b\x07")
        c.ping()


@pytest.mark.spec("MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-3.3.2-18")
def test_properties_travel_unaltered(broker: Process, name: str) -> None:
    carried = (
        b"\x01\x01"  # payload format indicator
        + b"\x03" + raw.text("text/plain")
        + b"\x08" + raw.text("reply/to")
        + b"\x09" + raw.text(b"\x00\xff")
        + b"\x26" + raw.text("b") + raw.text("2")
        + b"\x26" + raw.text("a") + raw.text("1")
        + b"\x26" + raw.text("b") + raw.text("2")
    )  # fmt: skip
    with broker.raw(5) as c, broker.raw(4) as old:
        c.connect(name)
        old.connect(name + "_4")
        old.subscribe((name, 0))
        c.subscribe((name, 0))
        c.publish(name, b"x", properties=carried)
        assert c.expect(PUBLISH).properties == carried
        assert old.expect(PUBLISH).payload == b"x"


@pytest.mark.spec("MQTT-3.3.2-6", "MQTT-3.3.2-5")
def test_message_expiry_is_counted_down(broker: Process, name: str) -> None:
    with broker.raw(5) as c:
        c.connect(name)
        c.publish(
            name,
            b"x",
            retain=True,
            properties=b"\x02" + struct.pack(">I", 100) + b"\x01\x00",
        )
        c.subscribe((name, 0))
        got = c.expect(PUBLISH)
        assert got.properties[:1] == b"\x02"
        assert struct.unpack(">I", got.properties[1:5])[0] in (99, 100)
        assert got.properties[5:] == b"\x01\x00"


@pytest.mark.spec("MQTT-3.3.2-7", "MQTT-3.3.2-8", "MQTT-3.3.2-9")
def test_topic_alias_of_a_client_stands_for_its_topic(broker: Process, name: str) -> None:
    alias = b"\x23\x00\x05"
    with broker.raw(5) as c, broker.raw(5) as sub:
        assert b"\x22\x00\x20" in c.connect(name).properties  # Topic Alias Maximum 32
        sub.connect(name + "_s")
        sub.subscribe((name + "/#", 0))
        c.publish(name + "/a", b"1", properties=alias)
        c.publish("", b"2", properties=alias)
        c.publish(name + "/b", b"3", properties=alias)  # the alias moves
        c.publish("", b"4", properties=alias)
        got = [sub.expect(PUBLISH) for _ in range(4)]
        assert [(p.topic[-1], p.payload) for p in got] == [
            ("a", b"1"),
            ("a", b"2"),
            ("b", b"3"),
            ("b", b"4"),
        ]
        assert all(p.properties == b"" for p in got)  # an alias belongs to one connection
    with broker.raw(5) as again:
        again.connect(name)
        again.publish("", b"x", properties=alias)
        assert again.read_until_closed()[0].reason == 0x82


@pytest.mark.parametrize("size", [0, 1, 100, 5000, 300_000])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_payloads_of_any_size_arrive_whole(
    broker: Process, size: int, qos: int, name: str
) -> None:
    payload = bytes(n % 251 for n in range(size))
    with broker.raw() as sub, broker.raw() as pub:
        sub.connect(name)
        sub.subscribe((name, 2))
        pub.connect(name + "_p")
        pub.publish(name, payload, qos=qos, packet_id=5)
        assert take(sub)[1] == payload


def test_packets_that_come_byte_by_byte_are_understood(broker: Process, name: str) -> None:
    stream = (
        raw.connect(name) + raw.subscribe(1, (name, 1)) + raw.publish(name, b"hi")
        + raw.packet(raw.PINGREQ)
    )  # fmt: skip
    with broker.raw() as c:
        for byte in stream:
            c.send(bytes([byte]))
        assert [c.read().kind for _ in range(3)] == [raw.CONNACK, SUBACK, PUBLISH]
        c.expect(raw.PINGRESP)


def test_user_properties_have_no_bound_but_the_packets(broker: Process, name: str) -> None:
    many = (b"\x26" + raw.text("k") + raw.text("v")) * 1000
    will = (name + "/will", b"gone", 0, False)
    with broker.raw(5) as c, broker.raw(5) as dying:
        assert c.connect(name, properties=many).reason == 0
        c.subscribe((name + "/#", 1), properties=many)
        c.publish(name + "/a", b"x", qos=1, packet_id=1, properties=many)
        got = both(c, PUBACK, PUBLISH)
        assert got.properties == many
        c.send(raw.ack(PUBACK, got.packet_id))
        dying.connect(name + "_d", will=will, will_properties=many)
        dying.close()
        assert c.expect(PUBLISH).properties == many


def test_too_many_user_properties_are_refused(start_broker: StartBroker) -> None:
    process = start_broker(property_size="2")
    pair = b"\x26" + raw.text("k") + raw.text("v")
    with process.raw(5) as c:
        c.connect("x")
        c.publish("a", properties=pair * 2, qos=1, packet_id=1)
        c.expect(PUBACK)
        c.publish("a", properties=pair * 3)
        assert c.read_until_closed()[0].reason == 0x97


def test_topics_have_a_bound_of_levels(start_broker: StartBroker) -> None:
    process = start_broker(max_topic_levels="3")
    with process.raw(5) as c:
        c.connect("x")
        assert c.subscribe(("a/b/c", 0), ("a/b/c/d", 0)) == [0, 0x8F]
        c.publish("a/b/c/d")
        assert c.read_until_closed()[0].reason == 0x90


def test_queue_of_an_absent_client_is_bounded(start_broker: StartBroker) -> None:
    process = start_broker(msq_len="5")
    with process.raw() as pub:
        with process.raw() as sub:
            sub.connect("s", clean=False)
            sub.subscribe(("a", 1))
            sub.leave()
        pub.connect("p")
        for n in range(20):
            pub.publish("a", b"%d" % n, qos=1, packet_id=n + 1)
            pub.expect(PUBACK)
        with process.raw() as sub:
            sub.connect("s", clean=False)
            assert [take(sub)[1] for _ in range(5)] == [b"%d" % n for n in range(5)]
            sub.assert_silent()


def test_unanswered_messages_go_out_again_before_5_0(start_broker: StartBroker) -> None:
    process = start_broker(qos_duration="1")
    with process.raw(4) as c:
        c.connect("x")
        c.subscribe(("a", 1))
        c.publish("a", b"x", qos=1, packet_id=1)
        first, second = both(c, PUBACK, PUBLISH), c.expect(PUBLISH)
        assert (second.packet_id, second.dup) == (first.packet_id, True)
        c.send(raw.ack(PUBACK, first.packet_id))
        c.ping()


@pytest.mark.spec("MQTT-3.3.4-2")
@modern
def test_overlapping_subscriptions_give_one_copy_at_the_highest_qos(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as c, broker.raw(version) as pub:
        c.connect(name)
        c.subscribe((name + "/#", 0), (name + "/+", 2), (name + "/x", 1))
        pub.connect(name + "_p")
        pub.publish(name + "/x", b"1", qos=2, packet_id=3)
        assert take(c) == (name + "/x", b"1", 2)
        c.assert_silent()
