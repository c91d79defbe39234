"""Acknowledgements that wait for the journal (csrc/route/held.h, csrc/store/journal.h)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests import journal, raw
from tests._core_test import ffi, lib
from tests.eventually import eventually
from tests.journaled import (
    Journaled,
    State,
    journaled,
    new_broker,
    replayed,
    saved,
    state,
)
from tests.judging import Rule, compiled
from tests.raw import (
    CONNACK,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    UNSUBACK,
    Closed,
    Raw,
)
from tests.unit.clib import nothing_leaks

DELAYED = b"\x18" + (600).to_bytes(4, "big")  # a will, by ten minutes
ENDLESS = 1 << 26  # bytes that no socket takes by itself
KEPT = {4: b"", 5: b"\x11\x00\x00\x0e\x10"}  # a session of an hour


@pytest.fixture
def home() -> Iterator[Journaled]:
    with journaled() as made:
        yield made


def commit_until_heard(home: Journaled, client: Raw) -> None:
    while not client.hears_within(0.02):
        home.commit()


def come(home: Journaled, name: str, version: int = 5, **options: object) -> Raw:
    """Connect a client whose session is kept."""
    client = home.client(version)
    options.setdefault("clean", False)
    client.send(raw.connect(name, version, properties=KEPT[version], **options))  # type: ignore[arg-type]
    commit_until_heard(home, client)
    assert client.expect(CONNACK).reason == 0
    return client


def subscriber(home: Journaled, name: str, filter_: str, qos: int, version: int = 5) -> Raw:
    client = come(home, name, version)
    client.send(raw.subscribe(1, (filter_, qos), version=version))
    commit_until_heard(home, client)
    assert client.expect(SUBACK).codes == [qos]
    return client


@pytest.mark.parametrize("version", [4, 5])
def test_connack_of_a_kept_session_waits_for_the_commit(
    home: Journaled, version: int
) -> None:
    client = home.client(version)
    client.send(raw.connect("a", version, clean=False, properties=KEPT[version]))
    client.send(raw.packet(raw.PINGREQ))  # the link is shut: CONNACK is first
    eventually(lambda: "session" in home.kinds())
    assert not client.hears_within(0.05)
    home.commit()
    assert client.expect(CONNACK).reason == 0
    client.expect(raw.PINGRESP)


def test_a_clean_session_waits_for_nothing(home: Journaled) -> None:
    client = home.client()
    client.connect("a")
    assert client.subscribe(("t", 2)) == [2]
    client.publish("t", b"1", qos=1, packet_id=1)
    assert {client.read().kind, client.read().kind} == {PUBACK, PUBLISH}
    client.publish("t", b"2", qos=2, packet_id=2)
    assert {client.read().kind, client.read().kind} == {PUBREC, PUBLISH}
    client.send(raw.ack(PUBREL, 2))
    client.expect(PUBCOMP)
    assert home.kinds() == ["begin"]


def test_puback_waits_and_the_message_does_not(home: Journaled) -> None:
    to = subscriber(home, "to", "t", 1)
    by = home.client()
    by.connect("by")
    by.publish("t", b"x", qos=1, packet_id=7)
    got = to.expect(PUBLISH)
    assert got.payload == b"x"
    by.ping()  # comes at once: PUBACK is not before it
    assert not by.hears_within(0.05)
    home.commit()
    assert by.expect(PUBACK).packet_id == 7
    to.send(raw.ack(PUBACK, got.packet_id))
    to.ping()
    assert home.kinds()[-3:] == ["message", "delivery", "done"]


def test_acknowledgements_leave_in_their_order(home: Journaled) -> None:
    subscriber(home, "to", "t", 1)
    by = home.client()
    by.connect("by")
    by.publish("t", b"1", qos=1, packet_id=1)
    by.ping()
    first = home.take()
    by.publish("to/nobody", b"2", qos=1, packet_id=2)  # logs nothing, but is behind
    by.publish("t", b"3", qos=1, packet_id=3)
    by.publish("to/nobody", b"4", qos=1, packet_id=4)
    by.ping()
    assert not by.hears_within(0.05)
    home.settle(first)
    assert [by.expect(PUBACK).packet_id for _ in range(2)] == [1, 2]
    by.ping()
    home.commit()
    assert [by.expect(PUBACK).packet_id for _ in range(2)] == [3, 4]
    by.publish("to/nobody", b"5", qos=1, packet_id=5)  # nothing is held
    assert by.expect(PUBACK).packet_id == 5


def test_a_message_to_nobody_is_acknowledged_at_once(home: Journaled) -> None:
    subscriber(home, "to", "t", 0)  # QoS 0 is not logged
    by = home.client()
    by.connect("by")
    before = home.kinds()
    by.publish("t", b"1", qos=1, packet_id=1)
    assert by.expect(PUBACK).packet_id == 1
    assert home.kinds() == before


def test_suback_and_unsuback_wait(home: Journaled) -> None:
    client = come(home, "a")
    client.send(raw.subscribe(3, ("t", 1), version=5), raw.packet(raw.PINGREQ))
    client.expect(raw.PINGRESP)
    home.commit()
    assert client.expect(SUBACK).codes == [1]
    client.send(raw.unsubscribe(4, "t", version=5), raw.packet(raw.PINGREQ))
    client.expect(raw.PINGRESP)
    home.commit()
    client.expect(UNSUBACK)
    assert home.kinds()[-2:] == ["subscription", "unsubscribed"]


def test_pubrec_and_pubcomp_of_a_kept_publisher_wait(home: Journaled) -> None:
    by = come(home, "by")
    by.publish("t", b"1", qos=2, packet_id=5)
    by.ping()
    home.commit()
    assert by.expect(PUBREC).packet_id == 5
    by.send(raw.ack(PUBREL, 5))
    by.ping()
    home.commit()
    assert by.expect(PUBCOMP).packet_id == 5
    assert home.kinds()[-2:] == ["unreleased", "released"]


@pytest.mark.parametrize("version", [4, 5])
def test_publish_and_pubrel_at_qos_2_wait(home: Journaled, version: int) -> None:
    to = subscriber(home, "to", "t", 2, version)
    by = home.client()
    by.connect("by")
    by.publish("t", b"two", qos=2, packet_id=1)
    by.publish("t", b"one", qos=1, packet_id=2)
    assert to.expect(PUBLISH).payload == b"one"  # another QoS has an order of its own
    to.ping()
    home.commit()
    got = to.expect(PUBLISH)
    assert (got.payload, got.qos, got.dup) == (b"two", 2, False)
    to.send(raw.ack(PUBREC, got.packet_id))
    to.ping()
    home.commit()
    assert to.expect(PUBREL).packet_id == got.packet_id
    to.send(raw.ack(PUBCOMP, got.packet_id))
    to.ping()
    assert home.kinds()[-2:] == ["received", "done"]


def test_the_window_lets_out_what_waits_once_it_is_durable() -> None:
    with journaled(window=1) as home:
        to = subscriber(home, "to", "t", 2)
        by = home.client()
        by.connect("by")
        for packet_id in (1, 2):
            by.publish("t", b"%d" % packet_id, qos=2, packet_id=packet_id)
        by.ping()
        for payload in (b"1", b"2"):
            home.commit()
            got = to.expect(PUBLISH)
            assert got.payload == payload
            to.send(raw.ack(PUBREC, got.packet_id))
            to.ping()
            home.commit()
            to.expect(PUBREL)
            to.send(raw.ack(PUBCOMP, got.packet_id))
            to.ping()
        assert home.kinds().count("launched") == 1


def test_what_is_held_is_lost_with_its_connection(home: Journaled) -> None:
    subscriber(home, "to", "t", 1)
    by = come(home, "by")
    by.publish("t", b"1", qos=1, packet_id=1)
    by.ping()
    by.close()
    again = home.client()
    again.send(raw.connect("by", 5, clean=False, properties=KEPT[5]))
    assert not again.hears_within(0.05)
    commit_until_heard(home, again)
    assert again.expect(CONNACK).flags == 1
    again.ping()  # and no PUBACK


def test_a_connection_that_is_told_to_go_has_no_connack(home: Journaled) -> None:
    first = home.client()
    first.send(raw.connect("a", 5, clean=False, properties=KEPT[5]))
    eventually(lambda: "session" in home.kinds())
    assert not first.hears_within(0.05)
    second = home.client()
    second.send(raw.connect("a", 5, clean=False, properties=KEPT[5]))
    with pytest.raises(Closed):
        first.read()
    commit_until_heard(home, second)
    assert second.expect(CONNACK).flags == 1


def test_who_publishes_without_end_is_not_read_while_nothing_is_durable() -> None:
    with journaled(outbox_max_bytes=1024) as home:
        subscriber(home, "to", "t", 1)
        by = home.client()
        by.connect("by")
        packet = raw.publish("t", b"x", 5, qos=1, packet_id=1)
        by.sock.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < ENDLESS:
                sent += by.sock.send(packet * 1000)
        assert sent < ENDLESS
        assert home.kinds().count("delivery") < sent // len(packet)
        by.sock.settimeout(20)
        home.commit()
        by.expect(PUBACK)  # it is read on


def test_who_publishes_waits_for_a_journal_that_is_full(home: Journaled) -> None:
    to = subscriber(home, "to", "t", 1)
    by = home.client()
    by.connect("by")
    by.publish("t", b"1", qos=1, packet_id=1)
    to.expect(PUBLISH)
    lib.test_journal_set_full(home.journal, True)
    by.publish("t", b"2", qos=1, packet_id=2)
    assert not to.hears_within(0.1)
    lib.test_journal_set_full(home.journal, False)
    home.commit()
    assert by.expect(PUBACK).packet_id == 1
    assert to.expect(PUBLISH).payload == b"2"


def test_a_log_is_taken_over_like_what_was_saved(home: Journaled) -> None:
    to = subscriber(home, "to", "t", 1)
    by = home.client()
    by.connect("by")
    by.publish("t", b"1", qos=1, packet_id=1, retain=True)
    to.expect(PUBLISH)
    with replayed(home.log()) as broker:
        kinds = [name for name, _ in saved(broker)]
    assert kinds == [
        *("begin", "origin", "message", "retained", "session", "subscription"),
        *("delivery", "end"),
    ]


def kept_state(broker: Any) -> State:
    return state(saved(broker))


def slices(*texts: str) -> tuple[Any, Any, list[Any]]:
    """Return texts and their lengths as C has them, and what has to live as long."""
    kept = [ffi.new("char[]", text.encode()) for text in texts]
    return ffi.new("char *[]", kept), ffi.new("size_t[]", [len(t) for t in texts]), kept


def consume(home: Journaled, name: str, *filters: str) -> int:
    """Open a consumer."""
    texts, lengths, kept = slices(*filters)
    title = ffi.new("char[]", name.encode())
    options = ffi.new(
        "nmq_consumer_options *",
        {
            **{"name": title, "name_len": len(name), "filters": texts},
            **{"filter_lens": lengths, "filter_count": len(filters)},
            **{"qos": 2, "queue_max": 100},
        },
    )
    number, fd = ffi.new("uint64_t *"), ffi.new("int32_t *")
    consumers = lib.nmq_broker_consumers(home.broker)
    assert lib.nmq_consumers_open(consumers, options, number, fd) == 0
    del kept
    return int(number[0])


def test_a_consumer_is_kept_like_a_session(home: Journaled) -> None:
    consumers = lib.nmq_broker_consumers(home.broker)
    number = consume(home, "rules", "t/#")
    by = home.client()
    by.connect("by")
    for packet_id in (1, 2, 3):
        by.publish("t/1", b"%d" % packet_id, qos=1, packet_id=packet_id)
    by.ping()  # PUBACK waits
    home.commit()
    assert [by.expect(PUBACK).packet_id for _ in range(3)] == [1, 2, 3]
    feed = ffi.new("nmq_feed **")
    assert lib.nmq_feed_new(1 << 20, False, feed) == 0
    assert lib.nmq_consumers_take(consumers, number, feed[0]) == 3
    assert lib.nmq_consumers_ack(consumers, number, 2) == 0
    lib.nmq_feed_unref(feed[0])
    home.stop()
    assert lib.nmq_consumers_close(consumers, number) == 0
    with replayed(home.log()) as broker:
        now = kept_state(broker)
        assert now == kept_state(home.broker)
        assert len(now.sessions[b"rules"]["queue"]) == 1
    assert lib.nmq_consumers_end(consumers, b"rules", 5) == 0
    with replayed(home.log()) as broker:
        assert kept_state(broker).sessions == {}


def test_a_consumer_is_told_again(home: Journaled) -> None:
    for name in ("rules", "hooks", "devices"):
        consume(home, name, "t/#")
    by = home.client()
    by.connect("by")
    by.publish("t/1", b"1", qos=1, packet_id=1)
    by.ping()
    at = home.begin_anew()
    assert home.retell(1) is False
    consumers = lib.nmq_broker_consumers(home.broker)
    assert lib.nmq_consumers_end(consumers, b"devices", 7) == 0
    assert home.retell()
    home.stop()
    with replayed(home.log()[at:]) as broker:
        assert kept_state(broker) == kept_state(home.broker)
        assert len(kept_state(broker).sessions) == 2


def test_a_log_that_is_damaged_is_not_gone_on_with(home: Journaled) -> None:
    subscriber(home, "to", "t", 1)
    log = home.log()
    with nothing_leaks():
        broker = new_broker()
        for bad in (log[:-1], log[20:], log + log[-30:]):
            made = lib.test_journal_over(broker, bad, len(bad), 0, ffi.NULL)
            assert made == ffi.NULL
        lib.nmq_broker_free(broker)


def test_subscriptions_that_a_program_makes_are_logged(home: Journaled) -> None:
    come(home, "a")
    put = lib.nmq_broker_subscribe
    assert put(home.broker, b"a", 1, b"t/#", 3, 1, 7) >= 0
    assert put(home.broker, b"a", 1, b"u", 1, 2, 0) >= 0
    assert lib.nmq_broker_unsubscribe(home.broker, b"a", 1, b"u", 1) >= 0
    home.stop()
    with replayed(home.log()) as broker:
        assert kept_state(broker) == kept_state(home.broker)


def test_what_rules_take_away_is_logged(home: Journaled) -> None:
    to = subscriber(home, "to", "#", 1)
    come(home, "by", will=("secret/will", b"x", 0, False), will_properties=DELAYED)
    by = home.client()
    by.connect("loud")
    for topic in ("secret/1", "t"):
        by.publish(topic, b"x", qos=1, packet_id=1)
        to.expect(PUBLISH)
    to.leave()
    for topic in ("secret/2", "u"):
        by.publish(topic, b"x", qos=1, packet_id=1)
    by.ping()
    rule = Rule(False, (("secret/#", lib.NMQ_ACL_TOPIC_PLAIN),))
    lib.nmq_broker_set_acl(home.broker, compiled([rule], otherwise=True))
    assert lib.nmq_broker_judge(home.broker) >= 0
    home.stop()
    with replayed(home.log()) as broker:
        now = kept_state(broker)
        assert now == kept_state(home.broker)
    held = now.sessions[b"to"]
    left = [one[-1][0] for one in [*held.get("in flight", []), *held.get("queue", [])]]
    assert sorted(left) == [b"t", b"u"]
    assert "will" not in now.sessions[b"by"]


def test_a_session_that_moves_to_another_mount_point_is_logged_whole() -> None:
    with journaled(mount="old/", key=1) as home:
        to = subscriber(home, "to", "t", 1)
        by = home.client()
        by.connect("by")
        by.publish("t", b"1", qos=1, packet_id=1)
        to.expect(PUBLISH)
        to.close()
        home.set_mount("new/")
        come(home, "to", clean=False)
        home.stop()
        with replayed(home.log()) as broker:
            now = kept_state(broker)
            assert now == kept_state(home.broker)
        assert now.sessions[b"to"]["subscription"][0][-1] == b"new/t"


def test_what_is_restored_is_logged(home: Journaled) -> None:
    to = subscriber(home, "to", "t", 1)
    by = home.client()
    by.connect("by")
    by.publish("t", b"1", qos=1, packet_id=1, retain=True)
    to.expect(PUBLISH)
    home.stop()
    with Journaled.after(home.log()) as later, replayed(later.log()) as broker:
        assert kept_state(broker) == kept_state(later.broker) == kept_state(home.broker)


def test_a_client_that_was_connected_when_the_log_ended_is_away(home: Journaled) -> None:
    come(home, "a", will=("w", b"gone", 1, True), will_properties=DELAYED)
    with replayed(home.log()) as broker:
        [session] = [v for name, v in saved(broker) if name == "session"]
        [will] = [v for name, v in saved(broker) if name == "will"]
        now_ms = time.time() * 1000
        for due, in_s in ((session["expires_at_ms"], 3600), (will["due_at_ms"], 600)):
            assert isinstance(due, int)
            assert abs(due - now_ms - in_s * 1000) < 60_000


def test_what_a_client_sent_and_got_goes_on(home: Journaled) -> None:
    c = subscriber(home, "c", "to", 2)
    c.publish("to", b"1")
    c.expect(PUBLISH)
    for qos in (1, 2):
        for packet_id in range(1 + qos):
            c.publish("nobody", b"1", qos=qos, packet_id=packet_id + 10 * qos)
    c.send(raw.disconnect(5))
    c.read_until_closed()
    home.stop()
    names = ("messages_received", "messages_sent", "messages_dropped", "bytes_in", "bytes_out",
             "packets_in", "packets_out", "qos1_in", "qos2_in", "qos1_out", "qos2_out",
             "dropped_full", "dropped_expired", "dropped_too_large")  # fmt: skip

    def counted(broker: Any) -> dict[str, object]:
        (session,) = (values for name, values in saved(broker) if name == "session")
        return {n: session[n] for n in names}

    before = counted(home.broker)
    assert (before["qos1_in"], before["qos2_in"], before["messages_received"]) == (2, 3, 6)
    assert before["bytes_in"]
    with replayed(b"".join(journal.write(r) for r in saved(home.broker)[:-1])) as broker:
        assert counted(broker) == before
