"""Shared subscriptions (MQTT 5.0, 4.8.2)."""

from __future__ import annotations

from collections import Counter

import pytest

from tests import raw
from tests.conformance.flows import closed_with, expiry, give, kept, modern, take, u16
from tests.conftest import Process
from tests.raw import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Raw


def members(
    broker: Process, name: str, count: int, qos: int = 1, **options: object
) -> list[Raw]:
    made = []
    for n in range(count):
        c = broker.raw(5)
        c.connect(f"{name}_{n}", **options)
        c.subscribe((f"$share/g/{name}/#", qos))
        made.append(c)
    return made


@modern
def test_messages_are_balanced_over_the_members(
    broker: Process, version: int, name: str
) -> None:
    group = [broker.raw(version) for _ in range(4)]
    for n, c in enumerate(group):
        c.connect(f"{name}_{n}")
        c.subscribe((f"$share/g/{name}/#", 1))
    with broker.raw(version) as pub:
        pub.connect(name)
        for n in range(40):
            give(pub, f"{name}/x", b"%d" % n, 1, n + 1)
    got = [[take(c)[1] for _ in range(10)] for c in group]
    assert sorted(m for part in got for m in part) == sorted(b"%d" % n for n in range(40))
    for c in group:
        c.assert_silent()
        c.close()


@pytest.mark.spec("MQTT-4.8.2-3", "MQTT-3.8.4-8")
def test_each_member_gets_at_most_its_granted_qos(broker: Process, name: str) -> None:
    with broker.raw(5) as pub:
        group = []
        for qos in (0, 1, 2):
            c = broker.raw(5)
            c.connect(f"{name}_{qos}")
            c.subscribe((f"$share/g/{name}", qos))
            group.append(c)
        pub.connect(name)
        for n in range(3):
            give(pub, name, b"x", 2, n + 1)
        assert [take(c)[2] for c in group] == [0, 1, 2]
        for c in group:
            c.close()


@pytest.mark.spec("MQTT-4.8.2-1", "MQTT-4.8.2-2")
def test_groups_and_plain_subscriptions_each_get_a_copy(broker: Process, name: str) -> None:
    filters = [f"$share/g/{name}", f"$share/h/{name}", name, f"$share/g/{name}/#"]
    with broker.raw(5) as pub:
        pub.connect(name)
        clients = []
        for n, f in enumerate(filters):
            c = broker.raw(5)
            c.connect(f"{name}_{n}")
            assert c.subscribe((f, 0), properties=bytes([0x0B, n + 1])) == [0]
            clients.append(c)
        pub.publish(name, b"x")
        for n, c in enumerate(clients):
            assert c.expect(PUBLISH).properties == bytes([0x0B, n + 1])
            c.assert_silent()
            c.close()


def test_no_retained_message_for_a_shared_subscription(broker: Process, name: str) -> None:
    with broker.raw(5) as c:
        c.connect(name)
        c.publish(name, b"kept", retain=True)
        c.subscribe((f"$share/g/{name}", 0))
        c.assert_silent()
        c.publish(name, b"", retain=True)


@pytest.mark.spec("MQTT-3.8.3-4")
def test_no_local_on_a_shared_subscription_is_an_error(broker: Process, name: str) -> None:
    with broker.raw(5) as c:
        c.connect(name)
        c.send(raw.subscribe(1, (f"$share/g/{name}", 4), version=5))
        assert closed_with(c) == 0x82


@pytest.mark.spec("MQTT-3.10.4-1")
def test_unsubscribe_from_a_group_leaves_it(broker: Process, name: str) -> None:
    a, b = members(broker, name, 2)
    with broker.raw(5) as pub:
        pub.connect(name)
        a.send(raw.unsubscribe(9, f"$share/g/{name}/#", version=5))
        assert a.expect(raw.UNSUBACK).codes == [0]
        for n in range(4):
            give(pub, name + "/x", b"%d" % n, 1, n + 1)
        assert [take(b)[1] for _ in range(4)] == [b"0", b"1", b"2", b"3"]
        a.assert_silent()
    a.close()
    b.close()


@pytest.mark.parametrize("how", ["line drops", "disconnect", "clean start", "expiry"])
def test_unacknowledged_messages_of_a_member_that_leaves_go_to_another(
    broker: Process, how: str, name: str
) -> None:
    properties = {"clean start": expiry(60), "expiry": expiry(1)}.get(how, b"")
    a, b = members(broker, name, 2, properties=properties)
    with broker.raw(5) as pub:
        pub.connect(name)
        for n in range(6):
            give(pub, name + "/x", b"%d" % n, 1, n + 1)
        held = [a.expect(PUBLISH).payload for _ in range(3)]
        own = [take(b)[1] for _ in range(3)]
        if how == "disconnect":
            a.send(raw.disconnect(5))
        a.close()
        if how == "clean start":
            with broker.raw(5) as again:
                again.connect(f"{name}_0", clean=True)
        for payload in held:  # in their order, as new messages
            got = b.expect(PUBLISH)
            assert (got.payload, got.dup, got.qos) == (payload, False, 1)
            b.send(raw.ack(PUBACK, got.packet_id))
        b.assert_silent()
        assert sorted(held + own) == [b"%d" % n for n in range(6)]
    b.close()


