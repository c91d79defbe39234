"""Who may call the API: HTTP Basic or a JWT. Source: RFC 7617, http-dialects V1."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections import Counter
from collections.abc import Awaitable
from typing import Protocol

from nanomq_py.auth.callers import Caller, CallerKind, CannotJudgeError, Stored
from nanomq_py.auth.password import Secret
from nanomq_py.auth.throttle import Throttle, network_of
from nanomq_py.config.keys.http_server import DEFAULT_HTTP_PASSWORD, HttpServer
from nanomq_py.http.errors import HttpError, Login, Throttled, Unauthorized, Unexpected
from nanomq_py.http.token_guard import jwt_guard
from nanomq_py.store.roles import Role

log = logging.getLogger("nanomq.http")


class Nobody:
    """No user and no app."""

    needs_administrator = False

    async def has_administrator(self) -> bool:
        return False

    async def check(self, name: bytes, password: bytes, address: str) -> Caller | None:
        return None


class Guard(Protocol):
    """Lets a request through or raises Unauthorized."""

    def claims(self, authorization: str) -> str:
        """Return the user name that the header claims; empty where it has none."""

    async def check(
        self, authorization: str | None, address: str, stored: Stored
    ) -> Caller:
        """Return who calls. ``authorization`` may be anything."""

    async def prove(
        self, name: bytes, password: bytes, address: str, stored: Stored
    ) -> Caller:
        """Return who has that password."""


def _credentials(authorization: str) -> tuple[bytes, bytes] | None:
    """Return user name and password; None for what is not Basic. Raises ValueError."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic" or not encoded.strip():
        return None
    username, _, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    return username, password


_BASIC = 'Basic realm="nanomq", charset="UTF-8"'


class BasicGuard:
    """The user of the configuration, and users and apps of the store.

    A default password counts while no user of the store is an administrator.
    """

    def __init__(self, username: str, password: str, *, is_default: bool = False) -> None:
        self._username = Secret(username.encode())
        self._password = Secret(password.encode())
        self._is_default = is_default
        self._caller = Caller(username, Role.ADMINISTRATOR, CallerKind.CONFIGURED)

    def claims(self, authorization: str) -> str:
        """Return the user name."""
        try:
            username, _ = _credentials(authorization) or (b"", b"")
        except ValueError:
            return ""
        return username.decode(errors="replace")

    async def check(
        self, authorization: str | None, address: str, stored: Stored
    ) -> Caller:
        """Raise Unauthorized without credentials, and with wrong ones."""
        try:
            username, password = _credentials(authorization or "") or (b"", b"")
        except ValueError:
            raise Unauthorized(Login.WRONG, challenge=_BASIC) from None
        if not username and not password:
            raise Unauthorized(Login.MISSING, challenge=_BASIC)
        return await self.prove(username, password, address, stored)

    async def prove(
        self, name: bytes, password: bytes, address: str, stored: Stored
    ) -> Caller:
        # Both, always: the time must not tell which one was wrong.
        right = [self._username.matches(name), self._password.matches(password)]
        if all(right) and not (self._is_default and await stored.has_administrator()):
            return self._caller
        caller = await stored.check(name, password, address)
        if caller is None:
            raise Unauthorized(Login.WRONG, challenge=_BASIC)
        return caller


def make_guard(config: HttpServer) -> Guard:
    """Return the guard that ``http_server.auth_type`` asks for. Blocks: it reads the key.

    Raises   ConfigError when the keys cannot be used
    """
    if config.auth_type == "basic":
        is_default = config.password == DEFAULT_HTTP_PASSWORD
        return BasicGuard(config.username, config.password, is_default=is_default)
    return jwt_guard(config)


MOST_WAITING = 64  # requests of one network (auth/throttle.py)
TELL_AGAIN_S = 10.0


class Gate:
    """The guard in force, which a reload replaces, and the logins that have failed.

    After failures a login waits before it is checked, right ones like wrong ones: otherwise
    the time until the answer would tell which one it was. It is not checked if its peer leaves
    meanwhile. So one address has as many guesses a second as it has connections.
    """

    def __init__(self, guard: Guard, stored: Stored | None = None) -> None:
        """Take the guard, and the users and apps that the configuration does not have."""
        self.guard = guard
        self.stored: Stored = Nobody() if stored is None else stored
        self._throttle = Throttle()
        self._waiting: Counter[str] = Counter()
        self._told_at = float("-inf")  # that logins cannot be judged

    async def admit(
        self, address: str, authorization: str | None, gone: asyncio.Event | None = None
    ) -> Caller:
        """Return who asks. Raises Unauthorized, Throttled, Unexpected.

        It waits for a second at most, and then for the hash of a password, if there is one.

        gone   set when the peer has left
        """
        user = self.guard.claims(authorization or "")
        if authorization:
            await self._take_turn(address, user, gone)
        judged = self.guard.check(authorization, address, self.stored)
        return await self._counted(address, user, judged)

    async def prove(
        self,
        address: str,
        name: str,
        password: str,
        gone: asyncio.Event | None = None,
    ) -> Caller:
        """Return who has that password, of a request's body; else as for :meth:`admit`."""
        await self._take_turn(address, name, gone)
        name_bytes, password_bytes = (
            text.encode(errors="surrogatepass") for text in (name, password)
        )
        judged = self.guard.prove(name_bytes, password_bytes, address, self.stored)
        return await self._counted(address, name, judged)

    async def _take_turn(self, address: str, user: str, gone: asyncio.Event | None) -> None:
        wait_s = self._throttle.wait_s(address, user)
        if wait_s > 0:
            await self._wait(network_of(address), wait_s, gone or asyncio.Event())

    async def _counted(self, address: str, user: str, judged: Awaitable[Caller]) -> Caller:
        try:
            caller = await judged
        except Unauthorized as refused:
            if refused.why is Login.WRONG:
                self._throttle.failed(address, user)
            raise
        except CannotJudgeError as fault:
            raise self._unjudged(fault) from None
        self._throttle.succeeded(address, user)
        return caller

    def _unjudged(self, fault: CannotJudgeError) -> HttpError:
        if fault.is_busy:
            return Throttled(f"{fault}; try later", retry_after_s=1)
        now = time.monotonic()
        if now - self._told_at > TELL_AGAIN_S:
            self._told_at = now
            log.error("users and apps cannot log in: %s", fault)
        return Unexpected("the login cannot be judged; the log says why")

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
