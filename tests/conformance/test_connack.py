"""What CONNACK announces, each from its key, and that it is enforced (MQTT 5.0, 3.2.2.3)."""

from __future__ import annotations

import struct
import time

import pytest

from tests import raw
from tests.conformance.flows import closed_with, give, modern, take, u8, u16, u32
from tests.conftest import Process, StartBroker
from tests.raw import CONNACK, DISCONNECT, PUBACK, PUBLISH, PUBREC, Packet


def cut_properties(data: bytes) -> dict[int, list[bytes]]:
    """Cut a block of CONNACK properties into identifier -> raw values."""
    sizes = {0x11: 4, 0x21: 2, 0x24: 1, 0x25: 1, 0x27: 4, 0x22: 2, 0x13: 2}
    sizes |= dict.fromkeys((0x28, 0x29, 0x2A), 1)
    found: dict[int, list[bytes]] = {}
    at = 0
    while at < len(data):
        identifier = data[at]
        size = sizes.get(identifier)
        if size is None:
            size = 2 + struct.unpack_from(">H", data, at + 1)[0]
        found.setdefault(identifier, []).append(data[at + 1 : at + 1 + size])
        at += 1 + size
    return found


def announced(got: Packet) -> dict[int, list[bytes]]:
    return cut_properties(got.properties)


@pytest.mark.spec("MQTT-3.1.4-5", "MQTT-3.2.0-1", "MQTT-3.2.2-1", "MQTT-3.2.2-8")
@modern
def test_connack_comes_first(broker: Process, version: int, name: str) -> None:
    with broker.raw(version) as c:
        c.send(
            raw.connect(name, version),
            raw.subscribe(1, (name, 0), version=version),
            raw.packet(raw.PINGREQ),
        )
        got = c.read()
        assert (got.kind, got.body[:2]) == (CONNACK, b"\x00\x00")
        assert [c.read().kind for _ in range(2)] == [raw.SUBACK, raw.PINGRESP]


@pytest.mark.spec("MQTT-3.2.0-2")
@modern
def test_there_is_one_connack(broker: Process, version: int, name: str) -> None:
    with broker.raw(version) as c:
        c.connect(name)
        c.ping()
        c.send(raw.connect(name, version))
        assert CONNACK not in [p.kind for p in c.read_until_closed()]


@pytest.mark.spec("MQTT-3.1.4-6", "MQTT-3.2.2-7")
@modern
def test_nothing_is_processed_after_a_refused_connect(
    start_broker: StartBroker, version: int
) -> None:
    process = start_broker(
        allow_anonymous="false", auth__1__login="u", auth__1__password="p"
    )
    with process.raw(version) as sub, process.raw(version) as c:
        sub.connect("s", user="u", password=b"p")
        sub.subscribe(("a", 0))
        c.send(raw.connect("c", version), raw.publish("a", b"no", version))
        (got,) = c.read_until_closed()
        assert (got.kind, got.reason) == (CONNACK, 0x87 if version == 5 else 5)
        sub.assert_silent()


def test_defaults_are_announced_where_they_differ_from_the_specifications(
    broker: Process, name: str
) -> None:
    with broker.raw(5) as c:
        got = announced(c.connect(name))
    assert got == {
        0x21: [b"\x01\x00"],  # Receive Maximum 256
        0x22: [b"\x00\x20"],  # Topic Alias Maximum 32
        0x27: [struct.pack(">I", 10240 * 1024)],  # Maximum Packet Size
    }


@pytest.mark.spec("MQTT-3.2.2-9", "MQTT-3.2.2-10", "MQTT-3.2.2-11", "MQTT-3.2.2-12")
@pytest.mark.parametrize("maximum", [0, 1])
def test_maximum_qos(start_broker: StartBroker, maximum: int) -> None:
    process = start_broker(max_qos_allowed=str(maximum))
    with process.raw(5) as c:
        assert announced(c.connect("c"))[0x24] == [bytes([maximum])]
        assert c.subscribe(("a", 0), ("b", 1), ("c", 2)) == [0, min(1, maximum), maximum]
        c.publish("c", b"x")
        assert take(c) == ("c", b"x", 0)
        c.publish("a", b"x", qos=maximum + 1, packet_id=2)
        (got,) = c.read_until_closed()
        assert (got.kind, got.reason) == (DISCONNECT, 0x9B)
    with process.raw(5) as c:
        got = c.connect("c", will=("w", b"", maximum + 1, False))
        assert (got.reason, c.read_until_closed()) == (0x9B, [])
    with process.raw(4) as c:
        c.connect("c")
        assert c.subscribe(("a", 2)) == [maximum]
        c.publish("a", b"x", qos=maximum + 1, packet_id=2)
        assert c.read_until_closed() == []


