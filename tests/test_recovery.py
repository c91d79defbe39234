"""What a process becomes that reads a log again (csrc/route/handover_restore.h): times, wills,
who published, and what is left of a log with a hole."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from tests import journal, raw
from tests._core_test import ffi, lib
from tests.journaled import Journaled, journaled, new_broker, saved, state
from tests.raw import CONNACK, PUBACK, PUBLISH, PUBREC, SUBACK, Raw
from tests.unit.clib import nothing_leaks

HOUR_S = 3600
HOUR_MS = HOUR_S * 1000
KEPT = b"\x11" + HOUR_S.to_bytes(4, "big")
FOREVER = b"\x11\xff\xff\xff\xff"
CLOSE_MS = 5000  # two clocks, each read twice


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def near(at_ms: object, expected_ms: int) -> bool:
    assert isinstance(at_ms, int)
    return abs(at_ms - expected_ms) < CLOSE_MS


def come(home: Journaled, name: str, properties: bytes = KEPT, **how: object) -> Raw:
    client = home.client()
    packet = raw.connect(name, 5, clean=False, properties=properties, **how)  # type: ignore[arg-type]
    client.send(packet)
    while not client.hears_within(0.01):
        home.commit()
    assert client.expect(CONNACK).reason == 0
    return client


def ask(home: Journaled, client: Raw, packet: bytes, answer: int) -> raw.Packet:
    client.send(packet)
    while not client.hears_within(0.01):
        home.commit()
    return client.expect(answer)


def subscribe(home: Journaled, client: Raw, filter_: str, qos: int = 1) -> None:
    ask(home, client, raw.subscribe(1, (filter_, qos), version=5), SUBACK)


def publish(
    home: Journaled, client: Raw, topic: str, payload: bytes, **how: object
) -> None:
    packet = raw.publish(topic, payload, 5, qos=1, packet_id=1, **how)  # type: ignore[arg-type]
    ask(home, client, packet, PUBACK)


@contextlib.contextmanager
def recovered(
    log: bytes, over_ms: int = 0, passed: object = ffi.NULL
) -> Iterator[list[journal.Record]]:
    """Yield what a process keeps that has read the log; 0: it was written now."""
    broker = new_broker()
    made = lib.test_journal_over(broker, log, len(log), over_ms, passed)
    assert made != ffi.NULL
    try:
        yield saved(broker)
    finally:
        lib.nmq_broker_free(broker)
        lib.test_journal_free(made)


def of(
    records: list[journal.Record], kind: str, **values: object
) -> dict[str, journal.Value]:
    found = [
        v
        for name, v in records
        if name == kind and all(v[field] == value for field, value in values.items())
    ]
    assert len(found) == 1, (kind, values, [name for name, _ in records])
    return found[0]


def changed(log: bytes, change: Callable[[str, dict[str, journal.Value]], None]) -> bytes:
    out = b""
    for name, values in journal.read(log):
        change(name, values)
        out += journal.write((name, values))
    return out


def on_another_boot(log: bytes, begun_ms: int | None = None) -> bytes:
    """Have another start of the system written the log."""

    def change(name: str, values: dict[str, journal.Value]) -> None:
        if name == "begin":
            values["boot"] = b"another"
            if begun_ms is not None:
                values["wall_ms"] = begun_ms

    return changed(log, change)


# --- times


@pytest.mark.parametrize("away_ms", [0, 600_000])
@pytest.mark.parametrize("properties", [KEPT, FOREVER])
def test_a_client_that_was_connected_is_away_since_the_last_commit(
    away_ms: int, properties: bytes
) -> None:
    with journaled() as home:
        come(home, "to", properties)
        log = on_another_boot(home.log(), now_ms() - HOUR_MS)
    over_ms = now_ms() - away_ms
    with recovered(log, over_ms) as records:
        session = of(records, "session")
    assert session["disconnected_at_ms"] == over_ms
    if properties == KEPT:
        assert near(session["expires_at_ms"], over_ms + HOUR_MS)
    else:
        assert session["expires_at_ms"] == 0


def test_a_client_that_was_away_already_stays_so_since_then() -> None:
    with journaled() as home:
        for name, properties in (("a", KEPT), ("b", FOREVER)):
            client = come(home, name, properties)
            client.send(raw.disconnect(5, 0))
            client.read_until_closed()
        home.commit()
        before = {v["client_id"]: v for name, v in saved(home.broker) if name == "session"}
        log = home.log()
    with recovered(log, now_ms() + 60_000) as records:
        for client_id in (b"a", b"b"):
            session = of(records, "session", client_id=client_id)
            left_ms = before[client_id]["disconnected_at_ms"]
            assert session["disconnected_at_ms"] == left_ms != 0


def test_it_is_never_before_the_last_commit() -> None:
    """A machine without a clock of its own wakes up in 1970."""
    with journaled() as home:
        come(home, "away").close()
        to = come(home, "to")
        subscribe(home, to, "t")
        by = come(home, "by")
        for topic, expiry_s in (("t", 600), ("t", 2 * HOUR_S)):
            publish(
                home,
                by,
                topic,
                b"%d" % expiry_s,
                properties=b"\x02" + expiry_s.to_bytes(4, "big"),
            )
        log = on_another_boot(home.log())
    over_ms = now_ms() + HOUR_MS  # so much later was the last commit
    with recovered(log, over_ms) as records:
        assert near(
            of(records, "session", client_id=b"to")["expires_at_ms"], now_ms() + HOUR_MS
        )
        first = of(records, "message", payload=b"600")
        second = of(records, "message", payload=b"%d" % (2 * HOUR_S))
    assert first["expires_at_ms"] is not None
    assert int(first["expires_at_ms"]) <= now_ms()
    assert near(second["expires_at_ms"], now_ms() + HOUR_MS)


@pytest.mark.parametrize("same_boot", [False, True])
def test_a_clock_that_was_set_back_lets_nothing_expire(same_boot: bool) -> None:
    with journaled() as home:
        to = come(home, "to")
        subscribe(home, to, "t")
        publish(
            home, come(home, "by"), "t", b"x", properties=b"\x02" + (600).to_bytes(4, "big")
        )
        log = home.log()
    later_ms = now_ms() + 24 * HOUR_MS
    if same_boot:

        def begin_later(name: str, values: dict[str, journal.Value]) -> None:
            if name == "begin":
                values["wall_ms"] = later_ms

        # the clock was wrong for as long as BEGIN; the next commit knows better
        begin, rest = split(changed(log, begin_later), 1)
        parts = [(later_ms, begin), (now_ms(), rest)]
    else:
        begin, rest = split(on_another_boot(log, later_ms), 1)
        parts = [(later_ms, begin), (now_ms(), rest)]
    with recovered_parts(parts) as records:
        message = of(records, "message", payload=b"x")
    assert near(message["expires_at_ms"], now_ms() + 600_000)


def split(log: bytes, count: int) -> tuple[bytes, bytes]:
    """Return the first records, and the rest."""
    at = 0
    for _ in range(count):
        at += 4 + int.from_bytes(log[at : at + 4], "little")
    return log[:at], log[at:]


@contextlib.contextmanager
def recovered_parts(parts: list[tuple[int, bytes]]) -> Iterator[list[journal.Record]]:
    """Yield what a process keeps that has read these commits, with their times."""
    broker = new_broker()
    made = lib.test_journal_over_two(
        broker, parts[0][1], len(parts[0][1]), parts[0][0],
        parts[1][1], len(parts[1][1]), parts[1][0],
    )  # fmt: skip
    assert made != ffi.NULL
    try:
        yield saved(broker)
    finally:
        lib.nmq_broker_free(broker)
        lib.test_journal_free(made)


# --- wills


def test_the_will_of_a_client_that_was_connected_goes_out() -> None:
    """[MQTT-3.1.2-8]: its connection was closed without DISCONNECT."""
    with journaled() as home:
        subscribe(home, come(home, "to"), "w")
        come(home, "at once", will=("w", b"now", 1, False))
        delay = b"\x18" + (600).to_bytes(4, "big")
        come(home, "later", will=("w", b"then", 1, False), will_properties=delay)
        log = home.log()
    over_ms = now_ms() - 60_000
    begun_ms = over_ms - HOUR_MS
    with recovered(on_another_boot(log, begun_ms), over_ms) as records:
        later = of(records, "session", client_id=b"later")["number"]
        will = of(records, "will", session=later)
    assert near(will["due_at_ms"], over_ms + 600_000)
    with journaled(log=log) as home:
        to = come(home, "to")
        home.commit()
        assert to.expect(PUBLISH).payload == b"now"
        publish(home, to, "else", b"")  # nothing else has come
        names = home.kinds()
        assert names.count("will_end") == 1


def test_the_will_of_a_client_that_went_by_itself_stays_away() -> None:
    with journaled() as home:
        subscribe(home, come(home, "to"), "w")
        client = come(home, "left", will=("w", b"x", 1, False))
        client.send(raw.disconnect(5, 0))
        client.read_until_closed()
        log = home.log()
    with recovered(log) as records:
        assert [name for name, _ in records if name in ("will", "message")] == []


# --- who published


def test_who_published_is_kept() -> None:
    with journaled(key=7) as home:
        by = come(home, "by", user="u", password=b"p")
        subscribe(home, come(home, "to"), "#")
        publish(home, by, "kept", b"x", retain=True)
        come(home, "left", will=("w", b"x", 1, True), will_properties=b"").close()
        home.commit()
        log = home.log()
        home.stop()
        then = state(saved(home.broker))
    with recovered(log) as records:
        now = state(records)
        origin = of(records, "origin", client_id=b"by")
        message = of(records, "message", topic_name=b"kept")
    assert now.retained[b"kept"] == then.retained[b"kept"]
    assert (origin["listener_key"], origin["address"]) == (7, bytes([127, 0, 0, 1]))
    assert message["origin"] == origin["number"]
    assert near(message["published_at_ms"], now_ms())


# --- memory


def messages_once_read(log: bytes) -> int:
    """Return how many messages are in memory when the last record of the log is read."""
    broker = new_broker()
    made = lib.test_journal_over(broker, log, len(log), 0, ffi.NULL)
    assert made != ffi.NULL
    count = int(lib.test_journal_read_messages(made))
    lib.nmq_broker_free(broker)
    lib.test_journal_free(made)
    return count


def test_a_message_that_is_over_is_in_memory_no_more() -> None:
    with journaled() as home:
        to = come(home, "to")
        subscribe(home, to, "t")
        by = come(home, "by")
        for _ in range(50):
            publish(home, by, "t", b"x" * 1000)
            got = to.expect(PUBLISH)
            to.send(raw.ack(PUBACK, got.packet_id))
        to.ping()
        publish(home, by, "t", b"last")
        log = home.log()
    with nothing_leaks():
        assert messages_once_read(log) == 1


def test_a_message_that_is_told_again_is_one() -> None:
    with journaled() as home:
        come(home, "by")
        for name in ("a", "b"):
            client = come(home, name)
            subscribe(home, client, "t")
            client.close()
        publish(home, come(home, "by2"), "t", b"x")
        home.begin_anew()
        assert home.retell()
        log = home.log()
    assert messages_once_read(log) == 1


# --- what is missing


def records_of(log: bytes) -> list[bytes]:
    return [journal.write(one) for one in journal.read(log)]


def test_a_record_that_is_missing_costs_what_it_said() -> None:
    with journaled() as home:
        subscribe(home, come(home, "to"), "t", 2)
        by = come(home, "by")
        for payload in (b"1", b"2"):
            ask(
                home,
                by,
                raw.publish("t", payload, 5, qos=2, packet_id=int(payload)),
                PUBREC,
            )
        log = home.log()
    pieces = records_of(log)
    refused = set()
    for at in range(len(pieces)):
        rest = b"".join(pieces[:at] + pieces[at + 1 :])
        passed = ffi.new("uint64_t *")
        with nothing_leaks():
            with recovered(rest, 0, passed) as records:
                assert any(name == "end" for name, _ in records)
            broker = new_broker()
            made = lib.test_journal_over(broker, rest, len(rest), 0, ffi.NULL)
            if made == ffi.NULL:  # without `skip` it is an error
                refused.add(next(journal.read(pieces[at]))[0])
                assert passed[0] > 0 or at == 0
            else:
                assert passed[0] == 0
            lib.nmq_broker_free(broker)
            if made != ffi.NULL:
                lib.test_journal_free(made)
    assert refused == {"begin", "session", "message"}


def test_a_publisher_that_is_missing_is_not_taken_for_the_broker() -> None:
    with journaled() as home:
        publish(home, come(home, "by"), "kept", b"x", retain=True)
        pieces = [one for one in journal.read(home.log()) if one[0] != "origin"]
    with recovered(
        b"".join(map(journal.write, pieces)), 0, ffi.new("uint64_t *")
    ) as records:
        message = of(records, "message", topic_name=b"kept")
        origin = of(records, "origin", number=message["origin"])
    assert (message["origin"], origin["client_id"], origin["superuser"]) == (1, b"", 0)


def test_of_two_sessions_of_a_client_the_later_one_counts() -> None:
    with journaled() as home:
        subscribe(home, come(home, "a"), "old")
        again = home.client()
        ask(home, again, raw.connect("a", 5, clean=True, properties=KEPT), CONNACK)
        subscribe(home, again, "new")
        pieces = [one for one in journal.read(home.log()) if one[0] != "session_end"]
    passed = ffi.new("uint64_t *")
    with recovered(b"".join(map(journal.write, pieces)), 0, passed) as records:
        of(records, "session")
        assert of(records, "subscription")["filter"] == b"new"
    assert passed[0] == 1
