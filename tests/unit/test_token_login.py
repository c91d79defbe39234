"""The authenticator of tokens: what it says, when it waits, and what it keeps."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from nanomq_py.auth import token_login
from nanomq_py.auth.chain import Answer, Decision, Login
from nanomq_py.auth.fetched_keys import FetchedKeys
from nanomq_py.auth.token_keys import keys_of_files
from nanomq_py.auth.token_login import TokenLogin
from nanomq_py.config.keys.tokens import Claim, JwtLogin
from nanomq_py.core.declared import ReasonCode
from nanomq_py.tokens.jws import Key
from nanomq_py.tokens.keyset import key_of_pem, keys_of_jwks
from tests.tokens import CURVE, RSA, SECRET, encoded, jwk, pem, token

pytestmark = pytest.mark.plain

SETTINGS = JwtLogin(
    enable=True,
    secret=SECRET,
    issuer="i",
    audience="a",
    claims=(Claim("dev", "%c-%u"),),
)
KEYS = (
    keys_of_files(JwtLogin(secret=SECRET))["auth.jwt.secret"][0],
    key_of_pem(pem(RSA)),
    key_of_pem(pem(CURVE)),
)
WHO = Login(1, "192.0.2.1", "c", "u", None)
WRONG = ReasonCode.BAD_USER_NAME_OR_PASSWORD
RIGHT: dict[str, Any] = {"iss": "i", "aud": ["a", "b"], "dev": "c-u"}
ALGORITHMS = ("HS256", "RS256", "ES256")


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


def of(
    thread: ThreadPoolExecutor, keys: tuple[Key, ...] = KEYS, **given: Any
) -> TokenLogin:
    return TokenLogin(replace(SETTINGS, **given), keys, None, thread)


async def answer(login: TokenLogin, password: str | bytes | None, **who: Any) -> Answer:
    given = password.encode() if isinstance(password, str) else password
    said = login.decide(replace(WHO, **{"password": given, **who}))
    return await said if inspect.isawaitable(said) else said


async def code(login: TokenLogin, password: str | bytes | None, **who: Any) -> int:
    decision = await answer(login, password, **who)
    assert decision is not None
    return decision.reason_code


def is_known(login: TokenLogin, text: str) -> bool:
    """Return whether the token is judged at once."""
    said = login.decide(replace(WHO, password=text.encode()))
    if not inspect.iscoroutine(said):
        return True
    said.close()
    return False


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_each_wrong_token_is_refused_and_the_right_one_is_not(
    algorithm: str, thread: ThreadPoolExecutor
) -> None:
    login, now = of(thread), time.time()

    def made(**claims: Any) -> str:
        return token(algorithm, **{**RIGHT, **claims})

    good = made()
    assert [await code(login, good) for _ in range(2)] == [0, 0]
    assert await code(login, made(x="y" * 45_000)) == 0
    head, body, _ = good.split(".")
    wrong = [
        made(exp=now - 1),
        made(exp=None),
        made(exp="later"),
        made(nbf=now + 60),
        made(iss="j"),
        made(iss=None),
        made(aud="c"),
        made(aud=[]),
        made(dev="c"),
        made(dev=None),
        made(x="y" * 45_000)[:-9] + "AAAAAAAAA",
        f"{head}.{body}.",
        f"{head}.{body}.AAAA",
        f"{head}..{good.rpartition('.')[2]}",
        f"{encoded(json.dumps({'alg': 'none'}).encode())}.{body}.",
        f"{encoded(json.dumps({'alg': algorithm.lower()}).encode())}.{body}.AAAA",
        f"{encoded(b'{}')}.{body}.AAAA",
        f"{head}.{body}.ä",
        token(algorithm, b"\xff\xfe"),
    ]
    for text in wrong:
        for _ in range(2):
            assert await code(login, text) == WRONG, text
    assert await code(login, good, client_id="d") == WRONG
    assert await code(login, good, user_name="v") == WRONG
    assert await code(login, good, user_name=None) == WRONG
    assert await code(login, good) == 0


@pytest.mark.parametrize(
    "password", [None, b"", b"p", b"a.b.c", b"\xff.\xfe.\xfd", b"x" * (1 << 20)]
)
async def test_what_is_no_token_passes(
    password: bytes | None, thread: ThreadPoolExecutor
) -> None:
    assert await answer(of(thread), password) is None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_token_ends_its_connection(
    algorithm: str, thread: ThreadPoolExecutor
) -> None:
    end = float(round(time.time()) + 60)
    login = of(thread, leeway_s=5)
    said = [await answer(login, token(algorithm, **RIGHT, exp=end)) for _ in range(2)]
    assert said == [Decision(ReasonCode.SUCCESS, "u", ends_at_s=end + 5)] * 2
    endless = of(thread, require_exp=False)
    without = await answer(endless, token(algorithm, RIGHT))
    assert without == Decision(ReasonCode.SUCCESS, "u")


async def test_known_token_is_judged_at_every_login(thread: ThreadPoolExecutor) -> None:
    login = of(thread)
    made = token("ES256", **RIGHT, nbf=0, exp=time.time() + 1)
    assert await code(login, made) == 0
    while await code(login, made) == 0:  # until it ends
        await asyncio.sleep(0.02)
    assert await code(login, made) == WRONG


async def test_verified_token_needs_no_thread_the_second_time(
    thread: ThreadPoolExecutor,
) -> None:
    login = of(thread)
    who = replace(WHO, password=token("ES256", **RIGHT).encode())
    first = login.decide(who)
    assert inspect.isawaitable(first)
    assert (await first) == login.decide(who)
    login.forget_verified()
    again = login.decide(who)
    assert inspect.isawaitable(again)
    await again


async def test_what_is_kept_is_bounded(
    thread: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_login, "MOST_KEPT", 2)
    login = of(thread)
    made = [token("RS256", **RIGHT, n=n) for n in range(3)]
    made.append(token("RS256", **RIGHT, x="y" * 5000))  # too large to be kept
    for text in made:
        assert await code(login, text) == 0
    assert [is_known(login, text) for text in made] == [False, True, True, False]


async def test_more_tokens_than_may_wait_find_it_busy(
    thread: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_login, "MOST_WAITING", 3)
    login, free = of(thread), threading.Event()
    thread.submit(free.wait)
    try:
        made = [token("RS256", **RIGHT, n=n) for n in range(4)]
        tasks = [asyncio.create_task(code(login, text)) for text in made]
        assert await tasks[3] == ReasonCode.SERVER_BUSY
        assert not any(task.done() for task in tasks[:3])
        assert await code(login, token("HS256", **RIGHT)) == 0  # needs no thread
    finally:
        free.set()
    assert await asyncio.gather(*tasks[:3]) == [0, 0, 0]


async def test_loop_goes_on_while_a_token_waits(thread: ThreadPoolExecutor) -> None:
    login, free = of(thread), threading.Event()
    thread.submit(free.wait)
    task = asyncio.create_task(code(login, token("ES256", **RIGHT)))
    await asyncio.sleep(0)
    free.set()  # by the loop, which does not wait
    assert await task == 0


class Server:
    """Stands for a server of keys."""

    def __init__(self, *keys: Key, later: tuple[Key, ...] = ()) -> None:
        self.keys, self._later = keys, later
        self.was_fetched = bool(keys)
        self.asked = 0

    async def fetch(self) -> bool:
        self.asked += 1
        await asyncio.sleep(0)
        if self._later:
            self.keys, self.was_fetched = self._later, True
        return True


def keys(**named: Any) -> tuple[Key, ...]:
    found = [jwk(key, kid=kid) for kid, key in named.items()]
    return keys_of_jwks(json.dumps({"keys": found}).encode())


@pytest.mark.parametrize("first", [(), keys(r=RSA)])
async def test_key_that_is_not_there_is_fetched(
    first: tuple[Key, ...], thread: ThreadPoolExecutor
) -> None:
    server: Any = Server(*first, later=keys(r=RSA, e=CURVE))
    login = TokenLogin(SETTINGS, (), server, thread)
    made = token("ES256", header={"kid": "e"}, **RIGHT)
    assert [await code(login, made) for _ in range(2)] == [0, 0]
    assert server.asked == 1
    assert await code(login, token("ES256", header={"kid": "x"}, **RIGHT)) == WRONG
    assert server.asked == 2


async def test_while_there_was_never_a_key_nobody_is_judged(
    thread: ThreadPoolExecutor,
) -> None:
    login = TokenLogin(SETTINGS, (), Server(), thread)  # type: ignore[arg-type]
    for header in ({}, {"kid": "e"}):
        made = token("ES256", header=header, **RIGHT)
        assert await code(login, made) == ReasonCode.SERVER_UNAVAILABLE
    assert await code(login, token("HS256", **RIGHT)) == WRONG


async def test_reload_that_ends_a_fetch_leaves_who_waits_for_it_an_answer() -> None:
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        fetched = FetchedKeys(JwtLogin(jwks_url=f"http://127.0.0.1:{port}/"))
        waits = asyncio.create_task(fetched.fetch())
        await asked.wait()
        await fetched.end()
        assert await waits


@pytest.mark.parametrize(
    ("named", "claims", "expected"),
    [
        ("", {"is_superuser": True}, False),
        ("", {"": True}, False),
        ("root", {"is_superuser": True}, False),
        ("root", {"root": True}, True),
        ("root", {"root": False}, False),
        ("root", {}, False),
        *(("root", {"root": said}, None) for said in (None, 1, 0, "true", "", [], {})),
    ],
)
async def test_superuser_is_who_has_the_claim_that_the_key_names(
    thread: ThreadPoolExecutor, named: str, claims: dict[str, Any], expected: bool | None
) -> None:
    login = of(thread, superuser_claim=named)
    said = await answer(login, token(**RIGHT, **claims))
    assert said is not None
    assert (said.reason_code == WRONG) is (expected is None)
    assert said.is_superuser is bool(expected)
