"""A journal that is written to a disk (csrc/store/committer.h, csrc/net/settler.h)."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import journal, raw
from tests._core_test import lib
from tests.committed import Committed, committed
from tests.eventually import eventually
from tests.journaled import replayed, saved, state
from tests.raw import CONNACK, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, Raw
from tests.wal import Disk, opened

KEPT = b"\x11\x00\x00\x0e\x10"  # a session of an hour


@pytest.fixture
def disk() -> Iterator[Disk]:
    with Disk() as made:
        yield made


@pytest.fixture
def home(disk: Disk) -> Iterator[Committed]:
    with committed(disk) as made:
        yield made


def come(home: Committed, name: str) -> Raw:
    client = home.client()
    client.send(raw.connect(name, 5, clean=False, properties=KEPT))
    assert client.expect(CONNACK).reason == 0
    return client


def subscriber(home: Committed, name: str, filter_: str, qos: int) -> Raw:
    client = come(home, name)
    client.send(raw.subscribe(1, (filter_, qos), version=5))
    assert client.expect(SUBACK).codes == [qos]
    return client


def publisher(home: Committed) -> Raw:
    client = home.client()
    client.connect(f"by{len(home.clients)}")
    return client


def kinds(home: Committed) -> list[str]:
    return [name for name, _ in journal.read(home.log())]


def test_what_is_acknowledged_is_on_the_disk(home: Committed) -> None:
    to = subscriber(home, "to", "t", 2)
    by = publisher(home)
    for packet_id in range(1, 21):
        by.publish("t", b"%d" % packet_id, qos=1 + packet_id % 2, packet_id=packet_id)
        by.expect(PUBREC if packet_id % 2 else PUBACK)
        home.disk.cut()  # there is nothing that a cut of the power takes away
        found = [v for name, v in journal.read(home.log()) if name == "message"]
        assert len(found) == packet_id
    assert {to.expect(PUBLISH).payload for _ in range(20)} == {
        b"%d" % n for n in range(1, 21)
    }
    home.stop()
    with replayed(home.log()) as broker:
        assert state(saved(broker)) == state(saved(home.broker))


def test_a_message_at_qos_2_goes_all_the_way(home: Committed) -> None:
    to = subscriber(home, "to", "t", 2)
    by = come(home, "by")
    by.publish("t", b"x", qos=2, packet_id=1)
    by.expect(PUBREC)
    by.send(raw.ack(PUBREL, 1))
    by.expect(PUBCOMP)
    got = to.expect(PUBLISH)
    to.send(raw.ack(PUBREC, got.packet_id))
    to.expect(PUBREL)
    to.send(raw.ack(PUBCOMP, got.packet_id))
    eventually(lambda: "done" in kinds(home))


def test_what_nobody_waits_for_is_written_soon(home: Committed) -> None:
    by = publisher(home)
    by.publish("t", b"x", retain=True)
    eventually(lambda: "retained" in kinds(home))


def test_an_acknowledgement_goes_with_the_next_commit(home: Committed) -> None:
    to = subscriber(home, "to", "t", 1)
    by = publisher(home)
    eventually(lambda: home.commits() > 0 and "subscription" in kinds(home))
    for packet_id in (1, 2):
        by.publish("t", b"x", qos=1, packet_id=packet_id)
        by.expect(PUBACK)
        got = to.expect(PUBLISH)
        before = home.commits()
        to.send(raw.ack(PUBACK, got.packet_id))
        to.ping()
        until = time.monotonic() + 0.4
        while time.monotonic() < until:
            assert home.commits() == before
            time.sleep(0.01)
    assert kinds(home).count("done") == 1
    eventually(lambda: kinds(home).count("done") == 2)  # or by itself, later
    assert home.commits() == before + 1


def test_a_broker_that_keeps_nothing_writes_once(home: Committed) -> None:
    eventually(lambda: home.commits() == 1)  # where the run begins
    client = home.client()
    client.connect("a")
    assert client.subscribe(("t", 1)) == [1]
    client.publish("t", b"1", qos=1, packet_id=1)
    assert {client.read().kind, client.read().kind} == {PUBACK, PUBLISH}
    assert home.commits() == 1


def test_a_full_disk_holds_acknowledgements_until_there_is_room(disk: Disk) -> None:
    with committed(disk) as home:
        subscriber(home, "to", "t", 1)
        by = publisher(home)
        lib.test_disk_set_room(disk.it, 1)
        large = bytes(1 << 20)
        for packet_id in (1, 2):
            by.publish("t", large, qos=1, packet_id=packet_id)
        eventually(lambda: home.status() == (lib.NMQ_ENOSPC, errno.ENOSPC))
        lib.test_disk_set_room(disk.it, 0)
        assert [by.expect(PUBACK).packet_id for _ in range(2)] == [1, 2]
        eventually(lambda: home.status()[0] == lib.NMQ_OK)


def test_who_publishes_faster_than_the_disk_writes_waits(disk: Disk) -> None:
    with committed(disk, full_bytes=64 << 10) as home:
        to = subscriber(home, "to", "t", 1)
        by = publisher(home)
        lib.test_disk_set_pace(disk.it, 50_000)
        packets = [
            raw.publish("t", bytes(10_000), 5, qos=1, packet_id=n) for n in range(1, 101)
        ]
        by.sock.settimeout(20)
        sender = iter(packets)
        seen_full = False
        for packet in sender:
            by.send(packet)
            seen_full = seen_full or home.is_full()
        eventually(lambda: home.is_full() or seen_full)
        acked = []
        while len(acked) < len(packets):
            acked.append(by.expect(PUBACK).packet_id)
        assert acked == list(range(1, 101))
        with contextlib.suppress(TimeoutError):
            to.sock.settimeout(5)
            for _ in range(2):
                to.expect(PUBLISH)
        eventually(lambda: not home.is_full())


def test_who_finds_the_journal_full_is_woken_once_it_is_written(disk: Disk) -> None:
    count, size = 40, 40_000
    with committed(disk, full_bytes=64 << 10, segment_bytes=1 << 20) as home:
        subscriber(home, "to", "t", 1).leave()
        all_of_them = [publisher(home) for _ in range(3)]
        lib.test_disk_set_pace(disk.it, 1_000)
        began = time.monotonic()

        def publish(by: Raw) -> None:
            by.sock.settimeout(20)
            for packet_id in range(1, count + 1):
                by.publish("t", bytes(size), qos=1, packet_id=packet_id)
                by.expect(PUBACK)

        with ThreadPoolExecutor() as threads:
            list(threads.map(publish, all_of_them))
        # A look each 100 ms would take 4 s for one of them alone.
        assert time.monotonic() - began < 3


def test_publishers_share_a_commit(disk: Disk) -> None:
    with committed(disk) as home:
        subscriber(home, "to", "t", 1)
        many = [publisher(home) for _ in range(10)]
        lib.test_disk_set_pace(disk.it, 5000)
        before = home.commits()
        for n in range(1, 11):
            for by in many:
                by.publish("t", b"x", qos=1, packet_id=n)
            for by in many:
                assert by.expect(PUBACK).packet_id == n
        assert home.commits() - before < 100 / 3


def test_commits_are_as_far_apart_as_is_asked(disk: Disk) -> None:
    with committed(disk, gather_ms=30) as home:
        subscriber(home, "to", "t", 1)
        by = publisher(home)
        began = time.monotonic()
        for n in range(1, 6):
            by.publish("t", b"x", qos=1, packet_id=n)
            by.expect(PUBACK)
        assert time.monotonic() - began >= 0.9 * 4 * 0.030


def test_what_is_over_is_thrown_away_and_what_is_live_is_not(disk: Disk) -> None:
    with committed(disk) as home:
        to = subscriber(home, "to", "t", 1)
        away = subscriber(home, "away", "rare", 2)
        away.leave()
        by = publisher(home)
        by.publish("rare", b"kept", qos=2, packet_id=1)
        by.expect(PUBREC)
        by.publish("shown", b"retained", qos=1, packet_id=2, retain=True)
        by.expect(PUBACK)
        n = 0
        while home.rounds() < 3 and n < 2000:
            n += 1
            by.publish("t", bytes(20_000), qos=1, packet_id=n)
            by.expect(PUBACK)
            to.send(raw.ack(PUBACK, to.expect(PUBLISH).packet_id))
        assert home.rounds() >= 3
        to.ping()
        home.stop()
        size = sum(len(disk.bytes_of(name)) for name in disk.files())
        assert size < 2 << 20
        with replayed(home.log()) as broker:
            now = state(saved(broker))
        assert now == state(saved(home.broker))
        assert {message[0] for message, _ in now.retained.values()} == {b"shown"}
        assert len(now.sessions[b"away"]["queue"]) == 1


def test_the_next_process_goes_on_with_the_log(disk: Disk) -> None:
    for life in range(4):
        with committed(disk) as home:
            assert home.sessions == (1 if life else 0)
            if life == 0:
                subscriber(home, "to", "t", 1)
            by = publisher(home)
            by.publish("t", b"%d" % life, qos=1, packet_id=1)
            by.expect(PUBACK)
            disk.cut()
            if life == 3:
                to = come(home, "to")
                payloads = [to.expect(PUBLISH).payload for _ in range(4)]
                assert payloads == [b"0", b"1", b"2", b"3"]


def die(disk: Disk) -> None:
    """From now on nothing is written; the process does not end its clients' sessions."""
    lib.test_disk_die(disk.it, disk.ops() + 1)


