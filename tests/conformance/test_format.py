"""What a packet looks like (MQTT 5.0, chapters 1 and 2), and the end of one that does not."""

from __future__ import annotations

import struct

import pytest

from tests import raw
from tests.conformance.flows import closed_with, modern, take
from tests.conftest import Process
from tests.raw import CONNACK, CONNECT, DISCONNECT, PINGRESP, PUBLISH, SUBACK

MALFORMED, PROTOCOL, TOPIC_NAME, TOPIC_ALIAS = 0x81, 0x82, 0x90, 0x94


def subscribe_body(filters: bytes, version: int, packet_id: int = 1) -> bytes:
    return struct.pack(">H", packet_id) + raw.props(version) + filters


def bad_packets(version: int) -> dict[str, tuple[tuple[str, ...], bytes, int]]:
    """What is wrong -> (the statements, the bytes, the Reason Code in 5.0)."""
    p = raw.props(version)
    topic = raw.text("a")

    def publish(flags: int, body: bytes) -> bytes:
        return raw.packet(raw.PUBLISH, body, flags)

    def named(name: bytes) -> bytes:
        return publish(0, raw.text(name) + p)

    def filtered(name: bytes, options: bytes = b"\x00", flags: int = 2) -> bytes:
        return raw.packet(
            raw.SUBSCRIBE, subscribe_body(raw.text(name) + options, version), flags
        )

    def unfiltered(name: bytes, flags: int = 2) -> bytes:
        return raw.packet(raw.UNSUBSCRIBE, subscribe_body(raw.text(name), version), flags)

    utf8 = ("MQTT-1.5.4-1", "MQTT-3.3.2-1")
    return {
        "qos 3": (("MQTT-3.3.1-4",), publish(6, topic + b"\x00\x01" + p), MALFORMED),
        "dup at qos 0": (("MQTT-3.3.1-2",), publish(8, topic + p), MALFORMED),
        "packet id 0": (("MQTT-2.2.1-3",), publish(2, topic + b"\x00\x00" + p), PROTOCOL),
        "subscribe id 0": (
            ("MQTT-2.2.1-3",),
            raw.packet(raw.SUBSCRIBE, subscribe_body(topic + b"\x00", version, 0), 2),
            PROTOCOL,
        ),
        "unsubscribe id 0": (
            ("MQTT-2.2.1-3",),
            raw.packet(raw.UNSUBSCRIBE, subscribe_body(topic, version, 0), 2),
            PROTOCOL,
        ),
        "+ in a topic name": (("MQTT-3.3.2-2", "MQTT-4.7.0-1"), named(b"a/+"), TOPIC_NAME),
        "# in a topic name": (("MQTT-3.3.2-2", "MQTT-4.7.0-1"), named(b"#"), TOPIC_NAME),
        "empty topic name": (
            ("MQTT-4.7.3-1",), named(b""), PROTOCOL if version == 5 else TOPIC_NAME
        ),
        "surrogate": (utf8, named(b"\xed\xa0\x80"), MALFORMED),
        "overlong text": (utf8, named(b"\xc0\x80"), MALFORMED),
        "cut text": (utf8, named(b"\xe2\x82"), MALFORMED),
        "over U+10FFFF": (utf8, named(b"\xf4\x90\x80\x80"), MALFORMED),
        "zero character in a name": (
            ("MQTT-1.5.4-2", "MQTT-4.7.3-2"), named(b"a\x00"), MALFORMED
        ),
        "zero character in a filter": (
            ("MQTT-1.5.4-2", "MQTT-4.7.3-2"), filtered(b"a\x00"), MALFORMED
        ),
        "filter that is no text": (("MQTT-3.8.3-1",), filtered(b"\xff"), MALFORMED),
        "unsubscribe of no text": (("MQTT-3.10.3-1",), unfiltered(b"\xff"), MALFORMED),
        "pingreq flags": (("MQTT-2.1.3-1",), b"\xc1\x00", MALFORMED),
        "puback flags": (("MQTT-2.1.3-1",), b"\x41\x02\x00\x01", MALFORMED),
        "pubrel flags": (("MQTT-3.6.1-1", "MQTT-2.1.3-1"), b"\x60\x02\x00\x01", MALFORMED),
        "subscribe flags": (("MQTT-3.8.1-1",), filtered(b"a", flags=0), MALFORMED),
        "unsubscribe flags": (("MQTT-3.10.1-1",), unfiltered(b"a", 0), MALFORMED),
        "disconnect flags": (("MQTT-3.14.1-1",), b"\xe1\x00", MALFORMED),
        "no filter to subscribe": (
            ("MQTT-3.8.3-2",),
            raw.packet(raw.SUBSCRIBE, subscribe_body(b"", version), 2),
            PROTOCOL,
        ),
        "no filter to unsubscribe": (
            ("MQTT-3.10.3-2",),
            raw.packet(raw.UNSUBSCRIBE, subscribe_body(b"", version), 2),
            PROTOCOL,
        ),
        "reserved subscription options": (
            ("MQTT-3.8.3-5",), filtered(b"a", b"\xc0"), MALFORMED
        ),
        "subscription qos 3": (("MQTT-4.13.1-1",), filtered(b"a", b"\x03"), PROTOCOL),
        "filter without options": (("MQTT-3.8.3-5",), filtered(b"a", b""), MALFORMED),
        "length of five bytes": (("MQTT-1.5.5-1",), b"\x30\xff\xff\xff\xff\x01", MALFORMED),
        "text past the end": (("MQTT-4.13.1-1",), b"\x30\x03\x00\x09a", MALFORMED),
        "bytes left over": (("MQTT-4.13.1-1",), b"\xc0\x01\x00", MALFORMED),
        "packet cut short": (("MQTT-4.13.1-1",), b"\x40\x01\x00", MALFORMED),
        "connack from a client": (("MQTT-4.13.1-1",), b"\x20\x02\x00\x00", PROTOCOL),
        "suback from a client": (("MQTT-4.13.1-1",), b"\x90\x03\x00\x01\x00", PROTOCOL),
        "pingresp from a client": (("MQTT-4.13.1-1",), b"\xd0\x00", PROTOCOL),
        "type 0": (("MQTT-4.13.1-1",), b"\x00\x00", PROTOCOL),
    }  # fmt: skip


