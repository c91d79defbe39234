"""Bytes that are not MQTT, and peers that do not read: the others never notice."""

from __future__ import annotations

import os
import random
import resource
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import raw
from tests.conftest import Process, StartBroker
from tests.raw import PUBACK, PUBLISH
from tests.vectors.packets import BAD, GOOD


def test_random_bytes_end_that_connection_only(broker: Process, name: str) -> None:
    rng = random.Random(7)
    with broker.raw() as healthy:
        healthy.connect(name)
        for n in range(300):
            with socket.create_connection(("127.0.0.1", broker.port), 20) as s:
                s.sendall(rng.randbytes(rng.randrange(1, 200)))
                if n % 50 == 0:
                    healthy.ping()
        healthy.ping()


def test_changed_packets_after_connect_end_that_connection_only(
    broker: Process, name: str
) -> None:
    rng = random.Random(8)
    seeds = [bytes.fromhex(text) for _, text, _ in [*GOOD.values(), *BAD.values()]]
    with broker.raw() as healthy:
        healthy.connect(name)
        for n in range(400):
            data = bytearray(rng.choice(seeds) * 2)
            for _ in range(rng.randrange(3)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            with broker.raw(4 if n % 2 else 5) as c:
                c.connect(f"{name}{n % 7}")
                c.send(bytes(data))
                if n % 50 == 0:
                    healthy.ping()
        healthy.ping()


@pytest.mark.parametrize("version", [4, 5])
def test_every_cut_of_a_connect_is_survived(
    broker: Process, version: int, name: str
) -> None:
    data = raw.connect(name, version, will=("w", b"x", 1, True), user="u", password=b"p")
    for n in range(len(data)):
        with socket.create_connection(("127.0.0.1", broker.port), 20) as s:
            s.sendall(data[:n])
    with broker.raw(version) as c:
        c.connect(name)
        c.ping()


def test_stuck_subscriber_does_not_stall_the_others(start_broker: StartBroker) -> None:
    process = start_broker(max_outgoing_size="64KB", slow_consumer_time="200ms")
    with process.raw() as stuck, process.raw() as healthy, process.raw() as pub:
        stuck.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect("stuck")
        stuck.subscribe(("flood", 0))
        healthy.connect("healthy")
        healthy.subscribe(("flood", 0))
        pub.connect("pub")
        count = 3000
        payload = b"x" * 8000
        for n in range(count):
            pub.publish("flood", b"%08d" % n + payload)
            got = healthy.expect(PUBLISH)  # the healthy one hears every message
            assert got.payload[:8] == b"%08d" % n
        pub.ping()
        process.waits_for("client 'stuck' reads too slowly")
        # What it does read is whole and in order, with a gap where messages were dropped.
        numbers = [int(stuck.expect(PUBLISH).payload[:8]) for _ in range(10)]
        assert numbers == sorted(numbers)


def test_slow_subscriber_that_reads_loses_nothing_at_qos_0(
    start_broker: StartBroker,
) -> None:
    process = start_broker(max_outgoing_size="512KB", slow_consumer_time="30s")
    with process.raw() as slow, process.raw() as pub:
        slow.connect("slow")
        slow.subscribe(("flood", 0))
        pub.connect("pub")
        pub.sock.settimeout(30)
        count, payload = 1000, b"x" * 4000  # less than 8 times the bound
        sender = threading.Thread(
            target=lambda: [
                pub.publish("flood", b"%08d" % n + payload) for n in range(count)
            ]
        )
        sender.start()
        got = []
        for n in range(count):
            if n % 20 == 0:
                time.sleep(0.005)  # slower than the publisher, but never still for long
            got.append(int(slow.expect(PUBLISH).payload[:8]))
        sender.join(30)
        assert got == list(range(count))


def test_client_that_never_reads_its_answers_is_closed_or_held(
    start_broker: StartBroker,
) -> None:
    process = start_broker(max_outgoing_size="16KB", slow_consumer_time="100ms")
    with process.raw() as deaf, process.raw() as healthy:
        healthy.connect("healthy")
        deaf.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect("deaf")
        deaf.sock.settimeout(1)
        pings = raw.packet(raw.PINGREQ) * 50_000
        with pytest.raises((TimeoutError, OSError)):
            deaf.sock.sendall(pings * 1000)  # 100 MB: more than any buffer holds
        healthy.ping()
        if "LD_PRELOAD" not in os.environ:  # ASan keeps what is freed
            assert rss_kib(process) < 200_000


def test_out_of_descriptors_is_survived(start_broker: StartBroker) -> None:
    process = start_broker()
    with process.raw() as healthy:
        healthy.connect("healthy")
        in_use = process.descriptors()
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (in_use + 20, in_use + 20))
        crowd = [process.raw() for _ in range(40)]
        for _ in range(50):
            healthy.ping()
        for c in crowd:
            c.close()
        with process.raw() as late:
            late.connect("late")
            late.ping()


def rss_kib(process: Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def test_qos1_flood_with_a_small_queue_loses_nothing(start_broker: StartBroker) -> None:
    process = start_broker(msq_len="4", slow_consumer_time="30s")
    with process.raw() as sub, process.raw() as pub:
        sub.connect("sub")
        sub.subscribe(("q", 1))
        pub.connect("pub")
        count = 500
        pub.send(
            *(raw.publish("q", b"%d" % n, qos=1, packet_id=n + 1) for n in range(count))
        )
        for n in range(count):
            got = sub.expect(PUBLISH)
            assert got.payload == b"%d" % n
            sub.send(raw.ack(PUBACK, got.packet_id))
        acks = [pub.expect(PUBACK).packet_id for _ in range(count)]
        assert acks == [n + 1 for n in range(count)]


def test_small_messages_do_not_wait_for_the_peers_acknowledgement(
    broker: Process, name: str
) -> None:
    """Nagle's algorithm would hold the second of two small writes back, some 40 ms."""

    def median(act: Callable[[], None]) -> float:
        times = []
        for _ in range(41):
            begun = time.perf_counter()
            act()
            times.append(time.perf_counter() - begun)
        return sorted(times)[20]

    with broker.raw() as sub, broker.raw() as pub:
        sub.connect(name)
        sub.subscribe((name, 0))
        pub.connect(name + "_p")

        def two_writes() -> None:
            pub.publish(name, b"x")
            pub.ping()  # the message is on its way
            sub.send(raw.packet(raw.PINGREQ))
            assert [sub.read().kind for _ in range(2)] == [raw.PUBLISH, raw.PINGRESP]

        assert median(two_writes) < 60 * median(sub.ping)