def come_with_will(home: Committed, name: str) -> Raw:
    client = home.client()
    will = (f"w/{name}", b"gone", 1, False)
    client.send(raw.connect(name, 5, clean=False, properties=KEPT, will=will))
    assert client.expect(CONNACK).reason == 0
    return client


def test_a_will_goes_out_even_if_its_client_comes_back_at_once(disk: Disk) -> None:
    """[MQTT-3.1.2-8]: its connection has ended with the process, and there is no delay."""
    for life in range(2):
        with committed(disk) as home:
            if life == 0:
                subscriber(home, "heir", "w/#", 1)
            come_with_will(home, "x")
            if life == 1:
                assert come(home, "heir").expect(PUBLISH).payload == b"gone"
            die(disk)
        disk.cut()


def test_wills_of_the_last_process_are_logged_for_those_who_get_them(disk: Disk) -> None:
    """They go out once all sessions are there, whatever their order is in the log."""
    wills = 50
    with committed(disk) as home:
        for n in range(wills):
            come_with_will(home, f"x{n}")
        subscriber(home, "heir", "w/#", 1)
        die(disk)
    disk.cut()

    def queue(home: Committed) -> int:
        with replayed(home.log()) as broker:
            return len(state(saved(broker)).sessions[b"heir"].get("queue", ()))

    with committed(disk) as home:
        eventually(lambda: kinds(home).count("will_end") == wills)
        eventually(lambda: queue(home) == wills)
        die(disk)
    disk.cut()


