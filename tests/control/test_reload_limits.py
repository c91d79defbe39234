"""A reload changes limits, users and access rules, for sessions that exist too."""

from __future__ import annotations

import pytest

from tests import raw
from tests.conformance.flows import closed_with, give, kept, take
from tests.conftest import StartBroker
from tests.raw import Closed


def test_queue_length_counts_for_sessions_that_exist(start_broker: StartBroker) -> None:
    process = start_broker(msq_len="5")
    with process.raw(4) as away, process.raw(4) as pub:
        away.connect("away", clean=False)
        away.subscribe(("t", 1))
        away.leave()
        pub.connect("pub")

        def send(first: int, last: int) -> None:
            for n in range(first, last):
                pub.publish("t", b"%d" % n, qos=1, packet_id=n)
                pub.expect(raw.PUBACK)

        send(1, 9)  # three too many
        process.reload(msq_len="8")
        send(11, 14)
        process.reload(msq_len="2")  # what waits stays
        send(21, 22)
    with process.raw(4) as again:
        again.connect("away", clean=False)
        got = []
        for _ in range(8):
            packet = again.expect(raw.PUBLISH)
            got.append(int(packet.payload))
            again.send(raw.ack(raw.PUBACK, packet.packet_id))
        assert got == [1, 2, 3, 4, 5, 11, 12, 13]
        again.assert_silent()


def test_window_counts_for_connections_that_exist(start_broker: StartBroker) -> None:
    process = start_broker(msq_len="1")
    with process.raw(4) as sub, process.raw(4) as pub:
        sub.connect("sub")
        sub.subscribe(("t", 1))
        pub.connect("pub")
        process.reload(msq_len="3")
        for n in range(3):
            pub.publish("t", b"%d" % n, qos=1, packet_id=n + 1)
            pub.expect(raw.PUBACK)
        assert [sub.expect(raw.PUBLISH).payload for _ in range(3)] == [b"0", b"1", b"2"]


def test_retry_interval_counts_for_connections_that_exist(
    start_broker: StartBroker,
) -> None:
    process = start_broker(qos_duration="0")
    with process.raw(4) as sub, process.raw(4) as pub:
        sub.connect("sub", keep_alive=0)
        sub.subscribe(("t", 1))
        pub.connect("pub")
        pub.publish("t", b"x", qos=1, packet_id=1)
        assert not sub.expect(raw.PUBLISH).dup
        process.reload(qos_duration="1")
        assert sub.expect(raw.PUBLISH).dup


def test_rate_counts_for_connections_that_exist(start_broker: StartBroker) -> None:
    process = start_broker(sys_interval="1")
    with process.raw(5) as c, process.raw(5) as watch:
        c.connect("c")
        watch.connect("watch")
        watch.subscribe(("$SYS/broker/limits/rate_waits", 0))
        assert watch.expect(raw.PUBLISH).payload == b"0"
        process.reload(max_message_rate="1")
        for n in range(3):
            c.publish("t", b"", qos=1, packet_id=n + 1)
        for _ in range(3):
            c.expect(raw.PUBACK)
        assert int(watch.expect(raw.PUBLISH).payload) > 0
        process.reload(max_message_rate="0")
        c.ping()


def test_what_connack_told_holds_for_the_connection(start_broker: StartBroker) -> None:
    process = start_broker()
    with process.raw(5) as before, process.raw(5) as after:
        before.connect("before")
        process.reload(
            max_qos_allowed="1", retain_available="false", max_packet_size="1",
            wildcard_subscription="false", shared_subscription="false",
            subscription_identifier="false", max_topic_alias="0", receive_maximum="1",
        )  # fmt: skip
        assert before.subscribe(("$share/g/+", 2), properties=b"\x0b\x01") == [2]
        before.publish("t", b"x" * 2000, qos=2, packet_id=1, retain=True)
        before.expect(raw.PUBLISH)
        before.expect(raw.PUBREC)
        alias = b"\x23" + (5).to_bytes(2, "big")
        before.publish("u", b"", qos=2, packet_id=2, properties=alias)
        before.expect(raw.PUBLISH)
        before.expect(raw.PUBREC)
        told = after.connect("after").properties
        for name in (b"\x24\x01", b"\x25\x00", b"\x28\x00", b"\x29\x00", b"\x2a\x00"):
            assert name in told
        after.publish("t", b"x" * 2000)
        assert after.expect(raw.DISCONNECT).reason == 0x95