@pytest.mark.spec("MQTT-3.2.2-13", "MQTT-3.2.2-14")
def test_retain_available(start_broker: StartBroker) -> None:
    process = start_broker(retain_available="false")
    with process.raw(5) as c:
        assert announced(c.connect("c"))[0x25] == [b"\x00"]
        c.publish("a", b"x", retain=True)
        assert closed_with(c) == 0x9A
    with process.raw(5) as c:
        assert c.connect("c", will=("w", b"", 0, True)).reason == 0x9A
        assert c.read_until_closed() == []
    with process.raw(5) as c:
        c.connect("c")
        c.subscribe(("a", 0), ("$SYS/#", 0))
        c.assert_silent()


@pytest.mark.parametrize(
    ("key", "identifier", "filter_", "properties", "reason"),
    [
        ("wildcard_subscription", 0x28, "a/#", b"", 0xA2),
        ("wildcard_subscription", 0x28, "$share/g/+", b"", 0xA2),
        ("subscription_identifier", 0x29, "a", b"\x0b\x01", 0xA1),
        ("shared_subscription", 0x2A, "$share/g/a", b"", 0x9E),
    ],
)
def test_subscription_feature_that_is_switched_off(
    start_broker: StartBroker,
    key: str,
    identifier: int,
    filter_: str,
    properties: bytes,
    reason: int,
) -> None:
    process = start_broker(**{key: "false"})
    with process.raw(5) as c:
        assert announced(c.connect("c"))[identifier] == [b"\x00"]
        assert c.subscribe(("plain", 1)) == [1]
        c.send(raw.subscribe(2, (filter_, 0), version=5, properties=properties))
        (got,) = c.read_until_closed()
        assert (got.kind, got.reason) == (DISCONNECT, reason)


@pytest.mark.spec("MQTT-3.8.3-2 of 3.1.1", version=4)
def test_wildcard_that_is_switched_off_is_rejected_in_3_1_1(
    start_broker: StartBroker,
) -> None:
    process = start_broker(wildcard_subscription="false")
    with process.raw(4) as c:
        c.connect("c")
        assert c.subscribe(("a/#", 0), ("a/b", 1)) == [0x80, 1]
        c.publish("a/x", b"no")
        c.publish("a/b", b"yes")
        assert take(c)[1] == b"yes"


@pytest.mark.spec("MQTT-3.1.2-21", "MQTT-3.2.2-21", "MQTT-3.1.2-22")
@pytest.mark.parametrize("asked", [0, 2, 600])
def test_server_keep_alive_is_told_and_enforced(
    start_broker: StartBroker, asked: int
) -> None:
    process = start_broker(server_keepalive="1")
    with process.raw(5) as c:
        assert announced(c.connect("c", keep_alive=asked))[0x13] == [b"\x00\x01"]
        begun = time.monotonic()
        (got,) = c.read_until_closed()
        assert got.reason == 0x8D
        assert time.monotonic() - begun >= 1.35


@pytest.mark.spec("MQTT-3.2.2-22")
@pytest.mark.parametrize("key", ["server_keepalive", "max_keepalive"])
def test_client_that_asks_for_less_keeps_its_own(
    start_broker: StartBroker, key: str
) -> None:
    process = start_broker(**{key: "600"})
    with process.raw(5) as quick, process.raw(5) as same, process.raw(5) as none:
        assert 0x13 not in announced(quick.connect("quick", keep_alive=1))
        assert 0x13 not in announced(same.connect("same", keep_alive=600))
        assert announced(none.connect("none", keep_alive=0))[0x13] == [b"\x02\x58"]
        assert closed_with(quick) == 0x8D


