"""Who may call the API: tokens, and what guessing costs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import socket
import threading
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.testclient import TestClient

from nanomq_py.auth import throttle
from nanomq_py.auth.callers import Caller, CallerKind
from nanomq_py.config import ConfigError
from nanomq_py.config.keys.http_server import HttpServer
from nanomq_py.http import guard
from nanomq_py.http.errors import HttpError, Throttled
from nanomq_py.http.guard import BasicGuard, Gate, make_guard
from tests.conftest import Process, StartBroker
from tests.faults.test_http_attack import ASK, answer_of
from tests.http.test_v1 import AUTH, app_of
from tests.yardstick import Times, request_s

pytestmark = pytest.mark.plain

SECRET = "0123456789abcdef" * 2


class TestJwt:
    """``auth_type=jwt``: RS256 by the public key file, HS256 by a secret."""

    @pytest.fixture
    def key(self) -> Any:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @pytest.fixture
    def client(self, key: Any, tmp_path: Any) -> TestClient:
        path = tmp_path / "public.pem"
        path.write_bytes(
            key.public_key().public_bytes(
                s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo
            )
        )
        config = HttpServer(auth_type="jwt", jwt_public_keyfile=str(path))
        return app_of(guard=make_guard(config))

    def call(self, client: TestClient, token: str) -> tuple[int, int]:
        headers = {"Authorization": f"Bearer {token}"}
        got = client.post("/api/v1", content='{"req":2,"seq":1}', headers=headers)
        return got.status_code, got.json()["code"]

    def test_good_token_is_let_in(self, client: TestClient, key: Any) -> None:
        token = jwt.encode({"exp": time.time() + 60}, key, "RS256")
        assert self.call(client, token) == (200, 0)

    def test_old_token_is_401_and_116(self, client: TestClient, key: Any) -> None:
        token = jwt.encode({"exp": time.time() - 60}, key, "RS256")
        assert self.call(client, token) == (401, 116)

    def test_token_without_exp_is_refused(self, client: TestClient, key: Any) -> None:
        assert self.call(client, jwt.encode({"a": 1}, key, "RS256")) == (401, 103)

    def test_algorithm_none_is_refused(self, client: TestClient) -> None:
        token = jwt.encode({"exp": time.time() + 60}, None, "none")
        assert self.call(client, token) == (401, 103)

    def test_public_key_as_hmac_secret_is_refused(self, client: TestClient) -> None:
        token = jwt.encode({"exp": time.time() + 60}, "x" * 64, "HS256")
        assert self.call(client, token) == (401, 103)

    def test_basic_credentials_are_not_enough(self, client: TestClient) -> None:
        got = client.post("/api/v1", content='{"req":2,"seq":1}', auth=AUTH)
        assert (got.status_code, got.json()["code"]) == (401, 104)

    def test_token_of_a_secret_is_let_in_beside_those_of_the_key(
        self, key: Any, tmp_path: Any
    ) -> None:
        path = tmp_path / "public.pem"
        path.write_bytes(
            key.public_key().public_bytes(
                s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo
            )
        )
        both = HttpServer(auth_type="jwt", jwt_secret=SECRET, jwt_public_keyfile=str(path))
        client = app_of(guard=make_guard(both))
        claims = {"exp": time.time() + 60, "sub": "ops"}
        assert self.call(client, jwt.encode(claims, SECRET, "HS256")) == (200, 0)
        assert self.call(client, jwt.encode(claims, key, "RS256")) == (200, 0)
        assert self.call(client, jwt.encode(claims, SECRET[::-1], "HS256")) == (401, 103)
        assert self.call(client, jwt.encode(claims, SECRET * 2, "HS512")) == (401, 103)

    def test_key_that_is_none_is_refused_at_the_start(self, tmp_path: Any) -> None:
        path = tmp_path / "public.pem"
        for text in (
            "",
            "x",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        ):
            path.write_text(text)
            with pytest.raises(
                ConfigError, match="expected a PEM file of an RSA public key"
            ):
                make_guard(HttpServer(auth_type="jwt", jwt_public_keyfile=str(path)))

    @pytest.mark.parametrize("path", ["/dev/zero", "/no/such", "/"])
    def test_file_of_the_key_that_cannot_be_read_is_named(self, path: str) -> None:
        says = f"http_server.jwt.public.keyfile={path!r}: cannot be read: "
        with pytest.raises(ConfigError, match=says):
            make_guard(HttpServer(auth_type="jwt", jwt_public_keyfile=path))

    def test_public_key_is_no_secret_where_both_are_configured(
        self, key: Any, tmp_path: Any
    ) -> None:
        path = self.public_key(key, tmp_path)
        both = HttpServer(auth_type="jwt", jwt_secret=SECRET, jwt_public_keyfile=str(path))
        client = app_of(guard=make_guard(both))
        parts = [json.dumps(p).encode() for p in ({"alg": "HS256"}, {"exp": 1 << 40})]
        signed = b".".join(base64.urlsafe_b64encode(p).rstrip(b"=") for p in parts)
        digest = hmac.digest(path.read_bytes(), signed, hashlib.sha256)
        signature = base64.urlsafe_b64encode(digest).rstrip(b"=")
        assert self.call(client, (signed + b"." + signature).decode()) == (401, 103)

    def public_key(self, key: Any, folder: Any) -> Any:
        path = folder / "public.pem"
        path.write_bytes(
            key.public_key().public_bytes(
                s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo
            )
        )
        return path

    @pytest.mark.parametrize("token", ["x", "a.b.c", "e30.e30.", "\x00", "é"])
    def test_any_text_as_a_token_is_refused(self, client: TestClient, token: str) -> None:
        headers = {"Authorization": b"Bearer " + token.encode()}
        got = client.post("/api/v1", content='{"req":2,"seq":1}', headers=headers)
        assert got.status_code == 401


class TestTokenRules:
    """``http_server.jwt.iss``, ``.aud`` and ``.max_life``. Source: RFC 7519, 4.1."""

    def ask(self, config: HttpServer, **claims: object) -> tuple[int, str]:
        """Return code and message of a token with these claims."""
        token = jwt.encode(claims, SECRET, "HS256")
        got = app_of(guard=make_guard(config)).post(
            "/api/v1",
            content='{"req":2,"seq":1}',
            headers={"Authorization": f"Bearer {token}"},
        )
        assert got.status_code == (401 if got.json()["code"] else 200)
        if got.status_code == 401:
            assert 'error="invalid_token"' in got.headers["WWW-Authenticate"]
        return got.json()["code"], got.json().get("message", "")

    def rules(self, **given: Any) -> HttpServer:
        return HttpServer(auth_type="jwt", jwt_secret=SECRET, **given)

    def test_audience_must_be_among_those_of_the_token(self) -> None:
        config, exp = self.rules(jwt_audience="nanomq"), time.time() + 60
        assert self.ask(config, exp=exp, aud="nanomq") == (0, "")
        assert self.ask(config, exp=exp, aud=["x", "nanomq"]) == (0, "")
        for aud in ("other", ["other"], "nanomq2", [], 5):
            assert self.ask(config, exp=exp, aud=aud)[0] == 103
        assert self.ask(config, exp=exp) == (103, "the token has no aud")
        assert "jwt.aud" in self.ask(config, exp=exp, aud="other")[1]
        assert self.ask(self.rules(), exp=exp, aud="anybody") == (0, "")

    def test_issuer_that_is_set_must_be_named(self) -> None:
        config, exp = self.rules(jwt_issuer="ops"), time.time() + 60
        assert self.ask(config, exp=exp, iss="ops") == (0, "")
        assert self.ask(config, exp=exp) == (103, "the token has no iss")
        wrong = (103, "the token is not of http_server.jwt.iss")
        assert self.ask(config, exp=exp, iss="other") == wrong
        assert self.ask(self.rules(jwt_issuer=""), exp=exp, iss="anybody") == (0, "")

    async def test_issuer_is_the_file_name_of_the_public_key_by_default(
        self, tmp_path: Any
    ) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        path = TestJwt().public_key(key, tmp_path)
        config = self.rules(jwt_public_keyfile=str(path))
        gate = Gate(make_guard(config))

        async def admit(**said: str) -> Caller:
            token = jwt.encode({"exp": time.time() + 60, **said}, key, "RS256")
            return await gate.admit("192.0.2.1", f"Bearer {token}")

        for said in ({"iss": "public.pem"}, {}):
            assert (await admit(**said)).kind is CallerKind.TOKEN
        with pytest.raises(HttpError, match=r"not of http_server\.jwt\.iss"):
            await admit(iss="x")
        # The secret is no such file.
        assert self.ask(config, exp=time.time() + 60, iss="x") == (0, "")

    def test_token_that_lives_too_long_is_refused(self) -> None:
        config, now = self.rules(jwt_max_life_s=600), int(time.time())
        longer = (103, "the token lives longer than http_server.jwt.max_life")
        assert self.ask(config, iat=now - 10, exp=now + 590) == (0, "")
        assert self.ask(config, iat=now - 10, exp=now + 591) == longer
        assert self.ask(config, iat=now - 1000, exp=now + 60) == longer
        assert self.ask(config, exp=now + 590) == (0, "")
        assert self.ask(config, exp=now + 700) == longer
        assert self.ask(self.rules(), iat=0, exp=now + 10**9) == (0, "")

    def test_times_may_be_texts_of_numbers(self) -> None:
        config, now = self.rules(jwt_max_life_s=600), int(time.time())
        assert self.ask(config, iat=str(now - 10), exp=str(now + 590)) == (0, "")
        assert self.ask(config, iat=str(now - 10), exp=str(now + 591))[0] == 103
        assert self.ask(config, iat=str(now - 90), exp=str(now - 60))[0] == 116

    @pytest.mark.parametrize("iat", [None, "x", [], {}, float("inf"), 1 << 60])
    def test_time_that_is_none_is_refused(self, iat: object) -> None:
        config = self.rules(jwt_max_life_s=600)
        assert self.ask(config, iat=iat, exp=int(time.time()) + 60)[0] == 103

    @pytest.mark.parametrize("exp", [None, "x", [], float("inf"), float("nan")])
    def test_end_that_is_no_time_is_refused(self, exp: object) -> None:
        for config in (self.rules(), self.rules(jwt_max_life_s=600)):
            assert self.ask(config, exp=exp)[0] == 103
            assert self.ask(config) == (103, "the token has no exp")


WRONG, RIGHT = "Basic d3Jvbmc6d3Jvbmc=", "Basic YWRtaW46cHVibGlj"
GUESS = "Basic " + base64.b64encode(b"admin:guess").decode()


class TestGate:
    """After failed logins those of that address and user wait, the right ones too."""

    @pytest.fixture
    def gate(self) -> Gate:
        return Gate(BasicGuard(*AUTH))

    @pytest.fixture
    def waits(self, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """Waits take no time and are noted."""
        times: list[float] = []

        async def wait(network: str, wait_s: float, gone: asyncio.Event) -> None:
            times.append(round(wait_s, 3))

        monkeypatch.setattr(gate, "_wait", wait)
        return times

    async def fail(
        self, gate: Gate, address: str = "192.0.2.1", what: str = WRONG
    ) -> HttpError:
        with pytest.raises(HttpError) as caught:
            await gate.admit(address, what)
        return caught.value

    async def test_wait_grows_to_a_second(self, gate: Gate, waits: list[float]) -> None:
        for _ in range(12):
            await self.fail(gate)
        assert waits == [0.1, 0.2, 0.4, 0.8, 1, 1]

    async def test_right_login_waits_as_long_as_a_wrong_one(
        self, gate: Gate, waits: list[float]
    ) -> None:
        for _ in range(20):
            await self.fail(gate, what=GUESS)
        assert (await gate.admit("192.0.2.1", RIGHT)).name == "admin"
        assert waits[-1] == 1
        await self.fail(gate, what=GUESS)  # others have failed just before: no reset
        assert waits[-1] == 1

    async def test_missing_credentials_are_no_failure(
        self, gate: Gate, waits: list[float]
    ) -> None:
        for _ in range(10):
            with pytest.raises(HttpError):
                await gate.admit("192.0.2.1", None)
        await self.fail(gate)
        assert waits == []

    async def test_too_many_at_once_are_refused_unseen(
        self, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(guard, "MOST_WAITING", 3)
        monkeypatch.setattr(throttle, "FIRST_WAIT_S", 60.0)
        monkeypatch.setattr(throttle, "MOST_WAIT_S", 60.0)
        for _ in range(6):
            await self.fail(gate)
        waiting = [asyncio.create_task(gate.admit("192.0.2.1", WRONG)) for _ in range(3)]
        await asyncio.sleep(0)
        refused = await self.fail(gate)
        assert isinstance(refused, Throttled)
        assert (refused.status, refused.retry_after_s) == (429, 1)
        assert refused.headers["Retry-After"] == "1"
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert not gate._waiting

    async def test_login_of_a_peer_that_left_is_not_looked_at(
        self, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in range(6):
            await self.fail(gate)
        seen = []
        monkeypatch.setattr(gate.guard, "check", seen.append)
        gone = asyncio.Event()
        gone.set()
        with pytest.raises(HttpError):
            await gate.admit("192.0.2.1", WRONG, gone)
        assert seen == []

    async def test_many_right_logins_at_once_are_let_in(self, gate: Gate) -> None:
        right = [gate.admit("192.0.2.1", RIGHT) for _ in range(100)]
        assert {caller.name for caller in await asyncio.gather(*right)} == {"admin"}


class Guessers:
    """Threads that guess the password of ``admin`` as fast as they are let."""

    def __init__(self, process: Process, count: int) -> None:
        self.answers: list[int] = []
        self._answered = threading.Condition()
        self._process = process
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError):
                status = self._process.api(auth="admin:guess", req=2).status
                with self._answered:
                    self.answers.append(status)
                    self._answered.notify()

    def wait_for(self, answers: int) -> None:
        """Return when there are that many."""
        with self._answered:
            assert self._answered.wait_for(lambda: len(self.answers) >= answers, 60)

    def __enter__(self) -> Guessers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.alone
def test_right_password_gets_in_beside_guesses_of_the_same_address(
    start_broker: StartBroker,
) -> None:
    process, quiet = start_broker(), start_broker()
    times = Times(quiet, request_s)
    with Guessers(process, 24) as guessers:
        guessers.wait_for(31)
        before, began = len(guessers.answers), time.monotonic()
        for _ in range(4):
            times.take(lambda: request_s(process))
        guesses, took_s = len(guessers.answers) - before, time.monotonic() - began
    times.assert_undisturbed(99, waits_s=throttle.MOST_WAIT_S)
    assert guesses <= 24 * (took_s + 2)  # one a connection and second
    assert set(guessers.answers) == {401}


@pytest.mark.alone
def test_user_gets_in_where_guessers_have_every_place_of_his_address(
    start_broker: StartBroker,
) -> None:
    process, quiet = start_broker(), start_broker()
    times = Times(quiet, request_s)
    with Guessers(process, 40) as guessers:  # places: 32
        guessers.wait_for(81)
        for _ in range(4):
            times.take(lambda: request_s(process))
    # For a place, and then for the throttle.
    times.assert_undisturbed(99, waits_s=2 * throttle.MOST_WAIT_S)
    assert set(guessers.answers) == {401}


def test_failed_login_ends_its_connection(broker: Process) -> None:
    wrong = ASK.replace(b"YWRtaW46cHVibGlj", b"YWRtaW46d3Jvbmc=")
    with socket.create_connection(("127.0.0.1", broker.http_port), 20) as sock:
        sock.sendall(wrong[:-17])
        assert broker.api(req=2).status == 200  # the broker has had the time to read
        sock.sendall(wrong[-17:])  # the body comes later: the answer is not lost
        answer = b""
        while data := sock.recv(4096):
            answer += data
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in answer.lower()
    with socket.create_connection(("127.0.0.1", broker.http_port), 20) as sock:
        for _ in range(3):  # a right one keeps it
            sock.sendall(ASK)
            assert answer_of(sock).startswith(b"HTTP/1.1 200")


def test_connections_without_a_login_make_room_first(start_broker: StartBroker) -> None:
    process = start_broker(
        http_server__max_connections_per_address="3",
        constants={"nanomq_py.http.door.YOUNG_S": 0.0},
    )
    address = ("127.0.0.1", process.http_port)
    with contextlib.ExitStack() as closing:
        good = closing.enter_context(socket.create_connection(address, 20))
        good.sendall(ASK)
        assert answer_of(good).startswith(b"HTTP/1.1 200")
        # One is silent, one was refused and does not send its body.
        for first in (b"", ASK.replace(b"YWRtaW46cHVibGlj", b"eDp5")[:-5]):
            closing.enter_context(socket.create_connection(address, 20)).sendall(first)
        for _ in range(2):
            late = closing.enter_context(socket.create_connection(address, 20))
            late.sendall(ASK)
            assert answer_of(late).startswith(b"HTTP/1.1 200")
        good.sendall(ASK)
        assert answer_of(good).startswith(b"HTTP/1.1 200")
