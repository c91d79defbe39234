"""Will Messages (MQTT 5.0, 3.1.2.5 to 3.1.2.7 and 3.1.3.2)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import raw
from tests.conformance.flows import (
    closed_with,
    expiry,
    modern,
    pair,
    pass_time,
    take,
    text,
    u8,
    u32,
)
from tests.conftest import Process, StartBroker
from tests.raw import DISCONNECT, PUBLISH, Raw


@pytest.fixture
def listener(broker: Process, name: str) -> Iterator[Raw]:
    with broker.raw(5) as c:
        c.connect(name + "_l")
        c.subscribe((name + "/will", 0x0A))  # QoS 2, retain as published
        yield c


def delayed(name: str, expiry_s: int) -> dict[str, object]:
    """Options of a CONNECT whose will waits longer than its session lasts."""
    return {
        "clean": False,
        "properties": expiry(expiry_s),
        "will": (name + "/will", b"gone", 0, False),
        "will_properties": u32(0x18, 1000),
    }


@pytest.mark.spec("MQTT-3.1.2-7", "MQTT-3.1.2-8", "MQTT-3.1.2-14", "MQTT-3.1.2-15")
@modern
@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_will_is_sent_when_the_line_drops(
    broker: Process, listener: Raw, version: int, qos: int, retain: bool, name: str
) -> None:
    with broker.raw(version) as c:
        c.connect(name, will=(name + "/will", b"gone", qos, retain))
    got = listener.expect(PUBLISH)
    assert (got.payload, got.qos, got.retain) == (b"gone", qos, retain)
    with broker.raw(version) as late:
        late.connect(name)
        late.subscribe((name + "/will", 0))
        if retain:
            assert late.expect(PUBLISH).payload == b"gone"
        late.assert_silent()
        late.publish(name + "/will", b"", retain=True)


@pytest.mark.spec("MQTT-3.1.2-8", "MQTT-3.1.2-22")
@modern
@pytest.mark.parametrize("how", ["bad packet", "keep alive"])
def test_will_is_sent_when_the_broker_closes(
    broker: Process, listener: Raw, version: int, how: str, name: str
) -> None:
    with broker.raw(version) as c:
        c.connect(name, keep_alive=1, will=(name + "/will", b"gone", 0, False))
        if how == "bad packet":
            c.send(b"\xc1\x00")
        assert listener.expect(PUBLISH).payload == b"gone"


@pytest.mark.spec("MQTT-3.14.4-3", "MQTT-3.1.2-10", "MQTT-3.14.4-2", "MQTT-3.14.4-1")
@modern
def test_will_is_not_sent_after_disconnect_0(
    broker: Process, listener: Raw, version: int, name: str
) -> None:
    with broker.raw(version) as c:
        c.connect(name, will=(name + "/will", b"gone", 0, False))
        c.send(raw.disconnect(version), raw.publish(name + "/will", b"after", version))
        assert c.read_until_closed() == []
    listener.assert_silent()


@pytest.mark.spec("MQTT-3.1.2-12 of 3.1.1")
@modern
def test_without_the_will_flag_there_is_no_will(
    broker: Process, listener: Raw, version: int, name: str
) -> None:
    with broker.raw(version) as c:
        c.connect(name)
        c.sock.close()
    with broker.raw(version) as c:  # the first connection's end has been handled
        c.connect(name, clean=True)
        c.leave()
    listener.assert_silent()


def test_will_is_sent_after_disconnect_4(broker: Process, listener: Raw, name: str) -> None:
    with broker.raw(5) as c:
        c.connect(name, will=(name + "/will", b"gone", 0, False))
        c.send(raw.disconnect(5, 4))
        assert listener.expect(PUBLISH).payload == b"gone"


@pytest.mark.spec("MQTT-3.1.2-10")
@modern
def test_will_is_sent_once(broker: Process, listener: Raw, version: int, name: str) -> None:
    options = {"clean": False, "properties": expiry(60) if version == 5 else b""}
    with broker.raw(version) as c:
        c.connect(name, **options, will=(name + "/will", b"gone", 0, False))
    assert listener.expect(PUBLISH).payload == b"gone"
    with broker.raw(version) as c:  # the session again, without a will
        c.connect(name, **options)
    with broker.raw(version) as c:
        c.connect(name, **options)
        c.leave()
    listener.assert_silent()


@pytest.mark.parametrize("retain", [False, True])
def test_expiry_of_a_will_begins_with_its_publication(
    broker: Process, listener: Raw, retain: bool, name: str
) -> None:
    with broker.raw(5) as c:
        c.connect(
            name, will=(name + "/will", b"gone", 1, retain), will_properties=u32(2, 1)
        )
        pass_time(broker, name)  # as long as it is to live
        c.ping()
    assert take(listener)[:2] == (name + "/will", b"gone")
    pass_time(broker, name)
    with broker.raw(5) as late:
        late.connect(name)
        late.subscribe((name + "/will", 0))
        late.assert_silent()


def test_expiry_of_a_will_begins_after_its_delay(
    broker: Process, listener: Raw, name: str
) -> None:
    with broker.raw(5) as c:
        c.connect(
            name,
            clean=False,
            properties=expiry(60),
            will=(name + "/will", b"gone", 1, False),
            will_properties=u32(0x18, 2) + u32(2, 1),
        )
    got = listener.expect(PUBLISH)
    assert (got.payload, got.properties) == (b"gone", u32(2, 1))


@pytest.mark.spec("MQTT-3.3.2-14")
@pytest.mark.parametrize("topic", ["a/+", "#", "", "a#b"])
def test_response_topic_of_a_will_is_a_topic_name(
    broker: Process, topic: str, name: str
) -> None:
    with broker.raw(5) as c:
        will = (name + "/will", b"gone", 0, False)
        got = c.connect(name, will=will, will_properties=text(8, topic))
        assert got.reason == 0x82
        assert c.read_until_closed() == []


@pytest.mark.spec("MQTT-3.1.3-10", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-17")
def test_properties_of_the_will_are_passed_on(
    broker: Process, listener: Raw, name: str
) -> None:
    carried = (
        u8(0x01, 1)
        + text(0x03, "text/plain")
        + text(0x08, "reply")
        + text(0x09, b"\x01\x02")
        + pair("b", "1")
        + pair("a", "2")
        + pair("b", "0")
    )
    with broker.raw(5) as c:
        c.connect(
            name,
            will=(name + "/will", b"x", 0, False),
            will_properties=u32(0x18, 0) + u32(0x02, 50) + carried,
        )
    got = listener.expect(PUBLISH).properties
    assert got[:1] == b"\x02"
    assert u32(0x02, 48) < got[:5] <= u32(0x02, 50)
    assert got[5:] == carried


@pytest.mark.spec("MQTT-3.1.3-9")
def test_will_with_a_delay_is_cancelled_by_coming_back(
    broker: Process, listener: Raw, name: str
) -> None:
    for payload in (b"first", b"second"):
        with broker.raw(5) as c:
            c.connect(
                name,
                clean=False,
                properties=expiry(60),
                will=(name + "/will", payload, 0, False),
                will_properties=u32(0x18, 1),
            )
            c.send(raw.disconnect(5, 4))
            assert c.read_until_closed() == []
    with broker.raw(5) as other:
        other.connect(name + "_o")
        other.publish(name + "/will", b"meanwhile")
        other.ping()
    got = [listener.expect(PUBLISH).payload for _ in range(2)]
    assert got == [b"meanwhile", b"second"]
    listener.assert_silent()


@pytest.mark.spec("MQTT-3.1.2-8", "MQTT-4.1.0-2")
@pytest.mark.parametrize("seconds", [0, 1])
def test_end_of_the_session_cuts_the_delay_short(
    broker: Process, listener: Raw, seconds: int, name: str
) -> None:
    with broker.raw(5) as c:
        c.connect(name, **delayed(name, seconds))
    assert listener.expect(PUBLISH).payload == b"gone"
    with broker.raw(5) as c:
        assert c.connect(name, clean=False).flags == 0


def test_clean_start_ends_the_session_and_sends_its_delayed_will(
    broker: Process, listener: Raw, name: str
) -> None:
    with broker.raw(5) as c:
        c.connect(name, **delayed(name, 60))
    with broker.raw(5) as c:
        c.connect(name, clean=True)
        assert listener.expect(PUBLISH).payload == b"gone"


def test_disconnect_that_ends_the_session_sends_a_delayed_will_at_once(
    broker: Process, listener: Raw, name: str
) -> None:
    with broker.raw(5) as c:
        c.connect(name, **delayed(name, 60))
        c.send(raw.disconnect(5, 4, expiry(0)))
        assert listener.expect(PUBLISH).payload == b"gone"


@pytest.mark.spec("MQTT-3.1.4-3")
@modern
def test_will_of_a_connection_taken_over_is_sent(
    broker: Process, listener: Raw, version: int, name: str
) -> None:
    with broker.raw(version) as first, broker.raw(version) as second:
        first.connect(name, will=(name + "/will", b"first", 0, False))
        second.connect(name)
        assert closed_with(first) == (0x8E if version == 5 else None)
        assert take(listener)[1] == b"first"


def test_clients_are_told_of_a_shutdown(start_broker: StartBroker) -> None:
    process = start_broker()
    with process.raw(5) as c:
        c.connect("c", will=("w", b"gone", 0, False))
        process.popen.terminate()
        (got,) = c.read_until_closed()
        assert (got.kind, got.reason) == (DISCONNECT, 0x8B)


@pytest.mark.spec("MQTT-3.1.4-2")
@modern
def test_will_to_a_topic_of_the_brokers_own_is_refused(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as c:
        got = c.connect(name, will=("$SYS/" + name, b"no", 0, False))
        assert got.reason == (0x87 if version == 5 else 5)
        assert c.read_until_closed() == []
