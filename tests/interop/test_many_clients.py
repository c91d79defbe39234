"""1,000 clients at once, kept sessions that come and go: nothing lost, doubled or reordered."""

from __future__ import annotations

import os
import random
import selectors
import struct
import time
from collections import defaultdict

import pytest

from tests import raw
from tests.conftest import Process, StartBroker
from tests.raw import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Raw, cut

pytestmark = pytest.mark.alone

CLIENTS = 1000
MESSAGES = 12  # from each publisher
DEADLINE_S = 100


class Member(Raw):
    """A client driven by one selector loop with all the others."""

    def __init__(self, port: int, index: int, version: int) -> None:
        super().__init__(port, version, timeout=60)
        self.index = index
        self.got: list[int] = []

    def pump(self) -> list[raw.Packet]:
        """Read what is there, acknowledge it, and return it."""
        data = self.sock.recv(1 << 20)
        if not data:
            raise raw.Closed
        self._in += data
        out = []
        while len(self._in) >= 2:
            try:
                size, start = raw.read_varint(self._in, 1)
            except IndexError:
                break
            if len(self._in) < start + size:
                break
            body = bytes(self._in[start : start + size])
            out.append(cut(self._in[0] >> 4, self._in[0] & 15, body, self.version))
            del self._in[: start + size]
        return out


def answer(p: raw.Packet) -> bytes:
    if p.kind == PUBLISH and p.qos == 1:
        return raw.ack(PUBACK, p.packet_id)
    if p.kind == PUBLISH and p.qos == 2:
        return raw.ack(PUBREC, p.packet_id)
    if p.kind == PUBREC:
        return raw.ack(PUBREL, p.packet_id)
    if p.kind == PUBREL:
        return raw.ack(PUBCOMP, p.packet_id)
    return b""


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_thousand_clients_lose_and_double_nothing(
    broker: Process, qos: int, name: str
) -> None:
    selector = selectors.DefaultSelector()
    members = []
    for n in range(CLIENTS):
        member = Member(broker.port, n, 4 if n % 2 else 5)
        member.connect(f"{name}{n}")
        member.subscribe((f"{name}/{n}", qos))
        selector.register(member.sock, selectors.EVENT_READ, member)
        members.append(member)
    done = {n: 0 for n in range(CLIENTS)}
    for turn in range(MESSAGES):
        for member in members:  # to the neighbour
            to = (member.index + 1) % CLIENTS
            member.publish(
                f"{name}/{to}", struct.pack(">I", turn), qos=qos, packet_id=turn + 1
            )
    until = time.monotonic() + DEADLINE_S
    waiting = CLIENTS * MESSAGES * (1 if qos == 0 else 2)
    while waiting and time.monotonic() < until:
        for key, _ in selector.select(1):
            member = key.data
            answers = b""
            for p in member.pump():
                answers += answer(p)
                if p.kind == PUBLISH:
                    member.got.append(struct.unpack(">I", p.payload)[0])
                    waiting -= 1
                if p.kind in (PUBACK, PUBCOMP):
                    done[member.index] += 1
                    waiting -= 1
            if answers:
                member.send(answers)
    for member in members:
        assert member.got == list(range(MESSAGES)), f"client {member.index}"
        member.close()
    selector.close()


class Inbox:
    """What a kept client has taken over all its connections."""

    def __init__(self) -> None:
        self.by_publisher: dict[int, list[int]] = defaultdict(list)
        self._unreleased: set[int] = set()  # QoS 2 identifiers [MQTT-4.3.3-10]

    def __len__(self) -> int:
        return sum(len(numbers) for numbers in self.by_publisher.values())

    def receive(self, member: Raw, until: int) -> None:
        """Read and acknowledge until that many messages were taken in all."""
        while len(self) < until:
            p = member.read()
            if reply := answer(p):
                member.send(reply)
            if p.kind == PUBREL:
                self._unreleased.discard(p.packet_id)
            if p.kind == PUBLISH:
                self._take(p)

    def _take(self, p: raw.Packet) -> None:
        publisher, number = struct.unpack(">II", p.payload)
        numbers = self.by_publisher[publisher]
        if p.qos == 2:
            if p.packet_id not in self._unreleased:
                numbers.append(number)  # doubled if it was there
            self._unreleased.add(p.packet_id)
        elif number not in numbers:  # QoS 1 may come twice
            numbers.append(number)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [1, 2])
def test_kept_sessions_that_drop_the_line_get_everything_in_order(
    start_broker: StartBroker, qos: int, version: int
) -> None:
    process = start_broker(msq_len="10000")
    rng = random.Random(qos * 10 + version)  # a fixed seed: the same drops each time
    options = {
        "clean": False,
        "properties": b"\x11" + struct.pack(">I", 600) if version == 5 else b"",
    }
    inboxes = [Inbox() for _ in range(20)]

    def online(n: int) -> Raw:
        member = process.raw(version)
        member.connect(f"kept{n}", **options)
        return member

    for n in range(20):
        with online(n) as member:
            member.subscribe(("all/#", qos))
    publishers = [process.raw(4) for _ in range(3)]
    for n, publisher in enumerate(publishers):
        publisher.connect(f"pub{n}")
    total = 90
    for number in range(total // 3):
        for n, publisher in enumerate(publishers):
            publisher.publish(
                "all/x", struct.pack(">II", n, number), qos=qos, packet_id=number + 1
            )
            publisher.expect(PUBACK if qos == 1 else PUBREC)
            if qos == 2:
                publisher.send(raw.ack(PUBREL, number + 1))
                publisher.expect(PUBCOMP)
        n = rng.randrange(20)
        member = online(n)
        sent = 3 * (number + 1)
        inboxes[n].receive(member, min(sent, len(inboxes[n]) + rng.randint(0, 5)))
        member.close()  # mid-stream, whatever was on its way
    for n, inbox in enumerate(inboxes):
        with online(n) as member:
            inbox.receive(member, total)
        assert inbox.by_publisher == {p: list(range(total // 3)) for p in range(3)}, n
    for publisher in publishers:
        publisher.close()


def open_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def settled(process: Process, before: int) -> bool:
    """Whether the descriptors are back; closing takes a moment after the peer's close."""
    until = time.monotonic() + 20
    while open_descriptors(process.pid) > before and time.monotonic() < until:
        time.sleep(0.05)
    return open_descriptors(process.pid) <= before


def test_ten_thousand_connects_leak_no_thread_and_no_descriptor(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    with process.raw() as c:
        c.connect("first")
    assert settled(process, open_descriptors(process.pid) - 0)
    fds, tasks = open_descriptors(process.pid), threads(process.pid)
    hello = raw.connect("again") + raw.subscribe(1, ("a/b", 1)) + raw.publish("a/b", b"x")
    for n in range(10_000):
        c = process.raw()
        c.send(hello)
        if n % 3:  # every third leaves without waiting for an answer
            c.read()
        c.close()
    assert settled(process, fds)
    assert threads(process.pid) == tasks
