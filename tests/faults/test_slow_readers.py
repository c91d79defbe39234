"""A client that reads, however slowly, is not cut off and gets what was acknowledged.

Some cells of the matrix that ``make slow-readers`` runs whole, all side by side.
"""

from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests import raw
from tests.certs import Certs
from tests.conftest import Process, StartBroker
from tests.faults.healthy import Figures, Healthy
from tests.faults.slow_reader import Cell, Outcome, run, serving
from tests.raw import PUBACK, PUBLISH

pytestmark = pytest.mark.alone

KIB, MIB = 1024, 1024 * 1024
NOISE_MS = 400 if "LD_PRELOAD" in os.environ else 60  # the cells' own work, beside the pair
LIMIT_S = 40  # they take 8
CELLS = [
    Cell(256 * KIB, 56, 2e6, 1, "tcp", False),
    Cell(256 * KIB, 56, 2e6, 1, "tls", False),
    Cell(256 * KIB, 56, 2e6, 2, "ws", True),
    Cell(64 * KIB, 224, 2e6, 2, "tcp", True),
    Cell(64 * KIB, 100, 2e6, 0, "ws", False),
    Cell(64 * KIB, 224, 2e6, 1, "tcp", True, leaves_half_way=True),
    Cell(64 * KIB, 200, 0.1e6, 1, "tls", True, slow_bytes=400_000),
    Cell(4 * KIB, 1000, 2e6, 1, "ws", False),
    Cell(4 * KIB, 2000, 20e6, 2, "tls", True),
    Cell(4 * MIB, 4, 2e6, 1, "tcp", False),
]


@dataclass(frozen=True)
class Ran:
    """What became of the cells, and of the healthy pair."""

    outcomes: dict[Cell, Outcome]
    before: Figures
    beside: Figures


@pytest.fixture(scope="module")
def ran(certs: Certs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    with (
        serving(tmp_path_factory.mktemp("slow"), certs) as ports,
        Healthy(ports.tcp) as healthy,
        ThreadPoolExecutor(len(CELLS)) as pool,
    ):
        before = healthy.over(0.5)
        many = len(CELLS)
        outcomes = dict(
            zip(CELLS, pool.map(run, CELLS, [ports] * many, [LIMIT_S] * many), strict=True)
        )
        yield Ran(outcomes, before, healthy.figures())


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_slow_reader_gets_what_was_acknowledged_over_one_connection(
    ran: Ran, cell: Cell
) -> None:
    assert ran.outcomes[cell].faults == []


def test_others_do_not_notice_slow_readers(ran: Ran) -> None:
    assert ran.beside.p99_ms <= 2 * ran.before.p99_ms + NOISE_MS


def test_a_thousand_messages_wait_for_an_absent_session(broker: Process, name: str) -> None:
    kept = {"properties": b"\x11" + struct.pack(">I", 60)}
    with broker.raw(5) as client:
        client.connect(name, **kept)
        client.subscribe((name, 1))
        client.leave()
    with broker.raw(4) as publisher:
        publisher.connect(name + "_p")
        publisher.send(
            *(raw.publish(name, b"%d" % n, qos=1, packet_id=n + 1) for n in range(1000))
        )
        for _ in range(1000):
            publisher.expect(PUBACK)
    with broker.raw(5) as client:
        assert client.connect(name, clean=False, **kept).flags == 1
        for n in range(1000):
            got = client.expect(PUBLISH)
            assert got.payload == b"%d" % n
            client.send(raw.ack(PUBACK, got.packet_id))
        client.send(raw.disconnect(5, 0, b"\x11\0\0\0\0"))


def test_session_that_must_drop_says_so_once_a_minute(start_broker: StartBroker) -> None:
    process = start_broker(msq_len="10", sys_interval="1")
    kept = {"properties": b"\x11" + struct.pack(">I", 60)}
    with process.raw(5) as client:
        client.connect("sleeps-deeply", **kept)
        client.subscribe(("t", 1))
        client.leave()
    with process.raw(4) as publisher, process.raw(4) as watcher:
        publisher.connect("publisher")
        for n in range(50):
            publisher.publish("t", b"%d" % n, qos=1, packet_id=n + 1)
            publisher.expect(PUBACK)
        watcher.connect("watcher")
        watcher.subscribe(("$SYS/broker/limits/queue_full", 0))
        until = time.monotonic() + 20
        while watcher.expect(PUBLISH).payload != b"40":
            assert time.monotonic() < until
    process.waits_for("sleeps-deeply", 2)
    told = [line for line in process.lines if re.search("sleeps-deeply.*(drop|los)", line)]
    assert len(told) == 1, process.lines
