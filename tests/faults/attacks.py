"""What one client can do to all: each attack runs beside a healthy pair, and is measured.

An attack is a function of the broker and of its size; tests take small sizes and
``bench/attacks.py`` those of the record. It returns what it has seen itself.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests import raw
from tests.conftest import Process
from tests.faults.healthy import Figures, Healthy
from tests.raw import Closed, Raw

Seen = dict[str, float]
FILTERS_A_PACKET = 1000
OVERLAP_LEVELS = 16
SESSION_KEPT = b"\x11\0\0\x0e\x10"  # Session Expiry Interval: an hour


def memory_kib(pid: int, key: str = "VmRSS") -> int:
    """Return resident memory, or with ``VmHWM`` the most that it has been."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split(f"{key}:")[1].split()[0])


def cpu_s(pid: int) -> float:
    """Return the CPU time of all threads that there are."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has ended
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


@dataclass(frozen=True)
class Measured:
    """How the healthy pair fared before and beside an attack, and what that cost."""

    before: Figures
    beside: Figures
    seconds: float
    cpu_s: float
    grown_kib: int  # resident memory at its highest, above what it was before
    seen: Seen


def measure(process: Process, attack: Callable[[], Seen]) -> Measured:
    with Healthy(process.port) as healthy:
        before = healthy.over(0.5)
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # VmHWM counts from here
        rss, cpu, begun = memory_kib(process.pid), cpu_s(process.pid), time.monotonic()
        healthy.figures()
        seen = attack()
        beside = healthy.figures()
        return Measured(
            before,
            beside,
            time.monotonic() - begun,
            cpu_s(process.pid) - cpu,
            memory_kib(process.pid, "VmHWM") - rss,
            seen,
        )


def in_packets(filters: list[str], qos: int = 0) -> Iterator[bytes]:
    """Return SUBSCRIBE packets that name all the filters."""
    for at in range(0, len(filters), FILTERS_A_PACKET):
        named = [(f, qos) for f in filters[at : at + FILTERS_A_PACKET]]
        yield raw.subscribe(at // FILTERS_A_PACKET % 65535 + 1, *named)


def subscribe_all(client: Raw, filters: list[str], qos: int = 0) -> None:
    for sent in in_packets(filters, qos):
        client.send(sent)
        codes = client.expect(raw.SUBACK).codes
        assert max(codes) <= 2, "refused"


def retain(process: Process, topics: list[str], payload: bytes) -> None:
    """Have a message retained on each topic."""
    with Raw(process.port, 4, timeout=60) as publisher:
        publisher.connect("retainer", keep_alive=0)
        for at in range(0, len(topics), 2000):
            named = topics[at : at + 2000]
            publisher.send(*(raw.publish(topic, payload, retain=True) for topic in named))
        publisher.ping()
        publisher.leave()


def all_retained_again_and_again(process: Process, times: int, topics: int) -> Seen:
    """One SUBSCRIBE names ``#`` so often; ``topics`` is how many messages are retained."""
    copies: dict[str, int] = {}
    refused = False
    with Raw(process.port, 5, timeout=60) as client:
        client.connect("all", keep_alive=0)
        try:
            client.send(raw.subscribe(1, *[("#", 0)] * times, version=5))
            client.send(raw.packet(raw.PINGREQ))
            answered = False
            until = time.monotonic() + 60
            while not (answered and len(copies) >= topics):
                got = client.read()
                if got.kind == raw.PUBLISH and got.topic.startswith("kept/"):
                    copies[got.topic] = copies.get(got.topic, 0) + 1
                refused |= got.kind == raw.DISCONNECT
                refused |= got.kind == raw.SUBACK and min(got.codes) >= 0x80
                answered |= got.kind == raw.PINGRESP
                if refused or time.monotonic() > until:
                    break
            if not refused:
                client.sock.settimeout(0.3)
                until = time.monotonic() + 0.3
                while time.monotonic() < until:  # what comes after all: second copies
                    got = client.read()
                    if got.kind == raw.PUBLISH and got.topic.startswith("kept/"):
                        copies[got.topic] += 1
        except (Closed, OSError) as fault:
            refused |= isinstance(fault, Closed)
    most = max(copies.values(), default=0)
    return {"refused": refused, "messages": len(copies), "most_copies": most}


