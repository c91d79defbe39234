"""Limits hold, are told to whom they concern, and are counted."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from nanomq_py import Broker
from nanomq_py.config import parse
from nanomq_py.core.queries import ClientFilter
from nanomq_py.core.records import Stats
from tests import raw
from tests.conformance.flows import kept, modern, take
from tests.eventually import eventually
from tests.raw import Raw

pytestmark = pytest.mark.timeout(60)


@asynccontextmanager
async def limited(**keys: str) -> AsyncIterator[tuple[Broker, int]]:
    text = "".join(f"{k.replace('__', '.')}={v}\n" for k, v in keys.items())
    config = parse(f"url=nmq-tcp://127.0.0.1:0\nwebsocket.enable=false\n{text}", "x.conf")
    async with Broker(config) as broker:
        yield broker, broker.ports["url"]


async def test_connections_in_all() -> None:
    async with limited(max_connections="2") as (broker, port):
        with Raw(port) as a, Raw(port) as b, Raw(port) as c:
            a.connect("a")
            b.connect("b")
            assert c.read_until_closed() == []
        assert broker.stats().refused_connections == 1


async def test_connections_of_one_address() -> None:
    async with limited(max_connections_per_address="1") as (broker, port):
        with Raw(port) as a, Raw(port) as b:
            a.connect("a")
            assert b.read_until_closed() == []
            other = socket.create_connection(("127.0.0.1", port), 20, ("127.0.0.2", 0))
            with Raw(other) as c:
                c.connect("c")
            a.leave()
        with Raw(port) as again:
            assert again.connect("again").reason == 0
        assert broker.stats().refused_address == 1


@modern
async def test_client_does_not_wait_longer_for_the_answer_than_the_key_says(
    version: int,
) -> None:
    users = {"auth__1__login": "u", "auth__1__password": "p"}
    async with limited(**users, answer_timeout="300ms") as (broker, port):

        def refused_after_s() -> float:
            """Connect while the loop, which would answer, is kept from running by this."""
            with Raw(port, version) as c:
                begun = time.monotonic()
                answer = c.connect("c", user="u", password=b"p")
                assert answer.reason == (0x88 if version == 5 else 3)
                return time.monotonic() - begun

        assert 0.2 < refused_after_s() < 4  # the default is 5 s
        await broker.reconfigure(replace(broker.config, answer_timeout=3000))
        assert 2 < refused_after_s() < 20


@pytest.mark.parametrize("drip", [b"", b"\x10\xff\xff\x07"])
async def test_connect_that_drips_in_does_not_hold_a_slot(drip: bytes) -> None:
    async with limited(connect_timeout="400ms", max_connections="1") as (broker, port):
        with Raw(port) as slow:
            slow.send(drip)
            begun = time.monotonic()
            slow.sock.settimeout(0.1)
            try:
                while time.monotonic() - begun < 20:
                    slow.send(b"\x00" if drip else b"")
                    try:
                        if slow.sock.recv(1) == b"":
                            break
                    except TimeoutError:
                        continue
            except ConnectionError:
                pass
            assert 0.3 < time.monotonic() - begun < 20
        eventually(lambda: broker.stats().connections_open == 0)
        with Raw(port) as client:
            assert client.connect("c").reason == 0
        assert broker.stats().connect_timeouts == 1


@modern
async def test_subscriptions_of_one_client(version: int) -> None:
    async with limited(max_subscriptions="2") as (broker, port):
        with Raw(port, version) as c:
            c.connect("c")
            refused = 0x97 if version == 5 else 0x80
            assert c.subscribe(("a", 0), ("b", 1), ("c", 0)) == [0, 1, refused]
            assert c.subscribe(("a", 2)) == [2]  # one that it has
            c.send(raw.unsubscribe(1, "b", version=version))
            c.expect(raw.UNSUBACK)
            assert c.subscribe(("c", 0), ("d", 0)) == [0, refused]
        assert broker.stats().subscriptions_refused == 2
        eventually(lambda: broker.stats().subscriptions == 0)


async def test_sizes_and_depths_are_counted() -> None:
    async with limited(max_packet_size="1", max_topic_levels="2") as (broker, port):
        with Raw(port, 5) as big, Raw(port, 5) as deep:
            big.connect("big")
            big.publish("t", bytes(2000))
            assert big.expect(raw.DISCONNECT).reason == 0x95
            deep.connect("deep")
            assert deep.subscribe(("a/b/c", 0)) == [0x8F]
            deep.publish("a/b/c")
            assert deep.expect(raw.DISCONNECT).reason == 0x90
        stats = broker.stats()
        assert (stats.packets_too_large, stats.topics_too_deep) == (1, 2)


@modern
async def test_queue_is_bounded_in_bytes(version: int) -> None:
    async with limited(max_queue_size="10KB", msq_len="1000") as (broker, port):
        with Raw(port, version) as c:
            c.connect("c", **kept(version))
            c.subscribe(("t", 1))
            c.leave()
        with Raw(port, version) as p:
            p.connect("p")
            for n in range(1, 31):
                p.publish("t", bytes(1000), qos=1, packet_id=n)
                p.expect(raw.PUBACK)
        (session,) = (await broker.sessions(ClientFilter(client_id="c"))).rows
        assert session.queued in (10, 11)
        assert broker.stats().queue_full == 30 - session.queued
        with Raw(port, version) as c:
            c.connect("c", **kept(version))
            for _ in range(10):
                take(c)


def rate_of(port: int, *, messages: int, size: int) -> float:
    """Return how many messages a second get through one publisher that hurries."""
    with Raw(port, 5, timeout=30) as p:
        p.connect("p")
        p.publish("warm", bytes(size), qos=1, packet_id=1)
        p.expect(raw.PUBACK)
        begun = time.monotonic()
        p.send(*(raw.publish("t", bytes(size), 5) for _ in range(messages)))
        p.ping()
        return messages / (time.monotonic() - begun)


async def test_message_rate_slows_a_client_down_and_loses_nothing() -> None:
    async with limited(max_message_rate="200") as (broker, port):
        with Raw(port) as sub, Raw(port) as free:
            sub.connect("sub")
            sub.subscribe(("t", 0))
            free.connect("free")
            rate = rate_of(port, messages=600, size=10)
            assert rate < 400  # 200 at once, then 200 a second: 600 take 2 s
            for _ in range(600):
                take(sub)
            free.ping()  # the others are not slowed down
        assert broker.stats().rate_waits > 0
        assert broker.stats().messages_dropped <= 1  # "warm", which nobody wants


async def test_byte_rate_slows_a_client_down() -> None:
    async with limited(max_byte_rate="100KB") as (broker, port):
        assert rate_of(port, messages=300, size=1000) < 300
        assert broker.stats().rate_waits > 0


async def test_keep_alive_does_not_run_out_while_the_broker_makes_a_client_wait() -> None:
    async with limited(max_message_rate="1") as (broker, port):
        with Raw(port, 5, timeout=30) as p:
            p.connect("p", keep_alive=1)
            for _ in range(4):
                p.publish("t", b"x")
            p.ping()  # 3 s later, twice its keep alive
        assert broker.stats().keep_alive_timeouts == 0


async def test_client_that_waits_for_its_rate_is_told_to_go_at_once() -> None:
    async with limited(max_message_rate="1") as (broker, port):
        with Raw(port, 5) as p:
            p.connect("p")
            for _ in range(5):
                p.publish("t", b"x")
            eventually(lambda: broker.stats().rate_waits > 0)
            broker.kick("p")
            assert p.read_until_closed()[-1].reason == 0x98
            eventually(lambda: broker.stats().connections_open == 0)


def held(stats: Stats) -> int:
    return stats.held_bytes


async def test_stranger_who_announces_much_holds_little() -> None:
    async with limited(max_packet_size="262144") as (broker, port):
        before = held(broker.stats())
        with Raw(port) as stranger:
            stranger.send(b"\x10" + raw.varint(300 << 10) + b"\x00\x04MQTT")
            eventually(lambda: broker.stats().bytes_in >= 10)
            assert held(broker.stats()) - before < 1 << 16


async def test_slow_consumers_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    async with limited(slow_consumer_time="100ms", max_outgoing_size="1KB") as (
        broker,
        port,
    ):
        with Raw(port) as slow, Raw(port, timeout=30) as p:
            slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect("slow")
            slow.subscribe(("t", 0))
            p.connect("p")

            def loses() -> bool:
                p.publish("t", bytes(500_000))
                p.ping()
                return broker.stats().queue_full >= 50

            def told() -> int:
                return sum("'slow' reads too slowly" in line for line in caplog.messages)

            # Each time is counted, and not each message. It may catch up in between: its
            # connection takes some, and the broker itself may have waited for the processor.
            eventually(loses)
            assert 1 <= broker.stats().slow_consumers < 25
            while told() != broker.stats().slow_consumers:
                await asyncio.sleep(0.01)


async def test_descriptors_that_run_out_are_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import resource

    async with limited() as (broker, port):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with Raw(port) as one:
            one.connect("one")
            waiting = [socket.socket() for _ in range(4)]
            resource.setrlimit(resource.RLIMIT_NOFILE, (waiting[-1].fileno() + 1, hard))
            try:
                for sock in waiting:
                    sock.connect(("127.0.0.1", port))
                eventually(lambda: broker.stats().starved > 0)
                one.ping()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for sock in waiting:
                with Raw(sock) as late:
                    assert late.connect("").reason == 0


@pytest.mark.parametrize("qos", [0, 1])
async def test_nobody_waits_for_a_subscriber_that_stands_still(qos: int) -> None:
    async with limited(slow_consumer_time="60s", max_outgoing_size="64KB", msq_len="8") as (
        broker,
        port,
    ):
        with Raw(port) as stuck, Raw(port) as sub, Raw(port) as p:
            stuck.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.connect("stuck")
            stuck.subscribe(("t", qos))
            sub.connect("sub")
            sub.subscribe(("t", qos))
            p.connect("p")
            for n in range(1, 101):
                p.publish("t", bytes(60_000), qos=qos, packet_id=n if qos else 0)
                if qos:
                    p.expect(raw.PUBACK)
                take(sub)  # within 5 s, not 60
            # The one that stands still may lose its own, on a machine that is slow enough.
            clients = (await broker.clients()).rows
            lost = {client.client_id: client.messages_dropped for client in clients}
            assert lost["sub"] == 0


PROPERTIES = (b"\x26" + raw.text("k") + raw.text("v")) * 32
TWICE = [raw.publish("t", b"", 5, qos=2, packet_id=n) for n in (1, 32769)]
SENT = {
    "alias": (b"", None, raw.publish("t", b"", 5, properties=b"\x23\xff\xff")),
    "identifiers": (b"", None, b"".join(TWICE)),
    "will": (PROPERTIES, ("w", b"gone", 1, True), b""),
    "properties": (b"", None, raw.publish("t", b"", 5, retain=True, properties=PROPERTIES)),
}


@pytest.mark.parametrize("what", SENT)
async def test_client_makes_the_broker_hold_about_what_it_sent(what: str) -> None:
    will_properties, will, more = SENT[what]
    async with limited(max_topic_alias="65535") as (broker, port):
        with contextlib.ExitStack() as stack:
            held = [broker.stats().held_bytes]
            for n, extra in enumerate([False] * 20 + [True] * 20):
                c = stack.enter_context(Raw(port, 5))
                if extra:
                    c.connect(f"c{n}", will=will, will_properties=will_properties)
                    c.send(more)
                else:
                    c.connect(f"c{n}")
                if extra and what == "identifiers":
                    c.expect(raw.PUBREC)
                    c.expect(raw.PUBREC)
                c.ping()
                held.append(broker.stats().held_bytes)
            plain, with_more = held[20] - held[0], held[40] - held[20]
            sent = len(will_properties) + len(more)
            assert with_more - plain < 20 * (4 * sent + 4096)
