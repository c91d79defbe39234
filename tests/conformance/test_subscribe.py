"""SUBSCRIBE, UNSUBSCRIBE, retained messages and topics (MQTT 5.0, 3.8 to 3.11, 4.7)."""

from __future__ import annotations

import pytest

from tests import raw
from tests.conformance.flows import both, give, kept, modern, pass_time, take, u32, versions
from tests.conftest import Process, StartBroker
from tests.raw import PUBLISH, SUBACK, UNSUBACK


@pytest.mark.spec(
    "MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-2.2.1-6", "MQTT-3.8.4-5", "MQTT-3.8.4-6",
    "MQTT-3.8.4-7", "MQTT-3.9.3-1", "MQTT-3.9.3-2",
)  # fmt: skip
@versions
@pytest.mark.parametrize("packet_id", [1, 65535])
def test_subscribe_is_answered_once_with_a_code_for_each_filter(
    broker: Process, version: int, packet_id: int, name: str
) -> None:
    bad = 0x8F if version == 5 else 0x80
    deep = "/".join("x" * 200)  # over max_topic_levels
    with broker.raw(version) as c:
        c.connect(name)
        asked = [(name, 2), (deep, 1), (name + "/b", 1), ("$share", 0), (name + "/c", 0)]
        c.send(raw.subscribe(packet_id, *asked, version=version))
        got = c.expect(SUBACK)
        assert (got.packet_id, got.codes) == (packet_id, [2, bad, 1, bad, 0])
        c.assert_silent()


@pytest.mark.spec(
    "MQTT-3.10.4-1", "MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-3.10.4-6", "MQTT-2.2.1-6",
    "MQTT-3.11.3-1", "MQTT-3.11.3-2",
)  # fmt: skip
@versions
@pytest.mark.parametrize("packet_id", [1, 65535])
def test_unsubscribe_is_answered_once_with_a_code_for_each_filter(
    broker: Process, version: int, packet_id: int, name: str
) -> None:
    with broker.raw(version) as c:
        c.connect(name)
        c.subscribe((name + "/+", 0), (name + "/b", 0))
        # Equal byte by byte: a filter that only matches the same topics is another.
        c.send(
            raw.unsubscribe(packet_id, name + "/#", name + "/b", "$share", version=version)
        )
        got = c.expect(UNSUBACK)
        assert got.packet_id == packet_id
        assert got.codes == ([0x11, 0, 0x8F] if version == 5 else [])
        c.publish(name + "/b", b"x")
        assert take(c)[1] == b"x"  # by the one that is left
        c.assert_silent()


