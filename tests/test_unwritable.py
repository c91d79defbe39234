"""What happens when the log of what is kept cannot be written, or has no room.

Source   durability.md: A failed write or flush, Full
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest

from tests import raw
from tests._core_test import ffi, lib
from tests.committed import Committed, committed
from tests.eventually import eventually
from tests.raw import (
    CONNACK,
    DISCONNECT,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    Raw,
)
from tests.test_committer import KEPT, come, publisher, subscriber
from tests.wal import Disk

REFUSE, STOP, DEGRADE = 0, 1, 2
FAILED, QUOTA = 0x83, 0x97
LARGE = bytes(20_000)


@pytest.fixture
def disk() -> Iterator[Disk]:
    with Disk() as made:
        yield made


def fail(home: Committed, by: Raw) -> None:
    """Have the next sync fail, and see that nobody is told that it did not."""
    home.disk.fail(home.disk.ops() + 2, errno.EIO)
    by.publish("kept", b"lost", qos=1, packet_id=99)
    eventually(lambda: home.status() == (lib.NMQ_EIO, errno.EIO))


def notes(home: Committed) -> list[tuple[int, int, int, str]]:
    taken = ffi.new("nmq_note[64]")
    count = lib.nmq_broker_notes(home.broker, taken, 64)
    return [
        (n.kind, n.code, n.number, ffi.string(n.text, n.text_len).decode())
        for n in taken[0:count]
        if n.text_len
    ]


def told(home: Committed) -> list[tuple[int, int, str]]:
    return [(c, n, t) for k, c, n, t in notes(home) if k == lib.NMQ_NOTE_DURABILITY]


def publish_as_program(
    home: Committed, topic: str, *, qos: int, retain: bool = False
) -> int:
    name, payload = ffi.new("char[]", topic.encode()), ffi.new("char[]", b"x")
    one = ffi.new(
        "nmq_publication *",
        {
            "topic_name": name,
            "topic_len": len(topic),
            "payload": payload,
            "payload_len": 1,
            "qos": qos,
            "retain": retain,
        },
    )
    return int(lib.nmq_broker_publish(home.broker, one))


@pytest.fixture
def failed(disk: Disk) -> Iterator[Committed]:
    with committed(disk, on_error=REFUSE) as home:
        home.to = subscriber(home, "to", "kept", 1)  # type: ignore[attr-defined]
        home.old = home.client(4)  # type: ignore[attr-defined]
        home.old.connect("old", clean=False)  # type: ignore[attr-defined]
        by = publisher(home)
        fail(home, by)
        assert by.expect(DISCONNECT).reason == FAILED
        yield home


def to_of(home: Committed) -> Raw:
    return home.to  # type: ignore[attr-defined, no-any-return]


def test_who_waits_when_the_disk_fails_is_disconnected(failed: Committed) -> None:
    (code, error, text), *rest = told(failed)
    assert (code, error, rest) == (lib.NMQ_EIO, errno.EIO, [])
    assert "Input/output error" in text
    assert "refuse" in text


def test_what_would_be_kept_is_refused_once_the_disk_has_failed(failed: Committed) -> None:
    by = publisher(failed)
    by.publish("kept", b"1", qos=1, packet_id=1)
    assert by.expect(PUBACK).reason == FAILED
    by.publish("kept", b"2", qos=2, packet_id=2)
    assert by.expect(PUBREC).reason == FAILED
    by.publish("shown", b"3", qos=1, packet_id=3, retain=True)
    assert by.expect(PUBACK).reason == FAILED
    to = to_of(failed)
    assert to.expect(PUBLISH).payload == b"lost"
    to.send(raw.subscribe(2, ("other", 1), version=5))
    assert to.expect(SUBACK).codes == [FAILED]
    to.send(raw.unsubscribe(3, "kept", version=5))
    assert to.expect(DISCONNECT).reason == FAILED
    again = failed.client()
    again.send(raw.connect("new", 5, clean=False, properties=KEPT))
    assert again.expect(CONNACK).reason == FAILED
    assert publish_as_program(failed, "kept", qos=1) == lib.NMQ_ESTORE
    assert publish_as_program(failed, "shown", qos=0, retain=True) == lib.NMQ_ESTORE


def test_what_a_kept_publisher_is_refused_at_qos_2_goes_nowhere(disk: Disk) -> None:
    with committed(disk, on_error=REFUSE) as home:
        subscriber(home, "to", "kept", 1)
        one = come(home, "one")
        reader = home.client()
        reader.connect("reader")
        reader.subscribe(("free", 0))
        by = publisher(home)
        fail(home, by)
        assert by.expect(DISCONNECT).reason == FAILED
        one.publish("free", b"x", qos=2, packet_id=1)
        assert one.expect(PUBREC).reason == FAILED
        one.ping()  # no second answer
        reader.ping()


def test_before_5_0_a_failed_disk_closes(failed: Committed) -> None:
    by = failed.client(4)
    by.connect("by4")
    by.publish("kept", b"1", qos=1, packet_id=1)
    assert by.read_until_closed() == []
    kept = failed.client(4)
    kept.send(raw.connect("new", 4, clean=False))
    assert kept.expect(CONNACK).reason == 3
    old = failed.old  # type: ignore[attr-defined]
    old.send(raw.subscribe(2, ("other", 1)))
    assert old.expect(SUBACK).codes == [0x80]
    old.send(raw.unsubscribe(3, "kept"))
    assert old.read_until_closed() == []


def test_what_is_not_kept_goes_on_once_the_disk_has_failed(failed: Committed) -> None:
    for version in (4, 5):
        client = failed.client(version)
        client.connect(f"free{version}")
        assert client.subscribe((f"free{version}", 2)) == [2]
        client.publish(f"free{version}", b"1", qos=2, packet_id=1)
        assert {client.read().kind for _ in range(2)} == {PUBREC, PUBLISH}
        client.send(raw.ack(PUBREL, 1))
        assert client.expect(PUBCOMP).reason == 0
    by = publisher(failed)
    by.publish("kept", b"2", qos=0)
    assert [to_of(failed).expect(PUBLISH).payload for _ in range(2)] == [b"lost", b"2"]
    assert publish_as_program(failed, "free5", qos=1) == 1


def test_a_receiver_that_waits_for_a_failed_disk_is_disconnected(disk: Disk) -> None:
    with committed(disk) as home:
        to = subscriber(home, "to", "kept", 2)
        by = publisher(home)
        by.publish("kept", b"1", qos=2, packet_id=1)
        by.expect(PUBREC)
        got = to.expect(PUBLISH)
        home.disk.fail(home.disk.ops() + 2, errno.EIO)
        to.send(raw.ack(PUBREC, got.packet_id))
        assert to.expect(DISCONNECT).reason == FAILED  # and no PUBREL


def test_a_connack_that_waits_for_a_failed_disk_never_comes(disk: Disk) -> None:
    with committed(disk) as home:
        publisher(home)
        home.disk.fail(home.disk.ops() + 2, errno.EIO)
        kept = home.client()
        kept.send(raw.connect("new", 5, clean=False, properties=KEPT))
        assert kept.read_until_closed() == []


def test_a_broker_that_degrades_goes_on_without_the_disk(disk: Disk) -> None:
    with committed(disk, on_error=DEGRADE) as home:
        to = subscriber(home, "to", "kept", 2)
        by = publisher(home)
        fail(home, by)
        assert by.expect(PUBACK).reason == 0
        to.expect(PUBLISH)
        for n in range(1, 20):
            by.publish("kept", LARGE, qos=2, packet_id=n)
            by.expect(PUBREC)
            assert to.expect(PUBLISH).payload == LARGE
        come(home, "new")
        (code, _, text), *_ = told(home)
        assert code == lib.NMQ_EIO
        assert "WITHOUT" in text


# --- full


def fill(home: Committed, by: Raw) -> int:
    """Publish until it is refused; return how many were taken."""
    for n in range(1, 3000):
        by.publish("kept", LARGE, qos=1, packet_id=n)
        if by.expect(PUBACK).reason == QUOTA:
            return n - 1
    raise AssertionError("it never was full")


def drain(home: Committed, client: Raw, count: int) -> list[bytes]:
    got = []
    for _ in range(count):
        message = client.expect(PUBLISH)
        got.append(message.payload)
        client.send(raw.ack(PUBACK, message.packet_id))
    return got


def full_by(disk: Disk, how: str) -> dict[str, Any]:
    if how == "disk":
        lib.test_disk_set_room(disk.it, 3 << 20)
        return {}
    return {"bytes_max": 3 << 20}


@pytest.fixture(params=["disk", "max_size"])
def filling(request: pytest.FixtureRequest, disk: Disk) -> Iterator[Committed]:
    how = full_by(disk, request.param)
    with committed(disk, queue_max=10_000, hold_ms=300, **how) as home:
        home.error = errno.ENOSPC if request.param == "disk" else 0  # type: ignore[attr-defined]
        yield home


def test_a_full_log_refuses_and_goes_on_once_there_is_room(filling: Committed) -> None:
    home = filling
    subscriber(home, "to", "kept", 1).leave()
    by = publisher(home)
    count = fill(home, by)
    assert count > 20
    eventually(lambda: home.status() == (lib.NMQ_ENOSPC, home.error))  # type: ignore[attr-defined]
    assert sum(len(home.disk.bytes_of(n)) for n in home.disk.files()) <= 3 << 20
    by.publish("kept", LARGE, qos=2, packet_id=1)
    assert by.expect(PUBREC).reason == QUOTA
    by.publish("shown", LARGE, qos=1, packet_id=2, retain=True)
    assert by.expect(PUBACK).reason == QUOTA
    by.publish("free", LARGE, qos=1, packet_id=3)
    assert by.expect(PUBACK).reason == 0x10
    assert publish_as_program(home, "kept", qos=1) == lib.NMQ_ENOSPC
    new = home.client()
    new.send(raw.connect("new", 5, clean=False, properties=KEPT))
    assert new.expect(CONNACK).reason == QUOTA
    to = come(home, "to")  # who takes messages may come
    to.send(raw.subscribe(2, ("other", 1), version=5))
    codes = None
    got = []
    while len(got) < count or codes is None:
        packet = to.read()
        if packet.kind == SUBACK:
            codes = packet.codes
        else:
            got.append(packet.payload)
            to.send(raw.ack(PUBACK, packet.packet_id))
    assert codes == [QUOTA]
    assert got == [LARGE] * count
    eventually(lambda: home.status()[0] == lib.NMQ_OK)
    by.publish("kept", b"on", qos=1, packet_id=4)
    assert by.expect(PUBACK).reason == 0
    assert to.expect(PUBLISH).payload == b"on"
    assert [code for code, _, _ in told(home)][:2] == [lib.NMQ_ENOSPC, lib.NMQ_OK]


def test_before_5_0_who_publishes_to_a_full_log_waits(filling: Committed) -> None:
    home = filling
    subscriber(home, "to", "kept", 1).leave()
    count = fill(home, publisher(home))
    for qos in (1, 2):
        by = home.client(4)
        by.connect(f"by4-{qos}")
        by.publish("kept", b"late", qos=qos, packet_id=1)
        assert by.read_until_closed() == []  # it has waited for 300 ms
    lib.disk_journal_set_hold(home.journal, 20_000)
    by = home.client(4)
    by.connect("by4")
    by.publish("kept", b"late", qos=1, packet_id=1)
    assert not by.hears_within(0.3)
    to = come(home, "to")
    drain(home, to, count)
    assert by.expect(PUBACK).packet_id == 1
    assert to.expect(PUBLISH).payload == b"late"


def test_a_full_log_keeps_no_retained_message_at_qos_0(filling: Committed) -> None:
    home = filling
    subscriber(home, "to", "kept", 1).leave()
    by = publisher(home)
    by.publish("shown/1", b"before", qos=1, packet_id=1, retain=True)
    by.expect(PUBACK)
    fill(home, by)
    by.publish("shown/2", b"after", retain=True)
    by.publish("shown/1", b"", retain=True)  # takes away
    by.publish("shown/3", b"after", qos=1, packet_id=9, retain=True)
    assert by.expect(PUBACK).reason == QUOTA
    assert by.subscribe(("shown/#", 0)) == [0]
    by.ping()


def test_what_was_acknowledged_before_it_was_full_comes_back(filling: Committed) -> None:
    home = filling
    subscriber(home, "to", "kept", 1).leave()
    by = publisher(home)
    count = fill(home, by)
    home.stop()
    home.disk.cut()
    with home.disk.copy() as copied, committed(copied, queue_max=10_000) as again:
        to = come(again, "to")
        assert drain(again, to, count) == [LARGE] * count
        to.ping()


def test_who_waits_for_a_disk_that_stays_full_is_let_go(disk: Disk) -> None:
    with committed(disk, hold_ms=200) as home:
        subscriber(home, "to", "kept", 1)
        by = publisher(home)
        lib.test_disk_set_room(disk.it, 1)
        by.publish("kept", bytes(2 << 20), qos=1, packet_id=1)  # more than the reserve
        assert by.expect(DISCONNECT).reason == QUOTA
        lib.test_disk_set_room(disk.it, 0)
        eventually(lambda: home.status()[0] == lib.NMQ_OK)
        again = publisher(home)
        again.publish("kept", b"2", qos=1, packet_id=1)
        assert again.expect(PUBACK).reason == 0


def test_memory_that_is_out_while_it_logs_is_the_end_of_the_log(disk: Disk) -> None:
    with committed(disk) as home:
        subscriber(home, "to", "kept", 1)
        by = publisher(home)
        lib.disk_journal_lose_record(home.journal)
        by.publish("kept", b"1", qos=1, packet_id=1)
        assert {p.kind for p in by.read_until_closed()} <= {DISCONNECT}
        eventually(lambda: home.status()[0] == lib.NMQ_ESTORE)


# --- back-pressure


def test_many_who_publish_at_once_stage_no_more_than_a_little(disk: Disk) -> None:
    full_bytes, size, count = 64 << 10, 10_000, 20
    with committed(disk, full_bytes=full_bytes, queue_max=100_000) as home:
        subscriber(home, "away", "kept", 1).leave()
        to = subscriber(home, "to", "small", 2)
        many = [home.client(4 + n % 2) for n in range(40)]
        for n, by in enumerate(many):
            by.connect(f"by{n}")
        other = publisher(home)
        other.publish("small", b"1", qos=2, packet_id=1)
        other.expect(PUBREC)
        got = to.expect(PUBLISH)
        lib.test_disk_set_pace(disk.it, 5_000)
        most = 0
        for by in many:  # each of them a batch
            by.send(
                *(
                    raw.publish("kept", bytes(size), by.version, qos=1 + n % 2, packet_id=n)
                    for n in range(1, count + 1)
                )
            )
            most = max(most, int(lib.disk_journal_staged(home.journal)))
        to.send(raw.ack(PUBREC, got.packet_id))
        while not to.hears_within(0.001):  # though publishers wait
            most = max(most, int(lib.disk_journal_staged(home.journal)))
        to.expect(PUBREL)
        for by in many:
            for n in range(1, count + 1):
                while not by.hears_within(0.001):
                    most = max(most, int(lib.disk_journal_staged(home.journal)))
                assert by.expect(PUBREC if n % 2 else PUBACK).packet_id == n
        assert full_bytes / 2 < most < full_bytes + 20 * size
