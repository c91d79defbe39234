"""The built-in users of MQTT: by user name, or by client identifier.

A password is kept as its hash, with the parameters that it was made with, in the form
``$scrypt$ln=15,r=8,p=1$SALT$HASH``. What hashes and compares is not known here.

Source  https://github.com/P-H-C/phc-string-format
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING

from nanomq_py.store.limits import checked_hash, checked_limit, checked_name
from nanomq_py.store.moment import wall_s
from nanomq_py.store.paging import Rows, checked_part, where
from nanomq_py.store.store import Store

if TYPE_CHECKING:
    from sqlite3 import Connection

MOST_KNOWN = 10_000  # users that were found and are remembered
_COLUMNS = "kind, name, hash, is_superuser, created_at, changed_at"


class UserExistsError(Exception):
    """There is a user of that name already."""


class UserKind(IntEnum):
    """What the name of a user is: ``mqtt_user.kind``."""

    USER_NAME = 0  # auth_username
    CLIENT_ID = 1  # auth_clientid


@dataclass(frozen=True)
class StoredUser:
    """A user of MQTT. Times are seconds since 1970."""

    kind: UserKind
    name: str
    hash: str = field(repr=False)
    is_superuser: bool
    created_at: float
    changed_at: float


def _user(row: tuple[int, str, str, int, float, float]) -> StoredUser:
    return StoredUser(UserKind(row[0]), row[1], row[2], bool(row[3]), row[4], row[5])


class UserTable:
    """The users in the store. All changes go through one table: it remembers who was found.

    Errors   StoreError, besides what is said for each
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[
            tuple[str, str], StoredUser
        ] = {}  # the latest found, in their order
        self._changes = 0  # so far

    def _change(self) -> None:
        self._changes += 1
        self._known.clear()

    async def put(
        self,
        kind: UserKind,
        name: str,
        hash: str,
        *,
        is_superuser: bool | None = False,
        exists: bool | None = None,
    ) -> bool:
        """Add a user, or change the one of that name; return whether it is a new one.

        hash          of the password, beginning with a ``$``
        is_superuser  None: as it was; a new one is none
        exists        True: only change one, False: only add one
        Raises        ValueError for what cannot be, KeyError where there is none to change,
                      UserExistsError where there is one already
        """
        checked_name(kind.name.lower(), name)
        row = (int(kind), name, checked_hash(hash), is_superuser, wall_s())
        try:
            return await self._store.write(partial(_put, row, exists))
        finally:
            self._change()

    async def get(self, kind: UserKind, name: str) -> StoredUser | None:
        """Return the user of that name; None: there is none."""

        def act(connection: Connection) -> StoredUser | None:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM mqtt_user WHERE kind = ? AND name = ?",  # noqa: S608
                (int(kind), name),
            ).fetchone()
            return None if row is None else _user(row)

        return await self._store.read(act)

    async def find(self, user_name: str, client_id: str) -> StoredUser | None:
        """Return the user of that name, or else the one of that client identifier."""
        changes = self._changes
        user = await self._find(user_name, client_id)
        if user is not None and changes == self._changes:
            while len(self._known) >= MOST_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[user_name, client_id] = user
        return user

    def known(self, user_name: str, client_id: str) -> StoredUser | None:
        """Return what :meth:`find` would, if it is remembered."""
        return self._known.get((user_name, client_id))

    async def _find(self, user_name: str, client_id: str) -> StoredUser | None:
        names = (int(UserKind.USER_NAME), user_name, int(UserKind.CLIENT_ID), client_id)

        def act(connection: Connection) -> StoredUser | None:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM mqtt_user"  # noqa: S608
                " WHERE (kind = ? AND name = ?) OR (kind = ? AND name = ?)"
                " ORDER BY kind LIMIT 1",
                names,
            ).fetchone()
            return None if row is None else _user(row)

        return await self._store.read(act)

    async def delete(self, kind: UserKind, name: str) -> bool:
        """Forget the user; return whether there was one."""

        def act(connection: Connection) -> bool:
            done = connection.execute(
                "DELETE FROM mqtt_user WHERE kind = ? AND name = ?", (int(kind), name)
            )
            return done.rowcount > 0

        try:
            return await self._store.write(act)
        finally:
            self._change()

    async def page(
        self, kind: UserKind, *, after: str = "", limit: int = 100
    ) -> list[StoredUser]:
        """Return users in the order of their names, from the one behind ``after`` on."""
        checked_limit(limit)

        def act(connection: Connection) -> list[StoredUser]:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM mqtt_user WHERE kind = ? AND name > ?"  # noqa: S608
                " ORDER BY name LIMIT ?",
                (int(kind), after, limit),
            )
            return [_user(row) for row in rows]

        return await self._store.read(act)

    async def rows(
        self,
        kind: UserKind,
        *,
        offset: int,
        limit: int,
        name: str | None = None,
        part: str | None = None,
    ) -> Rows[StoredUser]:
        """Return users in the order of their names, from an offset on. Raises ValueError.

        name, part  only the one of that name, those whose name holds that
        Cost        a walk over their keys
        """
        checked_part(offset, limit)
        asked, given = where(
            {"kind = ?": int(kind), "name = ?": name, "instr(name, ?) > 0": part}
        )

        def act(connection: Connection) -> Rows[StoredUser]:
            (total,) = connection.execute(
                f"SELECT count(*) FROM mqtt_user{asked}",  # noqa: S608
                given,
            ).fetchone()
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM mqtt_user{asked}"  # noqa: S608
                " ORDER BY name LIMIT ? OFFSET ?",
                (*given, limit, offset),
            )
            return Rows([_user(row) for row in rows], int(total))

        return await self._store.read(act)

    async def hashes(self, most: int) -> list[str]:
        """Return the hashes of some users."""

        def act(connection: Connection) -> list[str]:
            rows = connection.execute("SELECT hash FROM mqtt_user LIMIT ?", (most,))
            return [row[0] for row in rows]

        return await self._store.read(act)

    async def count(self, kind: UserKind) -> int:
        """Return how many there are. Cost: a walk over their keys."""

        def act(connection: Connection) -> int:
            return int(
                connection.execute(
                    "SELECT count(*) FROM mqtt_user WHERE kind = ?", (int(kind),)
                ).fetchone()[0]
            )

        return await self._store.read(act)


def _put(
    row: tuple[int, str, str, bool | None, float],
    exists: bool | None,
    connection: Connection,
) -> bool:
    kind, name, hash, is_superuser, now = row
    there = connection.execute(
        "SELECT 1 FROM mqtt_user WHERE kind = ? AND name = ?", (kind, name)
    ).fetchone()
    if there is None:
        if exists:
            raise KeyError(name)
        connection.execute(
            "INSERT INTO mqtt_user VALUES (?, ?, ?, ?, ?, ?)",
            (kind, name, hash, bool(is_superuser), now, now),
        )
        return True
    if exists is False:
        raise UserExistsError(name)
    connection.execute(
        "UPDATE mqtt_user SET hash = ?, is_superuser = coalesce(?, is_superuser),"
        " changed_at = ? WHERE kind = ? AND name = ?",
        (hash, is_superuser, now, kind, name),
    )
    return False
