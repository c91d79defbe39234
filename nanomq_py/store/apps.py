"""Apps: programs that call the HTTP API with an AppID and a secret of their own.

The hash of a secret is kept in the form that ``store/users.py`` shows.

Source  http-dialects.md, v4, "apps"
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nanomq_py.store.api_users import check_free
from nanomq_py.store.limits import checked_hash, checked_limit, checked_login, checked_note
from nanomq_py.store.moment import wall_s
from nanomq_py.store.store import Store

if TYPE_CHECKING:
    from sqlite3 import Connection

LATEST_S = 253_402_300_799.0  # the end of the year 9999, the last that calendars can tell
_COLUMNS = "app_id, hash, name, description, enabled, expires_at, created_at, changed_at"


@dataclass(frozen=True)
class App:
    """A program that calls the HTTP API. Times are seconds since 1970.

    name, description   notes for people
    expires_at          from when on it may not log in; None: it may for ever
    """

    app_id: str
    hash: str = field(repr=False)
    name: str
    description: str
    enabled: bool
    expires_at: float | None
    created_at: float
    changed_at: float

    def is_good(self, now: float) -> bool:
        """Return whether it may log in at that time."""
        return self.enabled and (self.expires_at is None or now < self.expires_at)


def _app(row: tuple[str, str, str, str, int, float | None, float, float]) -> App:
    return App(*row[:4], bool(row[4]), *row[5:])


def checked_end(expires_at: float | None) -> float | None:
    """Return when an app ends. Raises ValueError for what is no time."""
    if expires_at is not None and not 0 <= expires_at <= LATEST_S:
        raise ValueError(f"expires_at={expires_at}: expected seconds since 1970, or None")
    return expires_at


class AppTable:
    """The apps in the store.

    Errors   StoreError, and ValueError for what cannot be; then nothing has changed
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(
        self,
        app_id: str,
        hash: str,
        *,
        name: str = "",
        description: str = "",
        enabled: bool = True,
        expires_at: float | None = None,
    ) -> None:
        """Add an app. Raises TakenError."""
        row = (
            checked_login("app_id", app_id),
            checked_hash(hash),
            checked_note("name", name),
            checked_note("description", description),
            enabled,
            checked_end(expires_at),
        )

        def act(connection: Connection) -> None:
            check_free(connection, app_id, "app")
            now = wall_s()
            connection.execute(
                "INSERT INTO app VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, now, now)
            )

        await self._store.write(act)

    async def update(
        self,
        app_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        enabled: bool | None = None,
        expires_at: float | None = None,
        for_ever: bool = False,
        hash: str | None = None,
    ) -> bool:
        """Change what is given; return whether there is such an app.

        for_ever   it may log in for ever from now on
        """
        row = (
            None if name is None else checked_note("name", name),
            None if description is None else checked_note("description", description),
            enabled,
            for_ever,
            checked_end(expires_at),
            None if hash is None else checked_hash(hash),
        )

        def act(connection: Connection) -> bool:
            done = connection.execute(
                "UPDATE app SET name = coalesce(?, name),"
                " description = coalesce(?, description), enabled = coalesce(?, enabled),"
                " expires_at = CASE WHEN ? THEN NULL ELSE coalesce(?, expires_at) END,"
                " hash = coalesce(?, hash), changed_at = ? WHERE app_id = ?",
                (*row, wall_s(), app_id),
            )
            return done.rowcount > 0

        return await self._store.write(act)

    async def delete(self, app_id: str) -> bool:
        """Forget the app; return whether there was one."""

        def act(connection: Connection) -> bool:
            done = connection.execute("DELETE FROM app WHERE app_id = ?", (app_id,))
            return done.rowcount > 0

        return await self._store.write(act)

    async def get(self, app_id: str) -> App | None:
        """Return the app of that AppID; None: there is none."""

        def act(connection: Connection) -> App | None:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM app WHERE app_id = ?",  # noqa: S608
                (app_id,),
            ).fetchone()
            return None if row is None else _app(row)

        return await self._store.read(act)

    async def page(self, *, after: str = "", limit: int = 100) -> list[App]:
        """Return apps in the order of their AppIDs, from the one behind ``after`` on."""
        checked_limit(limit)

        def act(connection: Connection) -> list[App]:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM app WHERE app_id > ?"  # noqa: S608
                " ORDER BY app_id LIMIT ?",
                (after, limit),
            )
            return [_app(row) for row in rows]

        return await self._store.read(act)

    async def count(self) -> int:
        """Return how many there are."""

        def act(connection: Connection) -> int:
            return int(connection.execute("SELECT count(*) FROM app").fetchone()[0])

        return await self._store.read(act)
