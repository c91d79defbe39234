"""Session state: Clean Start, expiry, take-over (MQTT 5.0, 3.1.2.4, 3.1.2.11.2 and 4.1)."""

from __future__ import annotations

import pytest

from tests import raw
from tests.conformance.flows import (
    closed_with,
    expiry,
    give,
    kept,
    modern,
    pass_time,
    take,
    versions,
)
from tests.conftest import Process
from tests.raw import DISCONNECT

FOREVER = 0xFFFFFFFF


@pytest.mark.spec("MQTT-3.1.2-4", "MQTT-3.1.4-4", "MQTT-3.2.2-2", "MQTT-3.1.2-6")
@versions
def test_clean_start_discards_subscriptions_and_messages(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as pub:
        pub.connect(name + "_p")
        with broker.raw(version) as c:
            c.connect(name, **kept(version))
            c.subscribe((name, 1))
            c.leave()
        give(pub, name, b"old", 1)
        with broker.raw(version) as c:
            assert c.connect(name, clean=True).flags == 0
            give(pub, name, b"new", 1)
            c.assert_silent()
            c.leave()


@pytest.mark.spec(
    "MQTT-3.1.2-5", "MQTT-3.1.2-23", "MQTT-3.1.3-2", "MQTT-3.2.2-3", "MQTT-4.1.0-1",
    "MQTT-3.1.2-5 of 3.1.1",
)  # fmt: skip
@versions
def test_session_is_taken_up_with_its_subscriptions_and_messages(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as pub:
        pub.connect(name + "_p")
        with broker.raw(version) as c:
            assert c.connect(name, **kept(version)).flags == 0
            c.subscribe((name, 2))
            c.leave()
        for qos in (1, 2):
            give(pub, name, b"%d" % qos, qos)
        with broker.raw(version) as c:
            # 3.1 has no Session Present
            assert c.connect(name, **kept(version)).flags == (version > 3)
            assert [take(c) for _ in range(2)] == [(name, b"1", 1), (name, b"2", 2)]
            give(pub, name, b"live", 1)
            assert take(c)[1] == b"live"
            c.leave()
        with broker.raw(version) as c:
            c.connect(name, clean=True)


@pytest.mark.spec("MQTT-3.1.2-6")
@modern
def test_clean_start_0_without_a_session_makes_one(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as c:
        assert c.connect(name, **kept(version)).flags == 0
        c.subscribe((name, 0))
        give_and_take = b"x"
        c.publish(name, give_and_take)
        assert take(c)[1] == give_and_take


@pytest.mark.spec("MQTT-3.1.2-23", "MQTT-4.1.0-2")
@pytest.mark.parametrize(
    ("connect", "disconnect", "present"),
    [
        (None, None, 0),
        (0, None, 0),
        (300, None, 1),
        (FOREVER, None, 1),
        (300, 0, 0),
        (300, FOREVER, 1),
        (1, 300, 1),
    ],
)
def test_session_expiry_at_connect_and_at_disconnect(
    broker: Process, connect: int | None, disconnect: int | None, present: int, name: str
) -> None:
    with broker.raw(5) as c:
        c.connect(name, clean=True, properties=b"" if connect is None else expiry(connect))
        c.send(raw.disconnect(5, 0, b"" if disconnect is None else expiry(disconnect)))
        assert c.read_until_closed() == []
    if connect == 1:
        pass_time(broker, name)
    with broker.raw(5) as c:
        assert c.connect(name, clean=False).flags == present


@pytest.mark.spec("MQTT-4.1.0-2")
def test_session_ends_after_its_expiry(broker: Process, name: str) -> None:
    with broker.raw(5) as c:
        c.connect(name, clean=False, properties=expiry(1))
    with broker.raw(5) as c:
        assert c.connect(name, clean=False, properties=expiry(1)).flags == 1
    pass_time(broker, name)
    with broker.raw(5) as c:
        assert c.connect(name, clean=False).flags == 0


@pytest.mark.spec("MQTT-4.1.0-1")
def test_expiry_does_not_run_while_connected(broker: Process, name: str) -> None:
    with broker.raw(5) as c:
        c.connect(name, clean=False, properties=expiry(1))
        c.subscribe((name, 0))
        pass_time(broker, name)
        c.publish(name, b"x")
        assert take(c)[1] == b"x"
    with broker.raw(5) as c:
        assert c.connect(name, clean=False).flags == 1


def test_expiry_is_that_of_the_latest_connect(broker: Process, name: str) -> None:
    with broker.raw(5) as c:
        c.connect(name, clean=False, properties=expiry(300))
        c.leave()
    with broker.raw(5) as c:
        assert c.connect(name, clean=False).flags == 1  # and absent means 0 again
        c.leave()
    with broker.raw(5) as c:
        assert c.connect(name, clean=False).flags == 0


@pytest.mark.spec("MQTT-4.13.1-1")
def test_expiry_of_0_cannot_be_raised_at_disconnect(broker: Process, name: str) -> None:
    for properties in (b"", expiry(0)):
        with broker.raw(5) as c:
            c.connect(name, properties=properties)
            c.send(raw.disconnect(5, 0, expiry(10)))
            (got,) = c.read_until_closed()
            assert (got.kind, got.reason) == (DISCONNECT, 0x82)


@pytest.mark.spec("MQTT-3.14.2-2")
def test_servers_disconnect_carries_no_session_expiry(broker: Process, name: str) -> None:
    with broker.raw(5) as first, broker.raw(5) as second:
        first.connect(name, clean=False, properties=expiry(60))
        second.connect(name, clean=False, properties=expiry(60))
        (got,) = first.read_until_closed()
        assert (got.kind, got.reason) == (DISCONNECT, 0x8E)
        assert b"\x11" not in got.properties


@pytest.mark.spec("MQTT-3.1.4-3", "MQTT-4.13.2-1")
@versions
def test_take_over_keeps_the_session_and_its_messages(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as pub, broker.raw(version) as first:
        pub.connect(name + "_p")
        first.connect(name, **kept(version))
        first.subscribe((name, 1))
        give(pub, name, b"in flight", 1)
        first.expect(raw.PUBLISH)
        with broker.raw(version) as second:
            assert second.connect(name, **kept(version)).flags == (version > 3)
            assert closed_with(first) == (0x8E if version == 5 else None)
            got = second.expect(raw.PUBLISH)
            assert (got.payload, got.dup) == (b"in flight", True)
            second.send(raw.ack(raw.PUBACK, got.packet_id))
            give(pub, name, b"live", 1)
            assert take(second)[1] == b"live"
            second.leave()
    with broker.raw(version) as c:
        c.connect(name, clean=True)


@pytest.mark.parametrize(("old", "new"), [(3, 5), (4, 5), (5, 4), (5, 3)])
def test_session_is_taken_up_by_a_client_of_another_version(
    broker: Process, old: int, new: int, name: str
) -> None:
    with broker.raw(5) as pub:
        pub.connect(name + "_p")
        with broker.raw(old) as c:
            c.connect(name, **kept(old))
            c.subscribe((name, 1))
            c.leave()
        give(pub, name, b"x", 1, properties=b"\x01\x01")
        with broker.raw(new) as c:
            assert c.connect(name, **kept(new)).flags == (new > 3)
            got = c.expect(raw.PUBLISH)
            assert (got.payload, got.properties) == (b"x", b"\x01\x01" if new == 5 else b"")
            c.send(raw.ack(raw.PUBACK, got.packet_id))
            c.leave()
    with broker.raw(4) as c:
        c.connect(name, clean=True)


@pytest.mark.spec("MQTT-3.12.4-1")
@versions
def test_every_pingreq_is_answered(broker: Process, version: int, name: str) -> None:
    with broker.raw(version) as c:
        c.connect(name)
        c.send(raw.packet(raw.PINGREQ) * 5)
        for _ in range(5):
            c.expect(raw.PINGRESP)
        c.assert_silent()
