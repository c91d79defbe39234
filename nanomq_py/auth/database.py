"""The built-in users: an authenticator that knows those of the store, and what changes them.

::

    CONNECT ──> the store: that user name, or else that client identifier ──> Verifier
    put, delete ──> the store ──> who is connected as that user has to log in again

A password that is right for a client identifier proves no user name: the client has none then,
whatever its CONNECT says. Before MQTT 5.0 it has to say one [MQTT-3.1.2-22 of 3.1.1].
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Sequence

from nanomq_py.auth.chain import Answer, Decision, Login
from nanomq_py.auth.hashing import hashed, read_hash
from nanomq_py.auth.verifier import Verifier
from nanomq_py.config.values.texts import in_words, shown
from nanomq_py.core.binding import Core, CoreError
from nanomq_py.core.declared import ReasonCode
from nanomq_py.core.records import Kick
from nanomq_py.core.settling import Settling
from nanomq_py.store.paging import Rows
from nanomq_py.store.users import StoredUser, UserKind, UserTable

audit = logging.getLogger("nanomq.audit")

MOST_MQTT_PASSWORD_BYTES = 65_535
MOST_DECOYS = 1000  # stored hashes that the password of an unknown user is tried against
NO_NAME = ""


class DatabaseUsers:
    """The users of the store: an authenticator."""

    name = "database"

    def __init__(self, table: UserTable, verifier: Verifier, decoys: Sequence[str]) -> None:
        """Make it.

        decoys  stored hashes of some of them: a wrong name takes the time of these
        """
        self.decoys = decoys
        self._table = table
        self._verifier = verifier

    def decide(self, login: Login) -> Answer | Awaitable[Answer]:
        """Pass unless one of the two names is a user's. Raises StoreError."""
        user = self._table.known(login.user_name or "", login.client_id)
        return self._look_up(login) if user is None else self._judge(login, user)

    async def _look_up(self, login: Login) -> Answer:
        user = await self._table.find(login.user_name or "", login.client_id)
        if user is None:
            return None
        judged = self._judge(login, user)
        return judged if isinstance(judged, Decision) else await judged

    def _judge(self, login: Login, user: StoredUser) -> Decision | Awaitable[Decision]:
        by_name = user.kind is UserKind.USER_NAME
        right = Decision(
            ReasonCode.SUCCESS,
            None if by_name else NO_NAME,
            is_superuser=user.is_superuser,
        )
        return self._verifier.judge(login, user.hash, right)


class Accounts:
    """The users of the store, as a program changes them.

    Errors   StoreError; then nothing has changed
    """

    def __init__(
        self, core: Core, settling: Settling, table: UserTable, decoys: list[str]
    ) -> None:
        """Make it; it keeps ``decoys``, hashes of some users, as the users are."""
        self._core = core
        self._settling = settling
        self._table = table
        self._decoys = decoys

    async def put(
        self,
        kind: UserKind,
        name: str,
        password: bytes | None,
        hash: str | None,
        *,
        is_superuser: bool | None,
        exists: bool | None,
        made_by: str,
    ) -> bool:
        """Add a user, or give it another password; return whether it is a new one.

        password              or None, with the hash of one
        is_superuser, exists  as for :meth:`UserTable.put`
        made_by               for the audit log
        Raises    ValueError for what cannot be, and what that raises
        """
        stored = await asyncio.to_thread(_stored, password, hash)
        put = self._put(kind, name, stored, is_superuser, exists, made_by)
        return await self._settling.whole(put)

    async def _put(
        self,
        kind: UserKind,
        name: str,
        stored: str,
        is_superuser: bool | None,
        exists: bool | None,
        made_by: str,
    ) -> bool:
        is_new = await self._table.put(
            kind, name, stored, is_superuser=is_superuser, exists=exists
        )
        _tell("added" if is_new else "changed", kind, name, made_by)
        self._stand_in(stored)
        if not is_new:
            await self._end(kind, name, may_come_back=True)
        return is_new

    def _stand_in(self, hash: str) -> None:
        if len(self._decoys) < MOST_DECOYS:
            self._decoys.append(hash)
        else:
            self._decoys[secrets.randbelow(MOST_DECOYS)] = hash

    async def delete(self, kind: UserKind, name: str, made_by: str) -> bool:
        """Forget a user; return whether there was one."""
        return await self._settling.whole(self._delete(kind, name, made_by))

    async def _delete(self, kind: UserKind, name: str, made_by: str) -> bool:
        was_there = await self._table.delete(kind, name)
        if was_there:
            _tell("deleted", kind, name, made_by)
            await self._end(kind, name, may_come_back=False)
        return was_there

    async def page(self, kind: UserKind, *, after: str, limit: int) -> list[StoredUser]:
        """Return users in the order of their names, from the one behind ``after`` on."""
        return await self._table.page(kind, after=after, limit=limit)

    async def rows(
        self,
        kind: UserKind,
        *,
        offset: int,
        limit: int,
        name: str | None = None,
        part: str | None = None,
    ) -> Rows[StoredUser]:
        """Return users in the order of their names, as :meth:`UserTable.rows` does."""
        return await self._table.rows(
            kind, offset=offset, limit=limit, name=name, part=part
        )

    async def get(self, kind: UserKind, name: str) -> StoredUser | None:
        """Return one user; None: there is none."""
        return await self._table.get(kind, name)

    async def _end(self, kind: UserKind, name: str, *, may_come_back: bool) -> None:
        """Disconnect who is connected as that user, or is just logging in."""
        kick = Kick(
            user_names=(name,) if kind is UserKind.USER_NAME else (),
            foreign=True,
            wills=may_come_back,
            reason_code=ReasonCode.NOT_AUTHORIZED,
        )
        await self._settling.run(lambda: self._core.kick_users(kick))
        if kind is UserKind.USER_NAME:
            return
        try:
            self._core.kick(name, ReasonCode.NOT_AUTHORIZED)
        except CoreError:
            return  # it is not connected


def _stored(password: bytes | None, hash: str | None) -> str:
    """Return the hash to keep. Takes its time. Raises ValueError."""
    if (password is None) == (hash is None):
        raise ValueError("expected either a password or the hash of one")
    if hash is not None:
        read_hash(hash)
        return hash
    if not password or len(password) > MOST_MQTT_PASSWORD_BYTES:
        raise ValueError(f"expected a password of 1 to {MOST_MQTT_PASSWORD_BYTES} bytes")
    return hashed(password)


def _tell(what: str, kind: UserKind, name: str, made_by: str) -> None:
    by = shown(made_by) or "(unknown)"
    audit.info("%s: user by %s '%s', by %s", what, in_words(kind), shown(name[:100]), by)
