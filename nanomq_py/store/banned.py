"""Who is banned, by client identifier, user name or address; by whom, why and until when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import inf
from typing import TYPE_CHECKING

from nanomq_py.config.values.kind import BadValue
from nanomq_py.config.values.networks import network
from nanomq_py.config.values.texts import shown
from nanomq_py.store.limits import checked_limit, checked_name, checked_note
from nanomq_py.store.moment import wall_s
from nanomq_py.store.paging import Rows, checked_part
from nanomq_py.store.store import Store

if TYPE_CHECKING:
    from sqlite3 import Connection

_AHEAD_S = 60.0  # that the clock of who says when a ban began may be ahead of ours
LATEST_S = 253_402_300_799.0  # the end of the year 9999, the last that calendars can tell


class BanKind(IntEnum):
    """What ``who`` of a ban is: ``enum nmq_ban_kind`` of the core."""

    CLIENT_ID = 0
    USER_NAME = 1
    ADDRESS = 2  # a network in CIDR form; one address is a network of one


@dataclass(frozen=True)
class Ban:
    """Somebody who may not come in. Times are seconds since 1970.

    until  None: for ever
    """

    kind: BanKind
    who: str
    until: float | None
    since: float
    made_by: str = ""
    reason: str = ""

    @property
    def key(self) -> tuple[int, str]:
        return int(self.kind), self.who


def named(
    client_id: str | None, user_name: str | None, address: str | None
) -> tuple[BanKind, str]:
    """Return who is meant. Raises ValueError unless it is one of the three."""
    given = [
        (kind, who)
        for kind, who in zip(BanKind, (client_id, user_name, address), strict=True)
        if who is not None
    ]
    if len(given) != 1:
        raise ValueError("expected one of client_id, user_name and address")
    return given[0]


def who_of(kind: BanKind, who: str) -> str:
    """Return it as it is kept. Raises ValueError for what no client can have.

    >>> who_of(BanKind.ADDRESS, "192.0.2.9"), who_of(BanKind.ADDRESS, "2001:DB8::1/32")
    ('192.0.2.9/32', '2001:db8::/32')
    """
    if kind is not BanKind.ADDRESS:
        return checked_name(kind.name.lower(), who)
    try:
        return str(network(who))
    except BadValue as bad:
        usually = "an address such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"
        raise ValueError(
            f"'{shown(who[:100])}': expected {bad.expected(usually)}"
        ) from None


def made_ban(
    kind: BanKind,
    who: str,
    until: float | None,
    made_by: str,
    reason: str,
    *,
    since: float | None = None,
) -> Ban:
    """Return a ban that is in force now. Raises ValueError for what cannot be.

    since  when it began, as it is kept; None: now
    """
    now = wall_s()
    if since is not None and not 0 <= since <= now + _AHEAD_S:
        raise ValueError(f"since={since}: expected a time that has come, or None")
    if until is not None and not now < until <= LATEST_S:
        raise ValueError(f"until={until}: expected a time that is still to come, or None")
    return Ban(
        kind,
        who_of(kind, who),
        until,
        now if since is None else since,
        checked_note("made_by", made_by),
        checked_note("reason", reason),
    )


_COLUMNS = "kind, who, until, since, made_by, reason"
_Row = tuple[int, str, float | None, float, str, str]


def _ban(row: _Row) -> Ban:
    return Ban(BanKind(row[0]), *row[1:])


class BanTable:
    """The bans in the store. Errors: StoreError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def put(self, bans: Iterable[Ban]) -> int:
        """Keep them, each in place of one of the same; return how many are new."""
        rows = [(*ban.key, ban.until, ban.since, ban.made_by, ban.reason) for ban in bans]

        def act(connection: Connection) -> int:
            new = 0
            for row in rows:
                there = "SELECT 1 FROM banned WHERE kind = ? AND who = ?"
                new += connection.execute(there, row[:2]).fetchone() is None
                connection.execute(
                    "INSERT OR REPLACE INTO banned VALUES (?, ?, ?, ?, ?, ?)", row
                )
            return new

        return await self._store.write(act)

    async def delete(self, kind: BanKind, who: str) -> float | None:
        """Forget it; return until when it would have been, or None: it was not there."""

        def act(connection: Connection) -> float | None:
            key = (int(kind), who)
            row = connection.execute(
                "SELECT until FROM banned WHERE kind = ? AND who = ?", key
            ).fetchone()
            connection.execute("DELETE FROM banned WHERE kind = ? AND who = ?", key)
            return None if row is None else row[0] if row[0] is not None else inf

        return await self._store.write(act)

    async def take_expired(self, now: float, most: int) -> Sequence[tuple[int, str]]:
        """Forget bans whose time is over, at most so many; return their kinds and names."""

        def act(connection: Connection) -> list[tuple[int, str]]:
            keys = connection.execute(
                "SELECT kind, who FROM banned WHERE until <= ? ORDER BY until LIMIT ?",
                (now, most),
            ).fetchall()
            connection.executemany("DELETE FROM banned WHERE kind = ? AND who = ?", keys)
            return keys

        return await self._store.write(act)

    async def next_end(self) -> float | None:
        """Return when the next of them ends; None: none does."""

        def act(connection: Connection) -> float | None:
            (until,) = connection.execute("SELECT min(until) FROM banned").fetchone()
            return None if until is None else float(until)

        return await self._store.read(act)

    async def keys(
        self, after: tuple[int, str], most: int
    ) -> list[tuple[int, str, float | None]]:
        """Return kind, name and end of the next bans behind that one, in their order."""

        def act(connection: Connection) -> list[tuple[int, str, float | None]]:
            return connection.execute(
                "SELECT kind, who, until FROM banned WHERE (kind, who) > (?, ?)"
                " ORDER BY kind, who LIMIT ?",
                (*after, most),
            ).fetchall()

        return await self._store.read(act)

    async def page(
        self, *, after: Ban | None = None, limit: int = 100, now: float | None = None
    ) -> list[Ban]:
        """Return bans that are in force, by kind and name, from the one behind ``after`` on."""
        checked_limit(limit)
        at = after.key if after is not None else (-1, "")
        moment = wall_s() if now is None else now

        def act(connection: Connection) -> list[Ban]:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM banned"  # noqa: S608
                " WHERE (kind, who) > (?, ?) AND (until IS NULL OR until > ?)"
                " ORDER BY kind, who LIMIT ?",
                (*at, moment, limit),
            )
            return [_ban(row) for row in rows]

        return await self._store.read(act)

    async def rows(self, *, offset: int, limit: int) -> Rows[Ban]:
        """Return bans that are in force, by kind and name, from an offset on.

        Raises  ValueError
        Cost    a walk over all bans
        """
        checked_part(offset, limit)
        now = wall_s()

        def act(connection: Connection) -> Rows[Ban]:
            holds = "WHERE until IS NULL OR until > ?"
            (total,) = connection.execute(
                f"SELECT count(*) FROM banned {holds}",  # noqa: S608
                (now,),
            ).fetchone()
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM banned {holds}"  # noqa: S608
                " ORDER BY kind, who LIMIT ? OFFSET ?",
                (now, limit, offset),
            )
            return Rows([_ban(row) for row in rows], int(total))

        return await self._store.read(act)

    async def get(self, kind: BanKind, who: str) -> Ban | None:
        """Return the ban of that key, if it is in force."""
        now = wall_s()

        def act(connection: Connection) -> Ban | None:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM banned"  # noqa: S608
                " WHERE kind = ? AND who = ? AND (until IS NULL OR until > ?)",
                (int(kind), who, now),
            ).fetchone()
            return None if row is None else _ban(row)

        return await self._store.read(act)