def bad_5_0() -> dict[str, tuple[tuple[str, ...], bytes, int]]:
    def publish(properties: bytes, body: bytes = raw.text("a")) -> bytes:
        return raw.packet(raw.PUBLISH, body + raw.varint(len(properties)) + properties)

    def subscribe(properties: bytes) -> bytes:
        return raw.subscribe(1, ("a", 0), version=5, properties=properties)

    return {
        "retain handling 3": (
            ("MQTT-4.13.1-1",), raw.subscribe(1, ("a", 0x30), version=5), PROTOCOL
        ),
        "property past the end": (
            ("MQTT-4.13.1-1",), b"\x30\x06\x00\x01a\x05\x01\x01", MALFORMED
        ),
        "unknown property": (("MQTT-4.13.1-1",), publish(b"\x7f\x01"), MALFORMED),
        "property identifier of two bytes": (
            ("MQTT-1.5.5-1",), publish(b"\x81\x00\x01"), MALFORMED
        ),
        "property of another packet": (
            ("MQTT-4.13.1-1",), publish(b"\x21\x00\x01"), PROTOCOL
        ),
        "property twice": (("MQTT-4.13.1-1",), publish(b"\x01\x00\x01\x00"), PROTOCOL),
        "payload format 2": (("MQTT-4.13.1-1",), publish(b"\x01\x02"), PROTOCOL),
        "content type that is no text": (
            ("MQTT-3.3.2-19",), publish(b"\x03" + raw.text(b"\xff")), MALFORMED
        ),
        "response topic that is no text": (
            ("MQTT-3.3.2-13",), publish(b"\x08" + raw.text(b"\xff")), MALFORMED
        ),
        "response topic with a wildcard": (
            ("MQTT-3.3.2-14",), publish(b"\x08" + raw.text("a/#")), PROTOCOL
        ),
        "name of a user property is no text": (
            ("MQTT-1.5.7-1",),
            publish(b"\x26" + raw.text(b"\xff") + raw.text("v")),
            MALFORMED,
        ),
        "value of a user property is no text": (
            ("MQTT-1.5.7-1",),
            publish(b"\x26" + raw.text("n") + raw.text(b"\xff")),
            MALFORMED,
        ),
        "topic alias 0": (("MQTT-3.3.2-8",), publish(b"\x23\x00\x00"), TOPIC_ALIAS),
        "topic alias over the maximum": (
            ("MQTT-3.3.2-9", "MQTT-3.2.2-17"), publish(b"\x23\x00\x21"), TOPIC_ALIAS
        ),
        "topic alias never set": (
            ("MQTT-3.3.2-7",), publish(b"\x23\x00\x01", raw.text("")), PROTOCOL
        ),
        "subscription identifier from a client": (
            ("MQTT-3.3.4-6",), publish(b"\x0b\x01"), PROTOCOL
        ),
        "subscription identifier 0": (
            ("MQTT-4.13.1-1",), subscribe(b"\x0b\x00"), PROTOCOL
        ),
        "two subscription identifiers": (
            ("MQTT-4.13.1-1",), subscribe(b"\x0b\x01\x0b\x02"), PROTOCOL
        ),
        "auth without a method": (("MQTT-4.12.0-7",), b"\xf0\x00", PROTOCOL),
        "auth flags": (("MQTT-3.15.1-1",), b"\xf1\x00", MALFORMED),
        "undefined reason code in puback": (
            ("MQTT-3.4.2-1",), raw.ack(raw.PUBACK, 1, 0x01), PROTOCOL
        ),
        "undefined reason code in pubrec": (
            ("MQTT-3.5.2-1",), raw.ack(raw.PUBREC, 1, 0x92), PROTOCOL
        ),
        "undefined reason code in pubrel": (
            ("MQTT-3.6.2-1",), raw.ack(raw.PUBREL, 1, 0x10), PROTOCOL
        ),
        "undefined reason code in pubcomp": (
            ("MQTT-3.7.2-1",), raw.ack(raw.PUBCOMP, 1, 0x10), PROTOCOL
        ),
        "undefined reason code in disconnect": (
            ("MQTT-3.14.2-1",), raw.disconnect(5, 0x01), PROTOCOL
        ),
        "undefined reason code in auth": (
            ("MQTT-3.15.2-1",), raw.packet(raw.AUTH, b"\x01\x00"), PROTOCOL
        ),
    }  # fmt: skip