def test_lower_of_two_bounds_of_the_keep_alive_counts(start_broker: StartBroker) -> None:
    process = start_broker(server_keepalive="600", max_keepalive="100")
    with process.raw(5) as c:
        assert announced(c.connect("c", keep_alive=300))[0x13] == [b"\x00\x64"]


@pytest.mark.spec("MQTT-3.2.2-22")
def test_without_server_keep_alive_the_clients_counts(broker: Process, name: str) -> None:
    with broker.raw(5) as quick, broker.raw(5) as slow:
        assert 0x13 not in announced(quick.connect(name, keep_alive=1))
        slow.connect(name + "_s", keep_alive=0)
        assert closed_with(quick) == 0x8D
        slow.ping()


@pytest.mark.spec("MQTT-3.3.4-7")
def test_receive_maximum_of_the_server(start_broker: StartBroker) -> None:
    process = start_broker(receive_maximum="1")
    with process.raw(5) as c:
        assert announced(c.connect("c"))[0x21] == [b"\x00\x01"]
        for n in range(1, 4):  # each is complete before the next
            assert give(c, "a", b"x", 2, n) in (0, 0x10)
        c.publish("a", b"x", qos=2, packet_id=4)
        c.expect(PUBREC)
        c.publish("a", b"x", qos=2, packet_id=4, dup=True)  # the same again
        c.expect(PUBREC)
        c.publish("a", b"x", qos=2, packet_id=5)
        (got,) = c.read_until_closed()
        assert (got.kind, got.reason) == (DISCONNECT, 0x93)


def test_message_over_the_receive_maximum_is_not_taken_for_a_known_one(
    start_broker: StartBroker,
) -> None:
    process = start_broker(receive_maximum="1")
    options = {"clean": False, "properties": u32(0x11, 60)}
    with process.raw(5) as sub:
        sub.connect("s")
        sub.subscribe(("a", 0))
        with process.raw(5) as c:
            c.connect("c", **options)
            c.publish("a", b"1", qos=2, packet_id=1)
            c.publish("a", b"2", qos=2, packet_id=2)
            assert closed_with(c) == 0x93
        with process.raw(5) as c:
            c.connect("c", **options)
            c.send(raw.ack(raw.PUBREL, 1))
            assert c.expect(raw.PUBCOMP).reason == 0
            give(c, "a", b"2", 2, 2, dup=True)
        assert [take(sub)[1] for _ in range(2)] == [b"1", b"2"]


@pytest.mark.spec("MQTT-3.2.2-18", "MQTT-3.2.2-17")
def test_no_topic_alias_maximum(start_broker: StartBroker) -> None:
    process = start_broker(max_topic_alias="0")
    with process.raw(5) as c:
        assert 0x22 not in announced(c.connect("c"))
        c.publish("a", b"x", properties=u16(0x23, 1))
        assert closed_with(c) == 0x94


@pytest.mark.spec("MQTT-3.2.2-15")
@modern
def test_packet_over_the_limit_is_refused_before_it_is_read(
    start_broker: StartBroker, version: int
) -> None:
    process = start_broker(max_packet_size="1")
    with process.raw(version) as c:
        got = c.connect("x")
        if version == 5:
            assert announced(got)[0x27] == [struct.pack(">I", 1024)]
        head = len(raw.publish("a", b"", version))
        c.publish("a", b"x" * (1024 - head - 1))  # one more byte of length: 1,024 in all
        c.ping()
        c.send(b"\x30\xff\xff\xff\x7f")  # the head of 268,435,455 bytes
        assert closed_with(c) == (0x95 if version == 5 else None)


def test_session_expiry_is_capped(start_broker: StartBroker) -> None:
    process = start_broker(max_session_expiry="10")
    with process.raw(5) as c:
        assert announced(c.connect("c", properties=u32(0x11, 11)))[0x11] == [
            struct.pack(">I", 10)
        ]
    with process.raw(5) as c:
        assert 0x11 not in announced(c.connect("c", properties=u32(0x11, 10)))


@pytest.mark.spec("MQTT-3.1.3-5", "MQTT-3.1.3-8")
@modern
def test_strict_client_identifiers(start_broker: StartBroker, version: int) -> None:
    process = start_broker(strict_clientid="true", allow_empty_clientid="false")
    for good in ("a", "0123456789abcdefghijkLM", "NOPQRSTUVWXYZnopqrstuvw"):
        with process.raw(version) as c:
            assert c.connect(good).reason == 0
    for bad in ("", "a-b", "x" * 24, "\u00e9"):
        with process.raw(version) as c:
            assert c.connect(bad).reason == (0x85 if version == 5 else 2)
            assert c.read_until_closed() == []


