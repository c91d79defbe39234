"""Who may call the API: tokens, and what guessing costs."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.testclient import TestClient

from nanomq_py.config import ConfigError
from nanomq_py.config.sections import HttpServer
from nanomq_py.http import throttle
from nanomq_py.http.guard import BasicGuard, Gate, make_guard
from nanomq_py.http.reply import Code, Refused
from tests.http.test_v1 import AUTH, app_of

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

    @pytest.mark.parametrize("token", ["x", "a.b.c", "e30.e30.", "\x00", "é"])
    def test_any_text_as_a_token_is_refused(self, client: TestClient, token: str) -> None:
        headers = {"Authorization": b"Bearer " + token.encode()}
        got = client.post("/api/v1", content='{"req":2,"seq":1}', headers=headers)
        assert got.status_code == 401


class TestThrottle:
    """After failed logins an address waits."""

    @pytest.fixture
    def slept(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """Waits take no time and are noted."""
        times: list[float] = []
        clock = [1000.0]

        async def sleep(delay: float) -> None:
            times.append(round(delay, 3))
            clock[0] += delay

        monkeypatch.setattr(throttle.asyncio, "sleep", sleep)
        monkeypatch.setattr(throttle.time, "monotonic", lambda: clock[0])
        return times

    @pytest.fixture
    def gate(self) -> Gate:
        return Gate(BasicGuard(*AUTH))

    async def fail(self, gate: Gate, address: str = "192.0.2.1") -> Refused:
        with pytest.raises(Refused) as caught:
            await gate.admit(address, "Basic d3Jvbmc6d3Jvbmc=")
        return caught.value

    async def test_wait_grows_with_each_failure(
        self, gate: Gate, slept: list[float]
    ) -> None:
        for _ in range(14):
            await self.fail(gate)
        assert slept == [0, 0, 0, 0, 0, 0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]

    async def test_right_login_waits_too_and_ends_it(
        self, gate: Gate, slept: list[float]
    ) -> None:
        for _ in range(8):
            await self.fail(gate)
        assert await gate.admit("192.0.2.1", "Basic YWRtaW46cHVibGlj") == "admin"
        assert slept[-1] == 0.4
        await self.fail(gate)
        assert slept[-1] == 0

    async def test_others_do_not_wait(self, gate: Gate, slept: list[float]) -> None:
        for _ in range(8):
            await self.fail(gate)
        await self.fail(gate, "192.0.2.2")
        assert slept[-1] == 0

    async def test_network_of_64_bits_is_one_address(
        self, gate: Gate, slept: list[float]
    ) -> None:
        for n in range(8):
            await self.fail(gate, f"2001:db8::{n:x}")
        assert slept[-1] == 0.2
        await self.fail(gate, "2001:db8:0:1::1")
        assert slept[-1] == 0

    async def test_missing_credentials_are_no_failure(
        self, gate: Gate, slept: list[float]
    ) -> None:
        for _ in range(10):
            with pytest.raises(Refused):
                await gate.admit("192.0.2.1", None)
        assert slept == [0] * 10

    async def test_too_many_at_once_are_refused(
        self, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import asyncio

        monkeypatch.setattr(throttle, "FIRST_WAIT_S", 60.0)
        monkeypatch.setattr(throttle, "MOST_WAIT_S", 60.0)
        for _ in range(6):
            await self.fail(gate)
        waiting = [
            asyncio.create_task(gate.admit("192.0.2.1", "Basic x"))
            for _ in range(throttle.MOST_WAITING)
        ]
        await asyncio.sleep(0)
        refused = await self.fail(gate)
        assert (refused.status, refused.code) == (429, Code.WRONG_USERNAME_OR_PASSWORD)
        assert 1 <= int(refused.headers["Retry-After"]) <= 61
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def test_many_right_logins_at_once_are_let_in(self, gate: Gate) -> None:
        import asyncio

        right = [gate.admit("192.0.2.1", "Basic YWRtaW46cHVibGlj") for _ in range(100)]
        assert set(await asyncio.gather(*right)) == {"admin"}

    async def test_addresses_are_bounded(
        self, gate: Gate, monkeypatch: pytest.MonkeyPatch, slept: list[float]
    ) -> None:
        monkeypatch.setattr(throttle, "MOST_ADDRESSES", 10)
        for n in range(50):
            await self.fail(gate, f"192.0.2.{n}")
        assert len(gate._throttle._by_address) <= 11
