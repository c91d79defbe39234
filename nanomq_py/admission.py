"""Users, bans and access rules of the store, as methods of :class:`nanomq_py.Broker`.

::

    await broker.put_user("device", b"secret")
    await broker.ban(address="192.0.2.0/24", until=1_900_000_000, reason="port scan")
    for ban in await broker.banned():
        print(ban.kind.name, ban.who, ban.reason)
    await broker.put_rules(
        AccessRule(client_id="pump", topic="up/#", action=Action.PUBLISH, allow=True)
    )
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nanomq_py.running import Running

if TYPE_CHECKING:
    from nanomq_py.auth.api_accounts import ApiAccounts
    from nanomq_py.store.banned import Ban, BanKind
    from nanomq_py.store.paging import Rows
    from nanomq_py.store.rules import AccessRule, RuleFilter, RuleKind
    from nanomq_py.store.users import StoredUser, UserKind

RULES_AT_ONCE = 256  # that are checked before others get the loop


def _kind(*, by_client_id: bool) -> UserKind:
    from nanomq_py.store.users import UserKind  # imported when it is first used

    return UserKind.CLIENT_ID if by_client_id else UserKind.USER_NAME


def _named(
    client_id: str | None, user_name: str | None, address: str | None
) -> tuple[BanKind, str]:
    from nanomq_py.store.banned import named  # imported when it is first used

    return named(client_id, user_name, address)


def _whose(client_id: str | None, user_name: str | None) -> tuple[RuleKind, str]:
    from nanomq_py.store.rules import RuleKind  # imported when it is first used

    if client_id is not None and user_name is not None:
        raise ValueError("expected client_id or user_name, not both")
    if client_id is not None:
        return RuleKind.CLIENT_ID, client_id
    return (RuleKind.ALL, "") if user_name is None else (RuleKind.USER_NAME, user_name)


class Admission:
    """Changes and lists users, bans and access rules of a running broker.

    Threads: belongs to its event loop
    """

    @property
    def _running(self) -> Running:
        raise NotImplementedError

    @property
    def api_accounts(self) -> ApiAccounts:
        """Users and apps of the HTTP API, in the store."""
        return self._running.store.api_accounts

    async def ban(
        self,
        *,
        client_id: str | None = None,
        user_name: str | None = None,
        address: str | None = None,
        until: float | None = None,
        since: float | None = None,
        made_by: str = "",
        reason: str = "",
    ) -> Ban:
        """Refuse a client from now on, and close its connections; kept in the store.

        address  or a network, such as 192.0.2.0/24
        until    seconds since 1970; None: for ever
        since    when it was made, not later than now; None: now
        Raises   ValueError for what cannot be, StoreError where it cannot be kept
        """
        kind, who = _named(client_id, user_name, address)
        bans = self._running.store.bans
        return await bans.ban(
            kind, who, until=until, since=since, made_by=made_by, reason=reason
        )

    async def unban(
        self,
        *,
        client_id: str | None = None,
        user_name: str | None = None,
        address: str | None = None,
        made_by: str = "",
    ) -> None:
        """Take a ban back. Raises KeyError when there is none, and what :meth:`ban` does."""
        kind, who = _named(client_id, user_name, address)
        if not await self._running.store.bans.unban(kind, who, made_by):
            raise KeyError(who)

    async def banned(self, *, after: Ban | None = None, limit: int = 100) -> list[Ban]:
        """Return who is banned, a page at a time: go on ``after`` the last of the page before.

        Raises   StoreError
        """
        return await self._running.store.bans.page(after=after, limit=limit)

    async def ban_rows(self, *, offset: int = 0, limit: int = 100) -> Rows[Ban]:
        """Return bans that are in force, by kind and name, and how many there are.

        Raises   ValueError, StoreError
        """
        return await self._running.store.bans.rows(offset=offset, limit=limit)

    async def ban_of(
        self,
        *,
        client_id: str | None = None,
        user_name: str | None = None,
        address: str | None = None,
    ) -> Ban | None:
        """Return the ban of that very name or network; None: it is not banned itself.

        Raises   ValueError for what cannot be, StoreError
        """
        kind, who = _named(client_id, user_name, address)
        return await self._running.store.bans.get(kind, who)

    async def put_user(
        self,
        name: str,
        password: bytes | None = None,
        *,
        hash: str | None = None,
        by_client_id: bool = False,
        is_superuser: bool | None = False,
        exists: bool | None = None,
        made_by: str = "",
    ) -> bool:
        """Add a user to the store, or give it another password; return whether it is new.

        Clients of a user that is there have to log in again. ``auth.chain`` says whether
        the users of the store may come in: its member ``database``.

        hash          of the password, in its place
        by_client_id  the name is a client identifier, and not a user name
        is_superuser  access rules do not count for it; None: as it was, a new one is none
        exists        True: only change one that is there, False: only add a new one
        made_by       for the audit log
        Raises        ValueError for what cannot be, StoreError where it cannot be kept;
                      KeyError where there is none to change, UserExistsError where there is
                      one already
        """
        kind, accounts = _kind(by_client_id=by_client_id), self._running.store.accounts
        return await accounts.put(
            kind,
            name,
            password,
            hash,
            is_superuser=is_superuser,
            exists=exists,
            made_by=made_by,
        )

    async def delete_user(
        self, name: str, *, by_client_id: bool = False, made_by: str = ""
    ) -> None:
        """Forget a user of the store, and close its connections.

        made_by  for the audit log
        Raises   KeyError where there is none, StoreError
        """
        accounts = self._running.store.accounts
        if not await accounts.delete(_kind(by_client_id=by_client_id), name, made_by):
            raise KeyError(name)

    async def users(
        self, *, by_client_id: bool = False, after: str = "", limit: int = 100
    ) -> list[StoredUser]:
        """Return users of the store, a page at a time: go on ``after`` the last name.

        Raises   StoreError
        """
        kind, accounts = _kind(by_client_id=by_client_id), self._running.store.accounts
        return await accounts.page(kind, after=after, limit=limit)

    async def user_rows(
        self,
        *,
        by_client_id: bool = False,
        offset: int = 0,
        limit: int = 100,
        name: str | None = None,
        part: str | None = None,
    ) -> Rows[StoredUser]:
        """Return users of the store in the order of their names, and how many there are.

        name, part  only the one of that name, those whose name holds that
        Raises      ValueError, StoreError
        """
        kind, accounts = _kind(by_client_id=by_client_id), self._running.store.accounts
        return await accounts.rows(kind, offset=offset, limit=limit, name=name, part=part)

    async def user(self, name: str, *, by_client_id: bool = False) -> StoredUser | None:
        """Return one user of the store; None: there is none. Raises StoreError."""
        accounts = self._running.store.accounts
        return await accounts.get(_kind(by_client_id=by_client_id), name)

    async def put_rules(self, *rules: AccessRule, made_by: str = "") -> list[AccessRule]:
        """Add access rules, all or none, each in place of one of the same.

        They are in force on return, also for who is connected, and stand before the rules of
        the configuration (``docs/store.md``).

        Returns  them as they are kept
        Raises   ValueError for what cannot be, StoreError where they cannot be kept
        """
        for at, rule in enumerate(rules, 1):
            self.check_rule(rule)
            if at % RULES_AT_ONCE == 0:
                await asyncio.sleep(0)
        return await self._running.store.rules.put(rules, made_by)

    def check_rule(self, rule: AccessRule) -> None:
        """Raise ValueError for a rule that :meth:`put_rules` does not take."""
        from nanomq_py.store.rules import checked_rule  # imported when it is first used

        checked_rule(rule)
        if rule.names_users and not self._running.store.names_count:
            raise ValueError(
                f"topic={rule.topic[:100]!r}: a rule about users: no client has to prove"
                " its user name here: see auth.chain"
            )

    async def delete_rules(
        self,
        topic: str,
        *,
        client_id: str | None = None,
        user_name: str | None = None,
        made_by: str = "",
    ) -> int:
        """Forget the access rules about that topic, of one client, one user or everybody.

        Returns  how many there were
        Raises   ValueError for both names, StoreError
        """
        kind, who = _whose(client_id, user_name)
        return await self._running.store.rules.delete(kind, who, topic, made_by)

    async def rules(
        self,
        kind: RuleKind,
        who: str | None = None,
        *,
        offset: int = 0,
        limit: int = 100,
        only: RuleFilter | None = None,
    ) -> Rows[AccessRule]:
        """Return access rules of one kind, by whom they are for, newest first.

        who     None: all of that kind
        only    those that it finds
        Raises  ValueError, StoreError
        """
        rules = self._running.store.rules
        return await rules.page(kind, who, offset=offset, limit=limit, only=only)
