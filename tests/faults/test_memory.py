"""Whoever fills the memory loses; what was acknowledged to others arrives, and they go on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import pytest

from nanomq_py import Broker
from nanomq_py.core import process
from nanomq_py.events import Dropped, Why
from tests import raw
from tests.certs import Certs
from tests.conformance.flows import kept, modern, take
from tests.conftest import ROOT, Process, StartBroker
from tests.eventually import eventually
from tests.faults import hoard
from tests.raw import Closed, Raw
from tests.test_limits import limited
from tests.yardstick import Times

pytestmark = pytest.mark.timeout(120)

MAX = 128 << 20
OF_VICTIM = 200
ATTACK_S = 3.0
# What bounds one client, out of the way: memory alone bounds them together.
OPEN = {
    "max_memory": str(MAX),
    "max_queue_size": "0",
    "msq_len": "65535",
    "max_retained_messages": "0",
    "max_subscriptions": "0",
    "slow_consumer_time": "300ms",
}


def start(start_broker: StartBroker) -> Process:
    return start_broker(**{name.replace(".", "__"): v for name, v in OPEN.items()})


def resident(process: Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


@contextmanager
def attack(process: Process, *kinds: str) -> Iterator[None]:
    attackers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.hoard", kind, str(process.port)], cwd=ROOT
        )
        for kind in kinds
    ]
    try:
        yield
    finally:
        for attacker in attackers:
            attacker.kill()
            attacker.wait()


def give_victim(port: int) -> list[int]:
    """Leave acknowledged messages for a client that is away; return which."""
    with Raw(port, 5) as victim:
        victim.connect("victim", **kept(5))
        victim.subscribe(("victim", 1), ("only", 1))
        victim.leave()
    with Raw(port, 5) as p:
        p.connect("giver")
        for n in range(OF_VICTIM):
            p.publish("only", b"%d" % n, qos=1, packet_id=n + 1)
            assert p.expect(raw.PUBACK).reason == 0
    return list(range(OF_VICTIM))


def round_trip(pub: Raw, sub: Raw, n: int, topic: str) -> float:
    begun = time.monotonic()
    pub.publish(topic, b"%d" % n, qos=1, packet_id=n % 65_535 + 1)
    assert take(sub) == (topic, b"%d" % n, 1)
    assert pub.expect(raw.PUBACK).reason == 0
    return time.monotonic() - begun


def take_own(port: int, count: int) -> list[int]:
    """Return what arrives of what was left for the victim alone, each once."""
    got: list[int] = []
    deadline = time.monotonic() + 30
    while len(got) < count:
        assert time.monotonic() < deadline, f"{len(got)} of {count} came"
        try:
            with Raw(port, 5) as victim:
                victim.connect("victim", **kept(5))
                while len(got) < count:
                    topic, payload, _ = take(victim)
                    if topic == "only" and int(payload) not in got:
                        got.append(int(payload))
        except (Closed, AssertionError):  # refused for the moment
            time.sleep(0.05)
    return got


@pytest.mark.alone
@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="ASan's memory counts as Python's")
@pytest.mark.parametrize(
    "kinds", [*([kind] for kind in hoard.KINDS), list(hoard.KINDS)], ids="-".join
)
def test_others_lose_nothing_when_one_fills_the_memory(
    start_broker: StartBroker, broker: Process, kinds: list[str]
) -> None:
    process = start(start_broker)
    hoard.prepare(process.port)
    kept_for_victim = give_victim(process.port)
    most, n = 0, 0
    times = Times(broker)
    with (
        Raw(process.port, 4) as pub,
        Raw(process.port, 5) as sub,
        Raw(process.port, 5) as giver,
    ):
        pub.connect("healthy-pub")
        sub.connect("healthy-sub")
        sub.subscribe(("healthy", 1))
        giver.connect("giver")
        with attack(process, *kinds):
            end = time.monotonic() + ATTACK_S
            while time.monotonic() < end:
                n += 1
                times.take(partial(round_trip, pub, sub, n, "healthy"))
                giver.publish("only", b"%d" % (OF_VICTIM + n), qos=1, packet_id=1)
                if giver.expect(raw.PUBACK).reason == 0:
                    kept_for_victim.append(OF_VICTIM + n)
                most = max(most, resident(process))
                time.sleep(0.005)
    assert n > 20
    assert most <= MAX * 1.10
    times.assert_undisturbed(90)
    assert take_own(process.port, len(kept_for_victim)) == kept_for_victim


# --- what is refused, and how


def fill(port: int) -> int:
    """Fill the queue of a session until the broker says no; return what was acknowledged."""
    with Raw(port, 5) as c:
        assert c.connect("hoard", **kept(5)).reason == 0
        c.subscribe(("hoard", 1))
        c.leave()
    with Raw(port, 5) as p:
        assert p.connect("filler").reason == 0
        for n in range(10_000):
            p.publish("hoard", bytes(8000), qos=1, packet_id=1)
            if p.expect(raw.PUBACK).reason == 0x97:
                return n
    raise AssertionError("it was never refused")


def drain(port: int, count: int) -> None:
    with Raw(port, 5) as c:
        assert c.connect("hoard", **kept(5)).flags == 1
        for _ in range(count):
            take(c)
        c.ping()  # the last one is acknowledged
        c.leave()


@asynccontextmanager
async def almost_full() -> AsyncIterator[tuple[Broker, int]]:
    bound = process.held_bytes() + (8 << 20)
    async with limited(
        max_memory=str(bound),
        max_queue_size="0",
        msq_len="65535",
        slow_consumer_time="500ms",
    ) as (broker, port):
        yield broker, port


async def test_a_message_that_is_refused_for_memory_is_told_as_dropped() -> None:
    async with almost_full() as (broker, port), broker.events([Dropped]) as events:
        fill(port)
        event = await asyncio.wait_for(anext(events), 20)
        assert event.client is not None
        assert (event.client.client_id, event.why) == ("hoard", Why.MEMORY)


async def test_what_was_acknowledged_arrives_and_what_was_refused_can_come_again() -> None:
    async with almost_full() as (broker, port):
        taken = fill(port)
        assert taken > 100
        assert broker.stats().memory_shortages == 1
        assert broker.stats().memory_refused > 0
        assert broker.stats().memory_cuts == 0
        drain(port, taken)
        eventually(lambda: broker.memory().level == 0)
        assert fill(port) > 100


@modern
async def test_nothing_new_comes_in_while_memory_is_short(version: int) -> None:
    async with almost_full() as (_, port):
        with Raw(port, version) as old, Raw(port, version) as own:
            old.connect("old", **kept(version))
            assert old.subscribe(("mine", 1)) == [1]
            own.connect("own", **kept(version))
            own.leave()
            fill(port)
            refused = 0x97 if version == 5 else 0x80
            assert old.subscribe(("mine", 0), ("new", 0)) == [0, refused]
        with Raw(port, version) as c:
            assert c.connect("stranger").reason == (0x88 if version == 5 else 3)
        with Raw(port, version) as c:  # who has a session comes back to it
            assert c.connect("own", **kept(version)).reason == 0
        with Raw(port, version) as c:
            big = ("w", bytes(2000), 0, False)
            answer = c.connect("own", will=big, **kept(version))
            assert answer.reason == (0x88 if version == 5 else 3)


async def test_retained_messages_do_not_grow_while_memory_is_short() -> None:
    async with almost_full() as (broker, port):
        with Raw(port, 5) as p:
            p.connect("p")

            def put(topic: str, size: int) -> int:
                p.publish(topic, bytes(size), qos=1, packet_id=1, retain=True)
                return p.expect(raw.PUBACK).reason

            assert put("a", 100) == 0x10
            fill(port)
            assert [put("a", 100), put("a", 101), put("b", 1)] == [0x10, 0x97, 0x97]
            assert put("a", 0) == 0x10
        assert broker.stats().retained == 0


async def test_qos_2_goes_to_all_or_to_none_while_memory_is_short() -> None:
    async with almost_full() as (_, port):
        with Raw(port, 5) as here, Raw(port, 5) as p:
            here.connect("here")
            here.subscribe(("t", 2), ("u", 2))
            with Raw(port, 5) as away:
                away.connect("away", **kept(5))
                away.subscribe(("t", 2))
                away.leave()
            p.connect("p")
            fill(port)
            p.publish("t", b"1", qos=2, packet_id=7)
            assert p.expect(raw.PUBREC).reason == 0x97
            here.assert_silent()
            p.publish("u", b"2", qos=2, packet_id=7)  # its identifier is free
            assert p.expect(raw.PUBREC).reason == 0
            p.send(raw.ack(raw.PUBREL, 7))
            p.expect(raw.PUBCOMP)
            assert take(here) == ("u", b"2", 2)


@pytest.mark.parametrize("qos", [1, 2])
async def test_publisher_before_5_0_waits_and_then_sends_again(qos: int) -> None:
    answer = raw.PUBACK if qos == 1 else raw.PUBREC
    async with almost_full() as (broker, port):
        with Raw(port, 4) as p, Raw(port, 4) as q:
            p.connect("p")
            q.connect("q")
            with Raw(port, 4) as away:
                away.connect("away", clean=False)
                away.subscribe(("t", qos))
                away.leave()
            taken = fill(port)
            p.publish("t", b"too early", qos=qos, packet_id=1)
            assert p.read_until_closed() == []  # not acknowledged
            q.publish("t", b"in time", qos=qos, packet_id=1)
            q.publish("t", b"and more", qos=qos, packet_id=2)
            drain(port, taken)
            assert q.expect(answer).packet_id == 1
            assert q.expect(answer).packet_id == 2
        with Raw(port, 4) as away:
            away.connect("away", clean=False)
            got = [away.expect(raw.PUBLISH).payload for _ in range(2)]
        assert got == [b"in time", b"and more"]
        eventually(lambda: broker.stats().messages_in == taken + 3)


async def test_large_packet_waits_for_memory() -> None:
    async with almost_full() as (_, port):
        with Raw(port, 5) as p, Raw(port, 5) as q:
            p.connect("p")
            q.connect("q")
            taken = fill(port)
            p.publish("t", bytes(1 << 20), qos=1, packet_id=1)
            answers = p.read_until_closed()
            assert [a.reason for a in answers] in ([], [0x97])
            q.send(raw.publish("t", bytes(200_000), 5, qos=1, packet_id=1))
            drain(port, taken)
            assert q.expect(raw.PUBACK).reason == 0x10


async def test_who_does_not_read_its_answers_is_cut_when_memory_is_out() -> None:
    bound = process.held_bytes() + (4 << 20)
    async with limited(
        max_memory=str(bound), max_outgoing_size="1GB", slow_consumer_time="60s"
    ) as (broker, port):
        with Raw(port, 5) as modest, Raw(port, 5) as deaf:
            modest.connect("modest")
            deaf.connect("deaf", **kept(5))
            with contextlib.suppress(OSError):
                while broker.stats().memory_cuts == 0:
                    deaf.send(raw.packet(raw.PINGREQ) * 10_000)
            eventually(lambda: broker.stats().memory_cuts == 1)
            eventually(lambda: broker.stats().connected == 1)
            modest.ping()
            clients = (await broker.clients()).rows
            assert {c.client_id for c in clients} == {"modest", "deaf"}


async def test_memory_is_told_by_kind() -> None:
    async with limited(max_memory="1GB") as (broker, port):
        with Raw(port, 5) as c, Raw(port, 5) as p:
            c.connect("c", will=("w", bytes(5000), 0, False), **kept(5))
            c.subscribe(*[(f"some/longer/filter/{n}", 0) for n in range(100)], ("t", 1))
            p.connect("p")
            p.publish("kept", bytes(10_000), retain=True)
            p.publish("t", bytes(20_000), qos=1, packet_id=1)
            p.expect(raw.PUBACK)
            told = broker.memory()
            assert told.max == 1 << 30
            assert 10_000 <= told.retained < 12_000
            assert 5_000 <= told.wills < 6_000
            assert 20_000 <= told.sessions < 40_000
            assert 5_000 < told.subscriptions < 200_000
            assert told.connections > 0
            assert told.total >= told.retained + told.sessions
            c.send(
                *(
                    raw.unsubscribe(1, f"some/longer/filter/{n}", version=5)
                    for n in range(100)
                )
            )
            c.expect(raw.PUBLISH)
            for _ in range(100):
                c.expect(raw.UNSUBACK)
            assert broker.memory().subscriptions < told.subscriptions / 4


async def test_memory_of_those_who_have_left_is_told_no_more() -> None:
    async with limited(slow_consumer_time="60s") as (broker, port):
        before = broker.memory()
        with Raw(port, 5, timeout=30) as deaf, Raw(port, 5) as p:
            deaf.connect("deaf", will=("w", bytes(5000), 0, False))
            deaf.subscribe(("t", 0))
            p.connect("p")
            for n in range(400):  # 6 MB: more than its socket takes
                p.publish("t", bytes(16_000), qos=1, packet_id=n + 1)
            eventually(lambda: broker.memory().connections > 500_000)
            assert broker.memory().wills > 5_000
            for _ in range(400):
                deaf.expect(raw.PUBLISH)
            eventually(
                lambda: broker.memory().connections < 300_000
            )  # a buffer to read into
            assert broker.stats().connections_open == 2
        eventually(lambda: broker.stats().connections_open == 0)
        eventually(lambda: broker.stats().clients == 0)
        eventually(lambda: broker.memory().connections == before.connections == 0)
        assert broker.memory().wills == before.wills == 0
        assert broker.stats().buffer_bytes == 0


async def test_tls_counts_at_its_known_cost(certs: Certs) -> None:
    keys = {
        "tls__enable": "true",
        "tls__url": "tls+nmq-tcp://127.0.0.1:0",
        "tls__certfile": str(certs.server.certfile),
        "tls__keyfile": str(certs.server.keyfile),
    }
    trust = ssl.create_default_context(cafile=str(certs.ca.certfile))

    def connect(port: int) -> Raw:
        plain = socket.create_connection(("127.0.0.1", port), 20)
        client = Raw(trust.wrap_socket(plain, server_hostname="localhost"), 5, timeout=10)
        client.connect("c")
        return client

    async with limited(**keys) as (broker, _):
        client = await asyncio.to_thread(connect, broker.ports["tls.url"])
        told = broker.memory()
        assert told.tls >= 50_000
        assert told.total >= told.tls
        client.close()
        eventually(lambda: broker.memory().tls == 0)


def test_bound_that_leaves_nothing_for_clients_is_warned_of(
    start_broker: StartBroker,
) -> None:
    process = start_broker(max_memory="32MB")
    process.waits_for("max_memory: of 32 MiB the process takes")


def test_what_python_takes_counts(start_broker: StartBroker) -> None:
    process = start_broker(sys_interval="1")
    with process.raw(5) as c:
        c.connect("c")
        c.subscribe(("$SYS/broker/memory/other", 0))
        other = int(c.expect(raw.PUBLISH).payload)
    assert 10 << 20 < other <= resident(process)
