"""The flows of QoS 1 and 2, redelivery and packet identifiers (MQTT 5.0, 2.2.1, 4.3 to 4.6)."""

from __future__ import annotations

import pytest

from tests import raw
from tests.conformance.flows import (
    both,
    clock,
    closed_with,
    give,
    kept,
    modern,
    pass_time,
    take,
    u16,
    u32,
)
from tests.conftest import Process, StartBroker
from tests.raw import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL


@pytest.mark.spec(
    "MQTT-3.3.4-1", "MQTT-2.2.1-5", "MQTT-4.3.2-4", "MQTT-4.3.3-8", "MQTT-4.3.3-11"
)
@modern
@pytest.mark.parametrize("packet_id", [1, 255, 256, 65535])
def test_acknowledgements_carry_the_identifier_of_their_publish(
    broker: Process, version: int, packet_id: int, name: str
) -> None:
    with broker.raw(version) as c:
        c.connect(name)
        for qos in (1, 2):
            give(c, name, b"x", qos, packet_id)
        c.assert_silent()


@pytest.mark.spec("MQTT-4.3.2-5", "MQTT-4.3.3-12")
@modern
@pytest.mark.parametrize("dup", [False, True])
@pytest.mark.parametrize("qos", [1, 2])
def test_identifier_means_a_new_message_once_its_exchange_is_over(
    broker: Process, version: int, qos: int, dup: bool, name: str
) -> None:
    with broker.raw(version) as pub, broker.raw(version) as sub:
        sub.connect(name + "_s")
        sub.subscribe((name, 0))
        pub.connect(name)
        for n in range(3):
            give(pub, name, b"%d" % n, qos, 5, dup=dup)
        assert [take(sub)[1] for _ in range(3)] == [b"0", b"1", b"2"]


@pytest.mark.spec("MQTT-3.3.1-3", "MQTT-4.3.2-2", "MQTT-4.3.3-2")
@modern
@pytest.mark.parametrize("qos", [1, 2])
def test_dup_of_a_publisher_is_not_passed_on(
    broker: Process, version: int, qos: int, name: str
) -> None:
    with broker.raw(version) as pub, broker.raw(version) as sub:
        sub.connect(name + "_s")
        sub.subscribe((name, 2))
        pub.connect(name)
        pub.publish(name, b"x", qos=qos, packet_id=1, dup=True)
        got = sub.expect(PUBLISH)
        assert (got.dup, got.qos) == (False, qos)


