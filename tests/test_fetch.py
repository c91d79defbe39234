"""The HTTP client room against a server that answers well, badly, late or never."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from nanomq_py.fetch.message import (
    Answer,
    Busy,
    FetchError,
    Origin,
    Request,
    request_target,
)
from nanomq_py.fetch.pool import Bounds, Pool
from nanomq_py.fetch.tls import client_tls
from tests import certs
from tests.answering import OK, Answering, Asked, answering, status
from tests.conftest import FOREIGN_ENV

pytestmark = pytest.mark.plain

GET = Request("GET", "/x")
MOST = 4096


@asynccontextmanager
async def pool_for(
    server: Answering, tls: ssl.SSLContext | None = None, **bounds: float
) -> AsyncIterator[Pool]:
    all_bounds = {"timeout_s": 20.0, "connect_timeout_s": 20.0, **bounds}
    made = Pool(
        Origin.of(server.url),
        Bounds(
            timeout_s=all_bounds["timeout_s"],
            connect_timeout_s=all_bounds["connect_timeout_s"],
            connections=int(bounds.get("connections", 4)),
            waiting=int(bounds.get("waiting", 100)),
            answer_bytes=MOST,
        ),
        tls,
    )
    try:
        yield made
    finally:
        made.close()


async def fault_of(pool: Pool, request: Request = GET) -> str:
    with pytest.raises(FetchError) as caught:
        await pool.ask(request)
    return str(caught.value)


async def test_request_arrives_and_its_answer_comes_back() -> None:
    with answering(status(201, b"made")) as server:
        async with pool_for(server) as pool:
            sent = Request("POST", "/a?b=c", ((b"X-Y", b"z"),), b"body")
            assert await pool.ask(sent) == Answer(201, b"made")
    (asked,) = server.asked
    assert (asked.method, asked.target, asked.body) == ("POST", "/a?b=c", b"body")
    assert asked.headers == {
        "host": f"127.0.0.1:{server.port}", "x-y": "z", "content-length": "4",
    }  # fmt: skip


async def test_connection_is_used_again() -> None:
    with answering() as server:
        async with pool_for(server) as pool:
            for _ in range(5):
                await pool.ask(GET)
    assert (len(server.asked), server.connections) == (5, 1)


@pytest.mark.parametrize(
    "answer",
    [
        status(200, b"", "Connection: close"),
        OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
async def test_connection_that_the_server_ends_is_not_used_again(answer: bytes) -> None:
    with answering(answer) as server:
        async with pool_for(server) as pool:
            for _ in range(2):
                assert (await pool.ask(GET)).status == 200
    assert server.connections == 2


async def test_connections_and_those_who_wait_are_bounded() -> None:
    go_on = threading.Event()

    def says(asked: Asked, sock: socket.socket) -> bytes:
        assert go_on.wait(20)
        return OK

    with answering(says) as server:
        async with pool_for(server, connections=2, waiting=3) as pool:
            asking = [asyncio.ensure_future(pool.ask(GET)) for _ in range(5)]
            await asyncio.to_thread(server.until, 2)
            with pytest.raises(Busy):
                await pool.ask(GET)
            go_on.set()
            assert [a.status for a in await asyncio.gather(*asking)] == [200] * 5
            assert (await pool.ask(GET)).status == 200
    assert (server.connections, server.most_at_once) == (2, 2)


async def test_server_that_closed_an_idle_connection_is_asked_over_another() -> None:
    """Also where the end of the connection is not seen before the request is sent."""
    times = itertools.count()

    def says(asked: Asked, sock: socket.socket) -> bytes | None:
        return None if next(times) == 1 else OK

    with answering(says) as server:
        async with pool_for(server) as pool:
            assert (await pool.ask(GET)).status == 200
            assert (await pool.ask(GET)).status == 200
    assert (len(server.asked), server.connections) == (3, 2)


async def test_end_of_an_idle_connection_is_noticed() -> None:
    with answering() as server:
        async with pool_for(server) as pool:
            await pool.ask(GET)
            server.close()
            assert "cannot connect" in await fault_of(pool)
            server.open()
            assert (await pool.ask(GET)).status == 200


async def test_answer_to_no_question_is_not_taken_for_the_next_ones() -> None:
    times = itertools.count()

    def says(asked: Asked, sock: socket.socket) -> bytes:
        return status(403) + OK if next(times) == 0 else status(404)

    with answering(says) as server:
        async with pool_for(server) as pool:
            assert (await pool.ask(GET)).status == 403
            assert (await pool.ask(GET)).status == 404
    assert server.connections == 2


async def test_answer_after_the_last_one_ends_the_connection() -> None:
    go_on = threading.Event()

    def then_more(sock: socket.socket) -> None:
        assert go_on.wait(20)
        sock.sendall(status(403))

    def says(asked: Asked, sock: socket.socket) -> bytes:
        threading.Thread(target=then_more, args=(sock,), daemon=True).start()
        return OK

    with answering(says) as server:
        async with pool_for(server) as pool:
            assert (await pool.ask(GET)).status == 200
            go_on.set()
            await asyncio.to_thread(server.until_closed)
            server.says = lambda asked, sock: status(404)
            assert (await pool.ask(GET)).status == 404


def drips(piece: bytes) -> Callable[[Asked, socket.socket], bytes | None]:
    def says(asked: Asked, sock: socket.socket) -> bytes | None:
        with suppress(OSError):
            while True:
                sock.sendall(piece)
                if len(piece) < 100:
                    threading.Event().wait(0.01)
        return None

    return says


BAD = {
    "empty": (None, "closed the connection without a complete answer"),
    "garbage": (b"\x00\xff\r\n\r\n" * 10, "not HTTP"),
    "no length": (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "not HTTP"),
    "long head": (b"HTTP/1.1 200 OK\r\nA: " + b"a" * 3000, "not HTTP"),
    "large": (status(200, b"x" * MOST), f"over {MOST} bytes"),
    "gzip": (status(200, gzip.compress(b"ignore"), "Content-Encoding: gzip"), "compressed"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_bad_answer_says_what_is_wrong(kind: str) -> None:
    answer, fault = BAD[kind]

    def says(asked: Asked, sock: socket.socket) -> bytes | None:
        if answer is not None:
            sock.sendall(answer)
        return None

    with answering(says) as server:
        async with pool_for(server) as pool:
            assert fault in await fault_of(pool)
            server.says = lambda asked, sock: OK
            assert (await pool.ask(GET)).status == 200


@pytest.mark.parametrize(
    "begin", [b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", b"", b"HTTP/1.1 "]
)
async def test_endless_answer_costs_what_is_allowed(begin: bytes) -> None:
    def says(asked: Asked, sock: socket.socket) -> bytes | None:
        sock.sendall(begin)
        return drips(b"x" * 65536)(asked, sock)

    with answering(says) as server:
        async with pool_for(server) as pool:
            fault = await fault_of(pool)
            assert f"over {MOST} bytes" in fault or "not HTTP" in fault


@pytest.mark.parametrize(
    "says",
    [drips(b"H"), drips(b"HTTP/1.1 100 Go on\r\n\r\n"), None],
    ids=["bytes", "100", "none"],
)
async def test_answer_that_does_not_end_in_time_is_none(
    says: Callable[[Asked, socket.socket], bytes | None] | None,
) -> None:
    over = threading.Event()

    def hangs(asked: Asked, sock: socket.socket) -> bytes | None:
        over.wait(20)
        return None

    with answering(says or hangs) as server:
        async with pool_for(server, timeout_s=0.2, connections=1) as pool:
            fault = await fault_of(pool)
            assert (
                "no answer within 0.2 s" in fault or "not HTTP" in fault or "over" in fault
            )
            over.set()
            server.says = lambda asked, sock: OK
            assert (await pool.ask(GET)).status == 200


async def test_connect_has_a_time_limit_of_its_own() -> None:
    with socket.socket() as full:  # a queue of one, which is full: nobody accepts
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        with socket.socket() as first, socket.socket() as second:
            for sock in (first, second):
                sock.setblocking(False)
                sock.connect_ex(address)
            bounds = Bounds(
                timeout_s=20, connect_timeout_s=0.2, connections=1, waiting=1,
                answer_bytes=MOST,
            )  # fmt: skip
            pool = Pool(Origin("http", *address), bounds, None)
            assert "no connection within 0.2 s" in await fault_of(pool)


async def test_caller_who_goes_away_leaves_no_connection_half_used() -> None:
    go_on = threading.Event()

    def says(asked: Asked, sock: socket.socket) -> bytes:
        if asked.path == "/slow":
            assert go_on.wait(20)
            return status(403)
        return OK

    with answering(says) as server:
        async with pool_for(server, connections=1) as pool:
            slow = asyncio.ensure_future(pool.ask(Request("GET", "/slow")))
            await asyncio.to_thread(server.until, 1)
            slow.cancel()
            with pytest.raises(asyncio.CancelledError):
                await slow
            go_on.set()
            await asyncio.to_thread(server.until_closed)
            assert (await pool.ask(GET)).status == 200


async def test_header_that_http_cannot_say_is_not_quoted() -> None:
    with answering() as server:
        async with pool_for(server) as pool:
            fault = await fault_of(pool, Request("GET", "/", ((b"A", b"hunter2\r\n"),)))
            assert fault == "the request cannot be sent as HTTP"
            assert (await pool.ask(GET)).status == 200


async def test_certificate_is_checked(tmp_path: Path) -> None:
    ca = certs.identity(tmp_path, "ca")
    other = certs.identity(tmp_path, "other")
    own = certs.identity(tmp_path, "server", issuer=ca)
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serves.load_cert_chain(own.certfile, own.keyfile)
    with answering(tls=serves) as server:
        trusting = client_tls(str(ca.certfile), None, None)
        async with pool_for(server, trusting) as pool:
            for _ in range(2):
                assert (await pool.ask(GET)).status == 200
        assert server.connections == 1
        doubting = client_tls(str(other.certfile), None, None)
        async with pool_for(server, doubting) as pool:
            assert "its certificate" in await fault_of(pool)


async def test_server_may_ask_for_a_certificate(tmp_path: Path) -> None:
    ca = certs.identity(tmp_path, "ca")
    own = certs.identity(tmp_path, "server", issuer=ca)
    mine = certs.identity(tmp_path, "mine", issuer=ca)
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serves.load_cert_chain(own.certfile, own.keyfile)
    serves.load_verify_locations(ca.certfile)
    serves.verify_mode = ssl.CERT_REQUIRED
    with answering(tls=serves) as server:
        shows = client_tls(str(ca.certfile), str(mine.certfile), str(mine.keyfile))
        async with pool_for(server, shows) as pool:
            assert (await pool.ask(GET)).status == 200
        async with pool_for(server, client_tls(str(ca.certfile), None, None)) as pool:
            await fault_of(pool)


@pytest.mark.parametrize("folder", [None, "empty", "hashed"])
async def test_system_decides_whom_it_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str | None
) -> None:
    """By its bundle, or by its folder where that has certificates by their hash."""
    ca = certs.identity(tmp_path, "ca")
    own = certs.identity(tmp_path, "server", issuer=ca)
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serves.load_cert_chain(own.certfile, own.keyfile)
    hashed = tmp_path / "by-hash"
    hashed.mkdir()
    if folder == "hashed":
        name = subprocess.run(
            ["openssl", "x509", "-hash", "-noout", "-in", str(ca.certfile)],
            capture_output=True, text=True, check=True, env=FOREIGN_ENV,
        )  # fmt: skip
        shutil.copy(ca.certfile, hashed / f"{name.stdout.strip()}.0")
    else:
        monkeypatch.setenv("SSL_CERT_FILE", str(ca.certfile))
    monkeypatch.setenv("SSL_CERT_DIR", str(hashed) if folder else str(tmp_path / "none"))
    with answering(tls=serves) as server:
        async with pool_for(server, client_tls(None, None, None)) as pool:
            assert (await pool.ask(GET)).status == 200


async def test_every_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*args: object, **more: object) -> list[tuple[object, ...]]:
        return [(2, 1, 6, "", (host, 0)) for host in ("127.0.0.3", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    with answering() as server:  # on 127.0.0.1 alone
        bounds = Bounds(
            timeout_s=20, connect_timeout_s=20, connections=1, waiting=1, answer_bytes=MOST
        )
        pool = Pool(Origin("http", "somewhere", server.port), bounds, None)
        assert (await pool.ask(GET)).status == 200
        pool.close()


async def test_resolver_that_hangs_delays_no_server_that_has_no_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Threads are few, and a resolver may hold all of them."""
    ends = threading.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **more: ends.wait())
    hanging = loop.run_in_executor(None, ends.wait)
    try:
        with answering() as server:
            async with pool_for(server) as pool:
                asking = asyncio.ensure_future(pool.ask(GET))
                done, _ = await asyncio.wait({asking}, timeout=5)
                assert done
                assert asking.result().status == 200
    finally:
        ends.set()
        await hanging


def test_targets_hold_what_a_request_line_can() -> None:
    assert request_target("http://h/a b?c=\xe9\r\n") == "/a%20b?c=%C3%A9"
    for url in ("ftp://h/", "http:///x", "h"):
        with pytest.raises(ValueError, match="not an http URL"):
            Origin.of(url)