@pytest.mark.spec("MQTT-3.1.3-6", "MQTT-3.1.3-7", "MQTT-3.2.2-16")
def test_assigned_client_identifiers_differ_and_name_a_session(broker: Process) -> None:
    assigned = []
    for _ in range(3):
        with broker.raw(5) as c:
            (value,) = announced(c.connect("", clean=False, properties=u32(0x11, 60)))[0x12]
            assigned.append(value[2:].decode())
    assert len(set(assigned)) == 3
    with broker.raw(5) as c:
        assert c.connect(assigned[0], clean=False).flags == 1


@pytest.mark.spec("MQTT-3.1.3-6")
@pytest.mark.parametrize("version", [4])
def test_empty_client_identifiers_of_3_1_1_are_two_clients(
    broker: Process, version: int
) -> None:
    with broker.raw(version) as a, broker.raw(version) as b:
        assert a.connect("").reason == 0
        assert b.connect("").reason == 0
        a.ping()
        b.ping()


@pytest.mark.spec("MQTT-3.1.2-28")
def test_response_information_only_for_those_who_ask(start_broker: StartBroker) -> None:
    process = start_broker(response_information="answers/")
    for properties, told in ((b"", None), (u8(0x19, 0), None), (u8(0x19, 1), b"answers/")):
        with process.raw(5) as c:
            got = announced(c.connect("c", properties=properties)).get(0x1A)
            assert got == (None if told is None else [raw.text(told)])


def test_no_response_information_unless_configured(broker: Process, name: str) -> None:
    with broker.raw(5) as c:
        assert 0x1A not in announced(c.connect(name, properties=u8(0x19, 1)))


def test_server_reference_is_never_sent(start_broker: StartBroker) -> None:
    process = start_broker(allow_anonymous="false")
    with process.raw(5) as c:
        assert 0x1C not in announced(c.connect("c"))


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        (u16(0x21, 0), 0x82),  # Receive Maximum 0
        (u32(0x27, 0), 0x82),  # Maximum Packet Size 0
        (u8(0x17, 2), 0x82),  # Request Problem Information 2
        (u8(0x19, 2), 0x82),  # Request Response Information 2
        (u32(0x11, 1) * 2, 0x82),  # twice
        (raw.text("x")[:1] + b"\x7f", 0x81),  # no property
        (b"\x16" + raw.text(b"data"), 0x82),  # Authentication Data without a method
        (u8(0x01, 1), 0x82),  # a property of PUBLISH
    ],
)
@pytest.mark.spec("MQTT-3.1.4-1")
def test_bad_connect_property_is_refused(
    broker: Process, properties: bytes, reason: int, name: str
) -> None:
    with broker.raw(5) as c:
        c.send(raw.connect(name, 5, properties=properties))
        (got,) = c.read_until_closed()
        assert (got.kind, got.reason) == (CONNACK, reason)


@pytest.mark.spec("MQTT-3.3.1-2", "MQTT-4.9.0-3", "MQTT-3.3.4-10")
def test_other_packets_do_not_wait_for_the_receive_maximum(
    broker: Process, name: str
) -> None:
    with broker.raw(5) as c:
        c.connect(name, properties=u16(0x21, 1))
        c.subscribe((name, 1), (name + "/0", 0))
        for n in range(2):
            c.publish(name, b"%d" % n, qos=1, packet_id=n + 1)
        got = [c.read() for _ in range(3)]  # two PUBACK, one PUBLISH: the quota is used up
        assert sorted(p.kind for p in got) == [PUBLISH, PUBACK, PUBACK]
        c.ping()
        assert c.subscribe((name + "/b", 0)) == [0]
        c.publish(name + "/0", b"zero")
        zero = c.expect(PUBLISH)
        assert (zero.qos, zero.dup, zero.payload) == (0, False, b"zero")
        (first,) = (p for p in got if p.kind == PUBLISH)
        c.send(raw.ack(PUBACK, first.packet_id))
        assert take(c)[1] == b"1"
