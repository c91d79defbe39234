"""Tokens of callers: 64 hexadecimal digits, good for a time after their last use.

::

    devices_token   hash   SHA-256 of the token
                    stamp  HMAC of the caller's password, or of its hash, keyed with the token

So the file tells neither tokens nor passwords; and with another password the stamp is another.
What a caller may do is what its user may do now.

Threads  belongs to the event loop
Source   http-dialects.md, "IoT platform"
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, NamedTuple

from nanomq_py.auth.callers import Caller, CallerKind
from nanomq_py.config.keys.http_server import DEFAULT_HTTP_PASSWORD
from nanomq_py.http.errors import Login, Unauthorized
from nanomq_py.plugins.devices.words import store_faults
from nanomq_py.store.moment import wall_s
from nanomq_py.store.roles import Role

if TYPE_CHECKING:
    from sqlite3 import Connection

    from nanomq_py.broker import Broker

BYTES = 32
MOST = 10_000  # tokens, with those that have ended; the one that ends first makes room
SLIDE_S = 60  # a use is written when the one before it is older
_TOKEN = re.compile(r"[0-9a-f]{64}")


class _Standing(NamedTuple):
    """What a caller has shown for its token, and what it may do now."""

    secret: bytes
    role: Role


class _Row(NamedTuple):
    name: str
    kind: CallerKind
    stamp: bytes
    until: int


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _stamp(token: str, secret: bytes) -> bytes:
    return hmac.digest(token.encode(), secret, hashlib.sha256)


def _refused(why: Login) -> Unauthorized:
    error = "" if why is Login.MISSING else ', error="invalid_token"'  # RFC 6750, 3
    return Unauthorized(why, challenge=f'Bearer realm="nanomq"{error}')


class Tokens:
    """Gives tokens to who has logged in, and lets in who has one."""

    def __init__(self, broker: Broker, life_s: int) -> None:
        self._broker = broker
        self.life_s = life_s

    async def give(self, caller: Caller) -> str:
        """Return a new token of somebody who has shown a password.

        Raises   Unauthorized where the user is gone meanwhile; HttpError
        """
        standing = await self._standing(caller.name, caller.kind)
        if standing is None:
            raise _refused(Login.WRONG)
        token = secrets.token_hex(BYTES)
        now = int(wall_s())
        row = (_hash(token), caller.name, caller.kind.value, _stamp(token, standing.secret))

        def act(connection: Connection) -> None:
            connection.execute(
                "DELETE FROM devices_token WHERE hash IN (SELECT hash FROM devices_token"
                " ORDER BY until DESC LIMIT -1 OFFSET ?)",
                (MOST - 1,),
            )
            connection.execute(
                "INSERT INTO devices_token VALUES (?, ?, ?, ?, ?)",
                (*row, now + self.life_s),
            )

        with store_faults():
            await self._broker.store.write(act)
        return token

    async def admit(
        self, address: str, authorization: str | None, gone: asyncio.Event | None = None
    ) -> Caller:
        """Return whose token that is. Raises Unauthorized, HttpError."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip().lower()
        if scheme.lower() != "bearer" or not token:
            raise _refused(Login.MISSING)
        if _TOKEN.fullmatch(token) is None:
            raise _refused(Login.WRONG)
        with store_faults():
            row = await self._row(_hash(token))
        if row is None:
            raise _refused(Login.WRONG)
        now = int(wall_s())
        if row.until <= now:
            raise _refused(Login.EXPIRED)
        standing = await self._standing(row.name, row.kind)
        if standing is None or not hmac.compare_digest(
            row.stamp, _stamp(token, standing.secret)
        ):
            raise _refused(Login.EXPIRED)
        if now + self.life_s - row.until >= SLIDE_S:
            await self._slide(_hash(token), now + self.life_s)
        return Caller(row.name, standing.role, row.kind)

    async def _row(self, hash: bytes) -> _Row | None:
        def act(connection: Connection) -> _Row | None:
            found = connection.execute(
                "SELECT name, kind, stamp, until FROM devices_token WHERE hash = ?", (hash,)
            ).fetchone()
            return found and _Row(found[0], CallerKind(found[1]), *found[2:])

        return await self._broker.store.read(act)

    async def _slide(self, hash: bytes, until: int) -> None:
        def act(connection: Connection) -> None:
            connection.execute(
                "UPDATE devices_token SET until = ? WHERE hash = ?", (until, hash)
            )

        with store_faults():
            await self._broker.store.write(act)

    async def _standing(self, name: str, kind: CallerKind) -> _Standing | None:
        """Return what a caller shows today; None: it may not log in any more."""
        accounts, http = self._broker.api_accounts, self._broker.config.http_server
        with store_faults():
            if kind is CallerKind.CONFIGURED:
                if name != http.username or http.auth_type != "basic":
                    return None
                is_default = http.password == DEFAULT_HTTP_PASSWORD
                if is_default and await accounts.has_administrator():
                    return None
                return _Standing(http.password.encode(), Role.ADMINISTRATOR)
            if kind is CallerKind.APP:
                app = await accounts.app(name)
                if app is None or not app.is_good(wall_s()):
                    return None
                return _Standing(app.hash.encode(), Role.ADMINISTRATOR)
            user = await accounts.user(name)
            return None if user is None else _Standing(user.hash.encode(), user.role)
