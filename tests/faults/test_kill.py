"""kill -9 at random moments: what was acknowledged is there, and at QoS 2 it is there once.

KILLS says how often; the seed is printed, and SEED gives it again.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests import raw
from tests.conftest import ROOT
from tests.raw import CONNACK, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, Closed, Raw

KILLS = int(os.environ.get("KILLS", "5"))
SEED = int(os.environ.get("SEED", time.time_ns() % 10**6))
KEPT = b"\x11\xff\xff\xff\xff"  # for ever
GONE = (Closed, OSError, TimeoutError)


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-m", "tests.faults.kept", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGKILL)


def come(port: int, name: str) -> Raw:
    client = Raw(port, 5)
    client.send(raw.connect(name, 5, clean=False, properties=KEPT))
    assert client.expect(CONNACK).reason == 0
    return client


@dataclass
class Publisher:
    """Sends numbers, one at a time, and knows which were acknowledged."""

    name: str
    qos: int
    number: int = 1
    acknowledged: list[int] = field(default_factory=list)
    received: bool = False  # PUBREC has come for it

    def run(self, port: int) -> None:
        with contextlib.suppress(*GONE), come(port, self.name) as client:
            dup = True  # what the broker before may have had
            while True:
                self.send_one(client, dup)
                self.acknowledged.append(self.number)
                self.number += 1
                self.received = dup = False

    def send_one(self, client: Raw, dup: bool) -> None:
        packet_id = self.number % 65535 + 1
        if not self.received:
            client.send(
                raw.publish(
                    self.name, b"%d" % self.number, 5,
                    qos=self.qos, packet_id=packet_id, dup=dup,
                )
            )  # fmt: skip
        if self.qos == 1:
            assert client.expect(PUBACK).packet_id == packet_id
            return
        if not self.received:
            assert client.expect(PUBREC).packet_id == packet_id
            self.received = True
        client.send(raw.ack(PUBREL, packet_id))
        assert client.expect(PUBCOMP).packet_id == packet_id


@dataclass
class Subscriber:
    """Takes what comes, as the specification has it for a session that is kept."""

    name: str
    topic: str
    qos: int
    got: list[int] = field(default_factory=list)
    unreleased: set[int] = field(default_factory=set)

    def subscribe(self, port: int) -> None:
        with come(port, self.name) as client:
            client.send(raw.subscribe(1, (self.topic, self.qos), version=5))
            assert client.expect(SUBACK).codes == [self.qos]

    def take(self, client: Raw, packet: raw.Packet) -> None:
        if packet.kind == PUBREL:
            self.unreleased.discard(packet.packet_id)
            client.send(raw.ack(PUBCOMP, packet.packet_id))
        elif packet.kind == PUBLISH:
            if self.qos == 1 or packet.packet_id not in self.unreleased:
                self.got.append(int(packet.payload))
            if self.qos == 2:
                self.unreleased.add(packet.packet_id)
            client.send(raw.ack(PUBACK if self.qos == 1 else PUBREC, packet.packet_id))

    def run(self, port: int, *, quiet_s: float = 1e9) -> None:
        with contextlib.suppress(*GONE), come(port, self.name) as client:
            while client.hears_within(quiet_s):
                self.take(client, client.read())


def live(port: int, parts: list[Publisher | Subscriber]) -> list[threading.Thread]:
    threads = [threading.Thread(target=part.run, args=(port,)) for part in parts]
    for thread in threads:
        thread.start()
    return threads


def check(publisher: Publisher, subscriber: Subscriber) -> None:
    missing = set(publisher.acknowledged) - set(subscriber.got)
    assert not missing, sorted(missing)
    first = list(dict.fromkeys(subscriber.got))
    assert first == sorted(first)  # [MQTT-4.6.0-6]
    if publisher.qos == 2:
        assert len(first) == len(subscriber.got)


def test_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    print("seed", SEED)
    rng = random.Random(SEED)
    pairs = [
        (Publisher("one", 1), Subscriber("to-one", "one", 1)),
        (Publisher("two", 2), Subscriber("to-two", "two", 2)),
    ]
    folder = tmp_path / "store"
    with broker(folder) as (_, port):
        for _, subscriber in pairs:
            subscriber.subscribe(port)
    for _ in range(KILLS):
        with broker(folder) as (process, port):
            parts: list[Publisher | Subscriber] = [publisher for publisher, _ in pairs]
            parts += [subscriber for _, subscriber in pairs if rng.random() < 0.7]
            threads = live(port, parts)
            time.sleep(rng.random() * 0.4)  # the kill is what is random
            process.send_signal(signal.SIGKILL)
            for thread in threads:
                thread.join()
    with broker(folder) as (_, port):
        for publisher, subscriber in pairs:
            subscriber.run(port, quiet_s=1)
            check(publisher, subscriber)
    assert all(len(publisher.acknowledged) > KILLS for publisher, _ in pairs)
    oldest = min(int(path.stem) for path in folder.glob("*.seg"))
    assert oldest > 2 * KILLS  # so often it began anew, and threw away what was before