def test_the_last_commit_is_made_when_it_stops(disk: Disk) -> None:
    with committed(disk, gather_ms=1000) as home:
        subscriber(home, "to", "t", 1)
        by = publisher(home)
        by.publish("t", b"last", qos=1, packet_id=1)
        by.ping()
        home.stop()
        assert b"last" in home.log()


SEGMENT = 1 << 17


def disk_bytes(disk: Disk) -> int:
    return sum(len(disk.bytes_of(name)) for name in disk.files())


def fill(home: Committed, by: Raw, topic: str, count: int, size: int) -> None:
    for at in range(0, count, 100):
        ids = range(1, min(100, count - at) + 1)
        packets = [raw.publish(topic, bytes(size), 5, qos=1, packet_id=n) for n in ids]
        by.send(b"".join(packets))
        for _ in ids:
            by.expect(PUBACK)


def overwrite(by: Raw, size: int = 20_000) -> None:
    by.publish("shown", bytes(size), qos=1, packet_id=9, retain=True)
    by.expect(PUBACK)


def test_a_long_queue_is_told_again_in_small_commits(disk: Disk) -> None:
    with committed(disk, queue_max=1 << 20) as home:
        subscriber(home, "away", "a", 1).leave()
        by = publisher(home)
        fill(home, by, "a", 6_000, 200)
        rounds = home.rounds()
        while home.rounds() < rounds + 2:
            overwrite(by)
        home.stop()
        with home.disk.copy() as copied, opened(copied.disk) as wal:
            sizes = [len(commit) for _, commit in wal.replay()]
        assert max(sizes) < 600_000 < sum(sizes)
        with replayed(home.log(), queue_max=1 << 20) as broker:
            assert state(saved(broker)) == state(saved(home.broker))


