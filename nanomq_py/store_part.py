"""The store as a part of the broker, with what it keeps. The first use loads it.

::

    the file exists, a program bans a client, or flapping detection is on ──> Store, Bans
    the file exists, or a program changes an access rule ──> Store, StoredRules
    auth.chain names `database`, or a program changes a user ──> Store, UserTable
    the HTTP API judges a login that is not the configuration's ──> Store, if there is one

A broker that does none of this imports no module of the store, and has no thread for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from nanomq_py.config import Config, ConfigError
from nanomq_py.core.binding import Core
from nanomq_py.core.settling import Settling
from nanomq_py.kernel.part import Part, Trouble

if TYPE_CHECKING:
    from nanomq_py.auth.access import Access
    from nanomq_py.auth.api_accounts import ApiAccounts
    from nanomq_py.auth.bans import Bans
    from nanomq_py.auth.chain import Authenticator
    from nanomq_py.auth.database import Accounts
    from nanomq_py.auth.stored_rules import StoredRules
    from nanomq_py.auth.verifier import Verifier
    from nanomq_py.store.alarms import AlarmTable
    from nanomq_py.store.store import Store
    from nanomq_py.store.topic_metrics import TopicTable
    from nanomq_py.store.users import UserTable


class StorePart(Part):
    """The store, its users, its bans and its access rules."""

    name = "store"

    def __init__(
        self, core: Core, settling: Settling, access: Access, path: Path | None
    ) -> None:
        """Make it.

        access  puts access rules of the store in force
        path    of the store; None: it is kept in memory
        """
        self._core = core
        self._access = access
        self._settling = settling
        self._path = path
        self._store: Store | None = None
        self._bans: Bans | None = None
        self._users: UserTable | None = None
        self._api_accounts: ApiAccounts | None = None
        self._decoys: list[str] = []

    @property
    def store(self) -> Store:
        if self._store is None:
            from nanomq_py.store.store import Store

            self._store = Store(self._path)
        return self._store

    @property
    def users(self) -> UserTable:
        if self._users is None:
            from nanomq_py.store.users import UserTable

            self._users = UserTable(self.store)
        return self._users

    @property
    def is_open(self) -> bool:
        """Whether something has used it."""
        return self._store is not None

    @property
    def past_alarms(self) -> AlarmTable:
        """Alarms that are over."""
        from nanomq_py.store.alarms import AlarmTable

        return AlarmTable(self.store)

    @property
    def topics(self) -> TopicTable:
        """The topics whose messages are counted one by one."""
        from nanomq_py.store.topic_metrics import TopicTable

        return TopicTable(self.store)

    def authenticator(self, verifier: Verifier) -> Authenticator:
        """Return the authenticator of the users in the store."""
        from nanomq_py.auth.database import DatabaseUsers

        return DatabaseUsers(self.users, verifier, self._decoys)

    @property
    def accounts(self) -> Accounts:
        """Changes users of the store, and ends the connections of users that it changes."""
        from nanomq_py.auth.database import Accounts

        return Accounts(self._core, self._settling, self.users, self._decoys)

    @property
    def api_accounts(self) -> ApiAccounts:
        """Users and apps of the HTTP API. It opens no store that is not there."""
        if self._api_accounts is None:
            from nanomq_py.auth.api_accounts import ApiAccounts

            self._api_accounts = ApiAccounts(self)
        return self._api_accounts

    @property
    def bans(self) -> Bans:
        """Bans and unbans. Its bans are in force after its first change."""
        if self._bans is None:
            from nanomq_py.auth.bans import Bans

            self._bans = Bans(self._core, self._settling, self.store)
        return self._bans

    @property
    def rules(self) -> StoredRules:
        """Changes access rules of the store."""
        if self._access.stored is None:
            from nanomq_py.auth.stored_rules import StoredRules

            self._access.stored = StoredRules(
                self.store, self._settling, self._access.renew
            )
        return self._access.stored

    @property
    def names_count(self) -> bool:
        """Whether access rules may be about user names: clients prove theirs."""
        return self._access.names_count

    async def _is_there(self) -> bool:
        # Where a store was no folder is closed to us: see run/privileges.py.
        path = self._path
        return path is not None and await asyncio.to_thread(os.path.exists, path)

    async def is_there(self) -> bool:
        """Return whether there is a store already."""
        if self._path is None:
            return self._store is not None
        return await self._is_there()

    async def begin(self) -> None:
        """Put access rules in force before sessions are restored. Raises ConfigError."""
        if not await self._is_there():
            return
        from nanomq_py.store.faults import StoreError

        try:
            if not await self.store.has_rows("access_rule"):
                return
            await self.rules.load()
            await self._access.renew()
        except StoreError as fault:
            raise ConfigError(str(fault)) from None

    async def counted_topics(self) -> list[str]:
        """Return the topics whose messages are counted one by one. Raises ConfigError."""
        if not await self._is_there():
            return []
        from nanomq_py.store.faults import StoreError

        try:
            if not await self.store.has_rows("counted_topic"):
                return []
            return list(await self.topics.all())
        except StoreError as fault:
            raise ConfigError(str(fault)) from None

    async def prepare(self, config: Config) -> None:
        """Put bans in force before anybody can come in, and look for users.

        Raises   ConfigError
        """
        if self._bans is None and await self._is_there():
            try:
                await self.bans.load()
            except ConfigError:
                self._bans = None  # the next reload loads all of them
                raise
        if "database" in config.auth.chain:
            from nanomq_py.auth.database import MOST_DECOYS
            from nanomq_py.store.faults import StoreError

            try:
                await self.store.open()
                self._decoys[:] = await self.users.hashes(MOST_DECOYS)
            except StoreError as fault:
                raise ConfigError(str(fault)) from None

    def troubles(self) -> Iterable[Trouble]:
        if self._store is not None and self._store.fault:
            yield Trouble("store_unusable", self._store.fault)

    async def stop(self) -> None:
        if self._bans is not None:
            await self._bans.stop()
        if self._api_accounts is not None:
            self._api_accounts.close()
        if self._store is not None:
            await self._store.close()
