"""Logins of users and apps of the HTTP API, against the hashes in the store.

::

    name ──> row, half a second old at most ──> Verifier ──> the row again ──> Caller

Another process may change the file (``nanomq user``): a row that was read counts for half a
second, and none that this process has changed since. A right login costs a hash once: the
verifier remembers it by the stored hash, so another password or secret makes it forget.
What is not there, is disabled or has expired takes the time of a wrong password.

Threads  belongs to the event loop, which it never blocks
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from nanomq_py.auth.callers import Caller, CallerKind, CannotJudgeError
from nanomq_py.auth.chain import Decision, Login
from nanomq_py.auth.verifier import Verifier
from nanomq_py.core.declared import ReasonCode
from nanomq_py.store.api_users import ApiUser, ApiUserTable
from nanomq_py.store.apps import App, AppTable
from nanomq_py.store.moment import wall_s
from nanomq_py.store.roles import Role

FRESH_S = 0.5
MOST_KNOWN = 2_000  # rows: as many as there can be

_RIGHT = Decision(ReasonCode.SUCCESS)

Row = ApiUser | App | None


def _may_log_in(row: Row) -> bool:
    return row is not None and (isinstance(row, ApiUser) or row.is_good(wall_s()))


class ApiLogins:
    """Judges them. Errors: StoreError."""

    def __init__(self, users: ApiUserTable, apps: AppTable) -> None:
        self._users = users
        self._apps = apps
        self._verifier = Verifier()
        self._known: OrderedDict[str, tuple[Row, float]] = OrderedDict()  # oldest first
        self._replaces: tuple[bool, float] = (False, 0.0)
        self._changes = 0

    def forget_rows(self) -> None:
        """Read them again from now on: something has changed."""
        self._changes += 1
        self._known.clear()
        self._replaces = (False, 0.0)

    async def has_administrator(self) -> bool:
        """Return whether one of the users is an administrator."""
        has, until = self._replaces
        if self._now() < until:
            return has
        changes = self._changes
        has = await self._users.has_administrator()
        if changes == self._changes:
            self._replaces = (has, self._now() + FRESH_S)
        return has

    async def check(self, name: bytes, password: bytes, address: str) -> Caller | None:
        """Return who logs in; None: the login is wrong. Raises CannotJudgeError too."""
        try:
            text: str | None = name.decode()
        except UnicodeDecodeError:
            text = None
        row = None if text is None else await self._row(text)
        login = Login(0, address, "", text or name.decode(errors="replace"), password)
        if row is None or not _may_log_in(row):
            judged = await self._verifier.refuse(login)
        else:
            answer = self._verifier.judge(login, row.hash, _RIGHT)
            judged = answer if isinstance(answer, Decision) else await answer
        if judged.reason_code == ReasonCode.SERVER_BUSY:
            raise CannotJudgeError("too many logins wait to be judged", is_busy=True)
        # A hash takes its time, in which the row may have changed.
        if judged is not _RIGHT or text is None or await self._row(text) != row:
            return None
        if isinstance(row, ApiUser):
            return Caller(text, row.role, CallerKind.USER)
        return Caller(text, Role.ADMINISTRATOR, CallerKind.APP)

    async def _row(self, name: str) -> Row:
        row, until = self._known.get(name, (None, 0.0))
        if self._now() < until:
            return row
        changes = self._changes
        user, app = await self._users.get(name), await self._apps.get(name)
        row = user or app
        if row is not None and changes == self._changes:
            self._known[name] = (row, self._now() + FRESH_S)
            self._known.move_to_end(name)
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        return row

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def close(self) -> None:
        """Judge no more."""
        self._verifier.close()
