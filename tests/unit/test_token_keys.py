"""Keys behind a URL: what a server may answer, and what becomes of the keys of before."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from nanomq_py.auth import token_keys
from nanomq_py.auth.token_keys import FetchedKeys
from nanomq_py.config import ConfigError
from nanomq_py.config.keys.tokens import JwtLogin
from nanomq_py.tokens.fetch import FetchError, fetched
from tests.certs import Certs
from tests.tokens import CURVE, RSA, jwk

pytestmark = pytest.mark.plain

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(answer: bytes | Serve, **options: Any) -> AsyncIterator[int]:
    """Serve that answer, and close; yield the port."""
    tasks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            await reader.readuntil(b"\r\n\r\n")
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                await answer(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def get(answer: bytes | Serve, most: int = 100, within_s: float = 5.0) -> bytes:
    async with serving(answer) as port:
        url = f"http://127.0.0.1:{port}/x?y=1"
        return await fetched(url, trust=None, most_bytes=most, time_limit_s=within_s)


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 5\r\n\r\nhello and more",
        OK + b"content-LENGTH:5\r\nX: y\r\n\r\nhello",
        OK + b"\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200\r\n\r\nhello",
        CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
    ],
)
async def test_document_is_read(answer: bytes) -> None:
    assert await get(answer) == b"hello"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "no HTTP"),
        (b"hello", "no HTTP"),
        (b"\r\n\r\n", "HTTP/1"),
        (b"SSH-2.0\r\n\r\n", "HTTP/1"),
        (b"HTTP/2 200\r\n\r\n", "HTTP/1"),
        (b"HTTP/1.1 abc\r\n\r\n", "HTTP/1"),
        (b"HTTP/1.1 301 Moved\r\nLocation: /z\r\n\r\n", "answers 301"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "answers 404"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "answers 204"),
        (OK + b"Content-Length: 5\r\n\r\nhell", "cut off"),
        (OK + b"Content-Length: -5\r\n\r\n", "no length"),
        (OK + b"Content-Length: x\r\n\r\n", "no length"),
        (OK + b"Content-Length: 101\r\n\r\n", "more than 100"),
        (OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", "no length"),
        (OK + b"\r\n" + b"x" * 101, "more than 100"),
        (OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n", "no HTTP"),
        (CHUNKED + b"2\r\nhe", "cut off"),
        (CHUNKED + b"2\r\nheXX", "no end"),
        (CHUNKED + b"-2\r\n", "more than"),
        (CHUNKED + b"zz\r\n", "no HTTP"),
        (CHUNKED + b"ffffffffffffffffffff\r\n", "more than"),
        (CHUNKED + b"64\r\n" + b"x" * 100 + b"\r\n1\r\nx", "more than"),
    ],
)
async def test_every_other_answer_is_none(answer: bytes, why: str) -> None:
    with pytest.raises(FetchError, match=why):
        await get(answer)


async def test_slow_answer_is_given_up() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.01)

    with pytest.raises(FetchError, match=r"within 0\.2 s"):
        await get(drip, within_s=0.2)


async def test_nobody_who_listens_is_an_error() -> None:
    async with serving(b"") as port:
        """It is free after this."""
    with pytest.raises(FetchError):
        await fetched(f"http://127.0.0.1:{port}", trust=None, most_bytes=1, time_limit_s=5)


async def test_server_must_have_a_certificate_of_a_known_ca(certs: Certs) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.server.certfile, certs.server.keyfile)
    answer = OK + b"Content-Length: 2\r\n\r\nhi"
    async with serving(answer, ssl=context) as port:
        url = f"https://localhost:{port}/"
        ours = ssl.create_default_context(cafile=str(certs.ca.certfile))
        got = await fetched(url, trust=ours, most_bytes=9, time_limit_s=5)
        assert got == b"hi"
        theirs = ssl.create_default_context()
        with pytest.raises(FetchError, match=r"(?i)certificate"):
            await fetched(url, trust=theirs, most_bytes=9, time_limit_s=5)


def answer_of(*keys: object) -> bytes:
    body = json.dumps({"keys": keys}).encode()
    return OK + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def settings(port: int, **given: Any) -> JwtLogin:
    return JwtLogin(jwks_url=f"http://127.0.0.1:{port}/keys", **given)


async def test_keys_of_before_stay_while_the_server_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(token_keys, "LEAST_PAUSE_S", 0.0)
    answers = [answer_of(jwk(RSA)), b"", b"HTTP/1.1 500 x\r\n\r\n", answer_of(),
               answer_of(*[jwk(CURVE)] * 10_000), answer_of(jwk(CURVE)), b""]  # fmt: skip
    counts = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))

    async with serving(serve) as port:
        keys = FetchedKeys(settings(port))
        for _ in range(7):
            assert await keys.fetch()
            counts.append([key.algorithm for key in keys.keys])
    assert counts == [["RS256"]] * 5 + [["ES256"]] * 2
    said = [r.message for r in caplog.records if "jwks.url" in r.message]
    assert ["no keys" in line for line in said] == [True, False, True], said


async def test_fetches_have_a_pause_between_them_and_many_wait_for_one() -> None:
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.write(answer_of(jwk(RSA)))

    async with serving(serve) as port:
        keys = FetchedKeys(settings(port))
        assert await asyncio.gather(*(keys.fetch() for _ in range(20))) == [True] * 20
        assert not await keys.fetch()
    assert (asked, len(keys.keys)) == (1, 1)


async def test_keys_are_fetched_again_from_time_to_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(token_keys, "LEAST_PAUSE_S", 0.0)
    kinds = [jwk(RSA), jwk(RSA), jwk(CURVE)]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer_of(kinds.pop(0) if len(kinds) > 1 else kinds[0]))

    async with serving(serve) as port:
        keys = FetchedKeys(settings(port, jwks_refresh_s=10))
        monkeypatch.setattr(keys, "_pause_s", 0.01)
        changes: asyncio.Queue[str] = asyncio.Queue()
        keys.begin(lambda: changes.put_nowait(keys.keys[0].algorithm))
        got = [await asyncio.wait_for(changes.get(), 10) for _ in range(2)]
        await keys.end()
    assert got == ["RS256", "ES256"]  # told when they have changed, and not else


async def test_end_of_a_fetch_under_way_leaves_nothing() -> None:
    began = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began.set()
        await asyncio.sleep(60)

    async with serving(serve) as port:
        keys = FetchedKeys(settings(port))
        keys.begin(lambda: None)
        waits = asyncio.create_task(keys.fetch())
        await began.wait()
        await keys.end()
        with pytest.raises(asyncio.CancelledError):
            await waits
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_file_of_cas_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"auth\.jwt\.jwks\.cacertfile='/nowhere'"):
        FetchedKeys(JwtLogin(jwks_url="https://127.0.0.1/", jwks_cacertfile="/nowhere"))
