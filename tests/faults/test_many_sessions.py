"""Thousands of sessions: the API lists them, and nobody waits for that."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from nanomq_py import Broker, Config
from nanomq_py.config.keys.listeners import WebSocket
from tests import raw
from tests.conftest import Process, running_broker
from tests.raw import Raw
from tests.yardstick import Times

pytestmark = pytest.mark.alone

SESSIONS = 20_000
LIST = (
    b"POST /api/v1 HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YWRtaW46cHVibGlj\r\n"
    b"Content-Length: 17\r\n\r\n" + b'{"req":5,"seq":1}'
)


def make_sessions(port: int, count: int, *, every: int = 4) -> None:
    """Leave sessions behind; every fourth, or each so many, has a subscription."""
    for number in range(count):
        with Raw(port, timeout=20) as c:
            c.connect(f"session-{number}", clean=False, user="u", password=b"p")
            if number % every == 0:
                c.subscribe((f"a/{number}/b", 1))
            c.send(raw.disconnect())


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running_broker(
        tmp_path_factory.mktemp("crowded"), auth__1__login="u", auth__1__password="p"
    ) as made:
        make_sessions(made.port, SESSIONS)
        yield made


@pytest.mark.parametrize(("req", "length"), [(5, SESSIONS), (4, SESSIONS // 4)])
def test_login_does_not_wait_for_a_list(
    crowded: Process, broker: Process, req: int, length: int
) -> None:
    done = threading.Event()
    lists = []

    def ask() -> None:
        for _ in range(3):
            lists.append(crowded.api(req=req).json["data"])
        done.set()

    asking = threading.Thread(target=ask)
    asking.start()
    times = Times(broker)
    times.take_logins(crowded, done)
    asking.join()
    assert all(length <= len(data) <= length + 1 for data in lists)
    times.assert_undisturbed(95)  # in one piece it takes 300 ms and more


def test_several_lists_at_once_are_all_whole(crowded: Process) -> None:
    found = []

    def ask() -> None:
        found.append(len(crowded.api(req=5).json["data"]))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) <= {SESSIONS, SESSIONS + 1}
    assert len(found) == 6


def test_peer_that_leaves_a_list_gives_its_turn_to_the_next(crowded: Process) -> None:
    for _ in range(6):  # more than there are turns
        with socket.create_connection(("127.0.0.1", crowded.http_port)) as sock:
            sock.sendall(LIST)
            sock.recv(1)
    assert len(crowded.api(req=5).json["data"]) >= SESSIONS


def test_peer_that_does_not_read_its_list_is_cut(crowded: Process) -> None:
    with contextlib.ExitStack() as closing:
        for _ in range(2):  # as many as there are turns
            sock = closing.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.connect(("127.0.0.1", crowded.http_port))
            sock.sendall(LIST)
            sock.recv(1)
        assert len(crowded.api(req=5).json["data"]) >= SESSIONS


# --- in one process


def config() -> Config:
    return Config(url="nmq-tcp://127.0.0.1:0", websocket=WebSocket(enable=False))


async def test_pieces_are_short_work() -> None:
    from nanomq_py.http.v1.api import _client_json
    from nanomq_py.http.v1.lists import client_pieces, subscription_pieces

    async with Broker(config()) as broker:
        await asyncio.to_thread(make_sessions, broker.ports["url"], 2000)
        with Raw(broker.ports["url"]) as c:
            await asyncio.to_thread(c.connect, "many")
            for first in range(0, 4000, 1000):
                filters = [(f"f/{n}", 1) for n in range(first, first + 1000)]
                await asyncio.to_thread(c.subscribe, *filters)
            for pieces, count in (
                (client_pieces(broker, _client_json), 2001),
                (subscription_pieces(broker), 501),
            ):
                longest, text = 0.0, b""
                began = time.process_time()
                async for piece in pieces:
                    longest = max(longest, time.process_time() - began)
                    text += piece
                    began = time.process_time()
                assert longest < 0.02, longest
                listed = json.loads(b"[" + text + b"]")
                assert len(listed) == count
            (many,) = (c for c in listed if c["client_id"] == "many")
            assert sorted(s["topic"] for s in many["subscriptions"]) == sorted(
                f"f/{n}" for n in range(4000)
            )


async def test_statistics_count_who_is_connected_and_subscribed() -> None:
    def counts() -> tuple[int, int, int]:
        stats = broker.stats()
        return stats.clients, stats.connected, stats.subscribers

    async def expect(*wanted: int) -> None:
        until = time.monotonic() + 20
        while counts() != wanted:
            assert time.monotonic() < until, (counts(), wanted)
            await asyncio.sleep(0.01)

    def use() -> Iterator[tuple[int, int, int]]:
        with Raw(port) as a, Raw(port) as b:
            a.connect("a", clean=False)
            yield 1, 1, 0
            b.connect("b")
            b.subscribe(("x", 0), ("y", 0))
            yield 2, 2, 1
            a.subscribe(("x", 0))
            yield 2, 2, 2
            b.send(raw.unsubscribe(1, "x"))
            b.expect(raw.UNSUBACK)
            yield 2, 2, 2
            b.send(raw.unsubscribe(1, "y"))
            b.expect(raw.UNSUBACK)
            yield 2, 2, 1
            a.leave()
            yield 2, 1, 0
            with Raw(port) as again:
                again.connect("a", clean=False)
                yield 2, 2, 1
                with Raw(port) as third:
                    third.connect("a", clean=False)  # takes over
                    yield 2, 2, 1
                    with Raw(port) as fourth:
                        fourth.connect("a")  # a new session
                        yield 2, 2, 0
                        fourth.subscribe(("z", 1))
                        yield 2, 2, 1
        yield 0, 0, 0

    async with Broker(config()) as broker:
        port = broker.ports["url"]
        with contextlib.closing(broker.subscribe("#")):  # a tap is no client
            steps = use()
            while (wanted := await asyncio.to_thread(next, steps, None)) is not None:
                await expect(*wanted)


async def test_pages_beside_clients_that_come_and_go() -> None:
    async with Broker(config()) as broker:
        port = broker.ports["url"]
        await asyncio.to_thread(make_sessions, port, 3000)
        stop = threading.Event()

        def come_and_go() -> None:
            while not stop.is_set():
                for number in range(1000, 1100):  # end in the middle of the list
                    with Raw(port) as c:
                        c.connect(f"session-{number}")

        thread = threading.Thread(target=come_and_go)
        thread.start()
        try:
            for _ in range(30):
                names: list[str] = []
                after: int | None = None
                while after is not None or not names:
                    page = await broker.clients(limit=100, after=after)
                    names += [client.client_id for client in page.rows]
                    after = page.next
                kept = [f"session-{n}" for n in range(3000) if not 1000 <= n < 1100]
                assert [n for n in names if n in set(kept)] == kept
        finally:
            stop.set()
            await asyncio.to_thread(thread.join)


async def test_last_page_costs_no_more_than_three_times_the_first() -> None:
    async def cost(ask: Any, offset: int) -> float:
        times = []
        for _ in range(15):
            began = time.perf_counter()
            page = await ask(offset=offset, limit=100)
            times.append(time.perf_counter() - began)
            assert len(page.rows) == 100
        return min(times)

    async with Broker(config()) as broker:
        await asyncio.to_thread(make_sessions, broker.ports["url"], 8000, every=1)
        for n in range(8000):
            broker.publish(f"kept/{n}", b"x", retain=True)
        for kind in ("clients", "sessions", "subscriptions", "routes", "retained"):
            ask = getattr(broker, kind)
            first, last = await cost(ask, 0), await cost(ask, 7900)
            assert last <= 3 * first, (kind, first, last)