@pytest.mark.spec("MQTT-3.10.4-2")
@modern
def test_unsubscribe_keeps_what_waits_in_the_queue_from_growing(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as c, broker.raw(version) as pub:
        pub.connect(name + "_p")
        c.connect(name)
        c.subscribe((name, 0))
        give(pub, name, b"1", 0)
        c.send(raw.unsubscribe(3, name, version=version))
        assert [c.read().kind for _ in range(2)] == [PUBLISH, UNSUBACK]
        give(pub, name, b"2", 0)
        c.assert_silent()


@pytest.mark.spec("MQTT-3.8.4-3", "MQTT-3.8.4-4", "MQTT-3.3.1-9")
@versions
def test_replaced_subscription_gets_retained_again_and_one_copy(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as c:
        c.connect(name)
        c.publish(name, b"kept", retain=True)
        for qos in (0, 1, 2):
            assert c.subscribe((name, qos)) == [qos]
            got = c.expect(PUBLISH)
            assert (got.payload, got.retain) == (b"kept", True)
        c.publish(name, b"live", qos=2, packet_id=1)
        assert both(c, raw.PUBREC, PUBLISH).qos == 2
        c.assert_silent()
        c.publish(name, b"", retain=True)


@pytest.mark.spec("MQTT-3.8.4-4")
@modern
def test_no_message_is_lost_while_a_subscription_is_replaced(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as sub, broker.raw(version) as pub:
        sub.connect(name)
        pub.connect(name + "_p")
        sub.subscribe((name, 1))
        for n in range(100):
            pub.publish(name, b"%d" % n, qos=1, packet_id=n + 1)
            if n % 10 == 0:
                sub.send(raw.subscribe(n + 1, (name, 1), version=version))
        got = []
        while len(got) < 100:
            p = sub.read()
            if p.kind == PUBLISH:
                got.append(p.payload)
                sub.send(raw.ack(raw.PUBACK, p.packet_id))
        assert got == [b"%d" % n for n in range(100)]


@pytest.mark.spec(
    "MQTT-3.3.1-5", "MQTT-3.3.1-8", "MQTT-3.1.2-7 of 3.1.1", "MQTT-3.3.1-8 of 3.1.1"
)
@modern
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_last_retained_message_is_kept_beyond_its_publishers_session(
    broker: Process, version: int, qos: int, name: str
) -> None:
    with broker.raw(version) as pub:
        pub.connect(name + "_p")
        for payload in (b"1", b"2"):
            give(pub, name, payload, qos, retain=True)
        give(pub, name, b"live", qos)  # without RETAIN: changes nothing
        pub.leave()
    with broker.raw(version) as sub:
        sub.connect(name)
        sub.subscribe((name, 2))
        got = sub.expect(PUBLISH)
        assert (got.payload, got.retain, got.qos) == (b"2", True, qos)


@pytest.mark.spec("MQTT-3.3.1-6", "MQTT-3.3.1-7")
@modern
def test_empty_retained_message_is_passed_on_and_removes(
    broker: Process, version: int, name: str
) -> None:
    with (
        broker.raw(version) as pub,
        broker.raw(version) as sub,
        broker.raw(version) as late,
    ):
        pub.connect(name + "_p")
        give(pub, name, b"kept", 1, retain=True)
        sub.connect(name)
        sub.subscribe((name, 0))
        assert sub.expect(PUBLISH).payload == b"kept"
        give(pub, name, b"", 1, retain=True)
        got = sub.expect(PUBLISH)
        assert (got.payload, got.retain) == (b"", False)
        late.connect(name + "_l")
        late.subscribe((name, 0))
        late.assert_silent()


@pytest.mark.spec("MQTT-3.3.1-12", "MQTT-3.3.1-13")
@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("as_published", [False, True])
def test_retain_as_published(
    broker: Process, retain: bool, as_published: bool, name: str
) -> None:
    with broker.raw(5) as c:
        c.connect(name)
        c.subscribe((name, 8 if as_published else 0))
        c.publish(name, b"x", retain=retain)
        assert c.expect(PUBLISH).retain == (retain and as_published)
        c.publish(name, b"", retain=True)


@pytest.mark.spec("MQTT-3.3.1-10")
def test_retain_handling_1_counts_a_subscription_of_a_kept_session_as_there(
    broker: Process, name: str
) -> None:
    with broker.raw(5) as c:
        c.connect(name, **kept(5))
        c.publish(name, b"kept", retain=True)
        c.subscribe((name, 0x10))
        assert c.expect(PUBLISH).retain
        c.leave()
    with broker.raw(5) as c:
        assert c.connect(name, **kept(5)).flags == 1
        c.subscribe((name, 0x10))
        c.assert_silent()
        c.send(raw.unsubscribe(3, name, version=5))
        c.expect(UNSUBACK)
        c.subscribe((name, 0x10))
        assert c.expect(PUBLISH).retain


@pytest.mark.spec("MQTT-3.3.1-10")
def test_retain_handling_1_counts_a_filter_as_new_that_its_packet_repeats(
    broker: Process, name: str
) -> None:
    with broker.raw(5) as c:
        c.connect(name)
        c.publish(name, b"kept", retain=True)
        c.subscribe((name, 0x10), (name, 0x10))
        assert c.expect(PUBLISH).retain
        c.assert_silent()
        c.publish(name, b"", retain=True)


@pytest.mark.spec("MQTT-3.3.2-5", "MQTT-3.3.2-6")
def test_retained_message_expires(broker: Process, name: str) -> None:
    with broker.raw(5) as c:
        c.connect(name)
        c.publish(name + "/a", b"brief", retain=True, properties=u32(0x02, 1))
        c.publish(name + "/b", b"long", retain=True, properties=u32(0x02, 100))
        c.ping()
        pass_time(broker, name)
        c.subscribe((name + "/+", 0))
        got = c.expect(PUBLISH)
        assert got.payload == b"long"
        assert u32(0x02, 95) < got.properties <= u32(0x02, 99)
        c.assert_silent()
        c.publish(name + "/b", b"", retain=True)


@pytest.mark.spec("MQTT-3.3.2-6")
def test_expiry_is_counted_down_while_a_message_waits(broker: Process, name: str) -> None:
    with broker.raw(5) as pub:
        pub.connect(name + "_p")
        with broker.raw(5) as sub:
            sub.connect(name, **kept(5))
            sub.subscribe((name, 1))
            sub.leave()
        give(pub, name, b"x", 1, properties=u32(0x02, 100))
        pass_time(broker, name)
        with broker.raw(5) as sub:
            sub.connect(name, **kept(5))
            got = sub.expect(PUBLISH)
            assert u32(0x02, 90) < got.properties <= u32(0x02, 99)


@pytest.mark.spec("MQTT-3.3.4-2", "MQTT-3.3.4-3", "MQTT-3.3.4-4", "MQTT-3.3.4-5")
@pytest.mark.parametrize("version", [5])
def test_subscription_identifier_of_each_filter_that_matches(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as c, broker.raw(version) as other:
        c.connect(name)
        other.connect(name + "_o")
        largest = b"\x0b\xff\xff\xff\x7f"
        c.subscribe((name + "/+", 0), properties=b"\x0b\x01")
        c.subscribe((name + "/x", 0), (name + "/y", 0), properties=largest)
        c.subscribe((name + "/#", 0))  # has none
        other.subscribe((name + "/x", 0))
        c.publish(name + "/x", b"two")
        c.publish(name + "/z", b"one")
        got = c.expect(PUBLISH)
        assert got.properties in (b"\x0b\x01" + largest, largest + b"\x0b\x01")
        assert c.expect(PUBLISH).properties == b"\x0b\x01"
        c.assert_silent()
        assert other.expect(PUBLISH).properties == b""
        # The identifier belongs to the subscription that is there now.
        c.subscribe((name + "/+", 0), properties=b"\x0b\x09")
        c.publish(name + "/z", b"moved")
        assert c.expect(PUBLISH).properties == b"\x0b\x09"


@pytest.mark.spec("MQTT-3.3.4-3")
def test_subscription_identifier_comes_with_retained_and_queued_messages(
    broker: Process, name: str
) -> None:
    with broker.raw(5) as pub:
        pub.connect(name + "_p")
        give(pub, name, b"kept", 1, retain=True)
        with broker.raw(5) as sub:
            sub.connect(name, **kept(5))
            sub.subscribe((name, 1), properties=b"\x0b\x05")
            got = sub.expect(PUBLISH)
            assert (got.retain, got.properties) == (True, b"\x0b\x05")
            sub.send(raw.ack(raw.PUBACK, got.packet_id))
            sub.leave()
        give(pub, name, b"queued", 1)
        with broker.raw(5) as sub:
            sub.connect(name, **kept(5))
            assert sub.expect(PUBLISH).properties == b"\x0b\x05"
        give(pub, name, b"", 1, retain=True)


@pytest.mark.spec("MQTT-3.8.3-3")
def test_no_local_is_by_client_identifier_across_connections(
    broker: Process, name: str
) -> None:
    with broker.raw(5) as c:
        c.connect(name, **kept(5))
        c.subscribe((name, 4))
        c.leave()
    with broker.raw(5) as c, broker.raw(5) as other:
        c.connect(name, **kept(5))
        other.connect(name + "_o")
        c.publish(name, b"own")
        other.publish(name, b"other")
        assert take(c)[1] == b"other"
        c.assert_silent()


def test_no_local_of_one_filter_leaves_another_alone(broker: Process, name: str) -> None:
    with broker.raw(5) as c:
        c.connect(name)
        c.subscribe((name + "/#", 4), properties=b"\x0b\x01")
        c.subscribe((name + "/+", 0), properties=b"\x0b\x02")
        c.publish(name + "/x", b"own")
        assert c.expect(PUBLISH).properties == b"\x0b\x02"


@pytest.mark.spec("MQTT-3.3.2-3", "MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.3-4")
@modern
@pytest.mark.parametrize(
    ("filter_", "topics"),
    [
        ("s/#", ["s", "s/", "s/p", "s/p/q", "s//", "s//q"]),
        ("s/+", ["s/", "s/p"]),
        ("s/+/q", ["s/p/q", "s//q"]),
        ("s", ["s"]),
        ("s/", ["s/"]),
        ("s/+/#", ["s/", "s/p", "s/p/q", "s//", "s//q"]),
        ("s//", ["s//"]),
        ("s/P", []),
    ],
)
def test_filters_match_level_by_level(
    broker: Process, version: int, filter_: str, topics: list[str], name: str
) -> None:
    prefix = name
    every = ["s", "s/", "s/p", "s/p/q", "s//", "s//q"]
    with broker.raw(version) as c:
        c.connect(prefix)
        c.subscribe((f"{prefix}/{filter_}", 0))
        for topic in every:
            c.publish(f"{prefix}/{topic}", b"x")
        c.send(raw.packet(raw.PINGREQ))
        got = []
        while (p := c.read()).kind == PUBLISH:
            got.append(p.topic.removeprefix(prefix + "/"))
        assert got == [t for t in every if t in topics]


@pytest.mark.spec(
    "MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.3-1", "MQTT-4.8.2-1", "MQTT-4.8.2-2"
)
@modern
@pytest.mark.parametrize(
    "filter_",
    ["", "a#", "a/#/b", "#a", "a/b#", "##", "a+", "+a", "a/+b/c", "++",
     "$share/", "$share/g", "$share/g/", "$share//a", "$share/+/a", "$share/#/a", "$share/g#/a",
     "$share/g/a#", "$share/g/#/a"],
)  # fmt: skip
@pytest.mark.parametrize("packet", ["subscribe", "unsubscribe"])
def test_filter_that_is_malformed_closes_the_connection(
    broker: Process, version: int, filter_: str, packet: str
) -> None:
    with broker.raw(version) as c:
        c.connect()
        if packet == "subscribe":
            c.send(raw.subscribe(1, ("good", 0), (filter_, 0), version=version))
        else:
            c.send(raw.unsubscribe(1, "good", filter_, version=version))
        got = c.read_until_closed()
        assert [(p.kind, p.reason) for p in got] == (
            [(raw.DISCONNECT, 0x81)] if version == 5 else []
        )


@modern
def test_filter_that_is_well_formed_and_refused_is_told_so(
    broker: Process, version: int
) -> None:
    deep = "/".join("x" * 200)  # over max_topic_levels
    with broker.raw(version) as c:
        c.connect()
        assert c.subscribe((deep, 0), ("$share", 0)) == [0x8F if version == 5 else 0x80] * 2


@pytest.mark.spec("MQTT-4.7.2-1")
@modern
@pytest.mark.parametrize("filter_", ["#", "+/x", "+/#", "+/+"])
def test_leading_wildcards_do_not_see_dollar_topics(
    broker: Process, version: int, filter_: str, name: str
) -> None:
    with broker.raw(version) as c, broker.raw(version) as other:
        c.connect("dollar" + str(version))
        other.connect("other" + str(version))
        c.subscribe((filter_, 0x20 if version == 5 else 0))
        give(other, "seen/x", b"end", 1)
        while c.expect(PUBLISH).payload != b"end":  # retained messages of other tests
            pass
        give(other, "$hidden/x", b"x", 1)
        give(other, "$hidden/x", b"kept", 1, retain=True)
        c.assert_silent()
        c.subscribe(("$hidden/+", 0))
        assert c.expect(PUBLISH).payload == b"kept"
        give(other, "$hidden/x", b"", 1, retain=True)


@pytest.mark.spec("MQTT-3.3.2-4", "MQTT-3.3.2-20")
def test_payload_format_and_content_type_are_passed_on_even_when_retained(
    broker: Process, name: str
) -> None:
    carried = b"\x01\x01\x03" + raw.text("text/plain")
    with broker.raw(5) as c:
        c.connect(name)
        c.publish(name, b"x", retain=True, properties=carried)
        c.subscribe((name, 0))
        assert c.expect(PUBLISH).properties == carried
        c.publish(name, b"", retain=True)


def test_expired_retained_messages_leave_the_store(start_broker: StartBroker) -> None:
    process = start_broker(sys_interval="1")
    with process.raw(5) as c:
        c.connect("c")
        topic = "$SYS/broker/retained messages/count"
        c.subscribe((topic, 0))
        before = int(c.expect(PUBLISH).payload)
        for n in range(50):
            c.publish(f"a/{n}", b"x", retain=True, properties=u32(0x02, 2))
        counts = [before]
        c.sock.settimeout(10)
        while max(counts) < before + 50 or counts[-1] > max(counts) - 50:
            counts.append(int(c.expect(PUBLISH).payload))