@pytest.mark.spec("MQTT-2.2.1-4", "MQTT-4.3.2-1", "MQTT-4.3.3-1")
@modern
def test_identifiers_in_use_are_not_given_again(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as c:
        c.connect(name)
        c.subscribe((name, 2))
        held = []
        for n in range(40):
            c.publish(name, b"%d" % n, qos=1 + n % 2, packet_id=n + 1)
            held.append(both(c, PUBREC if n % 2 else PUBACK, PUBLISH))
        ids = [p.packet_id for p in held]
        assert len(set(ids)) == 40
        assert 0 not in ids
        # A QoS 2 identifier stays in use until PUBCOMP.
        second = held[1]
        c.send(raw.ack(PUBREC, second.packet_id))
        c.expect(PUBREL)
        c.publish(name, b"more", qos=1, packet_id=900)
        assert both(c, PUBACK, PUBLISH).packet_id not in ids


@pytest.mark.spec(
    "MQTT-3.3.1-1",
    "MQTT-4.3.2-3",
    "MQTT-4.3.3-3",
    "MQTT-4.3.3-4",
    "MQTT-4.3.3-5",
    "MQTT-4.3.3-6",
    "MQTT-4.4.0-1",
)
@modern
def test_each_state_of_a_flow_is_taken_up_after_a_reconnect(
    broker: Process, version: int, name: str
) -> None:
    with broker.raw(version) as pub:
        pub.connect(name + "_p")
        with broker.raw(version) as sub:
            sub.connect(name, **kept(version))
            sub.subscribe((name, 2))
            for n, qos in enumerate((1, 2, 2, 1)):
                give(pub, name, b"%d" % n, qos, n + 1)
            one, two, released, done = (sub.expect(PUBLISH) for _ in range(4))
            sub.send(raw.ack(PUBACK, done.packet_id), raw.ack(PUBREC, released.packet_id))
            assert sub.expect(PUBREL).packet_id == released.packet_id
        for _ in range(2):  # until it is acknowledged
            with broker.raw(version) as sub:
                assert sub.connect(name, **kept(version)).flags == 1
                again = [sub.read() for _ in range(3)]
                assert [(p.kind, p.packet_id) for p in again] == [
                    (PUBLISH, one.packet_id),
                    (PUBLISH, two.packet_id),
                    (PUBREL, released.packet_id),
                ]
                assert [(p.dup, p.payload) for p in again[:2]] == [
                    (True, b"0"),
                    (True, b"1"),
                ]
                sub.assert_silent()
        with broker.raw(version) as sub:
            sub.connect(name, **kept(version))
            for _ in range(3):
                sub.read()
            sub.send(raw.ack(PUBACK, one.packet_id), raw.ack(PUBREC, two.packet_id))
            sub.send(raw.ack(PUBCOMP, released.packet_id))
            assert sub.expect(PUBREL).packet_id == two.packet_id
            sub.send(raw.ack(PUBCOMP, two.packet_id))
            sub.ping()
        with broker.raw(version) as sub:
            sub.connect(name, **kept(version))
            sub.assert_silent()


@pytest.mark.spec("MQTT-4.4.0-1")
def test_nothing_is_sent_again_on_the_same_connection_in_5_0(
    broker: Process, name: str
) -> None:
    with broker.raw(5) as c:
        c.connect(name, keep_alive=1)
        c.subscribe((name, 1))
        c.publish(name, b"x", qos=1, packet_id=1)
        both(c, PUBACK, PUBLISH)
        with clock(broker, name) as passed:
            while not passed.hears_within(0.1):
                c.assert_silent()


@pytest.mark.spec("MQTT-4.4.0-2", "MQTT-4.3.3-4")
@pytest.mark.parametrize("qos", [1, 2])
def test_negative_acknowledgement_ends_the_message_and_frees_the_window(
    broker: Process, qos: int, name: str
) -> None:
    options = {"clean": False, "properties": u32(0x11, 60) + u16(0x21, 1)}
    with broker.raw(5) as pub:
        pub.connect(name + "_p")
        with broker.raw(5) as sub:
            sub.connect(name, **options)
            sub.subscribe((name, 2))
            for n in range(3):
                give(pub, name, b"%d" % n, qos, n + 1)
            for n in range(3):  # one at a time: Receive Maximum is 1
                got = sub.expect(PUBLISH)
                assert got.payload == b"%d" % n
                sub.send(raw.ack(PUBACK if qos == 1 else PUBREC, got.packet_id, 0x80))
            sub.assert_silent()  # no PUBREL either
        with broker.raw(5) as sub:
            sub.connect(name, **options)
            sub.assert_silent()


@pytest.mark.spec("MQTT-4.3.3-9")
def test_identifier_is_free_after_a_pubrec_that_refuses(broker: Process, name: str) -> None:
    with broker.raw(5) as c, broker.raw(5) as sub:
        sub.connect(name + "_s")
        sub.subscribe((name, 0))
        c.connect(name)
        c.publish("$SYS/" + name, b"no", qos=2, packet_id=1)
        assert c.expect(PUBREC).reason == 0x87
        c.publish(name, b"yes", qos=2, packet_id=1)
        assert c.expect(PUBREC).reason == 0
        assert take(sub)[1] == b"yes"


@pytest.mark.spec("MQTT-3.3.5-2 of 3.1.1", version=4)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_publish_that_is_not_allowed_is_acknowledged_before_5_0(
    broker: Process, qos: int, name: str
) -> None:
    with broker.raw(4) as c:
        c.connect(name)
        c.subscribe(("$SYS/" + name, 0))
        c.publish("$SYS/" + name, b"no", qos=qos, packet_id=1)
        if qos == 2:
            c.expect(PUBREC)
            c.send(raw.ack(PUBREL, 1))
            c.expect(PUBCOMP)
        elif qos == 1:
            c.expect(PUBACK)
        c.assert_silent()


@pytest.mark.spec("MQTT-4.3.3-10")
@modern
@pytest.mark.parametrize("how", ["dropped", "taken over"])
def test_qos2_is_delivered_once_across_connections(
    broker: Process, version: int, how: str, name: str
) -> None:
    with broker.raw(version) as sub:
        sub.connect(name + "_s")
        sub.subscribe((name, 2))
        first = broker.raw(version)
        first.connect(name, **kept(version))
        first.publish(name, b"once", qos=2, packet_id=3)
        first.expect(PUBREC)
        if how == "dropped":
            first.close()
        with broker.raw(version) as second:
            assert second.connect(name, **kept(version)).flags == 1
            second.publish(name, b"once", qos=2, packet_id=3, dup=True)
            assert second.expect(PUBREC).reason in (0, 0x10)
            second.send(raw.ack(PUBREL, 3))
            assert second.expect(PUBCOMP).reason == 0
        first.close()
        assert take(sub)[1] == b"once"
        sub.assert_silent()


@pytest.mark.spec("MQTT-4.3.3-7", "MQTT-4.3.3-13", "MQTT-3.3.2-5")
def test_expiry_drops_what_was_not_sent_and_nothing_else(
    broker: Process, name: str
) -> None:
    second = u32(0x02, 1)
    options = {"clean": False, "properties": u32(0x11, 60) + u16(0x21, 1)}
    with broker.raw(5) as pub:
        pub.connect(name + "_p")
        with broker.raw(5) as sub:
            sub.connect(name, **options)
            sub.subscribe((name, 2))
            for n in range(3):
                give(pub, name, b"%d" % n, 2, n + 1, properties=second)
            first = sub.expect(PUBLISH)  # the others wait in the queue
            pass_time(broker, name)
        with broker.raw(5) as sub:
            sub.connect(name, **options)
            again = sub.expect(PUBLISH)
            assert (again.packet_id, again.dup) == (first.packet_id, True)
            assert again.properties == u32(0x02, 0)
            sub.send(raw.ack(PUBREC, again.packet_id))
            sub.expect(PUBREL)
            sub.send(raw.ack(PUBCOMP, again.packet_id))
            sub.assert_silent()  # the two in the queue have expired


@pytest.mark.spec("MQTT-4.6.0-5", "MQTT-4.6.0-6", "MQTT-4.5.0-1")
@modern
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_keep_their_order(
    broker: Process, version: int, qos: int, name: str
) -> None:
    with broker.raw(version) as pub, broker.raw(version) as a, broker.raw(version) as b:
        pub.connect(name)
        for n, sub in enumerate((a, b)):
            sub.connect(f"{name}_{n}")
            sub.subscribe((name, qos))
        for n in range(100):
            pub.publish(name, b"%d" % n, qos=qos, packet_id=n + 1)
        for sub in (a, b):
            got: list[bytes] = []
            while len(got) < 100:
                p = sub.read()
                if p.kind == PUBLISH:
                    got.append(p.payload)
                    if qos:
                        sub.send(raw.ack(PUBACK if qos == 1 else PUBREC, p.packet_id))
                elif p.kind == PUBREL:
                    sub.send(raw.ack(PUBCOMP, p.packet_id))
            assert got == [b"%d" % n for n in range(100)]


@pytest.mark.spec("MQTT-4.9.0-1", "MQTT-4.9.0-2", "MQTT-3.3.4-9")
def test_smaller_receive_maximum_after_a_reconnect_is_kept(
    broker: Process, name: str
) -> None:
    def options(maximum: int) -> dict[str, object]:
        return {"clean": False, "properties": u32(0x11, 60) + u16(0x21, maximum)}

    with broker.raw(5) as pub:
        pub.connect(name + "_p")
        with broker.raw(5) as sub:
            sub.connect(name, **options(10))
            sub.subscribe((name, 2))
            for n in range(12):
                give(pub, name, b"%d" % n, 1 + n % 2, n + 1)
            for _ in range(10):
                sub.expect(PUBLISH)
            sub.assert_silent()
        with broker.raw(5) as sub:
            sub.connect(name, **options(1))
            for n in range(12):
                assert take(sub)[1] == b"%d" % n  # DUP or not, one at a time
            sub.ping()
        with broker.raw(5) as sub:
            sub.connect(name, **options(2))
            for n in range(3):
                give(pub, name, b"%d" % n, 1, n + 1)
            sub.expect(PUBLISH)
            sub.expect(PUBLISH)
            sub.assert_silent()


@pytest.mark.spec("MQTT-3.6.2-1", "MQTT-3.7.2-1")
@modern
def test_unknown_identifiers_are_answered_as_the_version_asks(
    broker: Process, version: int, name: str
) -> None:
    code = 0x92 if version == 5 else 0
    with broker.raw(version) as c:
        c.connect(name)
        c.send(raw.ack(PUBREL, 77))
        got = c.expect(PUBCOMP)
        assert (got.packet_id, got.reason) == (77, code)
        c.send(raw.ack(PUBREC, 78))
        got = c.expect(PUBREL)
        assert (got.packet_id, got.reason) == (78, code)
        c.send(raw.ack(PUBACK, 79), raw.ack(PUBCOMP, 80))
        c.assert_silent()


@pytest.mark.spec("MQTT-4.13.1-1", "MQTT-4.13.2-1")
@modern
@pytest.mark.parametrize(
    ("qos", "received", "kind"),
    [
        (1, False, PUBREC),
        (1, False, PUBCOMP),
        (2, False, PUBACK),
        (2, False, PUBCOMP),
        (2, True, PUBACK),
    ],
)
def test_acknowledgement_of_the_wrong_kind_closes_the_connection(
    broker: Process, version: int, qos: int, received: bool, kind: int, name: str
) -> None:
    with broker.raw(version) as pub, broker.raw(version) as c:
        pub.connect(name + "_p")
        c.connect(name, **kept(version))
        c.subscribe((name, 2))
        give(pub, name, b"x", qos)
        got = c.expect(PUBLISH)
        if received:
            c.send(raw.ack(PUBREC, got.packet_id))
            c.expect(PUBREL)
        c.send(raw.ack(kind, got.packet_id))
        assert closed_with(c) == (0x82 if version == 5 else None)
    with broker.raw(version) as c:  # it counts as not acknowledged
        c.connect(name, **kept(version))
        again = c.read()
        assert (again.kind, again.packet_id) == (
            PUBREL if received else PUBLISH,
            got.packet_id,
        )


@pytest.mark.spec("MQTT-4.3.3-4")
def test_pubrec_with_an_error_is_never_answered(broker: Process, name: str) -> None:
    with broker.raw(5) as pub, broker.raw(5) as c:
        pub.connect(name + "_p")
        c.connect(name)
        c.subscribe((name, 2))
        c.send(raw.ack(PUBREC, 77, 0x83))  # of no message
        c.assert_silent()
        give(pub, name, b"x", 2)
        got = c.expect(PUBLISH)
        c.send(raw.ack(PUBREC, got.packet_id))
        c.expect(PUBREL)
        c.send(raw.ack(PUBREC, got.packet_id, 0x91))  # it is over
        c.assert_silent()
        c.send(raw.ack(PUBREC, got.packet_id))
        assert c.expect(PUBREL).reason == 0x92


@pytest.mark.spec("MQTT-3.4.2-1", "MQTT-3.5.2-1")
def test_no_matching_subscribers_is_said_only_where_nobody_subscribes(
    broker: Process, name: str
) -> None:
    with broker.raw(5) as c:
        c.connect(name)
        c.subscribe((name, 0x05))  # No Local: it matches, and its client does not want it
        assert [give(c, name, b"x", qos, 1) for qos in (1, 2)] == [0, 0]
        c.send(raw.unsubscribe(2, name, version=5))
        c.expect(raw.UNSUBACK)
        assert give(c, name, b"x", 1) == 0x10


@pytest.mark.spec("MQTT-3.4.2-1")
def test_full_queue_and_absent_qos0_subscriber_are_matching_subscribers(
    start_broker: StartBroker,
) -> None:
    process = start_broker(msq_len="1")
    with process.raw(5) as c, process.raw(5) as pub:
        pub.connect("pub")
        c.connect("c", **kept(5))
        c.subscribe(("full", 1), ("away", 0), ("$share/g/shared", 0))
        c.leave()
        assert [give(pub, "full", b"x", 1) for _ in range(3)] == [0, 0, 0]
        assert give(pub, "away", b"x", 1) == 0
        assert give(pub, "shared", b"x", 1) == 0
        assert give(pub, "other", b"x", 1) == 0x10


@pytest.mark.spec("MQTT-3.4.2-1", "MQTT-3.5.2-1")
def test_publisher_hears_whether_somebody_listens(broker: Process, name: str) -> None:
    with broker.raw(5) as c, broker.raw(5) as sub:
        c.connect(name)
        assert [give(c, name, b"x", qos, 1) for qos in (1, 2)] == [0x10, 0x10]
        sub.connect(name + "_s")
        sub.subscribe((name, 0))
        assert [give(c, name, b"x", qos, 1) for qos in (1, 2)] == [0, 0]


@pytest.mark.spec("MQTT-3.10.4-3", "MQTT-3.10.4-2")
@modern
@pytest.mark.parametrize("qos", [1, 2])
def test_unsubscribe_lets_a_delivery_that_began_complete(
    broker: Process, version: int, qos: int, name: str
) -> None:
    with broker.raw(version) as pub:
        pub.connect(name + "_p")
        with broker.raw(version) as sub:
            sub.connect(name, **kept(version))
            sub.subscribe((name, qos))
            give(pub, name, b"x", qos)
            first = sub.expect(PUBLISH)
            sub.send(raw.unsubscribe(4, name, version=version))
            sub.expect(raw.UNSUBACK)
            give(pub, name, b"late", qos)
        with broker.raw(version) as sub:
            sub.connect(name, **kept(version))
            got = sub.expect(PUBLISH)
            assert (got.packet_id, got.dup, got.payload) == (first.packet_id, True, b"x")
            if qos == 1:
                sub.send(raw.ack(PUBACK, got.packet_id))
            else:
                sub.send(raw.ack(PUBREC, got.packet_id))
                sub.expect(PUBREL)
                sub.send(raw.ack(PUBCOMP, got.packet_id))
            sub.assert_silent()


@pytest.mark.spec("MQTT-4.9.0-1", "MQTT-4.9.0-2")
def test_pubrel_that_is_sent_again_takes_no_part_of_the_receive_maximum(
    broker: Process, name: str
) -> None:
    options = {"clean": False, "properties": u32(0x11, 60) + u16(0x21, 1)}
    with broker.raw(5) as pub:
        pub.connect(name + "_p")
        with broker.raw(5) as sub:
            sub.connect(name, **options)
            sub.subscribe((name, 2))
            for n in range(2):
                give(pub, name, b"%d" % n, 2, n + 1)
            first = sub.expect(PUBLISH)
            sub.send(raw.ack(PUBREC, first.packet_id))
            sub.expect(PUBREL)
            sub.assert_silent()  # until PUBCOMP the first one counts
        with broker.raw(5) as sub:
            sub.connect(name, **options)
            assert sub.expect(PUBREL).packet_id == first.packet_id
            assert sub.expect(PUBLISH).payload == b"1"
            sub.assert_silent()
