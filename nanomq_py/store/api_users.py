"""The users of the HTTP API, with their roles. Source: http-dialects.md, v2.

The hash of a password is kept in the form that ``store/users.py`` shows. An app and a user do
not have one name: a login names either of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nanomq_py.store.faults import LastAdministratorError, StoreFullError, TakenError
from nanomq_py.store.limits import (
    MOST_LOGINS,
    checked_hash,
    checked_limit,
    checked_login,
    checked_note,
)
from nanomq_py.store.moment import wall_s
from nanomq_py.store.roles import Role
from nanomq_py.store.store import Store

if TYPE_CHECKING:
    from sqlite3 import Connection

_COLUMNS = "name, hash, role, email, description, created_at, changed_at"


@dataclass(frozen=True)
class ApiUser:
    """A user of the HTTP API. Times are seconds since 1970.

    email, description  notes for people
    """

    name: str
    hash: str = field(repr=False)
    role: Role
    email: str
    description: str
    created_at: float
    changed_at: float


def _user(row: tuple[str, str, str, str, str, float, float]) -> ApiUser:
    return ApiUser(row[0], row[1], Role(row[2]), *row[3:])


def _count(connection: Connection, table: str) -> int:
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    return int(count)


def check_free(connection: Connection, name: str, table: str) -> None:
    """Raise TakenError where a login has that name, StoreFullError where the table is full."""
    taken = connection.execute(
        "SELECT 1 FROM api_user WHERE name = ? UNION ALL SELECT 1 FROM app WHERE app_id = ?",
        (name, name),
    ).fetchone()
    if taken is not None:
        raise TakenError(f"'{name}': there is a user or an app of that name already")
    if _count(connection, table) >= MOST_LOGINS:
        raise StoreFullError(f"{MOST_LOGINS} are the most: delete some")


def _administrators(connection: Connection) -> int:
    (count,) = connection.execute(
        "SELECT count(*) FROM api_user WHERE role = ?", (Role.ADMINISTRATOR.value,)
    ).fetchone()
    return int(count)


def _check_left(connection: Connection, before: int, *, keep_one: bool) -> None:
    """Raise LastAdministratorError if there was an administrator, and there is none now."""
    if keep_one and before and not _administrators(connection):
        raise LastAdministratorError(
            "the last administrator: the default password would count again; make another"
            " one, or set http_server.password first"
        )


class ApiUserTable:
    """The users of the HTTP API in the store.

    Errors   StoreError, and ValueError for what cannot be; then nothing has changed
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(
        self, name: str, hash: str, role: Role, *, email: str = "", description: str = ""
    ) -> None:
        """Add a user. Raises TakenError."""
        row = (
            checked_login("name", name),
            checked_hash(hash),
            role.value,
            checked_note("email", email),
            checked_note("description", description),
        )

        def act(connection: Connection) -> None:
            check_free(connection, name, "api_user")
            now = wall_s()
            connection.execute(
                "INSERT INTO api_user VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, now, now)
            )

        await self._store.write(act)

    async def update(
        self,
        name: str,
        *,
        hash: str | None = None,
        role: Role | None = None,
        email: str | None = None,
        description: str | None = None,
        keep_one: bool = False,
    ) -> bool:
        """Change what is given; return whether there is such a user.

        keep_one   raise LastAdministratorError where no administrator would be left
        """
        row = (
            None if hash is None else checked_hash(hash),
            None if role is None else role.value,
            None if email is None else checked_note("email", email),
            None if description is None else checked_note("description", description),
        )

        def act(connection: Connection) -> bool:
            before = _administrators(connection)
            done = connection.execute(
                "UPDATE api_user SET hash = coalesce(?, hash), role = coalesce(?, role),"
                " email = coalesce(?, email), description = coalesce(?, description),"
                " changed_at = ? WHERE name = ?",
                (*row, wall_s(), name),
            )
            _check_left(connection, before, keep_one=keep_one)
            return done.rowcount > 0

        return await self._store.write(act)

    async def delete(self, name: str, *, keep_one: bool = False) -> bool:
        """Forget the user; return whether there was one. ``keep_one``: as for update."""

        def act(connection: Connection) -> bool:
            before = _administrators(connection)
            done = connection.execute("DELETE FROM api_user WHERE name = ?", (name,))
            _check_left(connection, before, keep_one=keep_one)
            return done.rowcount > 0

        return await self._store.write(act)

    async def get(self, name: str) -> ApiUser | None:
        """Return the user of that name; None: there is none."""

        def act(connection: Connection) -> ApiUser | None:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM api_user WHERE name = ?",  # noqa: S608
                (name,),
            ).fetchone()
            return None if row is None else _user(row)

        return await self._store.read(act)

    async def page(self, *, after: str = "", limit: int = 100) -> list[ApiUser]:
        """Return users in the order of their names, from the one behind ``after`` on."""
        checked_limit(limit)

        def act(connection: Connection) -> list[ApiUser]:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM api_user WHERE name > ?"  # noqa: S608
                " ORDER BY name LIMIT ?",
                (after, limit),
            )
            return [_user(row) for row in rows]

        return await self._store.read(act)

    async def count(self) -> int:
        """Return how many there are."""
        return await self._store.read(lambda connection: _count(connection, "api_user"))

    async def has_administrator(self) -> bool:
        """Return whether one of them is an administrator."""
        return await self._store.read(lambda each: _administrators(each) > 0)
