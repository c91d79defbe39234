"""Each operation of the disk fails once: nothing that was acknowledged is lost.

Source   durability.md: Tests, 5
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import Counter
from dataclasses import dataclass, field

import pytest

from tests import raw
from tests.committed import Committed, NotOpened, committed
from tests.raw import (
    CONNACK,
    DISCONNECT,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    UNSUBACK,
    Closed,
    Packet,
    Raw,
)
from tests.test_committer import KEPT
from tests.wal import Disk

SEGMENT = 32 << 10
BYTES_MAX = 64 * SEGMENT
MESSAGES = 36
BODY = bytes(6000)


@dataclass
class Known:
    """What clients know for sure."""

    sessions: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)  # filters of "to" that have ended
    taken: set[int] = field(
        default_factory=set
    )  # messages that the broker has acknowledged
    sent: set[int] = field(default_factory=set)
    over: Counter[int] = field(default_factory=Counter)  # that "to" has taken, at QoS 2


class Ended(Exception):
    """The broker has closed a connection, as it may."""


def answer(client: Raw, kind: int) -> Packet:
    """Return the next packet, which is of that kind, or the end."""
    try:
        got = client.read()
    except Closed:
        raise Ended from None
    if got.kind == DISCONNECT or got.reason >= 0x80 or any(c >= 0x80 for c in codes(got)):
        assert got.reason in (0, 0x83, 0x97), got
        raise Ended
    assert got.kind == kind, got
    return got


def codes(got: Packet) -> list[int]:
    return got.codes if got.kind in (SUBACK, UNSUBACK) else []


def keep(home: Committed, known: Known, name: str, version: int) -> Raw:
    client = home.client(version)
    properties = KEPT if version == 5 else b""
    client.send(raw.connect(name, version, clean=False, properties=properties))
    if answer(client, CONNACK).reason:
        raise Ended
    known.sessions.add(name)
    return client


def publish(by: Raw, known: Known, number: int, version: int) -> None:
    qos = 1 + number % 2
    known.sent.add(number)
    by.publish("t", b"%04d" % number + BODY, qos=qos, packet_id=number)
    answer(by, PUBACK if qos == 1 else PUBREC)
    known.taken.add(number)
    if qos == 2:
        by.send(raw.ack(PUBREL, number))
        answer(by, PUBCOMP)


def live(home: Committed, known: Known) -> None:
    """Do something of everything; raises Ended once the broker has closed a connection."""
    old = keep(home, known, "old", 4)
    old.send(raw.subscribe(1, ("t", 1)))
    answer(old, SUBACK)
    old.send(raw.disconnect())
    to = keep(home, known, "to", 5)
    to.send(raw.subscribe(1, ("t", 2), ("gone", 1), version=5))
    answer(to, SUBACK)
    by = [keep(home, known, "by5", 5), home.client(4)]
    by[1].connect("by4")
    for number in range(1, MESSAGES + 1):
        which = number // 2 % 2
        publish(by[which], known, number, 5 - which)
        got = answer(to, PUBLISH)
        assert int(got.payload[:4]) == number
        if got.qos == 1:
            known.over[number] += 1
            to.send(raw.ack(PUBACK, got.packet_id))
        else:
            to.send(raw.ack(PUBREC, got.packet_id))
            answer(to, PUBREL)
            known.over[number] += 1
            to.send(raw.ack(PUBCOMP, got.packet_id))
    to.send(raw.unsubscribe(9, "gone", version=5))
    answer(to, UNSUBACK)
    known.ended.add("gone")


def waiting(home: Committed, name: str, version: int, known: Known) -> list[int]:
    """Return what comes to a client that is back; all of it is taken."""
    client = home.client(version)
    properties = KEPT if version == 5 else b""
    client.send(raw.connect(name, version, clean=False, properties=properties))
    ack = client.expect(CONNACK)
    assert ack.reason == 0
    assert ack.flags == 1 or name not in known.sessions, name
    client.send(raw.packet(raw.PINGREQ))
    numbers, pinged = [], False
    while not pinged or client.hears_within(0.05):
        got = client.read()
        pinged = pinged or got.kind == raw.PINGRESP
        if got.kind == PUBLISH:
            numbers.append(int(got.payload[:4]))
            client.send(raw.ack(PUBACK if got.qos == 1 else PUBREC, got.packet_id))
        elif got.kind == PUBREL:
            client.send(raw.ack(PUBCOMP, got.packet_id))
    return numbers


def check(home: Committed, known: Known) -> None:
    old = waiting(home, "old", 4, known)
    assert set(old) >= known.taken, known.taken - set(old)
    assert set(old) <= known.sent
    to = waiting(home, "to", 5, known)
    missing = known.taken - set(to) - set(known.over)
    assert not missing, missing
    twice = [n for n in to if n % 2 and known.over[n]]
    assert not twice, twice
    if "gone" in known.ended:
        by = home.client()
        by.connect("other")
        by.publish("gone", b"0", qos=1, packet_id=1)
        assert by.expect(PUBACK).reason == 0x10


def run(op: int, error: int) -> tuple[int, int, Known]:
    """Live once, with that operation failing; return how many there were, and commits."""
    known = Known()
    rounds = 0
    with Disk() as disk:
        disk.fail(op, error)
        with (
            contextlib.suppress(NotOpened),
            committed(
                disk, segment_bytes=SEGMENT, bytes_max=BYTES_MAX, hold_ms=100
            ) as home,
        ):
            with contextlib.suppress(Ended):
                live(home, known)
            rounds = home.rounds()
            home.stop()
        ops = disk.ops()
        disk.fail(0, 0)
        disk.cut()
        with committed(disk, segment_bytes=SEGMENT, bytes_max=BYTES_MAX) as again:
            check(again, known)
    return ops, rounds, known


# all of them take two minutes and a half each
STEP = int(os.environ.get("NANOMQ_EACH_OPERATION", "29"))


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_nothing_acknowledged_is_lost_whichever_operation_fails(error: int) -> None:
    ops, rounds, known = run(0, error)
    assert len(known.taken) == MESSAGES
    assert rounds > 0
    ended = 0
    for op in range(1, ops + 1, STEP):
        _, _, known = run(op, error)
        ended += len(known.taken) < MESSAGES
    assert ended > 0
