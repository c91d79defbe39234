"""Logins: every question of the core about a client gets its answer here.

::

    AuthNote ──> a password, or one step of a method ──> Answers ──when it is due──> the core
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from nanomq_py.auth.answers import Answers
from nanomq_py.auth.enhanced import Exchanges, Method, Step
from nanomq_py.auth.password import Users
from nanomq_py.auth.rights import kicks_of, methods_for, names_count, users_of
from nanomq_py.config import Config
from nanomq_py.core.binding import Core
from nanomq_py.core.declared import ReasonCode
from nanomq_py.core.records import AuthEndNote, AuthNote
from nanomq_py.core.settling import Settling
from nanomq_py.kernel.part import Change, Hears, Part
from nanomq_py.listen.listeners import Listeners


class LoginsChange(Change):
    """Other users, and the end of connections whose user is none any more."""

    def __init__(self, logins: Logins, new: Config) -> None:
        self._logins = logins
        self._old = logins.config
        self._new = new
        self._before = (logins.users, logins.methods)
        self._after = self._before
        self._anonymous: set[int] = set()  # listeners that have let anybody in so far

    def make(self) -> None:
        """Make what takes time. Blocks, for seconds with thousands of users."""
        old, new = self._old, self._new
        users, methods = self._before
        if old is None or old.users != new.users:
            methods = methods_for(new.users)
        if old is None or old.users != new.users or names_count(old) != names_count(new):
            users = users_of(new)
        self._after = (users, methods)

    def commit(self) -> None:
        self._anonymous = self._logins.listeners.anonymous()
        self._logins.use(self._new, *self._after)

    async def undo(self) -> None:
        self._logins.use(self._old, *self._before)

    async def settle(self) -> None:
        """Disconnect clients that may not come in any more."""
        if self._old is None:
            return
        shut = self._anonymous - self._logins.listeners.anonymous()
        kicks = kicks_of(self._old, self._new, shut)

        def act() -> None:
            for kick in kicks:
                self._logins.core.kick_users(kick)

        if kicks:
            await self._logins.settling.run(act)


class Logins(Part):
    """The users, the methods of enhanced authentication, and the answers that wait."""

    name = "logins"

    def __init__(
        self,
        core: Core,
        settling: Settling,
        listeners: Listeners,
        methods: Iterable[Method] = (),
    ) -> None:
        """Make it with nobody who can log in.

        listeners  know which of them let clients in without a login
        methods    more than those for the users of the configuration
        """
        self.core = core
        self.settling = settling
        self.listeners = listeners
        self.config: Config | None = None  # in force
        self.users = Users(())
        self.methods: Sequence[Method] = ()  # for them
        self._more_methods = list(methods)
        self.exchanges = Exchanges(self._more_methods)
        self._answers = Answers(self._give)

    @property
    def hears(self) -> Hears:
        return {AuthNote: self._answer, AuthEndNote: self._end}

    async def prepare(self, config: Config) -> LoginsChange:
        change = LoginsChange(self, config)
        await asyncio.to_thread(change.make)
        return change

    def use(self, config: Config | None, users: Users, methods: Sequence[Method]) -> None:
        """Judge the next clients by these; exchanges under way go on with their method."""
        self.config, self.users, self.methods = config, users, methods
        self.exchanges.use([*methods, *self._more_methods])

    def leave(self) -> None:
        self._answers.close()

    async def stop(self) -> None:
        self._answers.close()  # to notes that came meanwhile

    def _decide(self, note: AuthNote) -> Step:
        """Judge a CONNECT by its password, or by its method as one step of an exchange."""
        number = note.number
        if note.step == ReasonCode.CONTINUE_AUTHENTICATION:
            return self.exchanges.go_on(number, note.data)
        if note.method is not None:
            return self.exchanges.begin(number, note.method, note.client_id, note.data)
        code = self.users.decide(
            note.user_name,
            note.password,
            allow_anonymous=self.listeners.allow_anonymous(note.listener),
        )
        return Step(code, claims=note.user_name, listed=True)

    def _answer(self, note: AuthNote) -> None:
        step = self._decide(note)
        has_credentials = (note.user_name, note.password, note.method) != (None,) * 3
        if step.reason_code == ReasonCode.CONTINUE_AUTHENTICATION or not has_credentials:
            self._give(note.number, step)
        else:
            self._answers.put(note.number, note.address, step.claims or "", step)

    def _give(self, number: int, step: Step) -> None:
        if not self.core.answer(
            number,
            step.reason_code,
            step.data,
            step.user_name,
            foreign=not step.listed,
        ):
            self.exchanges.end(number)  # its client has gone

    def _end(self, note: AuthEndNote) -> None:
        self.exchanges.end(note.number)
        self._answers.forget(note.number)
