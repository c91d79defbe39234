"""Users and apps of the HTTP API, as its dialects and programs see them.

::

    users = [user.name for user in await accounts.users()]
    secret = await accounts.create_app("exporter", who="admin")

A store that is not there is not made by a look: it has no users and no apps. What opens it is
imported then.

Source  http-dialects.md, v2 and v4; docs/api/accounts.md
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol, TypeVar

from nanomq_py.auth.callers import Caller, CannotJudgeError
from nanomq_py.store.roles import Role

if TYPE_CHECKING:
    from nanomq_py.auth.api_logins import ApiLogins
    from nanomq_py.store.api_users import ApiUser, ApiUserTable
    from nanomq_py.store.apps import App, AppTable
    from nanomq_py.store.store import Store

audit = logging.getLogger("nanomq.audit")
log = logging.getLogger("nanomq.http")

MOST_API_PASSWORD_BYTES = 1024  # a header line has some 16 KiB
SECRET_BYTES = 32  # of a secret that is made here
LOOK_AGAIN_S = 0.5  # for somebody where there was nobody
ALL = 10_000  # more than there can be

T = TypeVar("T")


class Place(Protocol):
    """Where the store is."""

    @property
    def store(self) -> Store:
        """The store; a use of it makes the file."""

    async def is_there(self) -> bool:
        """Return whether there is a store already."""


def checked_password(password: bytes) -> bytes:
    """Return a password of a user or a secret of an app. Raises ValueError."""
    if not 0 < len(password) <= MOST_API_PASSWORD_BYTES:
        raise ValueError(f"expected a password of 1 to {MOST_API_PASSWORD_BYTES} bytes")
    return password


class _Opened:
    """The tables of a store that is in use."""

    def __init__(self, store: Store) -> None:
        from nanomq_py.auth.api_logins import ApiLogins
        from nanomq_py.store.api_users import ApiUserTable
        from nanomq_py.store.apps import AppTable

        self.users: ApiUserTable = ApiUserTable(store)
        self.apps: AppTable = AppTable(store)
        self.logins: ApiLogins = ApiLogins(self.users, self.apps)

    async def changed(self, change: Awaitable[T]) -> T:
        """Return what the change does; logins are judged by it from then on."""
        try:
            return await change
        finally:
            self.logins.forget_rows()


class ApiAccounts:
    """Users and apps of the HTTP API.

    who      in each change: the caller, for the audit log
    Errors   StoreError where the store cannot be used, ValueError for what cannot be; then
             nothing has changed
    Threads  belongs to the event loop
    """

    def __init__(self, place: Place) -> None:
        self.needs_administrator = False  # else the default password would count again
        self._place = place
        self._made: _Opened | None = None
        self._look_at = 0.0  # on the loop's clock
        self._turn = asyncio.Lock()  # a hash takes 16 MiB

    @property
    def _tables(self) -> _Opened:
        if self._made is None:
            self._made = _Opened(self._place.store)
        return self._made

    async def _there(self, *, anew: bool = True) -> _Opened | None:
        """Return the tables; None: there is no user and no app yet.

        anew   look, even if there was nobody a moment ago
        """
        if self._made is None:
            now = asyncio.get_running_loop().time()
            if now < self._look_at and not anew:
                return None
            if not await self._place.is_there() or not await self._place.store.has_rows(
                "api_user", "app"
            ):
                self._look_at = now + LOOK_AGAIN_S
                return None
        return self._tables

    async def _hashed(self, password: bytes) -> str:
        from nanomq_py.auth.hashing import hashed

        checked_password(password)
        async with self._turn:
            return await asyncio.to_thread(hashed, password)

    # --- logins

    async def has_administrator(self) -> bool:
        """Return whether the default password counts no more. Raises CannotJudgeError."""
        there = await _told(self._there(anew=False))
        return there is not None and await _told(there.logins.has_administrator())

    async def check(self, name: bytes, password: bytes, address: str) -> Caller | None:
        """Return who logs in; None: the login is wrong. Raises CannotJudgeError.

        It counts no failures: whoever lets strangers in asks the Gate.
        """
        there = await _told(self._there())
        if there is None:
            return None
        return await _told(there.logins.check(name, password, address))

    def close(self) -> None:
        """Judge no more logins."""
        if self._made is not None:
            self._made.logins.close()

    # --- users

    async def users(self, *, after: str = "", limit: int = ALL) -> list[ApiUser]:
        """Return users in the order of their names, from the one behind ``after`` on."""
        there = await self._there()
        return [] if there is None else await there.users.page(after=after, limit=limit)

    async def user(self, name: str) -> ApiUser | None:
        """Return the user of that name; None: there is none."""
        there = await self._there()
        return None if there is None else await there.users.get(name)

    async def create_user(
        self,
        name: str,
        password: bytes,
        role: Role,
        *,
        who: str,
        email: str = "",
        description: str = "",
    ) -> None:
        """Add a user. Raises TakenError where a user or an app has that name."""
        stored = await self._hashed(password)
        tables = self._tables
        made = tables.users.create(name, stored, role, email=email, description=description)
        await tables.changed(made)
        audit.info("%s: added user '%s' of the HTTP API, %s", who, name, role.value)

    async def update_user(
        self,
        name: str,
        *,
        who: str,
        role: Role | None = None,
        email: str | None = None,
        description: str | None = None,
    ) -> bool:
        """Change what is given; return whether there is such a user.

        Raises   LastAdministratorError where the default password would count again
        """
        there = await self._there()
        if there is None:
            return False
        change = there.users.update(
            name,
            role=role,
            email=email,
            description=description,
            keep_one=self.needs_administrator,
        )
        done = await there.changed(change)
        if done:
            as_what = f", {role.value}" if role is not None else ""
            audit.info("%s: changed user '%s' of the HTTP API%s", who, name, as_what)
        return done

    async def keep_user(self, name: str, hash: str, role: Role, *, who: str) -> None:
        """Add a user, or change the one of that name.

        hash    of the password
        Raises  TakenError, LastAdministratorError
        """
        users = self._tables.users
        change = users.update(name, hash=hash, role=role, keep_one=self.needs_administrator)
        if not await self._tables.changed(change):
            await self._tables.changed(users.create(name, hash, role))
        audit.info("%s: imported user '%s' of the HTTP API, %s", who, name, role.value)

    async def change_password(self, name: str, password: bytes, *, who: str) -> bool:
        """Give a user another password; return whether there is such a user.

        Who has to know the old one is judged before, by ``Gate.prove``, which slows guesses.
        """
        there = await self._there()
        if there is None:
            return False
        stored = await self._hashed(password)
        done = await there.changed(there.users.update(name, hash=stored))
        if done:
            audit.info("%s: changed the password of user '%s' of the HTTP API", who, name)
        return done

    async def delete_user(self, name: str, *, who: str) -> bool:
        """Forget a user; return whether there was one. Raises LastAdministratorError."""
        there = await self._there()
        if there is None:
            return False
        change = there.users.delete(name, keep_one=self.needs_administrator)
        done = await there.changed(change)
        if done:
            audit.info("%s: deleted user '%s' of the HTTP API", who, name)
        return done

    # --- apps

    async def apps(self, *, after: str = "", limit: int = ALL) -> list[App]:
        """Return apps in the order of their AppIDs, from the one behind ``after`` on."""
        there = await self._there()
        return [] if there is None else await there.apps.page(after=after, limit=limit)

    async def app(self, app_id: str) -> App | None:
        """Return the app of that AppID; None: there is none."""
        there = await self._there()
        return None if there is None else await there.apps.get(app_id)

    async def create_app(
        self,
        app_id: str,
        *,
        who: str,
        secret: str | None = None,
        name: str = "",
        description: str = "",
        enabled: bool = True,
        expires_at: float | None = None,
    ) -> str:
        """Add an app; return its secret, which nobody can read later.

        secret      None: one is made
        expires_at  seconds since 1970; None: it may log in for ever
        Raises      TakenError where a user or an app has that name
        """
        shown = secrets.token_urlsafe(SECRET_BYTES) if secret is None else secret
        stored = await self._hashed(shown.encode())
        tables = self._tables
        made = tables.apps.create(
            app_id,
            stored,
            name=name,
            description=description,
            enabled=enabled,
            expires_at=expires_at,
        )
        await tables.changed(made)
        audit.info("%s: added app '%s' of the HTTP API", who, app_id)
        return shown

    async def update_app(
        self,
        app_id: str,
        *,
        who: str,
        name: str | None = None,
        description: str | None = None,
        enabled: bool | None = None,
        expires_at: float | None = None,
        for_ever: bool = False,
    ) -> bool:
        """Change what is given; return whether there is such an app.

        for_ever   it may log in for ever from now on
        """
        there = await self._there()
        if there is None:
            return False
        change = there.apps.update(
            app_id,
            name=name,
            description=description,
            enabled=enabled,
            expires_at=expires_at,
            for_ever=for_ever,
        )
        done = await there.changed(change)
        if done:
            audit.info("%s: changed app '%s' of the HTTP API", who, app_id)
        return done

    async def keep_app(
        self,
        app_id: str,
        secret: str,
        *,
        who: str,
        name: str,
        description: str,
        enabled: bool,
        expires_at: float | None,
        is_hash: bool,
    ) -> None:
        """Add an app, or change the one of that AppID. Raises TakenError.

        is_hash   the secret is the hash of it
        """
        hash = secret if is_hash else await self._hashed(secret.encode())
        apps = self._tables.apps
        change = apps.update(
            app_id,
            hash=hash,
            name=name,
            description=description,
            enabled=enabled,
            expires_at=expires_at,
            for_ever=expires_at is None,
        )
        if not await self._tables.changed(change):
            made = apps.create(
                app_id,
                hash,
                name=name,
                description=description,
                enabled=enabled,
                expires_at=expires_at,
            )
            await self._tables.changed(made)
        audit.info("%s: imported app '%s' of the HTTP API", who, app_id)

    async def delete_app(self, app_id: str, *, who: str) -> bool:
        """Forget an app; return whether there was one."""
        there = await self._there()
        if there is None:
            return False
        done = await there.changed(there.apps.delete(app_id))
        if done:
            audit.info("%s: deleted app '%s' of the HTTP API", who, app_id)
        return done


async def _told(answer: Awaitable[T]) -> T:
    """Return it. Raises CannotJudgeError where the store cannot be used."""
    from nanomq_py.store.faults import StoreError

    try:
        return await answer
    except StoreError as fault:
        raise CannotJudgeError(str(fault), is_busy=False) from None