def test_retained_message_goes_when_its_successor_is_not_kept(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    with process.raw(5) as before, process.raw(4) as old, process.raw(5) as watch:
        before.connect("before")
        old.connect("old")
        watch.connect("watch")
        for topic in ("a", "b", "c"):
            give(before, topic, b"first", 1, retain=True)
        watch.subscribe(("#", 0x2A))  # retain as published, and no retained messages
        process.reload(retain_available="false")
        give(before, "a", b"second", 1, retain=True)  # as it was told it may
        give(old, "b", b"second", 1, retain=True)
        assert [take(watch)[:2] for _ in "ab"] == [("a", b"second"), ("b", b"second")]
        process.reload(retain_available="true")
        watch.subscribe(("+", 0))
        assert take(watch)[:2] == ("c", b"first")
        watch.assert_silent()


def test_largest_packet_to_a_client_counts_for_connections_that_exist(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    with process.raw(5) as sub, process.raw(5) as away, process.raw(5) as pub:
        sub.connect("sub")
        sub.subscribe(("t", 1))
        away.connect("away", **kept(5))
        away.subscribe(("t", 1))
        away.leave()
        pub.connect("pub")
        give(pub, "t", b"x" * 2000, 1)
        assert len(take(sub)[1]) == 2000
        process.reload(client_max_packet_size="1")
        give(pub, "t", b"y" * 2000, 1)
        give(pub, "t", b"small", 1)
        assert take(sub)[1] == b"small"
        process.reload(client_max_packet_size="10")
        give(pub, "t", b"z" * 2000, 1)
        assert len(take(sub)[1]) == 2000


def test_largest_packet_from_a_client_counts_for_those_who_were_not_told(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    with process.raw(4) as old, process.raw(5) as told:
        old.connect("old")
        told.connect("told")
        process.reload(max_packet_size="1")
        give(told, "t", b"x" * 2000, 1)
        old.publish("t", b"x" * 2000)
        assert old.read_until_closed() == []


def test_window_that_sinks_counts_for_connections_that_exist(
    start_broker: StartBroker,
) -> None:
    process = start_broker(msq_len="5")
    with process.raw(5) as sub, process.raw(5) as pub:
        sub.connect("sub")
        sub.subscribe(("t", 1))
        pub.connect("pub")
        for n in range(3):
            give(pub, "t", b"%d" % n, 1)
        first = [sub.expect(raw.PUBLISH) for _ in range(3)]
        process.reload(msq_len="2")
        give(pub, "t", b"3", 1)
        sub.send(raw.ack(raw.PUBACK, first[0].packet_id))
        sub.assert_silent()  # two are in flight
        sub.send(raw.ack(raw.PUBACK, first[1].packet_id))
        assert sub.expect(raw.PUBLISH).payload == b"3"


def test_bytes_of_a_queue_that_sink_count_for_sessions_that_exist(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    with process.raw(5) as away, process.raw(5) as pub:
        away.connect("away", **kept(5))
        away.subscribe(("t", 1))
        away.leave()
        pub.connect("pub")
        give(pub, "t", b"1" * 6000, 1)
        process.reload(max_queue_size="4KB")
        give(pub, "t", b"2", 1)
    with process.raw(5) as away:
        away.connect("away", **kept(5))
        assert take(away)[1][:1] == b"1"
        away.assert_silent()


def test_bound_of_one_address_can_come_and_go(start_broker: StartBroker) -> None:
    process = start_broker()
    with process.raw(5) as before:
        before.connect("before")
        process.reload(max_connections_per_address="1")
        with process.raw(5) as first:
            first.connect("first")  # the one from before is not counted
            with process.raw(5) as second, pytest.raises(Closed):
                second.connect("second")
            process.reload(max_connections_per_address="0")
            with process.raw(5) as third:
                third.connect("third")
            process.reload(max_connections_per_address="1")
            with process.raw(5) as fourth, pytest.raises(Closed):
                fourth.connect("fourth")
            first.leave()
        with process.raw(5) as fifth:
            fifth.connect("fifth")
        before.ping()


@pytest.mark.parametrize("version", [4, 5])
def test_empty_user_name_is_anonymous(start_broker: StartBroker, version: int) -> None:
    process = start_broker(auth__1__login="u", auth__1__password="p")
    with process.raw(version) as c, process.raw(version) as with_password:
        assert c.connect("c", user="", **kept(version)).reason == 0
        assert with_password.connect("w", user="", password=b"").reason == 0
        c.leave()
    with process.raw(version) as c:  # the session of nobody goes on
        got = c.connect("c", **kept(version))
        assert (got.reason, got.flags) == (0, 1)
        process.reload(auth__1__login="other")
        c.ping()  # it is none of the users who are gone
        process.reload(allow_anonymous="false")
        assert closed_with(c) == (0x87 if version == 5 else None)
    with process.raw(version) as c:
        assert c.connect("c", user="").reason == (0x87 if version == 5 else 5)


def test_users_and_anonymous_access(start_broker: StartBroker) -> None:
    process = start_broker()
    with process.raw(5) as c:
        c.connect("c")
        process.reload(allow_anonymous="false", auth__1__login="u", auth__1__password="p")
        assert closed_with(c) == 0x87
        with process.raw(5) as stranger, process.raw(5) as wrong, process.raw(5) as right:
            assert stranger.connect("a").reason == 0x87
            assert wrong.connect("b", user="u", password=b"q").reason == 0x86
            assert right.connect("d", user="u", password=b"p").reason == 0
        process.reload(auth__1__password="q")
        with process.raw(5) as old, process.raw(5) as new:
            assert old.connect("e", user="u", password=b"p").reason == 0x86
            assert new.connect("f", user="u", password=b"q").reason == 0
        process.reload(allow_anonymous=None, auth__1__login=None, auth__1__password=None)
        with process.raw(5) as anyone:
            assert anyone.connect("g").reason == 0


def test_access_rules_count_for_connections_that_exist(start_broker: StartBroker) -> None:
    process = start_broker()
    with process.raw(5) as c:
        c.connect("c")
        assert c.subscribe(("t", 1)) == [1]
        process.reload(acl__rule__1='{"permit":"deny","topics":["t"]}')
        c.publish("t", b"", qos=1, packet_id=1)
        assert c.expect(raw.PUBACK).reason == 0x87
        process.reload(acl__rule__1=None, acl_nomatch="deny")
        c.publish("u", b"", qos=1, packet_id=2)
        assert c.expect(raw.PUBACK).reason == 0x87
        process.reload(acl_nomatch=None)
        c.publish("t", b"", qos=1, packet_id=3)
        assert c.expect(raw.PUBACK).reason == 0x10  # the subscription has ended
        assert c.subscribe(("t", 1)) == [1]
        c.publish("t", b"", qos=1, packet_id=4)
        assert {c.read().kind, c.read().kind} == {raw.PUBACK, raw.PUBLISH}
