"""Keys behind a URL: what a server may answer, and what becomes of the keys of before."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from nanomq_py.auth import fetched_keys
from nanomq_py.auth.fetched_keys import FetchedKeys
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.keys.tokens import JwtLogin
from nanomq_py.fetch import connection
from nanomq_py.run.warnings import forgeable
from nanomq_py.tokens.jws import Key
from tests.certs import Certs
from tests.conftest import ROOT
from tests.tokens import CURVE, RSA, jwk

pytestmark = pytest.mark.plain

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(
    answer: bytes | Serve, *, reads: bool = True, **options: Any
) -> AsyncIterator[int]:
    """Serve that answer, and close; yield the port. The request is read before."""
    tasks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            if reads:
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


def settings(port: int, scheme: str = "http", **given: Any) -> JwtLogin:
    host = {"http": "127.0.0.1", "https": "localhost"}[scheme]
    return JwtLogin(jwks_url=f"{scheme}://{host}:{port}/keys?x=1", **given)


async def fetched(answer: bytes | Serve) -> tuple[Key, ...]:
    async with serving(answer) as port:
        keys = FetchedKeys(settings(port))
        assert await keys.fetch()
        await keys.end()
    assert keys.was_fetched is bool(keys.keys)
    return keys.keys


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
SET = json.dumps({"keys": [jwk(RSA)]}).encode()
LENGTH = b"Content-Length: %d\r\n" % len(SET)


@pytest.mark.parametrize(
    "answer",
    [
        OK + LENGTH + b"\r\n" + SET + b" and more",
        OK + LENGTH.replace(b"-Length: ", b"-LENGTH:") + b"X: y\r\n\r\n" + SET,
        OK + b"\r\n" + SET,
        b"HTTP/1.0 200 OK\r\n\r\n" + SET,
        b"HTTP/1.1 200\r\n\r\n" + SET,
        CHUNKED + b"%x;x=y\r\n%b\r\n0\r\n\r\n" % (len(SET), SET),
        CHUNKED + b"2\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (SET[:2], len(SET) - 2, SET[2:]),
    ],
)  # fmt: skip
async def test_set_is_read(answer: bytes) -> None:
    assert [key.algorithm for key in await fetched(answer)] == ["RS256"]


async def test_request_asks_for_what_the_url_names() -> None:
    asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))

    async with serving(serve, reads=False) as port:
        keys = FetchedKeys(settings(port))
        await keys.fetch()
    line, *headers = asked[0].decode().lower().strip().split("\r\n")
    assert line == "get /keys?x=1 http/1.1"
    assert sorted(headers) == [
        "accept-encoding: identity", "accept: application/json", f"host: 127.0.0.1:{port}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "without a complete answer"),
        (b"hello", "not HTTP"),
        (b"\r\n\r\n", "not HTTP"),
        (b"SSH-2.0\r\n\r\n", "not HTTP"),
        (b"HTTP/2 200\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 301 Moved\r\nLocation: /z\r\n\r\n", "answers 301"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "answers 404"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "answers 204"),
        (OK + b"Content-Length: 5\r\n\r\nhell", "not HTTP"),
        (OK + b"Content-Length: -5\r\n\r\n", "not HTTP"),
        (OK + b"Content-Length: x\r\n\r\n", "not HTTP"),
        (OK + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001, "over 1000"),
        (OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", "not HTTP"),
        (OK + b"Content-Encoding: gzip\r\n" + LENGTH + b"\r\n" + SET, "compressed"),
        (OK + b"\r\n" + b"x" * 1001, "over 1000"),
        (OK + b"X: " + b"y" * 900, "not HTTP"),
        (OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n", "over 1000"),
        (CHUNKED + b"2\r\nhe", "not HTTP"),
        (CHUNKED + b"2\r\nheXX", "not HTTP"),
        (CHUNKED + b"-2\r\n", "not HTTP"),
        (CHUNKED + b"zz\r\n", "not HTTP"),
        (CHUNKED + b"ffffffffffffffffffffffff\r\n", "not HTTP"),
        (CHUNKED + b"384\r\n" + b"x" * 900 + b"\r\n80\r\n" + b"x" * 80, "over 1000"),
        (CHUNKED + b"1\r\nx\r\n" * 100, "over 50 pieces"),
        (b"HTTP/1.1 100 C\r\n\r\n" * 51 + OK, "over 50 pieces"),
        (OK + b"Content-Length: 5\r\n\r\nhello", "no JSON Web Key Set"),
        (OK + b"Content-Length: 0\r\n\r\n", "no JSON Web Key Set"),
    ],
)
async def test_every_other_answer_is_none(
    answer: bytes,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(fetched_keys, "MOST_ANSWER_BYTES", 1000)
    monkeypatch.setattr(connection, "MOST_PIECES", 50)
    assert await fetched(answer) == ()
    (said,) = [record.message for record in caplog.records if record.name == "nanomq"]
    assert why in said


async def test_slow_answer_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fetched_keys, "TIME_LIMIT_S", 0.2)

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.01)

    assert await fetched(drip) == ()
    assert "within 0.2 s" in caplog.text


async def test_nobody_who_listens_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(b"") as port:
        """It is free after this."""
    assert await FetchedKeys(settings(port)).fetch()
    assert "cannot connect" in caplog.text


async def test_server_must_have_a_certificate_of_a_known_ca(
    certs: Certs, caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.server.certfile, certs.server.keyfile)
    async with serving(OK + LENGTH + b"\r\n" + SET, ssl=context) as port:
        ours = settings(port, "https", jwks_cacertfile=str(certs.ca.certfile))
        for given, trusts in ((ours, True), (settings(port, "https"), False)):
            keys = FetchedKeys(given)
            assert await keys.fetch()
            assert bool(keys.keys) is trusts
            await keys.end()
    assert "its certificate" in caplog.text


def answer_of(*keys: object) -> bytes:
    body = json.dumps({"keys": keys}).encode()
    return OK + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


async def test_keys_of_before_stay_while_the_server_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(fetched_keys, "LEAST_PAUSE_S", 0.0)
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
    monkeypatch.setattr(fetched_keys, "LEAST_PAUSE_S", 0.0)
    kinds = [jwk(RSA), jwk(RSA), jwk(CURVE)]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer_of(kinds.pop(0) if len(kinds) > 1 else kinds[0]))

    async with serving(serve) as port:
        keys = FetchedKeys(settings(port, jwks_refresh_s=10))
        monkeypatch.setattr(keys, "_pause_s", 0.01)
        changes: asyncio.Queue[str] = asyncio.Queue()
        keys.begin(lambda: changes.put_nowait(keys.keys[0].algorithm))
        got = [await asyncio.wait_for(changes.get(), 20) for _ in range(2)]
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
        assert await waits
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_file_of_cas_that_is_none_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"auth\.jwt\.jwks\.cacertfile=/nowhere: cannot be read"
    ):
        FetchedKeys(JwtLogin(jwks_url="https://127.0.0.1/", jwks_cacertfile="/nowhere"))


def test_url_without_a_host_that_can_be_looked_up_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"auth\.jwt\.jwks\.url='http://a\.\.b/'"):
        FetchedKeys(JwtLogin(jwks_url="http://a..b/"))


SECRET_ONLY = """
import sys
from nanomq_py.auth import tokens, token_login
from nanomq_py.config import Config
from nanomq_py.config.keys.tokens import JwtLogin
tokens.check_keys(Config(auth_jwt=JwtLogin(enable=True, secret="x" * 32)))
loaded = {name for name in sys.modules if name.startswith(("nanomq_py.fetch", "h11"))}
assert not loaded, loaded
"""


def test_secret_needs_no_http_client() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SECRET_ONLY], cwd=ROOT, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(
    ("url", "warns"),
    [
        ("http://id.example.com/keys", True), ("http://192.0.2.1:8080/", True),
        ("http://[2001:db8::1]/", True), ("http://localhost.example.com/", True),
        ("https://id.example.com/keys", False), ("http://127.0.0.1:8080/", False),
        ("http://[::1]/", False), ("http://LOCALHOST/", False),
    ],
)  # fmt: skip
def test_keys_that_come_from_another_machine_in_the_clear_are_warned_of(
    url: str, warns: bool
) -> None:
    for enable in (True, False):
        config = Config(auth_jwt=JwtLogin(enable=enable, jwks_url=url))
        said = [text for text in forgeable(config) if text.startswith("auth.jwt.jwks.url=")]
        assert bool(said) is (warns and enable)
