"""Topic Aliases, both ways (MQTT 5.0, 3.3.2.3.4)."""

from __future__ import annotations

import pytest

from tests.conformance.flows import closed_with, give, kept, take, u16, u32
from tests.conftest import Process, StartBroker
from tests.raw import PUBACK, PUBLISH, Packet, Raw


def alias_of(got: Packet) -> int:
    """Return the Topic Alias, 0 for none. It is the first property where there is no expiry."""
    return (
        int.from_bytes(got.properties[1:3], "big") if got.properties[:1] == b"\x23" else 0
    )


def ack(c: Raw, got: Packet) -> None:
    if got.qos:
        c.send(bytes([PUBACK << 4, 2]) + got.packet_id.to_bytes(2, "big"))


@pytest.mark.spec("MQTT-3.3.2-7", "MQTT-3.3.2-12")
def test_client_may_use_every_alias_up_to_the_maximum(broker: Process, name: str) -> None:
    with broker.raw(5) as c, broker.raw(5) as sub:
        c.connect(name)
        sub.connect(name + "_s")
        sub.subscribe((name + "/#", 0))
        for n in (1, 16, 32):
            c.publish(f"{name}/{n}", b"set", properties=u16(0x23, n))
        for n in (1, 16, 32):
            c.publish("", b"used", properties=u16(0x23, n))
        got = [sub.expect(PUBLISH) for _ in range(6)]
        assert [p.topic for p in got] == [f"{name}/{n}" for n in (1, 16, 32)] * 2
        assert all(p.properties == b"" for p in got)  # an alias belongs to one connection


@pytest.mark.spec("MQTT-3.3.2-7")
def test_alias_of_a_client_can_be_set_anew(broker: Process, name: str) -> None:
    with broker.raw(5) as c, broker.raw(5) as other:
        c.connect(name)
        other.connect(name + "_o")
        c.subscribe((name + "/#", 0))
        for topic in ("/a", "/b", "/a"):
            c.publish(name + topic, b"set", properties=u16(0x23, 1))
            c.publish("", b"used", properties=u16(0x23, 1))
            assert [take(c)[0] for _ in range(2)] == [name + topic] * 2
        other.publish("", b"x", properties=u16(0x23, 1))  # another connection's
        assert closed_with(other) == 0x82


@pytest.mark.spec("MQTT-3.1.2-26", "MQTT-3.3.2-11")
@pytest.mark.parametrize("maximum", [1, 5, 65535])
def test_broker_sets_aliases_up_to_the_clients_maximum(
    broker: Process, maximum: int, name: str
) -> None:
    with broker.raw(5) as sub, broker.raw(5) as pub:
        sub.connect(name, properties=u16(0x22, maximum))
        sub.subscribe((name + "/#", 1))
        pub.connect(name + "_p")
        known: dict[int, str] = {}
        saved = 0
        for n in range(60):
            topic = f"{name}/{n % 3}"
            give(pub, topic, b"%d" % n, n % 2, n + 1)
            got = sub.expect(PUBLISH)
            ack(sub, got)
            alias = alias_of(got)
            assert alias <= min(maximum, 32)
            if got.topic:
                known[alias] = got.topic
            else:
                saved += 1
            assert topic == (got.topic or known[alias])
            assert got.payload == b"%d" % n
        assert saved >= 15


def test_first_message_sets_the_alias_and_the_next_use_it(
    broker: Process, name: str
) -> None:
    with broker.raw(5) as c:
        c.connect(name, properties=u16(0x22, 1))
        c.subscribe((name, 0))
        for n in range(3):
            c.publish(name, b"x")
            got = c.expect(PUBLISH)
            assert (alias_of(got), got.topic) == (1, "" if n else name)


@pytest.mark.spec("MQTT-3.1.2-27", "MQTT-3.3.2-11")
@pytest.mark.parametrize("properties", [b"", u16(0x22, 0)])
def test_broker_sets_no_alias_for_a_client_that_takes_none(
    broker: Process, properties: bytes, name: str
) -> None:
    with broker.raw(5) as c:
        c.connect(name, properties=properties)
        c.subscribe((name, 0))
        for _ in range(3):
            c.publish(name, b"x")
            got = c.expect(PUBLISH)
            assert (got.topic, got.properties) == (name, b"")


def test_broker_sets_no_alias_when_told_not_to(start_broker: StartBroker) -> None:
    process = start_broker(max_outgoing_topic_alias="0")
    with process.raw(5) as c:
        c.connect("c", properties=u16(0x22, 10))
        c.subscribe(("topic", 0))
        for _ in range(3):
            c.publish("topic", b"x")
            assert c.expect(PUBLISH).topic == "topic"


@pytest.mark.spec("MQTT-3.3.2-7")
def test_aliases_of_the_broker_end_with_the_connection(broker: Process, name: str) -> None:
    options = {"clean": False, "properties": u32(0x11, 60) + u16(0x22, 10)}
    with broker.raw(5) as pub:
        pub.connect(name + "_p")
        with broker.raw(5) as c:
            c.connect(name, **options)
            c.subscribe((name, 1))
            for _ in range(2):
                give(pub, name, b"x", 1)
                got = c.expect(PUBLISH)
            assert got.topic == ""  # in flight, sent with an alias
        with broker.raw(5) as c:
            c.connect(name, **options)
            first = c.expect(PUBLISH)
            assert (first.topic, first.dup) == (name, True)
            assert c.expect(PUBLISH).topic == ""
        with broker.raw(5) as c:
            c.connect(name, **kept(5))  # no Topic Alias Maximum this time
            assert [c.expect(PUBLISH).topic for _ in range(2)] == [name] * 2


@pytest.mark.spec("MQTT-3.1.2-24")
def test_alias_is_left_out_where_it_would_make_the_packet_too_large(
    broker: Process, name: str
) -> None:
    topic = name[:40]
    with broker.raw(5) as c:
        c.connect(name, properties=u16(0x22, 10) + u32(0x27, 100))
        c.subscribe((topic, 0))
        room = 100 - 2 - 2 - len(topic) - 1  # header, length of the name, no properties
        c.publish(topic, b"x" * room)
        got = c.expect(PUBLISH)
        assert (got.topic, alias_of(got), len(got.payload)) == (topic, 0, room)
        c.publish(topic, b"x" * (room - 3))
        assert alias_of(c.expect(PUBLISH)) > 0
        c.publish(topic, b"x" * (room + 20))  # fits only because the name is known
        got = c.expect(PUBLISH)
        assert (got.topic, len(got.payload)) == ("", room + 20)
