"""Packets that wait until somebody has said whether their client may do that."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from nanomq_py.core.records import AuthNote, ListenerOptions, Rule
from nanomq_py.core.rules import Access, Rules
from tests import raw
from tests.asked import Asked, asked
from tests.conformance.flows import kept, modern, take
from tests.raw import (
    CONNACK,
    DISCONNECT,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    SUBACK,
    Packet,
    Raw,
)

ALLOW, DENY, PASS = Access
NOT_AUTHORIZED = 0x87
FIRST = {1: PUBACK, 2: PUBREC}
each_qos = pytest.mark.parametrize("qos", [0, 1, 2])


@pytest.fixture
def broker() -> Iterator[Asked]:
    with asked() as made:
        yield made


def to_subscriber(broker: Asked) -> Raw:
    return broker.subscriber(("t", 0))


def payloads(c: Raw, count: int) -> list[bytes]:
    return [take(c)[1] for _ in range(count)]


def in_(broker: Asked, version: int = 5, client_id: str = "p", **options: object) -> Raw:
    made = broker.raw(version)
    assert made.connect(client_id, **options).reason == 0
    return made


# --- PUBLISH


def test_question_says_who_wants_what(broker: Asked) -> None:
    with broker.raw(5) as c:
        c.connect("me", user="u")
        c.publish("a/b", b"x")
        got = broker.question()
        assert (got.publish, got.topics) == (True, ("a/b",))
        assert (got.client_id, got.user_name, got.address) == ("me", "u", "127.0.0.1")
        assert got.listener == 1


@pytest.mark.spec("MQTT-4.6.0-1", "MQTT-4.6.0-5", "MQTT-4.6.0-6")
@modern
@each_qos
def test_packets_behind_keep_their_order(broker: Asked, version: int, qos: int) -> None:
    with to_subscriber(broker) as sub, in_(broker, version) as c:
        for n in (1, 2, 3):
            c.publish("t", b"%d" % n, qos=qos, packet_id=n)
        c.send(raw.packet(raw.PINGREQ))
        for _ in range(3):
            first = broker.question()
            assert broker.waiting() == 0  # one at a time
            assert broker.decide(first, ALLOW)
        assert payloads(sub, 3) == [b"1", b"2", b"3"]
        acks = [c.read() for _ in range(3 if qos else 0)]
        assert [(a.kind, a.packet_id) for a in acks] == [
            (FIRST[qos], n) for n in ((1, 2, 3) if qos else ())
        ]
        c.expect(PINGRESP)
    assert broker.stats().messages_in == 3


def test_others_do_not_wait(broker: Asked) -> None:
    with to_subscriber(broker) as sub, in_(broker) as slow, in_(broker, 5, "q") as quick:
        slow.publish("t", b"slow", qos=1, packet_id=1)
        later = broker.question()
        quick.publish("t", b"quick", qos=1, packet_id=1)
        broker.allow("t")
        assert payloads(sub, 1) == [b"quick"]
        quick.expect(PUBACK)
        quick.ping()
        broker.decide(later, ALLOW)
        assert payloads(sub, 1) == [b"slow"]


@modern
@each_qos
@pytest.mark.parametrize(("verdict", "otherwise"), [(DENY, True), (PASS, False)])
def test_message_that_is_not_allowed(
    broker: Asked, version: int, qos: int, verdict: Access, otherwise: bool
) -> None:
    with to_subscriber(broker) as sub, in_(broker, version) as c:
        broker.ask(otherwise=otherwise)
        c.publish("t", b"x", qos=qos, packet_id=7)
        c.send(raw.packet(raw.PINGREQ))
        assert broker.decide(broker.question(), verdict)
        if qos:
            got = c.expect(FIRST[qos])
            assert (got.packet_id, got.reason) == (7, NOT_AUTHORIZED if version == 5 else 0)
        c.expect(PINGRESP)
        sub.assert_silent()
    assert broker.stats().messages_dropped == 1


def test_no_opinion_leaves_it_to_what_holds_otherwise(broker: Asked) -> None:
    with to_subscriber(broker) as sub, in_(broker) as c:
        broker.ask(otherwise=True)
        c.publish("t", b"x")
        assert broker.decide(broker.question(), PASS)
        assert payloads(sub, 1) == [b"x"]


def test_what_a_rule_decides_is_not_asked(broker: Asked) -> None:
    rules = [
        Rule(allow=True, publish=True, subscribe=False, topics=("yes",)),
        Rule(allow=False, publish=True, subscribe=False, topics=("no",)),
    ]
    broker.ask(*rules)
    with in_(broker) as c:
        c.publish("yes", qos=1, packet_id=1)
        assert c.expect(PUBACK).reason != NOT_AUTHORIZED
        c.publish("no", qos=1, packet_id=2)
        assert c.expect(PUBACK).reason == NOT_AUTHORIZED
        assert broker.waiting() == 0


def test_who_may_not_is_disconnected_where_the_rules_say_so(broker: Asked) -> None:
    broker.ask(deny_disconnects=True)
    with in_(broker) as c:
        c.publish("t", qos=1, packet_id=1)
        assert broker.decide(broker.question(), DENY)
        assert [(p.kind, p.reason) for p in c.read_until_closed()] == [
            (DISCONNECT, NOT_AUTHORIZED)
        ]


@pytest.mark.spec("MQTT-4.3.3-10")
def test_message_of_qos_2_that_comes_again_goes_out_once(broker: Asked) -> None:
    with to_subscriber(broker) as sub, in_(broker) as c:
        c.publish("t", b"x", qos=2, packet_id=1)
        c.publish("t", b"x", qos=2, packet_id=1, dup=True)
        for _ in range(2):
            broker.allow("t")
            assert c.expect(PUBREC).packet_id == 1
        assert payloads(sub, 1) == [b"x"]
        c.send(raw.ack(raw.PUBREL, 1))
        c.expect(PUBCOMP)
        c.publish("other", b"y", qos=1, packet_id=2)  # what was answered counts once
        assert broker.decide(broker.question(), DENY)
        assert c.expect(PUBACK).reason == NOT_AUTHORIZED
        sub.assert_silent()


def test_topic_alias_is_learned_once_and_used_behind(broker: Asked) -> None:
    alias = bytes([0x23, 0, 1])
    with asked(topic_alias_max=1) as made, made.subscriber(("t", 0)) as sub, in_(made) as c:
        c.publish("t", b"1", properties=alias)
        c.publish("", b"2", properties=alias)
        made.allow("t")
        made.allow("t")
        assert payloads(sub, 2) == [b"1", b"2"]


def test_client_that_is_over_its_rate_is_asked_about_too() -> None:
    with asked(message_rate=2) as made, made.subscriber(("t", 0)) as sub, in_(made) as c:
        for n in range(4):
            c.publish("t", b"%d" % n)
        for _ in range(4):
            made.allow("t")
        assert payloads(sub, 4) == [b"0", b"1", b"2", b"3"]
        assert made.stats().rate_waits > 0


# --- SUBSCRIBE


@pytest.mark.spec("MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-3.9.3-1")
@modern
def test_each_filter_gets_its_code(broker: Asked, version: int) -> None:
    broker.ask(
        Rule(allow=True, publish=False, subscribe=True, topics=("rule",)),
        Rule(allow=False, publish=False, subscribe=True, topics=("not",)),
    )
    bad = NOT_AUTHORIZED if version == 5 else 0x80
    with in_(broker, version) as c:
        filters = [("a", 0), ("rule", 1), ("b/#", 2), ("not", 0), ("$share/g/c", 1)]
        c.send(raw.subscribe(10, *filters, version=version))
        c.send(raw.packet(raw.PINGREQ))
        asks = broker.question()
        assert (asks.publish, asks.topics) == (False, ("a", "b/#", "c"))
        assert broker.stats().subscriptions == 0
        assert broker.decide(asks, ALLOW, DENY, ALLOW)
        assert c.expect(SUBACK).codes == [0, 1, bad, bad, 1]
        c.expect(PINGRESP)
        assert broker.stats().subscriptions == 3


def test_what_is_missing_of_an_answer_is_denied(broker: Asked) -> None:
    with in_(broker) as c:
        c.send(raw.subscribe(1, ("a", 0), ("b", 0), ("c", 0), version=5))
        asks = broker.question()
        assert broker.core.decide(asks.number, asks.question, [ALLOW])
        assert c.expect(SUBACK).codes == [0, NOT_AUTHORIZED, NOT_AUTHORIZED]


def test_many_filters_are_asked_about_in_parts(broker: Asked) -> None:
    filters = [f"f/{n}" for n in range(150)]
    with in_(broker) as c:
        c.send(raw.subscribe(1, *((f, 0) for f in filters), version=5))
        seen: list[str] = []
        while len(seen) < len(filters):
            asks = broker.question()
            assert len(asks.topics) <= 64
            seen += asks.topics
            said = [DENY if t.endswith("7") else ALLOW for t in asks.topics]
            assert broker.decide(asks, *said)
        assert seen == filters
        want = [NOT_AUTHORIZED if f.endswith("7") else 0 for f in filters]
        assert c.expect(SUBACK).codes == want


def test_retained_messages_come_after_the_answer_and_once(broker: Asked) -> None:
    broker.core.publish("t", b"kept", qos=0, retain=True)
    with in_(broker) as c:
        c.send(raw.subscribe(1, ("t", 0), version=5))
        broker.allow("t")
        assert c.expect(SUBACK).codes == [0]
        got = c.expect(PUBLISH)
        assert (got.payload, got.retain) == (b"kept", True)
        c.assert_silent()


def test_subscription_that_was_allowed_stays_until_a_rule_denies_it(broker: Asked) -> None:
    with to_subscriber(broker) as sub:
        broker.ask()
        assert broker.core.judge() == 0
        broker.core.publish("t", b"1", qos=0, retain=False)
        assert payloads(sub, 1) == [b"1"]
        broker.ask(Rule(allow=False, publish=False, subscribe=True, topics=("t",)))
        assert broker.core.judge() == 1


# --- no answer


def test_no_answer_in_time_denies_and_a_late_one_counts_for_nothing() -> None:
    with asked(answer_timeout_ms=100) as broker, in_(broker) as c:
        c.publish("a", qos=1, packet_id=1)
        late = broker.question()
        assert c.expect(PUBACK).reason == NOT_AUTHORIZED
        assert not broker.decide(late, ALLOW)
        c.publish("b", qos=1, packet_id=2)
        now = broker.question()
        assert now.topics == ("b",)
        assert not broker.decide(late, ALLOW)
        assert broker.decide(now, DENY)
        assert not broker.decide(now, ALLOW)
        assert c.expect(PUBACK).reason == NOT_AUTHORIZED
        assert broker.stats().access_unanswered == 1
        broker.line("nobody answered in time")


def test_one_time_counts_for_all_questions_of_a_packet() -> None:
    with asked(answer_timeout_ms=100) as broker, in_(broker) as c:
        c.send(raw.subscribe(1, *((f"f/{n}", 0) for n in range(200)), version=5))
        assert c.expect(SUBACK).codes == [NOT_AUTHORIZED] * 200
        assert broker.stats().access_unanswered == 1
        assert broker.waiting() == 1


@pytest.mark.spec("MQTT-3.1.2-22")
def test_keep_alive_does_not_run_out_while_the_client_is_not_read() -> None:
    with asked(answer_timeout_ms=2500) as broker, in_(broker, keep_alive=1) as c:
        c.publish("t", qos=1, packet_id=1)
        c.send(raw.packet(raw.PINGREQ))
        assert c.expect(PUBACK).reason == NOT_AUTHORIZED  # after 2.5 s
        c.expect(PINGRESP)
        c.ping()
        assert broker.stats().keep_alive_timeouts == 0


@pytest.mark.spec("MQTT-3.1.2-22")
def test_client_that_falls_silent_afterwards_is_found() -> None:
    with asked(answer_timeout_ms=60_000) as broker, in_(broker, keep_alive=1) as c:
        c.publish("t", qos=1, packet_id=1)
        broker.allow("t")
        c.expect(PUBACK)
        assert [p.reason for p in c.read_until_closed()] == [0x8D]


# --- its end meanwhile


@pytest.mark.spec("MQTT-3.14.4-3")
@pytest.mark.parametrize(("reason", "sent"), [(0, [b"x"]), (4, [b"x", b"gone"])])
def test_disconnect_behind_it_is_handled_after_it(
    broker: Asked, reason: int, sent: list[bytes]
) -> None:
    with broker.subscriber(("t", 0)) as sub, broker.raw(5) as c:
        c.send(raw.connect("p", 5, will=("t", b"gone", 0, False)))
        broker.allow("t")
        c.expect(CONNACK)
        c.publish("t", b"x")
        c.send(raw.disconnect(5, reason))
        asks = broker.question()
        broker.decide(asks, ALLOW)
        assert c.read_until_closed() == []
        assert payloads(sub, len(sent)) == sent
        sub.assert_silent()


def kick(broker: Asked) -> None:
    broker.core.kick("p", 0x98)


def take_over(broker: Asked) -> None:
    with broker.raw(5) as other:
        other.connect("p")


def disconnect_listener(broker: Asked) -> None:
    broker.core.disconnect(1, 0x8B)


@pytest.mark.spec("MQTT-3.1.4-3")
@each_qos
@pytest.mark.parametrize(
    ("end", "reason"), [(kick, 0x98), (take_over, 0x8E), (disconnect_listener, 0x8B)]
)
def test_connection_that_is_closed_meanwhile_ends_at_once(
    broker: Asked, qos: int, end: Callable[[Asked], None], reason: int
) -> None:
    with in_(broker) as c:
        c.publish("t", b"x", qos=qos, packet_id=1)
        c.send(raw.packet(raw.PINGREQ))
        asks = broker.question()
        end(broker)
        assert [(p.kind, p.reason) for p in c.read_until_closed()] == [(DISCONNECT, reason)]
        c.close()
        broker.until("connections_open", 0)
        assert not broker.decide(asks, ALLOW)
    assert broker.stats().messages_out == broker.stats().messages_in == 0


def test_peer_that_goes_meanwhile_has_said_what_it_said(broker: Asked) -> None:
    with to_subscriber(broker) as sub:
        with in_(broker) as c:
            c.publish("t", b"x", qos=1, packet_id=1)
            asks = broker.question()
        broker.decide(asks, ALLOW)
        assert payloads(sub, 1) == [b"x"]
        broker.until("connections_open", 1)


def test_message_that_waits_at_a_restart_comes_again_and_goes_out_once(
    broker: Asked,
) -> None:
    with broker.raw(5) as sub:
        sub.connect("sub", **kept(5))
        sub.send(raw.subscribe(1, ("t", 1), version=5))
        broker.allow("t")
        sub.expect(SUBACK)
    with in_(broker, **kept(5)) as c:
        c.publish("t", b"x", qos=1, packet_id=1)
        broker.question()
        broker.core.shutdown(1000)
        assert [p.reason for p in c.read_until_closed()] == [0x8B]
    fd = os.memfd_create("state")
    with os.fdopen(fd, "r+b") as state:
        assert broker.core.save(fd) == 2
        state.seek(0)
        saved = state.read()
    with asked() as after:
        assert after.core.restore(saved) == 2
        with after.raw(5) as c:
            assert c.connect("p", **kept(5)).flags == 1
            c.publish("t", b"x", qos=1, packet_id=1, dup=True)
            after.allow("t")
            assert c.expect(PUBACK).reason == 0
        with after.raw(5) as sub:
            sub.connect("sub", **kept(5))
            assert payloads(sub, 1) == [b"x"]
            sub.assert_silent()


# --- other rules meanwhile


def test_rules_that_come_meanwhile_count_more_than_the_answer(broker: Asked) -> None:
    with to_subscriber(broker) as sub, in_(broker) as c:
        c.publish("t", b"1", qos=1, packet_id=1)
        asks = broker.question()
        broker.ask(Rule(allow=False, publish=True, subscribe=False, topics=("t",)))
        assert broker.decide(asks, ALLOW)
        assert c.expect(PUBACK).reason == NOT_AUTHORIZED
        broker.ask()
        c.publish("t", b"2", qos=1, packet_id=2)
        asks = broker.question()
        broker.core.set_rules(Rules(otherwise=True, deny_disconnects=False))
        assert broker.decide(asks, DENY)
        assert c.expect(PUBACK).reason == 0
        assert payloads(sub, 1) == [b"2"]


def test_filters_that_other_rules_do_not_decide_any_more_are_asked_about(
    broker: Asked,
) -> None:
    broker.ask(Rule(allow=True, publish=False, subscribe=True, topics=("rule",)))
    with in_(broker) as c:
        c.send(raw.subscribe(1, ("rule", 0), ("a", 0), version=5))
        asks = broker.question()
        assert asks.topics == ("a",)
        broker.ask()
        assert broker.decide(asks, ALLOW)
        broker.allow("rule")
        assert c.expect(SUBACK).codes == [0, 0]


# --- the will at CONNECT

WILL = ("t", b"gone", 0, False)


def connack(c: Raw) -> Packet:
    return c.expect(CONNACK)


@modern
def test_will_is_asked_about_before_its_client_is_in(broker: Asked, version: int) -> None:
    with broker.subscriber(("t", 0)) as sub:
        with broker.raw(version) as c:
            c.send(raw.connect("p", version, will=WILL))
            c.send(raw.packet(raw.PINGREQ))
            asks = broker.question()
            assert (asks.client_id, asks.publish, asks.topics) == ("p", True, ("t",))
            assert broker.stats().connected == 1
            assert broker.decide(asks, ALLOW)
            assert connack(c).reason == 0
            c.expect(PINGRESP)
            assert broker.stats().connect_in == 2
        assert payloads(sub, 1) == [b"gone"]


@modern
def test_client_whose_will_is_not_allowed_is_refused(broker: Asked, version: int) -> None:
    with broker.raw(version) as c:
        c.send(raw.connect("p", version, will=WILL))
        assert broker.decide(broker.question(), DENY)
        assert connack(c).reason == (NOT_AUTHORIZED if version == 5 else 5)
        assert c.read_until_closed() == []


@modern
def test_client_whose_will_nobody_answers_for_is_refused(version: int) -> None:
    with asked(answer_timeout_ms=100) as broker, broker.raw(version) as c:
        c.send(raw.connect("p", version, will=WILL))
        assert connack(c).reason == (0x88 if version == 5 else 3)
        assert c.read_until_closed() == []


def test_stranger_with_a_will_is_told_that_the_broker_stops(broker: Asked) -> None:
    with broker.raw(5) as c:
        c.send(raw.connect("p", 5, will=WILL))
        broker.question()
        broker.core.shutdown(1000)
        # Server unavailable: CONNACK has no 0x8B (3.2.2.2).
        assert [(p.kind, p.reason) for p in c.read_until_closed()] == [(CONNACK, 0x88)]


def test_identifier_that_is_assigned_is_the_one_that_was_asked_about(broker: Asked) -> None:
    with broker.raw(5) as c:
        c.send(raw.connect("", 5, will=WILL))
        asks = broker.question()
        assert broker.decide(asks, ALLOW)
        assert raw.text(asks.client_id) in connack(c).properties


def test_mount_point_is_made_once() -> None:
    with asked(ListenerOptions(mount="m/%c/")) as broker:
        broker.core.open_tap("#", qos=0)
        with broker.raw(5) as c:
            c.send(raw.connect("p", 5, will=WILL))
            broker.allow("t")
            connack(c)
            c.send(raw.subscribe(1, ("t", 0), version=5))
            broker.allow("t")
            c.expect(SUBACK)
            broker.core.publish("m/p/t", b"x", qos=0, retain=False)
            assert c.expect(PUBLISH).topic == "t"


def test_will_is_asked_about_after_who_the_client_is() -> None:
    with asked(ListenerOptions(ask_auth=True)) as broker, broker.raw(5) as c:
        c.send(raw.connect("p", 5, will=WILL, user="u", password=b"secret"))
        who = broker.event()
        assert isinstance(who, AuthNote)
        assert broker.core.answer(who.number, 0, user_name="proved")
        asks = broker.question()
        assert asks.user_name == "proved"
        assert not broker.core.answer(who.number, 0)  # that was answered
        assert broker.decide(asks, ALLOW)
        assert connack(c).reason == 0
        c.ping()
