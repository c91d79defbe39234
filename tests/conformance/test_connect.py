"""CONNECT, CONNACK, take-over, keep alive and DISCONNECT, against a real broker."""

from __future__ import annotations

import struct
import time

import pytest

from tests import raw
from tests.conftest import Process, StartBroker
from tests.raw import CONNACK, CONNECT, DISCONNECT, PUBLISH, Closed

versions = pytest.mark.parametrize("version", [3, 4, 5])
modern = pytest.mark.parametrize("version", [4, 5])


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
@pytest.mark.parametrize("level", [0, 2, 6, 255])
def test_unknown_protocol_level_is_refused_with_1(broker: Process, level: int) -> None:
    with broker.raw(4) as c:
        c.send(
            raw.packet(CONNECT, raw.text("MQTT") + bytes([level, 2, 0, 60]) + raw.text("x"))
        )
        (got,) = c.read_until_closed()
        assert (got.kind, got.reason) == (CONNACK, 1)


@pytest.mark.spec("MQTT-3.1.2-3")
@modern
def test_reserved_connect_flag_closes(broker: Process, version: int) -> None:
    body = (
        raw.text("MQTT") + bytes([version, 3, 0, 60]) + raw.props(version) + raw.text("x")
    )
    with broker.raw(version) as c:
        c.send(raw.packet(CONNECT, body))
        assert all(p.reason == 0x81 for p in c.read_until_closed())


@pytest.mark.spec("MQTT-3.1.3-6")
def test_empty_client_id_is_assigned_one(broker: Process) -> None:
    with broker.raw(5) as c:
        got = c.connect("")
        assert (
            got.properties.find(b"\x12") >= 0
        )  # Assigned Client Identifier [MQTT-3.2.2-16]
    with broker.raw(4) as c:
        assert c.connect("").reason == 0


@pytest.mark.spec("MQTT-3.1.3-8")
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


def kept(version: int) -> dict[str, object]:
    """Options of a CONNECT whose session outlives its connection."""
    expiry = b"\x11" + struct.pack(">I", 300) if version == 5 else b""
    return {"clean": False, "properties": expiry}


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


@modern
def test_will_is_sent_when_the_line_drops(broker: Process, version: int, name: str) -> None:
    with broker.raw(version) as listener:
        listener.connect(name + "_l")
        listener.subscribe((name, 1))
        with broker.raw(version) as c:
            c.connect(name, will=(name, b"gone", 1, False))
        got = listener.expect(PUBLISH)
        assert (got.payload, got.qos) == (b"gone", 1)


