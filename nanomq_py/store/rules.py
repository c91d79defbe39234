"""The access rules in the store: who may, or may not, do what with a topic.

::

    of a client identifier ──> of a user name ──> of everybody       the first that applies,
     newest first               newest first       newest first      in this order, decides

A rule is one by whom it is for, topic and action. One about both actions takes the place of
those about one of them.

Source  EMQX 4.4, emqx_auth_mnesia: the order of look-ups, and newest first
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING

from nanomq_py.config.keys.access import is_filter
from nanomq_py.config.values.texts import shown
from nanomq_py.store.faults import StoreFullError
from nanomq_py.store.limits import checked_name
from nanomq_py.store.moment import wall_s
from nanomq_py.store.paging import Rows, checked_part, where
from nanomq_py.store.store import Store

if TYPE_CHECKING:
    from sqlite3 import Connection

MOST_RULES = 100_000
MOST_AT_ONCE = 10_000  # rules of one call
_ORDER = " ORDER BY kind, who, number DESC"


class RuleKind(IntEnum):
    """Whom a rule is for: ``access_rule.kind``, in the order in which they are asked."""

    CLIENT_ID = 0
    USER_NAME = 1
    ALL = 2


class Action(IntEnum):
    """What a rule is about: ``access_rule.action``, a bit each."""

    PUBLISH = 1
    SUBSCRIBE = 2
    PUBSUB = 3


@dataclass(frozen=True, kw_only=True)
class AccessRule:
    """Whether somebody may do that with a topic.

    topic    a Topic Filter; %c and %u stand for client identifier and user name
    made_at  seconds since 1970; 0: it is not kept yet

    With neither name it is for everybody.
    """

    topic: str
    action: Action
    allow: bool
    client_id: str | None = None
    user_name: str | None = None
    made_at: float = 0.0

    @property
    def kind(self) -> RuleKind:
        if self.client_id is not None:
            return RuleKind.CLIENT_ID
        return RuleKind.ALL if self.user_name is None else RuleKind.USER_NAME

    @property
    def who(self) -> str:
        """Whom it is for; empty: everybody."""
        return self.client_id or self.user_name or ""

    @property
    def names_users(self) -> bool:
        """Whether it depends on a user name."""
        return self.user_name is not None or "%u" in self.topic


@dataclass(frozen=True)
class RuleFilter:
    """Which rules are asked for; None: any.

    part  of the name whom it is for
    """

    part: str | None = None
    topic: str | None = None
    action: Action | None = None
    allow: bool | None = None


def checked_rule(rule: AccessRule) -> AccessRule:
    """Return it. Raises ValueError for what cannot be."""
    if rule.client_id is not None and rule.user_name is not None:
        raise ValueError("a rule: expected client_id or user_name, not both")
    if rule.kind is not RuleKind.ALL:
        checked_name(rule.kind.name.lower(), rule.who)
    try:
        good = is_filter(rule.topic) and rule.topic.isprintable()
    except UnicodeEncodeError:
        good = False
    if not good:
        raise ValueError(
            f"topic='{shown(rule.topic[:100])}': expected a topic filter of printable letters"
        )
    return rule


_Row = tuple[int, str, str, int, int, float]
_COLUMNS = "kind, who, topic, action, allow, made_at"


def _rule(row: _Row) -> AccessRule:
    kind, who, topic, action, allow, made_at = row
    return AccessRule(
        topic=topic,
        action=Action(action),
        allow=bool(allow),
        client_id=who if kind == RuleKind.CLIENT_ID else None,
        user_name=who if kind == RuleKind.USER_NAME else None,
        made_at=made_at,
    )


def all_rules(connection: Connection) -> list[AccessRule]:
    """Return all rules, in the order in which the first that applies decides."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM access_rule{_ORDER}")  # noqa: S608
    return [_rule(row) for row in rows]


