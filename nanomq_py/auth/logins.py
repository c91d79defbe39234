"""Logins: every question of the core about a client gets its answer here.

::

    AuthNote ──> the chain, or one step of a method ──> Answers ──when it is due──> the core
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nanomq_py.auth.answers import Answers
from nanomq_py.auth.chain import Authenticator, Chain, Decision, Login
from nanomq_py.auth.enhanced import Exchanges, Method, Step
from nanomq_py.auth.rights import Rights, kicks_of, methods_for, scram_users
from nanomq_py.auth.roster import Roster, Tools, names_count, roster_of
from nanomq_py.auth.throttle import network_of
from nanomq_py.auth.verifier import Verifier
from nanomq_py.auth.waiting import Waiting
from nanomq_py.config import Config
from nanomq_py.core.binding import Core
from nanomq_py.core.declared import ReasonCode
from nanomq_py.core.records import AuthEndNote, AuthNote
from nanomq_py.core.settling import Settling
from nanomq_py.kernel.part import Change, Hears, Part
from nanomq_py.listen.listeners import Listeners

MOST_WAITING = 10_000  # logins, for an authenticator
MOST_WAITING_ALIKE = 1024  # of one address, or IPv6 network
_BUSY = Step(ReasonCode.SERVER_BUSY)


@dataclass(frozen=True)
class InForce:
    """What logins are judged by."""

    config: Config | None = None
    roster: Roster = field(default_factory=Roster)
    methods: Sequence[Method] = ()  # for the users of the configuration
    rights: Rights = field(default_factory=Rights)


class LoginsChange(Change):
    """Other users, and the end of connections whose user is none any more."""

    def __init__(self, logins: Logins, new: Config) -> None:
        self._logins = logins
        self._new = new
        self._before = logins.in_force
        self._after = self._before
        self._anonymous: set[int] = set()  # listeners that have let anybody in so far

    @property
    def renewed(self) -> Sequence[str]:
        old = self._before.config
        same_path = (
            old is not None and old.auth.password_file == self._new.auth.password_file
        )
        before, after = self._before.roster, self._after.roster
        return (
            ["auth.password_file"]
            if same_path and before.file_users != after.file_users
            else []
        )

    def make(self) -> None:
        """Make what takes time. Blocks, for seconds with thousands of users."""
        new, before, logins = self._new, self._before, self._logins
        tools = Tools(
            logins.listeners, logins.verifier, logins.tokens, logins.stored, logins.http
        )
        roster = roster_of(new, tools, logins.added, before.roster)
        users = scram_users(new)
        had = () if before.config is None else scram_users(before.config)
        methods = before.methods if had == users else methods_for(users)
        superusers = frozenset(new.auth.superusers)
        rights = Rights(
            roster.accounts, superusers, names_count(new, logins.added), roster.foreign
        )
        self._after = InForce(new, roster, methods, rights)

    def commit(self) -> None:
        self._anonymous = self._logins.anonymous()
        self._logins.use(self._after)

    async def undo(self) -> None:
        self._logins.use(self._before)

    async def settle(self) -> None:
        """Disconnect clients that may not come in any more."""
        if self._before.config is None:
            return
        shut = self._anonymous - self._logins.anonymous()
        before, after = self._before.rights, self._after.rights
        kicks = kicks_of(before, after, shut)
        core = self._logins.core

        def act() -> None:
            for kick in kicks:
                core.kick_users(kick)
            if before.superusers - after.superusers:
                core.judge()  # what they hold while they are away

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
        tokens: Authenticator,
        stored: Callable[[Verifier], Authenticator],
        http: Authenticator,
        methods: Iterable[Method] = (),
        added: Mapping[str, Authenticator] | None = None,
    ) -> None:
        """Make it with nobody who can log in.

        listeners  know which of them let clients in without a login
        tokens     decides about clients with a token
        stored     makes the authenticator of the users in the store
        http       is asked where the configuration says so
        methods    more than those for the users of the configuration
        added      authenticators of a program, by name; the next change looks for new ones
        """
        self.core = core
        self.settling = settling
        self.listeners = listeners
        self.tokens = tokens
        self.stored = stored
        self.added = {} if added is None else added
        self.http = http
        self.verifier = Verifier()
        self.in_force = InForce()
        self._chain = Chain()
        self._more_methods = list(methods)
        self.exchanges = Exchanges(self._more_methods)
        self._answers = Answers(self._give)
        self._waiting: Waiting[str, asyncio.Task[None]] = Waiting(  # for an authenticator
            MOST_WAITING, MOST_WAITING_ALIKE
        )

    @property
    def hears(self) -> Hears:
        return {AuthNote: self._answer, AuthEndNote: self._end}

    async def prepare(self, config: Config) -> LoginsChange:
        change = LoginsChange(self, config)
        await asyncio.to_thread(change.make)
        return change

    def use(self, now: InForce) -> None:
        """Judge the next clients by these; exchanges under way go on with their method."""
        self.in_force, self._chain = now, now.roster.chain
        self.exchanges.use([*now.methods, *self._more_methods])
        self.verifier.decoys = now.roster.decoys
        if now.config is not None:
            self.verifier.patience_s = now.config.answer_timeout / 1000

    @property
    def _superusers(self) -> frozenset[str]:
        return self.in_force.rights.superusers

    def anonymous(self) -> set[int]:
        """Return the numbers of listeners, also closed ones, that let anybody in now."""
        is_member = "anonymous" in self.in_force.roster.made
        return self.listeners.anonymous() if is_member else set()

    def leave(self) -> None:
        self._answers.close()
        for number in self._waiting:
            if (task := self._waiting.take(number)) is not None:
                task.cancel()
        self.verifier.close()

    async def stop(self) -> None:
        self.leave()  # to notes that came meanwhile

    def _answer(self, note: AuthNote) -> None:
        if note.step == ReasonCode.CONTINUE_AUTHENTICATION:
            step = self.exchanges.go_on(note.number, note.data)
            self._put(note, _ranked(step, self._superusers))
        elif note.method is not None:
            begun = self.exchanges.begin(
                note.number, note.method, note.client_id, note.data
            )
            self._put(note, _ranked(begun, self._superusers))
        else:
            self._judge(note)

    def _judge(self, note: AuthNote) -> None:
        """Ask the chain about a CONNECT without an Authentication Method."""
        login = Login(
            note.listener, note.address, note.client_id, note.user_name, note.password
        )
        network = network_of(note.address)
        if not self._waiting.has_room(network):  # before anything is begun for it
            self._give(note.number, _BUSY)
            return
        decision = self._chain.decide(login)
        if isinstance(decision, Decision):
            self._put(note, _ranked(_step_of(note, decision), self._superusers))
        else:
            waits = asyncio.ensure_future(self._wait(note, decision, self._superusers))
            self._waiting.put(note.number, network, waits)
            waits.add_done_callback(lambda _: self._waiting.take(note.number))

    async def _wait(
        self, note: AuthNote, decision: Awaitable[Decision], superusers: frozenset[str]
    ) -> None:
        """Answer when the chain of then has decided, for the superusers of then."""
        self._put(note, _ranked(_step_of(note, await decision), superusers))

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
            superuser=step.is_superuser,
            ends_at_s=step.ends_at_s,
            rules=step.rules,
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
        is_superuser=decision.is_superuser,
        ends_at_s=decision.ends_at_s,
        rules=decision.rules,
    )


def _ranked(step: Step, superusers: frozenset[str]) -> Step:
    """Return the step, for a superuser if that name is one's. Refused clients do not matter."""
    proved = step.claims if step.user_name is None else step.user_name
    return replace(step, is_superuser=True) if proved in superusers else step
