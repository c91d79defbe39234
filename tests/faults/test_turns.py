"""A client that reads little costs little: no thread turns idly for it, and nothing grows."""

from __future__ import annotations

import os
import struct
import time

import pytest

from tests import raw
from tests.conformance.flows import expiry
from tests.eventually import eventually
from tests.raw import PUBACK, Raw
from tests.test_limits import limited

pytestmark = pytest.mark.timeout(60)
SANITIZED = "LD_PRELOAD" in os.environ


def receive_maximum(count: int) -> bytes:
    return b"\x21" + struct.pack(">H", count)


def load_of_a_second() -> float:
    """How much of a core this process takes, the broker in it."""
    begun, used = time.monotonic(), time.process_time()
    time.sleep(1)
    return (time.process_time() - used) / (time.monotonic() - begun)


async def test_more_in_flight_than_the_new_receive_maximum_waits_quietly() -> None:
    async with limited() as (_, port):
        with Raw(port, 5) as s, Raw(port, 5) as p:
            s.connect("s", properties=expiry(300) + receive_maximum(10))
            s.subscribe(("t", 1))
            p.connect("p")
            for n in range(20):
                p.publish("t", b"%d" % n, qos=1, packet_id=n + 1)
                p.expect(PUBACK)
            for _ in range(10):
                s.expect(raw.PUBLISH)
        with Raw(port, 5) as s:
            s.connect("s", clean=False, properties=expiry(300) + receive_maximum(1))
            first = s.expect(raw.PUBLISH)
            assert load_of_a_second() < 0.5
            got = [first.payload]
            s.send(raw.ack(PUBACK, first.packet_id))
            while len(got) < 20:
                more = s.expect(raw.PUBLISH)
                got.append(more.payload)
                s.send(raw.ack(PUBACK, more.packet_id))
            assert got == [b"%d" % n for n in range(20)]


@pytest.mark.parametrize("qos", [0, 1])
async def test_subscribing_again_and_again_does_not_fill_the_queue(qos: int) -> None:
    async with limited(max_outgoing_size="4KB") as (broker, port):
        with Raw(port) as p, Raw(port) as s:
            p.connect("p")
            for n in range(64):
                p.publish(f"r/{n}", bytes(256), qos=1, packet_id=n + 1, retain=True)
                p.expect(PUBACK)
            s.connect("s")
            one = raw.subscribe(1, ("r/#", qos))
            for _ in range(200):  # its receive buffer takes more than the outbox would
                s.send(one * 10)
            eventually(lambda: broker.stats().packets_in >= 2000)
            reader = broker.client("s")
            assert reader is not None
            assert reader.queued < 32  # the first few of two SUBSCRIBE
            assert reader.in_flight <= 1024


@pytest.mark.skipif(SANITIZED, reason="its pace needs the plain build")
async def test_publisher_that_is_held_is_not_silent() -> None:
    async with limited(slow_consumer_time="20s") as (broker, port):
        with Raw(port, 5) as s, Raw(port) as p:
            s.connect("s", properties=receive_maximum(1))
            s.subscribe(("t", 1))
            p.connect("p", keep_alive=1)
            begun = time.monotonic()
            packet_id = 0
            while time.monotonic() - begun < 4:  # acknowledged one by one, still in time
                for _ in range(20):
                    packet_id += 1
                    p.publish("t", b"x", qos=1, packet_id=packet_id)
                got = s.expect(raw.PUBLISH)
                time.sleep(0.02)
                s.send(raw.ack(PUBACK, got.packet_id))
            assert broker.stats().keep_alive_timeouts == 0
            s.leave()
            while packet_id > 0:
                packet_id -= p.read().kind == PUBACK