class RuleTable:
    """The access rules in the store. Errors: StoreError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def all(self) -> list[AccessRule]:
        """Return all rules in their order."""
        return await self._store.read(all_rules)

    async def put(
        self, rules: Iterable[AccessRule]
    ) -> tuple[list[AccessRule], list[AccessRule]]:
        """Keep them, all or none, a later one as newer.

        Returns  them as they are kept, and all that those have now whom they are for
        Raises   ValueError for what cannot be, StoreFullError
        """
        now, given = wall_s(), list(rules)
        if len(given) > MOST_AT_ONCE:
            raise ValueError(f"{len(given)} rules: expected {MOST_AT_ONCE} at most")

        def act(connection: Connection) -> tuple[list[AccessRule], list[AccessRule]]:
            kept = [replace(checked_rule(rule), made_at=now) for rule in given]
            last: dict[tuple[int, str], int] = {}
            for rule in kept:
                _put(connection, rule, last)
            (count,) = connection.execute("SELECT count(*) FROM access_rule").fetchone()
            if count > MOST_RULES:
                raise StoreFullError(
                    f"more than {MOST_RULES} access rules: delete some, or use %c and %u"
                )
            return kept, _of(connection, last)

        return await self._store.write(act)

    async def delete(
        self, kind: RuleKind, who: str, topic: str
    ) -> tuple[int, list[AccessRule]]:
        """Forget those about that topic, of all actions.

        Returns  how many there were, and all that those have now whom they were for
        """
        key = (int(kind), who)

        def act(connection: Connection) -> tuple[int, list[AccessRule]]:
            done = connection.execute(
                "DELETE FROM access_rule WHERE kind = ? AND who = ? AND topic = ?",
                (*key, topic),
            )
            return done.rowcount, _of(connection, [key])

        return await self._store.write(act)

    async def page(
        self,
        kind: RuleKind,
        who: str | None,
        *,
        offset: int = 0,
        limit: int = 100,
        only: RuleFilter | None = None,
    ) -> Rows[AccessRule]:
        """Return rules of one kind, of all whom it names or of one, in their order.

        Raises  ValueError
        """
        checked_part(offset, limit)
        only = only or RuleFilter()
        asked, given = where(
            {
                "kind = ?": int(kind),
                "who = ?": who,
                "instr(who, ?) > 0": only.part,
                "topic = ?": only.topic,
                "action = ?": None if only.action is None else int(only.action),
                "allow = ?": only.allow,
            }
        )
        chosen = f" FROM access_rule{asked}"

        def act(connection: Connection) -> Rows[AccessRule]:
            (total,) = connection.execute(f"SELECT count(*){chosen}", given).fetchone()
            rows = connection.execute(
                f"SELECT {_COLUMNS}{chosen}{_ORDER} LIMIT ? OFFSET ?",
                (*given, limit, offset),
            )
            return Rows([_rule(row) for row in rows], int(total))

        return await self._store.read(act)


def _of(connection: Connection, keys: Iterable[tuple[int, str]]) -> list[AccessRule]:
    """Return the rules of some whom rules can be for, those of each in their order."""
    one = f"SELECT {_COLUMNS} FROM access_rule WHERE kind = ? AND who = ?{_ORDER}"  # noqa: S608
    return [_rule(row) for key in keys for row in connection.execute(one, key)]


def _put(
    connection: Connection, rule: AccessRule, last: dict[tuple[int, str], int]
) -> None:
    """Keep one rule; last: the greatest number of each whom rules were kept for."""
    key = (int(rule.kind), rule.who)
    if key not in last:
        (last[key],) = connection.execute(
            "SELECT coalesce(max(number), 0) FROM access_rule WHERE kind = ? AND who = ?",
            key,
        ).fetchone()
    last[key] += 1
    if rule.action is Action.PUBSUB:
        connection.execute(
            "DELETE FROM access_rule WHERE kind = ? AND who = ? AND topic = ?",
            (*key, rule.topic),
        )
    connection.execute(
        "INSERT OR REPLACE INTO access_rule VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*key, rule.topic, int(rule.action), rule.allow, last[key], rule.made_at),
    )
