"""Who may call the API: HTTP Basic or a JWT. Source: RFC 7617, http-dialects V1."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from typing import Protocol

from nanomq_py.auth.password import Secret
from nanomq_py.auth.throttle import Throttle, network_of
from nanomq_py.config.keys.http_server import HttpServer
from nanomq_py.http.errors import Login, Throttled, Unauthorized
from nanomq_py.http.token_guard import jwt_guard


class Guard(Protocol):
    """Lets a request through or raises Unauthorized."""

    def claims(self, authorization: str) -> str:
        """Return the user name that the header claims; empty where it has none."""

    def check(self, authorization: str | None) -> str:
        """Return who calls, for the audit log. ``authorization`` may be anything."""


def _credentials(authorization: str) -> tuple[bytes, bytes] | None:
    """Return user name and password; None for what is not Basic. Raises ValueError."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic" or not encoded.strip():
        return None
    username, _, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    return username, password


class BasicGuard:
    """One user name and password, both compared in constant time."""

    def __init__(self, username: str, password: str) -> None:
        self._name = username
        self._username = Secret(username.encode())
        self._password = Secret(password.encode())

    def claims(self, authorization: str) -> str:
        """Return the user name."""
        try:
            username, _ = _credentials(authorization) or (b"", b"")
        except ValueError:
            return ""
        return username.decode(errors="replace")

    def check(self, authorization: str | None) -> str:
        """Raise Unauthorized without credentials, and with wrong ones."""
        challenge = 'Basic realm="nanomq", charset="UTF-8"'
        try:
            username, password = _credentials(authorization or "") or (b"", b"")
        except ValueError:
            raise Unauthorized(Login.WRONG, challenge=challenge) from None
        if not username and not password:
            raise Unauthorized(Login.MISSING, challenge=challenge)
        # Both, always: the time must not tell which one was wrong.
        right = [self._username.matches(username), self._password.matches(password)]
        if not all(right):
            raise Unauthorized(Login.WRONG, challenge=challenge)
        return self._name


def make_guard(config: HttpServer) -> Guard:
    """Return the guard that ``http_server.auth_type`` asks for. Blocks: it reads the key.

    Raises   ConfigError when the keys cannot be used
    """
    if config.auth_type == "basic":
        return BasicGuard(config.username, config.password)
    return jwt_guard(config)


MOST_WAITING = 64  # requests of one address


class Gate:
    """The guard in force, which a reload replaces, and the logins that have failed.

    After failures a login waits before it is checked, right ones like wrong ones: otherwise
    the time until the answer would tell which one it was. It is not checked if its peer leaves
    meanwhile. So one address has as many guesses a second as it has connections.
    """

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self._throttle = Throttle()
        self._waiting: Counter[str] = Counter()

    async def admit(
        self, address: str, authorization: str | None, gone: asyncio.Event | None = None
    ) -> str:
        """Return who asks, after a second at most. Raises Unauthorized, Throttled.

        gone   set when the peer has left
        """
        user = self.guard.claims(authorization or "")
        wait_s = self._throttle.wait_s(address, user) if authorization else 0.0
        if wait_s > 0:
            await self._wait(network_of(address), wait_s, gone or asyncio.Event())
        try:
            name = self.guard.check(authorization)
        except Unauthorized as refused:
            if refused.why is Login.WRONG:
                self._throttle.failed(address, user)
            raise
        self._throttle.succeeded(address, user)
        return name

    async def _wait(self, network: str, wait_s: float, gone: asyncio.Event) -> None:
        if self._waiting[network] >= MOST_WAITING:
            raise Throttled(
                "too many logins of this address wait behind failed ones; try later",
                retry_after_s=1,
            )
        self._waiting[network] += 1
        try:
            await asyncio.wait_for(gone.wait(), wait_s)
        except asyncio.TimeoutError:
            return
        finally:
            self._waiting[network] -= 1
            if self._waiting[network] == 0:
                del self._waiting[network]
        raise Unauthorized(Login.GONE)
