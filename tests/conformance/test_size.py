"""Maximum Packet Size of the client, and Reason Strings (MQTT 5.0, 3.1.2.11)."""

from __future__ import annotations

import contextlib
import os
import resource

import pytest

from tests import raw
from tests.conformance.flows import closed_with, expiry, give, take, u8, u16, u32
from tests.conftest import Process, StartBroker
from tests.raw import (
    AUTH,
    CONNACK,
    DISCONNECT,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    UNSUBACK,
    Raw,
)

REASON_STRING = 0x1F
NO_PROBLEM_INFORMATION = u8(0x17, 0)


def has_reason_string(properties: bytes) -> bool:
    return properties[:1] == bytes([REASON_STRING])


@pytest.mark.spec("MQTT-3.1.2-24", "MQTT-3.1.2-25")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_message_that_is_too_large_counts_as_delivered(
    broker: Process, qos: int, name: str
) -> None:
    """It is neither sent, nor kept, nor in the way: Receive Maximum is 1."""
    options = {"clean": False, "properties": expiry(60) + u16(0x21, 1) + u32(0x27, 200)}
    with broker.raw(5) as pub:
        pub.connect(name + "_p")
        with broker.raw(5) as sub:
            sub.connect(name, **options)
            sub.subscribe((name, qos))
            for n in range(5):
                give(pub, name, b"x" * 300, qos, n + 1)
                give(pub, name, b"%d" % n, qos, n + 1)
                assert take(sub)[1] == b"%d" % n
            sub.assert_silent()
            sub.leave()
        if qos:
            give(pub, name, b"y" * 300, qos)  # while it is away
            give(pub, name, b"small", qos)
            with broker.raw(5) as sub:
                sub.connect(name, **options)
                assert take(sub)[1] == b"small"
                sub.assert_silent()


@pytest.mark.spec("MQTT-3.1.2-24")
@pytest.mark.parametrize("over", [0, 1])
def test_packet_of_exactly_the_maximum_is_sent(
    broker: Process, over: int, name: str
) -> None:
    with broker.raw(5) as c:
        c.connect(name, properties=u32(0x27, 120))
        c.subscribe((name, 0))
        head = len(raw.publish(name, b"", 5))
        c.publish(name, b"x" * (120 - head + over))
        c.publish(name, b"next")
        got = [c.expect(PUBLISH).payload for _ in range(2 - over)]
        assert got[-1] == b"next"


@pytest.mark.spec("MQTT-3.1.2-24")
def test_message_too_large_on_a_later_connection_is_dropped(
    broker: Process, name: str
) -> None:
    with broker.raw(5) as pub:
        pub.connect(name + "_p")
        with broker.raw(5) as sub:
            sub.connect(name, clean=False, properties=expiry(60))
            sub.subscribe((name, 1))
            give(pub, name, b"x" * 300, 1)
            sub.expect(PUBLISH)  # in flight
            give(pub, name, b"small", 1)
        with broker.raw(5) as sub:
            sub.connect(name, clean=False, properties=expiry(60) + u32(0x27, 200))
            got = sub.expect(PUBLISH)
            assert got.payload == b"small"
            sub.send(raw.ack(PUBACK, got.packet_id))
            sub.assert_silent()


@pytest.mark.spec("MQTT-3.1.2-24", "MQTT-3.2.2-20")
@pytest.mark.parametrize(
    ("maximum", "answered"), [(1, False), (4, False), (5, True), (12, True)]
)
def test_client_that_takes_no_connack_of_ours_is_refused(
    broker: Process, maximum: int, answered: bool, name: str
) -> None:
    with broker.raw(5) as c:
        c.send(raw.connect(name, 5, properties=u32(0x27, maximum)))
        got = [(p.kind, p.reason) for p in c.read_until_closed()]
        assert got == ([(CONNACK, 0x95)] if answered else [])


@pytest.mark.spec("MQTT-3.1.2-24", "MQTT-3.9.2-2", "MQTT-3.14.2-4")
def test_suback_over_the_maximum_closes(broker: Process, name: str) -> None:
    with broker.raw(5) as c:
        c.connect(name, properties=u32(0x27, 40))
        c.send(raw.subscribe(1, *[(f"{name}/{n}", 0) for n in range(60)], version=5))
        assert closed_with(c) == 0x95


def refusals(c: Raw, name: str) -> dict[int, bytes]:
    """Provoke every acknowledgement that says no; return its properties by packet type."""
    got = {}
    c.publish("$SYS/" + name, b"x", qos=1, packet_id=1)
    c.publish("$SYS/" + name, b"x", qos=2, packet_id=2)
    c.send(
        raw.subscribe(3, ("$share", 0), version=5),
        raw.unsubscribe(4, "$share", version=5),
        raw.ack(PUBREL, 77),
        raw.ack(PUBREC, 78),
    )
    for _ in range(6):
        p = c.read()
        assert p.reason >= 0x80 or p.codes == [0x8F]
        got[p.kind] = p.properties
    assert got.keys() == {PUBACK, PUBREC, SUBACK, UNSUBACK, PUBCOMP, PUBREL}
    return got