CASES = [
    pytest.param(
        version, data, reason, marks=pytest.mark.spec(*marks), id=f"{what}-{version}"
    )
    for version in (4, 5)
    for what, (marks, data, reason) in (
        bad_packets(version) | (bad_5_0() if version == 5 else {})
    ).items()
]


@pytest.mark.spec("MQTT-4.13.1-1", "MQTT-4.13.2-1", "MQTT-3.14.4-2")
@pytest.mark.parametrize(("version", "data", "reason"), CASES)
def test_bad_packet_closes_with_its_reason(
    broker: Process, version: int, data: bytes, reason: int, name: str
) -> None:
    with broker.raw(version) as c:
        c.connect(name)
        c.send(data)
        got = c.read_until_closed()
        expected = [(DISCONNECT, reason)] if version == 5 else []
        assert [(p.kind, p.reason) for p in got] == expected


def connect_with(version: int, flags: int, payload: bytes, name: bytes = b"MQTT") -> bytes:
    head = raw.text(name) + bytes([version, flags]) + b"\x00\x3c" + raw.props(version)
    return raw.packet(CONNECT, head + payload)


def bad_connects(version: int) -> dict[str, tuple[tuple[str, ...], bytes, int | None]]:
    """What is wrong -> (the statements, the bytes, the Reason Code in 5.0)."""
    own = raw.text("c")
    will = raw.props(version) + raw.text("w") + raw.text("x")

    def on_topic(topic: bytes) -> bytes:
        payload = own + raw.props(version) + raw.text(topic) + raw.text("")
        return connect_with(version, 6, payload)

    return {
        "reserved flag": (("MQTT-3.1.2-3",), connect_with(version, 3, own), 0x81),
        "will qos 3": (("MQTT-3.1.2-12",), connect_with(version, 0x1E, own + will), 0x81),
        "will qos without a will": (("MQTT-3.1.2-11",), connect_with(version, 0x0A, own), 0x81),
        "will retain without a will": (
            ("MQTT-3.1.2-13",), connect_with(version, 0x22, own), 0x81
        ),
        "will flag without a will": (("MQTT-3.1.2-9",), connect_with(version, 6, own), 0x81),
        "user flag without a name": (
            ("MQTT-3.1.2-17",), connect_with(version, 0x82, own), 0x81
        ),
        "name without its flag": (
            ("MQTT-3.1.2-16",), connect_with(version, 2, own + raw.text("u")), 0x81
        ),
        "password flag without one": (
            ("MQTT-3.1.2-19",), connect_with(version, 0xC2, own + raw.text("u")), 0x81
        ),
        "password without its flag": (
            ("MQTT-3.1.2-18",),
            connect_with(version, 0x82, own + raw.text("u") + raw.text("p")),
            0x81,
        ),
        "no client identifier": (("MQTT-3.1.3-3",), connect_with(version, 2, b""), 0x81),
        "client identifier of no text": (
            ("MQTT-3.1.3-4",), connect_with(version, 2, raw.text(b"\xff")), 0x81
        ),
        "client identifier with a zero": (
            ("MQTT-1.5.4-2",), connect_with(version, 2, raw.text(b"a\x00")), 0x81
        ),
        "will topic of no text": (
            ("MQTT-3.1.3-11",),
            on_topic(b"\xff"),
            0x81,
        ),
        "will topic with a wildcard": (
            ("MQTT-4.7.0-1",),
            on_topic(b"a/#"),
            0x90,
        ),
        "user name of no text": (
            ("MQTT-3.1.3-12",), connect_with(version, 0x82, own + raw.text(b"\xff")), 0x81
        ),
        "connect flags": (("MQTT-2.1.3-1",), b"\x11\x00", None),
    }  # fmt: skip