def test_a_round_ends_however_much_comes(disk: Disk) -> None:
    with committed(disk, queue_max=1 << 20) as home:
        subscriber(home, "away", "a", 1).leave()
        by = publisher(home)
        fill(home, by, "a", 3000, 1000)
        live = 3000 * 1110
        many = b"".join(
            raw.publish("shown", bytes(20_000), 5, qos=1, packet_id=n, retain=True)
            for n in range(1, 21)
        )
        most, before = 0, home.rounds()
        for _ in range(60):
            by.send(many)
            for _ in range(20):
                by.expect(PUBACK)
            most = max(most, disk_bytes(disk))
        assert home.rounds() > before + 1
        assert most < 3 * live + 8 * SEGMENT + (2 << 20)


def switches() -> int:
    """Return how often a thread of this process began to wait."""
    return sum(
        int(line.split()[1])
        for path in Path("/proc/self/task").glob("*/status")
        for line in path.read_text().splitlines()
        if line.startswith("voluntary") and int(path.parent.name) != os.getpid()
    )


def test_nothing_wakes_while_nothing_is_staged(home: Committed) -> None:
    subscriber(home, "to", "t", 1)
    by = publisher(home)
    for _ in range(100):
        overwrite(by)
    time.sleep(1.5)  # the last commit that nobody waits for
    before = switches()
    time.sleep(0.5)
    assert switches() - before <= 1


def test_the_power_goes_at_any_step_of_a_round(disk: Disk) -> None:
    """Fill, and let the power go at one operation after the other while all is told again."""
    at = 1
    ends_within = False
    while not ends_within:
        with Disk() as one, committed(one, segment_bytes=1 << 14) as home:
            subscriber(home, "away", "a", 1).leave()
            by = publisher(home)
            fill(home, by, "a", 100, 50)  # less than may be staged
            rounds = home.rounds()
            last = 0
            began = one.ops()
            lib.test_disk_die(one.it, began + at)
            refused = False
            while not refused and home.rounds() < rounds + 2:
                text = b"%06d" % last * 2000
                by.publish("shown", text, qos=1, packet_id=9, retain=True)
                refused = by.read().reason >= 0x80  # PUBACK or DISCONNECT
                last += not refused
            ends_within = not refused
            home.stop()
            one.cut(bytes([at % 251, 0xA5, 0x3C]), at % 3)
            log = home.log()
            with replayed(log) as broker:
                now = state(saved(broker))
            assert len(now.sessions[b"away"]["queue"]) == 100
            if last:
                kept = int(now.retained[b"shown"][0][1][:6])
                assert kept in (last - 1, last)
        at += 7
    assert at > 60