def overlapping(process: Process, filters: int, publishers: int, patience_s: float) -> Seen:
    """Filters of one client that match one topic, all of them; and many small messages."""
    levels = itertools.product(("x", "+"), repeat=OVERLAP_LEVELS)
    named = ["/".join(level) for level in itertools.islice(levels, filters)]
    message = raw.publish("/".join(["x"] * OVERLAP_LEVELS), b"12345")
    flood = message * (200 * 1024 // len(message))
    with Raw(process.port, 4, timeout=120) as client, contextlib.ExitStack() as stack:
        client.connect("overlapping", keep_alive=0)
        subscribe_all(client, named)
        crowd = [
            stack.enter_context(Raw(process.port, 4, patience_s)) for _ in range(publishers)
        ]
        for number, publisher in enumerate(crowd):
            publisher.connect(f"flood-{number}", keep_alive=0)
        begun = time.monotonic()
        handled = 0
        for publisher in crowd:
            with contextlib.suppress(OSError):
                publisher.send(flood, raw.packet(raw.PINGREQ))
        for publisher in crowd:
            left = begun + patience_s - time.monotonic()
            with contextlib.suppress(OSError, Closed):
                publisher.sock.settimeout(max(left, 0.01))
                handled += publisher.read().kind == raw.PINGRESP
        return {"handled": handled, "flood_s": round(time.monotonic() - begun, 2)}


def retained_topics(count: int) -> list[str]:
    """Return topics of four levels, that end in none of the levels that are looked for."""
    return [f"a{n % 20}/b{n // 20 % 50}/c{n // 1000}/z" for n in range(count)]


def fruitless_walks(process: Process, filters: int) -> Seen:
    """One SUBSCRIBE whose filters walk all that is retained, and find nothing."""
    with Raw(process.port, 4, timeout=120) as client:
        client.connect("walks", keep_alive=0)
        begun = time.monotonic()
        client.subscribe(*((f"+/+/+/y{n}", 0) for n in range(filters)))
        return {"suback_s": round(time.monotonic() - begun, 3)}


def repeated_filters(process: Process, filters: int, repeated: int) -> Seen:
    """A session with so many filters subscribes to them again and again."""
    named = [f"again/{n}" for n in range(filters)]
    with Raw(process.port, 4, timeout=240) as client:
        client.connect(f"again-{filters}", keep_alive=0)
        subscribe_all(client, named)
        packets = list(in_packets(named))
        sent_bytes = sent = 0
        begun = cpu_s(process.pid)
        for packet in itertools.cycle(packets):
            if sent >= repeated:
                break
            client.send(packet)
            client.expect(raw.SUBACK)
            sent += min(FILTERS_A_PACKET, filters)
            sent_bytes += len(packet)
        cost = cpu_s(process.pid) - begun
        client.leave()
    return {"bytes": sent_bytes, "cpu_s": round(cost, 3), "us_each": cost / sent * 1e6}


def crowd(process: Process, first: int, last: int, *, stays: bool) -> float:
    """Clients subscribe to one filter and go, their sessions kept, or end. Return CPU time.

    A few at a time, so that round trips do not count.
    """
    begun = cpu_s(process.pid)
    expiry = SESSION_KEPT if stays else b""
    for at in range(first, last, 50):
        socks = []
        for number in range(at, min(at + 50, last)):
            sock = socket.create_connection(("127.0.0.1", process.port), 60)
            sent = [raw.connect(f"crowd-{number}", 5, clean=not stays, properties=expiry)]
            if stays:
                sent.append(raw.subscribe(1, ("crowd/state", 0), version=5))
            sock.sendall(b"".join([*sent, raw.disconnect(5)]))
            socks.append(sock)
        for sock in socks:
            with contextlib.suppress(ConnectionError):
                while sock.recv(4096):
                    pass
            sock.close()
    return cpu_s(process.pid) - begun


def in_and_out(process: Process, times: int) -> float:
    """One more client comes to the crowd's filter and leaves it; return us of CPU each."""
    both = [
        raw.subscribe(1, ("crowd/state", 0)) + raw.unsubscribe(2, "crowd/state")
    ] * times
    with Raw(process.port, 4, timeout=120) as client:
        client.connect("in-and-out", keep_alive=0)
        begun = cpu_s(process.pid)
        for at in range(0, times, 200):
            client.send(*both[at : at + 200], raw.packet(raw.PINGREQ))
            while client.read().kind != raw.PINGRESP:
                pass
        cost = cpu_s(process.pid) - begun
        client.leave()
    return cost / times * 1e6


def crowded_filter(process: Process, clients: int, sample: int) -> Seen:
    """So many clients on one filter: what the last ones cost against the first."""
    few_us = in_and_out(process, sample)
    first = crowd(process, 0, sample, stays=True)
    crowd(process, sample, clients - sample, stays=True)
    last = crowd(process, clients - sample, clients, stays=True)
    many_us = in_and_out(process, sample)
    leave_first = crowd(process, clients - sample, clients, stays=False)
    crowd(process, sample, clients - sample, stays=False)
    leave_last = crowd(process, 0, sample, stays=False)
    return {
        "join_first_us": first / sample * 1e6,
        "join_last_us": last / sample * 1e6,
        "leave_first_us": leave_first / sample * 1e6,
        "leave_last_us": leave_last / sample * 1e6,
        "in_and_out_alone_us": few_us,
        "in_and_out_last_us": many_us,
    }


def leaves_with_many(process: Process, filters: int) -> Seen:
    """A client with so many filters goes; its session ends."""
    with Raw(process.port, 4, timeout=120) as client:
        client.connect("owner", keep_alive=0)
        subscribe_all(client, [f"own/{n % 250}/{n // 250}" for n in range(filters)])
        begun = time.monotonic()
        client.leave()
    # The name comes back, clean: its old session has ended by then.
    with Raw(process.port, 4, timeout=120) as client:
        client.connect("owner", keep_alive=0)
        client.leave()
    return {"gone_s": round(time.monotonic() - begun, 3)}


def slow_reader_of_retained(process: Process, topics: int, pause_s: float) -> Seen:
    """A client subscribes to all that is retained and reads slowly."""
    seen = bytearray(topics)
    received = twice = 0
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.settimeout(60)
    sock.connect(("127.0.0.1", process.port))
    with Raw(sock, 4, timeout=30) as client:
        client.connect("slow", keep_alive=0)
        client.send(raw.subscribe(1, ("kept/#", 0)))
        time.sleep(pause_s)
        try:
            while received < topics:
                got = client.read()
                if got.kind != raw.PUBLISH:
                    continue
                number = int(got.topic.rpartition("/")[2])
                twice += seen[number]
                received += not seen[number]
                seen[number] = 1
                if received % 500 == 0:
                    time.sleep(0.02)
        except (OSError, Closed):
            return {"received": received, "twice": twice, "cut": 1}
    return {"received": received, "twice": twice, "cut": 0}