def test_failures_are_explained(broker: Process, name: str) -> None:
    with broker.raw(5) as c:
        c.connect(name)
        got = refusals(c, name)
        for kind in (PUBACK, PUBREC, SUBACK, UNSUBACK):
            assert has_reason_string(got[kind])
        c.send(raw.packet(raw.CONNACK, b"\x00\x00\x00"))
        (last,) = c.read_until_closed()
        assert has_reason_string(last.properties)


@pytest.mark.spec("MQTT-3.1.2-29")
def test_no_reason_string_for_a_client_that_wants_none(broker: Process, name: str) -> None:
    with broker.raw(5) as c:
        c.connect(name, properties=NO_PROBLEM_INFORMATION)
        assert all(properties == b"" for properties in refusals(c, name).values())
        c.send(raw.packet(raw.CONNACK, b"\x00\x00\x00"))
        (last,) = c.read_until_closed()
        assert has_reason_string(last.properties)  # DISCONNECT may have it


@pytest.mark.spec(
    "MQTT-3.4.2-2", "MQTT-3.5.2-2", "MQTT-3.6.2-2", "MQTT-3.7.2-2", "MQTT-3.9.2-1",
    "MQTT-3.11.2-1", "MQTT-3.14.2-3", "MQTT-3.4.2-3", "MQTT-3.5.2-3", "MQTT-3.6.2-3",
    "MQTT-3.7.2-3", "MQTT-3.11.2-2",
)  # fmt: skip
def test_reason_string_is_left_out_where_it_does_not_fit(
    broker: Process, name: str
) -> None:
    with broker.raw(5) as c:
        c.connect(name, properties=u32(0x27, 24))
        assert all(properties == b"" for properties in refusals(c, name).values())
        c.send(raw.packet(raw.CONNACK, b"\x00\x00\x00"))
        (last,) = c.read_until_closed()
        assert (last.kind, last.reason, last.properties) == (DISCONNECT, 0x82, b"")


@pytest.mark.spec("MQTT-3.2.2-19", "MQTT-3.15.2-2", "MQTT-3.15.2-3")
def test_reason_string_of_connack_is_left_out_where_it_does_not_fit(
    start_broker: StartBroker, name: str
) -> None:
    process = start_broker(
        strict_clientid="true", auth__1__login="u", auth__1__password="p"
    )
    for properties, explained in ((b"", True), (u32(0x27, 20), False)):
        with process.raw(5) as c:
            got = c.connect("not strict", properties=properties)
            assert (got.reason, has_reason_string(got.properties)) == (0x85, explained)
    with process.raw(5) as c:  # AUTH has neither Reason String nor User Property
        method = b"\x15" + raw.text("SCRAM-SHA-256")
        data = b"\x16" + raw.text("n,,n=u,r=abc")
        c.send(raw.connect("c", 5, properties=method + data))
        got = c.expect(AUTH)
        assert got.properties.startswith(method + b"\x16")
        size = int.from_bytes(got.properties[len(method) + 1 : len(method) + 3], "big")
        assert len(got.properties) == len(method) + 3 + size


def test_auth_over_the_maximum_is_refused(start_broker: StartBroker) -> None:
    process = start_broker(auth__1__login="u", auth__1__password="p")
    with process.raw(5) as c:
        method = b"\x15" + raw.text("SCRAM-SHA-256")
        data = b"\x16" + raw.text("n,,n=u,r=abc")
        c.send(raw.connect("c", 5, properties=u32(0x27, 60) + method + data))
        (got,) = c.read_until_closed()
        assert (got.kind, got.reason) == (CONNACK, 0x95)


@pytest.mark.spec("MQTT-4.8.0-2 of 3.1.1", version=4)
@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="ASan needs its memory")
def test_connection_whose_packet_finds_no_memory_is_closed(
    start_broker: StartBroker,
) -> None:
    process = start_broker(max_packet_size="262144")
    with process.raw(4) as healthy, process.raw(4) as c:
        healthy.connect("healthy")
        c.connect("c")
        with open(f"/proc/{process.pid}/statm") as f:
            used = int(f.read().split()[0]) * resource.getpagesize()
        bound = (used + (32 << 20), resource.RLIM_INFINITY)
        resource.prlimit(process.pid, resource.RLIMIT_AS, bound)
        with contextlib.suppress(ConnectionError):
            c.send(b"\x30" + raw.varint(200 << 20) + b"\x00\x01a" + bytes(100 << 20))
        assert c.read_until_closed() == []
        resource.prlimit(process.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        healthy.ping()
