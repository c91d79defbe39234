"""CONNECT, CONNACK, take-over, keep alive and DISCONNECT, against a real broker."""

from __future__ import annotations

import contextlib
import time

import pytest

from tests import raw
from tests.conformance.flows import clock, closed_with, kept, modern, pass_time, versions
from tests.conftest import Process, StartBroker
from tests.raw import CONNACK, CONNECT, Closed


@versions
def test_connect_is_answered_with_connack_0(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as c:
        got = c.connect(name)
        assert (got.reason, got.flags) == (0, 0)


@pytest.mark.spec("MQTT-3.1.0-1")
def test_first_packet_must_be_connect(broker: Process) -> None:
    with broker.raw() as c:
        c.send(raw.packet(raw.PINGREQ))
        assert c.read_until_closed() == []


@pytest.mark.spec("MQTT-3.1.0-2")
@modern
def test_second_connect_closes_the_connection(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as c:
        c.connect(name)
        c.send(raw.connect(name, version))
        got = c.read_until_closed()
        assert [p.reason for p in got] == ([0x82] if version == 5 else [])


@pytest.mark.spec("MQTT-3.1.2-2")
@pytest.mark.spec("MQTT-3.1.2-2", version=4)
@pytest.mark.parametrize("level", [0, 2, 6, 255])
def test_unknown_protocol_level_is_refused_with_1(broker: Process, level: int) -> None:
    with broker.raw(4) as c:
        c.send(
            raw.packet(CONNECT, raw.text("MQTT") + bytes([level, 2, 0, 60]) + raw.text("x"))
        )
        (got,) = c.read_until_closed()
        assert (got.kind, got.reason) == (CONNACK, 1)


@pytest.mark.spec("MQTT-3.1.3-8", "MQTT-3.1.3-8 of 3.1.1")
@pytest.mark.parametrize(("version", "clean"), [(4, False), (3, True)])
def test_empty_client_id_is_refused_with_2(
    broker: Process, version: int, clean: bool
) -> None:
    with broker.raw(version) as c:
        assert c.connect("", clean=clean).reason == 2
        with pytest.raises(Closed):
            c.read()


@pytest.mark.spec("MQTT-3.1.4-3")
@modern
def test_second_connection_takes_over(broker: Process, version: int, name: str) -> None:
    with broker.raw(version) as first, broker.raw(version) as second:
        first.connect(name)
        second.connect(name)
        got = first.read_until_closed()
        assert [p.reason for p in got] == ([0x8E] if version == 5 else [])
        second.ping()


@pytest.mark.spec("MQTT-3.1.2-4", "MQTT-3.1.2-5", "MQTT-3.2.2-2", "MQTT-3.2.2-3")
@modern
def test_session_present_tells_of_a_kept_session(
    broker: Process, version: int, name: str
) -> None:
    for clean, present in ((True, 0), (False, 0), (False, 1), (True, 0)):
        with broker.raw(version) as c:
            options = kept(version) | {"clean": clean}
            if clean:
                options["properties"] = b""
            assert c.connect(name, **options).flags == present
            c.send(raw.disconnect(version))
            c.read_until_closed()


@pytest.mark.spec("MQTT-3.1.2-6")
@modern
def test_clean_session_is_not_taken_up_while_its_connection_lasts(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as first, broker.raw(version) as second:
        first.connect(name, clean=True)
        first.subscribe((name, 0))
        assert second.connect(name, **kept(version)).flags == 0
        second.publish(name, b"x")
        second.assert_silent()


@pytest.mark.spec("MQTT-3.14.4-1")
@modern
def test_disconnect_closes_the_connection(broker: Process, version: int, name: str) -> None:
    with broker.raw(version) as c:
        c.connect(name)
        c.send(raw.disconnect(version))
        assert c.read_until_closed() == []


@pytest.mark.spec("MQTT-3.1.2-22")
@modern
def test_silent_client_is_closed_after_its_keep_alive(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as c:
        c.connect(name, keep_alive=1)
        begun = time.monotonic()
        got = c.read_until_closed()
        assert time.monotonic() - begun >= 1.35
        assert [p.reason for p in got] == ([0x8D] if version == 5 else [])


@pytest.mark.spec("MQTT-3.1.2-22")
def test_long_keep_alive_with_a_large_backoff_lasts_as_long(
    start_broker: StartBroker,
) -> None:
    process = start_broker(keepalive_backoff="99.605")
    with process.raw(5) as c:
        c.connect("c", keep_alive=43120)  # the product is 304 ms past 2**32
        c.sock.settimeout(1.5)
        with pytest.raises(TimeoutError):
            c.read()
        c.ping()


def test_pings_keep_a_client_alive(broker: Process, name: str) -> None:
    with broker.raw() as c:
        c.connect(name, keep_alive=1)
        with clock(broker, name, 2) as passed:
            while not passed.hears_within(0.2):
                c.ping()


@pytest.mark.spec("MQTT-3.1.2-22")
@modern
@pytest.mark.parametrize("pieces", [4, 1])
def test_large_packet_that_comes_on_is_a_sign_of_life(
    broker: Process, version: int, pieces: int, name: str
) -> None:
    whole = raw.publish(name, b"x" * 8000, version, qos=1, packet_id=1)
    with broker.raw(version) as c:
        c.connect(name, keep_alive=2)
        for n in range(pieces):
            c.send(whole[n * 1000 : (n + 1) * 1000])
            if pieces > 1:
                pass_time(broker, f"{name}{n}")  # twice the keep alive in all
        if pieces == 1:  # it stops
            assert closed_with(c) == (0x8D if version == 5 else None)
        else:
            c.send(whole[pieces * 1000 :])
            assert c.expect(raw.PUBACK).packet_id == 1


def test_bytes_of_a_connect_do_not_prolong_its_time(start_broker: StartBroker) -> None:
    process = start_broker(connect_timeout="1000ms")
    with process.raw(5) as c:
        c.sock.settimeout(0.1)
        begun = time.monotonic()
        with contextlib.suppress(Closed, OSError):
            for byte in raw.connect("c" * 300, 5)[:-1]:
                c.send(bytes([byte]))
                with contextlib.suppress(TimeoutError):
                    c.read()
        assert time.monotonic() - begun < 20  # of the 30 s and more that they would take


@pytest.mark.parametrize(
    "head",
    [
        b"\x10\x10\x00\x06MQIsdp\x03\x03\x00\x3c\x00\x02",  # reserved bit
        b"\x10\x10\x00\x06MQIsdp\x03\x3a\x00\x3c\x00\x02",  # will QoS 3 and retain, no will
        b"\x1f\x10\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x02",  # DUP, QoS and RETAIN
    ],
)
def test_unused_bits_of_a_3_1_connect_are_disregarded(
    broker: Process, head: bytes, name: str
) -> None:
    with broker.raw(3) as c:
        c.send(head + name[-8:-6].encode())
        assert c.expect(CONNACK).reason == 0
        c.publish(name, b"")
        c.ping()


def test_connect_must_come_in_time(start_broker: StartBroker) -> None:
    process = start_broker(connect_timeout="300ms")
    with process.raw() as c:
        c.send(b"\x10")  # a byte does not hold the slot
        assert c.read_until_closed() == []


@pytest.mark.parametrize("version", [3, 4])
def test_a_bridge_gets_nothing_back_and_retain_as_published(
    broker: Process, version: int, name: str
) -> None:
    """The top bit of the protocol level, which mosquitto and others send before 5.0."""
    level = raw.connect(name, version).replace(
        bytes([version, 2]), bytes([version | 0x80, 2]), 1
    )
    with broker.raw(version) as c, broker.raw(version) as other:
        c.send(level)
        assert c.expect(CONNACK).reason == 0
        assert c.subscribe((name, 1)) == [1]
        c.publish(name, b"mine", qos=0)
        other.connect(f"{name}-2")
        other.publish(name, b"yours", qos=0, retain=True)
        got = c.expect(raw.PUBLISH)
        assert (got.payload, got.retain) == (b"yours", True)
        c.assert_silent()
        other.publish(name, b"", qos=0, retain=True)
        other.ping()


def test_5_0_has_no_such_bit(broker: Process, name: str) -> None:
    with broker.raw(5) as c:
        c.send(raw.connect(name, 5).replace(b"\5\2", b"\x85\2", 1))
        got = c.read_until_closed()
    assert [p.kind for p in got] in ([], [CONNACK])
