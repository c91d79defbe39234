"""Logins: every question of the core about a client gets its answer here.

::

    AuthNote ──> the chain, or one step of a method ──> Answers ──when it is due──> the core
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence

from nanomq_py.auth.answers import Answers
from nanomq_py.auth.chain import Chain, Decision, Login
from nanomq_py.auth.enhanced import Exchanges, Method, Step
from nanomq_py.auth.rights import chain_of, kicks_of, methods_for, names_count
from nanomq_py.config import Config
from nanomq_py.core.binding import Core
from nanomq_py.core.declared import ReasonCode
from nanomq_py.core.records import AuthEndNote, AuthNote
from nanomq_py.core.settling import Settling
from nanomq_py.kernel.part import Change, Hears, Part
from nanomq_py.listen.listeners import Listeners

MOST_WAITING = 10_000  # logins, for an authenticator
_BUSY = Step(ReasonCode.SERVER_BUSY)


class LoginsChange(Change):
    """Other users, and the end of connections whose user is none any more."""

    def __init__(self, logins: Logins, new: Config) -> None:
        self._logins = logins
        self._old = logins.config
        self._new = new
        self._before = (logins.chain, logins.methods)
        self._after = self._before
        self._anonymous: set[int] = set()  # listeners that have let anybody in so far

    def make(self) -> None:
        """Make what takes time. Blocks, for seconds with thousands of users."""
        old, new = self._old, self._new
        chain, methods = self._before
        if old is None or old.users != new.users:
            methods = methods_for(new.users)
        if old is None or old.users != new.users or names_count(old) != names_count(new):
            chain = chain_of(new, self._logins.listeners)
        self._after = (chain, methods)

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
        self.chain = Chain()
        self.methods: Sequence[Method] = ()  # for them
        self._more_methods = list(methods)
        self.exchanges = Exchanges(self._more_methods)
        self._answers = Answers(self._give)
        self._waiting: dict[int, asyncio.Task[None]] = {}  # for an authenticator

    @property
    def hears(self) -> Hears:
        return {AuthNote: self._answer, AuthEndNote: self._end}

    async def prepare(self, config: Config) -> LoginsChange:
        change = LoginsChange(self, config)
        await asyncio.to_thread(change.make)
        return change

    def use(self, config: Config | None, chain: Chain, methods: Sequence[Method]) -> None:
        """Judge the next clients by these; exchanges under way go on with their method."""
        self.config, self.chain, self.methods = config, chain, methods
        self.exchanges.use([*methods, *self._more_methods])

    def leave(self) -> None:
        self._answers.close()
        for task in self._waiting.values():
            task.cancel()

    async def stop(self) -> None:
        self.leave()  # to notes that came meanwhile

    def _answer(self, note: AuthNote) -> None:
        if note.step == ReasonCode.CONTINUE_AUTHENTICATION:
            self._put(note, self.exchanges.go_on(note.number, note.data))
        elif note.method is not None:
            begun = self.exchanges.begin(
                note.number, note.method, note.client_id, note.data
            )
            self._put(note, begun)
        else:
            self._judge(note)

    def _judge(self, note: AuthNote) -> None:
        """Ask the chain about a CONNECT without an Authentication Method."""
        login = Login(
            note.listener, note.address, note.client_id, note.user_name, note.password
        )
        decision = self.chain.decide(login)
        if isinstance(decision, Decision):
            self._put(note, _step_of(note, decision))
        elif len(self._waiting) >= MOST_WAITING:
            self._give(note.number, _BUSY)
        else:
            self._waiting[note.number] = asyncio.ensure_future(self._wait(note, decision))

    async def _wait(self, note: AuthNote, decision: Awaitable[Decision]) -> None:
        try:
            self._put(note, _step_of(note, await decision))
        finally:
            del self._waiting[note.number]

    def _put(self, note: AuthNote, step: Step) -> None:
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


def _step_of(note: AuthNote, decision: Decision) -> Step:
    return Step(
        decision.reason_code,
        user_name=decision.user_name,
        listed=decision.listed,
        claims=note.user_name,
    )