def test_messages_that_wait_in_a_member_that_leaves_go_to_another(
    broker: Process, name: str
) -> None:
    a, b = members(broker, name, 2, qos=2, properties=u16(0x21, 1))
    with broker.raw(5) as pub:
        pub.connect(name)
        for n in range(6):
            give(pub, name + "/x", b"%d" % n, 2, n + 1)
        first = a.expect(PUBLISH)  # the other two of its three wait
        a.close()
        got = [take(b)[1] for _ in range(5)]
        assert Counter([*got, first.payload]) == Counter(b"%d" % n for n in range(6))
        b.assert_silent()
    b.close()


@pytest.mark.spec("MQTT-4.8.2-5")
def test_qos2_under_way_goes_to_nobody_else_when_the_session_ends(
    broker: Process, name: str
) -> None:
    a, b = members(broker, name, 2, qos=2)
    with broker.raw(5) as pub:
        pub.connect(name)
        for n in range(2):
            give(pub, name + "/x", b"%d" % n, 2, n + 1)
        a.expect(PUBLISH)
        take(b)
        a.leave()
        b.assert_silent()
    b.close()


@pytest.mark.spec("MQTT-4.8.2-4")
def test_qos2_cut_off_is_completed_when_the_client_is_back(
    broker: Process, name: str
) -> None:
    a, b = members(broker, name, 2, qos=2, **kept(5))
    with broker.raw(5) as pub:
        pub.connect(name)
        for n in range(2):
            give(pub, name + "/x", b"%d" % n, 2, n + 1)
        first = a.expect(PUBLISH)
        take(b)
        a.leave()
        b.assert_silent()
        with broker.raw(5) as again:
            assert again.connect(f"{name}_0", **kept(5)).flags == 1
            got = again.expect(PUBLISH)
            assert (got.packet_id, got.payload, got.dup) == (
                first.packet_id,
                first.payload,
                True,
            )
            again.send(raw.ack(PUBREC, got.packet_id))
            again.expect(PUBREL)
            again.send(raw.ack(PUBCOMP, got.packet_id))
            again.ping()
    b.close()


@pytest.mark.spec("MQTT-4.8.2-6", "MQTT-4.4.0-2")
@pytest.mark.parametrize("qos", [1, 2])
def test_negative_acknowledgement_gives_the_message_to_nobody_else(
    broker: Process, qos: int, name: str
) -> None:
    a, b = members(broker, name, 2, qos=qos)
    with broker.raw(5) as pub:
        pub.connect(name)
        for n in range(2):
            give(pub, name + "/x", b"%d" % n, qos, n + 1)
        take(b)
        got = a.expect(PUBLISH)
        a.send(raw.ack(PUBACK if qos == 1 else PUBREC, got.packet_id, 0x80))
        a.ping()
        a.leave()
        b.assert_silent()
    b.close()


def test_connected_members_come_before_those_that_are_away(
    broker: Process, name: str
) -> None:
    a, b = members(broker, name, 2, **kept(5))
    a.leave()
    with broker.raw(5) as pub:
        pub.connect(name)
        for n in range(4):
            give(pub, name + "/x", b"%d" % n, 1, n + 1)
        assert [take(b)[1] for _ in range(4)] == [b"0", b"1", b"2", b"3"]
        b.leave()
        give(pub, name + "/x", b"away", 1)
    got = []
    for n in range(2):
        with broker.raw(5) as c:
            c.connect(f"{name}_{n}", **kept(5))
            c.send(raw.packet(raw.PINGREQ))
            while (p := c.read()).kind == PUBLISH:
                got.append(p.payload)
                c.send(raw.ack(PUBACK, p.packet_id))
            c.ping()
    assert got == [b"away"]


def test_pubrel_of_a_shared_message_completes_it(broker: Process, name: str) -> None:
    (a,) = members(broker, name, 1, qos=2)
    with broker.raw(5) as pub:
        pub.connect(name)
        give(pub, name + "/x", b"x", 2)
        got = a.expect(PUBLISH)
        a.send(raw.ack(PUBREC, got.packet_id))
        a.expect(PUBREL)
        a.send(raw.ack(PUBCOMP, got.packet_id))
        a.assert_silent()
    a.close()
