"""Answers about topics that count for a while: the core asks nobody meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nanomq_py.core.records import AccessNote
from nanomq_py.core.rules import Access
from tests import raw
from tests.asked import Asked, asked
from tests.conformance.flows import take
from tests.raw import CONNACK, PINGRESP, PUBACK, SUBACK, Raw

ALLOW, DENY, PASS = Access
NOT_AUTHORIZED = 0x87
LONG_S = 1000.0


@pytest.fixture
def broker() -> Iterator[Asked]:
    with asked() as made:
        yield made


@pytest.fixture
def client(broker: Asked) -> Iterator[Raw]:
    with broker.raw(5) as made:
        assert made.connect("p").reason == 0
        yield made


def tells(broker: Asked, client: Raw, topic: str = "t") -> AccessNote | None:
    """Publish, and return the question about it, if there is one."""
    client.publish(topic, qos=1, packet_id=1)
    client.send(raw.packet(raw.PINGREQ))
    while broker.waiting() == 0:
        client.sock.settimeout(0.001)
        try:
            got = client.read()
        except TimeoutError:
            continue
        finally:
            client.sock.settimeout(20)
        if got.kind == PINGRESP:
            return None
    return broker.question()


def settle(
    broker: Asked, client: Raw, note: AccessNote | None, said: Access, s: float
) -> int:
    """Answer it, and return what the message was acknowledged with."""
    assert note is not None
    assert broker.decide(note, said, keep_s=s)
    code = client.expect(PUBACK).reason
    client.expect(PINGRESP)
    return code


def refused(code: int) -> bool:
    return code == NOT_AUTHORIZED


@pytest.mark.parametrize("said", [ALLOW, DENY, PASS])
def test_answer_that_counts_is_not_asked_for_again(
    broker: Asked, client: Raw, said: Access
) -> None:
    first = settle(broker, client, tells(broker, client), said, LONG_S)
    assert refused(first) == (said != ALLOW)
    for _ in range(3):
        client.publish("t", qos=1, packet_id=1)
        assert client.expect(PUBACK).reason == first
    assert broker.waiting() == 0
    assert broker.stats().access_kept == 3


def test_answer_that_does_not_count_is_asked_for_each_time(
    broker: Asked, client: Raw
) -> None:
    for said in (ALLOW, DENY, ALLOW):
        assert refused(settle(broker, client, tells(broker, client), said, 0)) == (
            said == DENY
        )


def test_answer_is_for_one_topic_of_one_client(broker: Asked, client: Raw) -> None:
    settle(broker, client, tells(broker, client), ALLOW, LONG_S)
    assert refused(settle(broker, client, tells(broker, client, "t/"), DENY, 0))
    with broker.raw(5) as other:
        other.connect("q")
        assert refused(settle(broker, other, tells(broker, other), DENY, 0))


def test_answer_about_a_filter_allows_no_message(broker: Asked, client: Raw) -> None:
    for _ in range(2):  # and is asked for each time: a filter may be judged beside others
        client.send(raw.subscribe(1, ("t", 0), version=5))
        assert broker.decide(broker.question(), ALLOW, keep_s=LONG_S)
        assert client.expect(SUBACK).codes == [0]
    assert refused(settle(broker, client, tells(broker, client), DENY, 0))


def test_other_rules_end_what_counts(broker: Asked, client: Raw) -> None:
    settle(broker, client, tells(broker, client), ALLOW, LONG_S)
    broker.ask(otherwise=True)
    assert refused(settle(broker, client, tells(broker, client), DENY, LONG_S))
    broker.ask()
    assert not refused(settle(broker, client, tells(broker, client), ALLOW, LONG_S))


def test_answer_beside_the_rules_of_before_counts_once(broker: Asked, client: Raw) -> None:
    note = tells(broker, client)
    broker.ask(otherwise=True)
    assert not refused(settle(broker, client, note, ALLOW, LONG_S))
    assert refused(settle(broker, client, tells(broker, client), DENY, 0))


def test_answer_counts_for_its_time(broker: Asked, client: Raw) -> None:
    settle(broker, client, tells(broker, client), ALLOW, 0.05)
    times = 0
    while (note := tells(broker, client)) is None:
        times += 1
    assert refused(settle(broker, client, note, DENY, 0))


def test_no_more_than_32_topics_are_kept(broker: Asked, client: Raw) -> None:
    for n in range(33):
        settle(broker, client, tells(broker, client, f"t/{n}"), ALLOW, LONG_S)
    assert tells(broker, client, "t/32") is None
    assert tells(broker, client, "t/1") is None
    assert refused(settle(broker, client, tells(broker, client, "t/0"), DENY, LONG_S))
    assert refused(settle(broker, client, tells(broker, client, "t/1"), DENY, LONG_S))


@pytest.mark.parametrize(("length", "kept"), [(256, True), (257, False)])
def test_long_topic_is_not_kept(
    broker: Asked, client: Raw, length: int, kept: bool
) -> None:
    topic = "t" * length
    settle(broker, client, tells(broker, client, topic), ALLOW, LONG_S)
    assert (tells(broker, client, topic) is None) == kept


def test_answer_about_a_will_counts_for_messages(broker: Asked) -> None:
    with broker.raw(5) as c:
        c.send(raw.connect("w", 5, will=("last", b"words", 0, False)))
        assert broker.decide(broker.question(), ALLOW, keep_s=LONG_S)
        assert c.expect(CONNACK).reason == 0
        assert tells(broker, c, "last") is None


def test_unanswered_question_is_not_kept() -> None:
    with asked(answer_timeout_ms=100) as broker, broker.raw(5) as c:
        c.connect("p")
        assert tells(broker, c) is not None
        assert refused(c.expect(PUBACK).reason)
        c.expect(PINGRESP)
        assert not refused(settle(broker, c, tells(broker, c), ALLOW, 0))


def test_messages_keep_going_out_in_order(broker: Asked, client: Raw) -> None:
    with broker.subscriber(("#", 0)) as sub:
        settle(broker, client, tells(broker, client), ALLOW, LONG_S)
        take(sub)
        for n in range(20):
            client.publish("t", b"%d" % n)
        assert [take(sub)[1] for _ in range(20)] == [b"%d" % n for n in range(20)]