@pytest.mark.spec("MQTT-3.14.4-3", "MQTT-3.1.2-10")
@modern
def test_will_is_not_sent_after_disconnect_0(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as listener:
        listener.connect(name + "_l")
        listener.subscribe((name, 0))
        with broker.raw(version) as c:
            c.connect(name, will=(name, b"gone", 0, False))
            c.send(raw.disconnect(version))
            c.read_until_closed()
        listener.assert_silent()


def test_will_is_sent_after_disconnect_4(broker: Process, name: str) -> None:
    with broker.raw(5) as listener, broker.raw(5) as c:
        listener.connect(name + "_l")
        listener.subscribe((name, 0))
        c.connect(name, will=(name, b"gone", 0, False))
        c.send(raw.disconnect(5, 4))
        assert listener.expect(PUBLISH).payload == b"gone"


def test_retained_will_is_kept(broker: Process, name: str) -> None:
    with broker.raw() as listener:
        listener.connect(name + "_l")
        listener.subscribe((name, 0))
        with broker.raw() as c:
            c.connect(name, will=(name, b"kept", 0, True))
        listener.expect(PUBLISH)
    with broker.raw() as late:
        late.connect()
        late.subscribe((name, 0))
        got = late.expect(PUBLISH)
        assert (got.payload, got.retain) == (b"kept", True)


@pytest.mark.spec("MQTT-3.1.3-9")
def test_will_with_delay_is_cancelled_by_coming_back(broker: Process, name: str) -> None:
    delay = b"\x18" + struct.pack(">I", 1)
    with broker.raw(5) as listener:
        listener.connect(name + "_l")
        listener.subscribe((name, 0))
        for _ in range(2):
            c = broker.raw(5)
            c.connect(
                name, **kept(5), will=(name, b"gone", 0, False), will_properties=delay
            )
            c.close()
        begun = time.monotonic()
        assert listener.expect(PUBLISH).payload == b"gone"
        assert time.monotonic() - begun > 0.5  # the second's will, after its delay
        listener.assert_silent()


def test_session_end_sends_the_delayed_will(broker: Process, name: str) -> None:
    properties = b"\x11" + struct.pack(">I", 1)
    with broker.raw(5) as listener:
        listener.connect(name + "_l")
        listener.subscribe((name, 0))
        with broker.raw(5) as c:
            c.connect(
                name,
                clean=False,
                properties=properties,
                will=(name, b"gone", 0, False),
                will_properties=b"\x18" + struct.pack(">I", 1000),
            )
        assert listener.expect(PUBLISH).payload == b"gone"
    with broker.raw(5) as c:
        assert c.connect(name, clean=False).flags == 0  # the session has ended


@pytest.mark.spec("MQTT-3.1.2-22")
@modern
def test_silent_client_is_closed_after_its_keep_alive(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as c:
        c.connect(name, keep_alive=1)
        begun = time.monotonic()
        got = c.read_until_closed()
        assert time.monotonic() - begun >= 1.4
        assert [p.reason for p in got] == ([0x8D] if version == 5 else [])


def test_pings_keep_a_client_alive(broker: Process, name: str) -> None:
    with broker.raw() as c:
        c.connect(name, keep_alive=1)
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            c.ping()
            time.sleep(0.2)


def test_connect_must_come_in_time(start_broker: StartBroker) -> None:
    process = start_broker(connect_timeout="300ms")
    with process.raw() as c:
        c.send(b"\x10")  # a byte does not hold the slot
        assert c.read_until_closed() == []


@pytest.mark.spec("MQTT-3.14.2-2")
def test_disconnect_cannot_raise_a_session_expiry_of_0(broker: Process, name: str) -> None:
    with broker.raw(5) as c:
        c.connect(name)
        c.send(raw.disconnect(5, 0, b"\x11" + struct.pack(">I", 10)))
        (got,) = c.read_until_closed()
        assert (got.kind, got.reason) == (DISCONNECT, 0x82)


def test_disconnect_can_end_the_session(broker: Process, name: str) -> None:
    with broker.raw(5) as c:
        c.connect(name, **kept(5))
        c.send(raw.disconnect(5, 0, b"\x11" + struct.pack(">I", 0)))
        c.read_until_closed()
    with broker.raw(5) as c:
        assert c.connect(name, clean=False).flags == 0


def test_authentication_method_is_refused(broker: Process) -> None:
    with broker.raw(5) as c:
        got = c.connect("x", properties=b"\x15" + raw.text("GS2"))
        assert got.reason == 0x8C


@pytest.mark.parametrize(
    ("user", "password", "code"),
    [("u", b"secret", 0), ("u", b"wrong", 4), ("x", b"secret", 4), (None, None, 5)],
)
def test_users_of_the_configuration_are_let_in(
    start_broker: StartBroker, user: str | None, password: bytes | None, code: int
) -> None:
    process = start_broker(
        auth__1__login="u", auth__1__password="secret", allow_anonymous="false"
    )
    with process.raw() as c:
        assert c.connect("x", user=user, password=password).reason == code
        if code == 0:
            c.ping()
        else:
            assert c.read_until_closed() == []
    assert "secret" not in "".join(process.lines)


def test_refused_5_0_client_is_told_the_reason(start_broker: StartBroker) -> None:
    process = start_broker(allow_anonymous="false")
    with process.raw(5) as c:
        assert c.connect("x", user="u", password=b"p").reason == 0x86
    with process.raw(5) as c:
        assert c.connect("x").reason == 0x87