CONNECTS = [
    pytest.param(
        version, data, reason, marks=pytest.mark.spec(*marks), id=f"{what}-{version}"
    )
    for version in (4, 5)
    for what, (marks, data, reason) in bad_connects(version).items()
]


@pytest.mark.spec("MQTT-3.1.4-1", "MQTT-3.2.2-6", "MQTT-3.2.2-7", "MQTT-3.14.0-1")
@pytest.mark.parametrize(("version", "data", "reason"), CONNECTS)
def test_bad_connect_is_refused_and_the_connection_closed(
    broker: Process, version: int, data: bytes, reason: int | None
) -> None:
    with broker.raw(version) as c:
        c.send(data)
        got = c.read_until_closed()
    if version == 5 and reason is not None:
        assert [(p.kind, p.reason, p.flags) for p in got] == [(CONNACK, reason, 0)]
    else:  # no return code says it
        assert got == []


@pytest.mark.spec("MQTT-3.2.2-6 of 3.1.1", "MQTT-3.1.2-22 of 3.1.1", version=4)
def test_password_without_a_user_name_is_refused_in_3_1_1(broker: Process) -> None:
    with broker.raw(4) as c:
        c.send(connect_with(4, 0x42, raw.text("c") + raw.text("p")))
        assert c.read_until_closed() == []


def test_password_without_a_user_name_is_allowed_in_5_0(broker: Process, name: str) -> None:
    with broker.raw(5) as c:
        assert c.connect(name, password=b"p").reason == 0


@pytest.mark.spec("MQTT-3.1.2-1")
@modern
def test_unknown_protocol_name_closes(broker: Process, version: int) -> None:
    with broker.raw(version) as c:
        c.send(connect_with(version, 2, raw.text("c"), name=b"MQTD"))
        assert closed_with(c) in (1, 0x84, None)


@pytest.mark.spec("MQTT-1.5.4-3", "MQTT-4.7.3-4")
@modern
def test_byte_order_mark_and_odd_characters_are_kept(
    broker: Process, version: int, name: str
) -> None:
    # U+FEFF, a non-character, a control character and a letter in two normal forms
    odd = [
        name + t for t in ("\ufeff", "\uffff", "\x07", "\u00e9", "e\u0301", "\U0001fffe")
    ]
    with broker.raw(version) as c:
        c.connect("\ufeff" + name)
        for topic in odd:
            c.subscribe((topic, 0))
        for topic in odd:
            c.publish(topic, topic.encode())
            assert take(c) == (topic, topic.encode(), 0)
        c.assert_silent()
    with broker.raw(version) as c, broker.raw(version) as other:
        c.connect("\ufeff" + name)
        other.connect(name)  # another client: nothing was stripped
        c.ping()


@pytest.mark.spec("MQTT-4.7.3-3")
@modern
def test_topic_of_65535_bytes_is_carried(broker: Process, version: int, name: str) -> None:
    topic = (name + "x" * 65535)[:65535]
    with broker.raw(version) as c:
        c.connect(name)
        c.subscribe((topic, 1))
        c.publish(topic, b"long")
        assert take(c)[:2] == (topic, b"long")


@pytest.mark.spec("MQTT-2.2.1-2", "MQTT-2.2.2-1")
@modern
def test_packets_are_written_in_their_shortest_form(
    broker: Process, version: int, name: str
) -> None:
    no_properties = b"\x00" if version == 5 else b""
    with broker.raw(version) as c:
        c.connect(name)
        c.subscribe((name, 0))
        c.publish(name, b"hi")
        got = c.expect(PUBLISH)
        assert got.body == raw.text(name) + no_properties + b"hi"
        c.send(raw.subscribe(7, (name + "/b", 1), version=version))
        assert c.expect(SUBACK).body == b"\x00\x07" + no_properties + b"\x01"
        c.send(raw.packet(raw.PINGREQ))
        assert c.expect(PINGRESP).body == b""


@pytest.mark.spec("MQTT-4.2.0-1", "MQTT-7.0.0-2 of 3.1.1")
@modern
def test_many_packets_in_one_write_are_answered_in_order(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as c:
        c.connect(name)
        ids = range(1, 200)
        c.send(*(raw.publish(name, b"x", version, qos=1, packet_id=n) for n in ids))
        assert [c.expect(raw.PUBACK).packet_id for _ in ids] == list(ids)
