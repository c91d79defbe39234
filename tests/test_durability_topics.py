"""Only messages of some topics outlive a kill: ``durability.topics``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import journal, raw
from tests._core_test import ffi, lib
from tests.committed import Committed, committed
from tests.conftest import free_port
from tests.journaled import Journaled, replayed, saved, state
from tests.raw import CONNACK, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK
from tests.test_committer import come, publisher, subscriber
from tests.test_durability import Start, folder, refusal, restart, start, taken
from tests.test_durability import come as comes
from tests.test_durability import publish as publish_to
from tests.test_durability import subscriber as subscribes
from tests.test_journal import commit_until_heard
from tests.wal import Disk

__all__ = ["folder", "start"]

TOPICS = b"kept/#\0also\0"


@pytest.fixture
def home() -> Iterator[Committed]:
    with Disk() as disk, committed(disk, topics=TOPICS) as made:
        yield made


def payloads(home: Committed) -> list[bytes]:
    return [v["payload"] for name, v in journal.read(home.log()) if name == "message"]  # type: ignore[misc]


def queue_of(broker: object, name: bytes) -> list[bytes]:
    return [entry[-1][1] for entry in state(saved(broker)).sessions[name]["queue"]]


@pytest.mark.parametrize("qos", [1, 2])
def test_what_does_not_match_is_not_logged(home: Committed, qos: int) -> None:
    subscriber(home, "away", "#", qos).leave()
    to = subscriber(home, "to", "#", qos)
    by = publisher(home)
    sent = [("kept/a", b"1"), ("other", b"2"), ("also", b"3"), ("also/b", b"4")]
    for packet_id, (topic, payload) in enumerate(sent, 1):
        by.publish(topic, payload, qos=qos, packet_id=packet_id)
        by.expect(PUBACK if qos == 1 else PUBREC)
    replies = {PUBREL: PUBCOMP, PUBLISH: PUBACK if qos == 1 else PUBREC}
    for _ in range(len(sent) * qos):
        got = to.read()
        to.send(raw.ack(replies[got.kind], got.packet_id))
    to.ping()
    assert queue_of(home.broker, b"away") == [b"1", b"2", b"3", b"4"]
    home.stop()
    assert payloads(home) == [b"1", b"3"]
    with replayed(home.log()) as broker:
        assert queue_of(broker, b"away") == [b"1", b"3"]
        assert state(saved(broker)).sessions[b"to"]["in flight"] == []


def test_no_reply_waits_for_what_is_not_logged() -> None:
    home = Journaled()
    try:
        to = home.client()
        to.send(raw.connect("to", 5, clean=False, properties=b"\x11\x00\x00\x0e\x10"))
        home.set_topics(TOPICS)
        commit_until_heard(home, to)
        assert to.expect(CONNACK).reason == 0
        to.send(raw.subscribe(1, ("#", 1), version=5))
        commit_until_heard(home, to)
        to.read()
        by = home.client()
        by.connect("by")
        by.publish("other", b"1", qos=1, packet_id=1, retain=True)
        by.expect(PUBACK)  # nothing is durable meanwhile
        assert to.expect(PUBLISH).payload == b"1"
        by.publish("also", b"2", qos=1, packet_id=2)
        assert not by.hears_within(0.1)
        commit_until_heard(home, by)
        by.expect(PUBACK)
    finally:
        home.close()


def test_a_packet_identifier_at_qos_2_is_known_though_its_message_is_not(
    home: Committed,
) -> None:
    """Else the receiver would take the next message under it for the one that it has."""
    to = subscriber(home, "to", "#", 2)
    by = publisher(home)
    by.publish("other", b"lost", qos=2, packet_id=1)
    by.expect(PUBREC)
    got = to.expect(PUBLISH)
    home.disk.cut()
    assert payloads(home) == []
    with Journaled.after(home.log()) as again:
        to = again.client()
        to.send(raw.connect("to", 5, clean=False, properties=b"\x11\x00\x00\x0e\x10"))
        commit_until_heard(again, to)
        assert to.expect(CONNACK).reason == 0
        assert to.expect(PUBREL).packet_id == got.packet_id  # [MQTT-4.4.0-1]
        to.send(raw.ack(PUBCOMP, got.packet_id))
        to.ping()
        assert state(saved(again.broker)).sessions[b"to"]["in flight"] == []


def test_a_packet_identifier_of_a_publisher_is_session_state(home: Committed) -> None:
    by = come(home, "by")
    by.publish("other", b"1", qos=2, packet_id=7)
    by.expect(PUBREC)
    by.send(raw.ack(PUBREL, 7))
    by.expect(PUBCOMP)
    by.publish("also", b"2", qos=2, packet_id=7)
    by.expect(PUBREC)
    home.stop()
    with replayed(home.log()) as broker:
        assert state(saved(broker)).sessions[b"by"]["unreleased"] == [(7,)]


def test_retained_messages_and_wills(home: Committed) -> None:
    by = publisher(home)
    lib.disk_journal_set_topics(home.journal, ffi.NULL, 0)
    by.publish("x", b"old", qos=1, packet_id=1, retain=True)
    by.expect(PUBACK)
    lib.disk_journal_set_topics(home.journal, TOPICS, len(TOPICS))
    for packet_id, topic in enumerate(("x", "also", "other"), 2):
        by.publish(topic, b"new", qos=1, packet_id=packet_id, retain=True)
        by.expect(PUBACK)
    by.publish("other", b"", qos=1, packet_id=9, retain=True)
    by.expect(PUBACK)
    for name, topic in (("w1", "also"), ("w2", "other")):
        client = home.client()
        client.send(
            raw.connect(
                name, 5, clean=False, properties=b"\x11\x00\x00\x0e\x10",
                will=(topic, b"w", 1, False), will_properties=b"\x18\x00\x00\x0e\x10",
            )
        )  # fmt: skip
        assert client.expect(CONNACK).reason == 0
    home.stop()
    assert set(state(saved(home.broker)).retained) == {b"x", b"also"}
    with replayed(home.log()) as broker:
        found = state(saved(broker))
        assert set(found.retained) == {b"also"}  # and not the old one of x
        assert ["will" in found.sessions[name] for name in (b"w1", b"w2")] == [True, False]


def test_what_was_logged_is_told_again_and_the_rest_is_not() -> None:
    with Disk() as disk, committed(disk, topics=TOPICS, segment_bytes=1 << 14) as home:
        client = subscriber(home, "away", "also", 2)
        client.send(raw.subscribe(2, ("other", 2), version=5))
        client.expect(SUBACK)
        client.leave()
        to = subscriber(home, "to", "+", 2)
        by = publisher(home)
        for packet_id, topic in enumerate(("also", "other"), 1):
            by.publish(topic, topic.encode(), qos=2, packet_id=packet_id)
            by.expect(PUBREC)
            to.expect(PUBLISH)
        rounds, end = home.rounds(), time.monotonic() + 30
        while home.rounds() < rounds + 2:
            assert time.monotonic() < end
            by.publish("kept/x", b"x" * 3000, qos=1, packet_id=9, retain=True)
            by.expect(PUBACK)
        home.stop()
        with replayed(home.log()) as broker:
            assert queue_of(broker, b"away") == [b"also"]
            in_flight = state(saved(broker)).sessions[b"to"]["in flight"]
            assert [entry[-1] and entry[-1][1] for entry in in_flight] == [b"also", None]


# --- a process


def test_a_kill_takes_only_what_does_not_match(start: Start) -> None:
    keys = {"durability__topics": "kept/#, also"}
    with start(**keys) as process:
        subscribes(process, "to", ("#", 1))
        publish_to(process, b"1", topic="kept/a")
        publish_to(process, b"2", topic="other")
        publish_to(process, b"3", topic="also")
        process.kill()
    with start(**keys) as process:
        assert taken(process, "to", 2) == [b"1", b"3"]


def test_a_restart_keeps_what_does_not_match(start: Start) -> None:
    keys = {"durability__topics": "kept/#", "http_server__port": str(free_port())}
    with start(**keys) as process:
        subscribes(process, "to", ("#", 2))
        publish_to(process, b"1", topic="kept/a")
        publish_to(process, b"2", topic="other", qos=2)
        publish_to(process, b"3", topic="kept/b")
        restart(process)
        with comes(process, "to") as client:
            got = {client.expect(PUBLISH).payload for _ in range(3)}
            assert got == {b"1", b"2", b"3"}
        process.kill()
    with start(**keys) as process:
        with comes(process, "to") as client:
            got = [client.read() for _ in range(3)]
        assert [p.payload for p in got if p.kind == PUBLISH] == [b"1", b"3"]
        assert [p.kind for p in got].count(PUBREL) == 1


@pytest.mark.parametrize("bad", ["a/#/b", "a+", "$share/g/a", "a#"])
def test_what_is_no_filter_is_refused(folder: Path, bad: str) -> None:
    assert f"durability.topics={bad!r}: expected topic filters" in refusal(
        folder, durability="always", durability__topics=bad
    )
