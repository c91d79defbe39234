"""Broker: the asyncio face of the core, and the library's public API.

::

    async with Broker(Config(url="nmq-tcp://127.0.0.1:1883")) as broker:
        async with broker.subscribe("sensors/#") as messages:
            async for message in messages:
                print(message.topic_name, message.payload)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType

from nanomq_py.auth.answers import Answers
from nanomq_py.auth.enhanced import Exchanges, Method, Step
from nanomq_py.auth.password import Users
from nanomq_py.auth.rights import (
    kick_of_before,
    kicks_of,
    methods_for,
    names_count,
    rules_of,
    users_of,
)
from nanomq_py.config import Config
from nanomq_py.core import binding
from nanomq_py.core.declared import ReasonCode
from nanomq_py.core.options import core_options, task_threads
from nanomq_py.core.process import set_task_threads
from nanomq_py.core.records import (
    AuthEndEvent,
    AuthEvent,
    Client,
    DroppedEvent,
    Kick,
    ListenerStats,
    Memory,
    MessageEvent,
    Snapshot,
    Stats,
    Subscription,
)
from nanomq_py.core.rules import Rules
from nanomq_py.listen import listeners
from nanomq_py.listen.inherited import Inherited
from nanomq_py.metrics.sys_topics import SysTopics
from nanomq_py.taps import Message, Tap

__all__ = ["Broker", "HandOver", "Message", "Tap"]

log = logging.getLogger("nanomq")


@dataclass(frozen=True)
class HandOver:
    """What a successor gets: listening sockets by listener, and which of them we made."""

    sockets: list[tuple[str, socket.socket]]
    ours: list[str]
    state: int  # descriptor of what :meth:`Broker.stop` saved; the caller's


class Change:
    """A broker on its way to another configuration: prepared, and not in force yet."""

    def __init__(self, broker: Broker, config: Config) -> None:
        self._broker = broker
        self._old = broker.config
        self._new = config
        self._users: Users | None = None
        self._methods: list[Method] | None = None
        self._rules: Rules | None = None
        self._has_rules = False  # others than before
        self._listeners: listeners.Change | None = None
        self._shut: set[int] = set()  # listeners that let anybody in before

    @property
    def renewed(self) -> list[str]:
        """Keys whose file has another content now."""
        return [] if self._listeners is None else self._listeners.renewed

    def _make(self) -> None:
        """Make what takes time. Blocks, for seconds with thousands of users."""
        old, new = self._old, self._new
        if old.users != new.users:
            self._methods = methods_for(new.users)
        if old.users != new.users or names_count(old) != names_count(new):
            self._users = users_of(new)
        names = ("acl_rules", "acl_nomatch", "acl_deny_action")
        if any(getattr(old, name) != getattr(new, name) for name in names):
            self._rules = rules_of(new)
            self._has_rules = True

    async def prepare(self, inherited: Inherited | None = None) -> None:
        """Do all that can fail. Raises ConfigError, and nothing has changed."""
        await asyncio.to_thread(self._make)
        users = self._users or self._broker._users
        self._listeners = await self._broker._listeners.prepare(
            self._new,
            lambda anonymous: users.must_ask(allow_anonymous=anonymous),
            inherited,
        )

    def remount(self) -> None:
        """Move sessions of a process before to the mount points of their listeners. Blocks."""
        assert self._listeners is not None
        try:
            for number in self._listeners.remounted:
                self._broker._running.remount(number)
        except binding.CoreError as fault:  # then when their clients come back
            log.error("sessions do not follow their mount points yet: %s", fault)

    def commit(self) -> None:
        """Put it in force at once. Raises CoreError, out of memory; then :meth:`undo`."""
        assert self._listeners is not None
        broker = self._broker
        broker._running.set_options(core_options(self._new))
        users = broker._users
        anonymous = broker._listeners.anonymous()
        try:
            # Before the listeners: those who come in from now on are asked for these.
            broker._users = self._users or users
            self._listeners.commit()
        except BaseException:
            broker._users = users
            raise
        if self._rules is not None:
            broker._running.set_rules(self._rules)
        if self._methods is not None:
            broker._exchanges.use([*self._methods, *broker._methods])
        self._shut = anonymous - broker._listeners.anonymous()
        broker._set_sys_interval(self._new.sys_interval)
        broker.config = self._new

    async def settle(self) -> None:
        """End what is not allowed any more, after commit: connections, subscriptions, wills.

        Sessions go below the new mount point of their listener.

        Looks at every session; the event loop goes on meanwhile.
        """
        kicks = kicks_of(self._old, self._new, self._shut)
        moved = [] if self._listeners is None else self._listeners.remounted
        if kicks or moved or self._has_rules:
            await self._broker._settle(kicks, moved, judge=self._has_rules)

    async def undo(self) -> None:
        """Leave everything as it was. Not after a commit that succeeded."""
        if self._listeners is not None:
            try:
                self._broker._running.set_options(core_options(self._old))
            finally:
                await self._listeners.undo()


class Broker:
    """One MQTT broker in this process.

    Threads  belongs to the event loop that started it; messages between MQTT clients move on
             the core's own threads and never wait for Python
    """

    def __init__(
        self, config: Config | None = None, methods: Iterable[Method] = ()
    ) -> None:
        """Make a broker that is not running yet.

        methods  of enhanced authentication, besides SCRAM-SHA-256 for the users of the
                 configuration
        """
        self.config = config if config is not None else Config()
        self._core: binding.Core | None = None
        self._taps: dict[int, Tap] = {}
        self._users = users_of(self.config)
        self._methods = list(methods)
        self._exchanges = Exchanges([*methods_for(self.config.users), *self._methods])
        self._answers = Answers(self._give)
        self._sys_task: asyncio.Task[None] | None = None
        self._sys_interval_s = 0
        self._settling: set[asyncio.Task[None]] = set()
        self._state: int | None = None  # where the next process finds what it takes over

    @property
    def _running(self) -> binding.Core:
        if self._core is None:
            raise RuntimeError("the broker is not running")
        return self._core

    @property
    def ports(self) -> dict[str, int]:
        """The ports in use, by the key that says where to listen."""
        return {} if self._core is None else self._listeners.ports

    @property
    def places(self) -> dict[str, tuple[int, str]]:
        """The ports in use, 0 where there is none, and the URLs, by the key that says where."""
        return {} if self._core is None else self._listeners.places

    async def start(
        self, inherited: Inherited | None = None, state: binding.Buffer | None = None
    ) -> None:
        """Listen and serve. Raises ConfigError naming the key of what cannot be used.

        inherited  listening sockets to use instead of new ones
        state      retained messages and sessions that a broker before this one saved
        """
        if self._core is not None:
            raise RuntimeError("the broker is running")
        set_task_threads(task_threads(self.config))
        self._core = binding.Core(core_options(self.config))
        self._listeners = listeners.Listeners(self._core)
        self._sys_topics = SysTopics(self._core)
        self._core.set_rules(rules_of(self.config))
        asyncio.get_running_loop().add_reader(self._core.event_fd, self._drain)
        change = Change(self, self.config)
        try:
            if state is not None:
                await asyncio.to_thread(self._restore, state)
            await change.prepare(inherited)
            if state is not None:
                await asyncio.to_thread(change.remount)
        except BaseException:
            await self.stop()
            raise
        change.commit()

    def _restore(self, state: binding.Buffer) -> None:
        try:
            count = self._running.restore(state)
        except binding.CoreError as fault:
            log.error("sessions of the process before are lost: %s", fault)
        else:
            log.info("%d sessions of the process before go on", count)
            with contextlib.suppress(
                binding.CoreError
            ):  # then when their clients come back
                self._running.judge()
                kick = kick_of_before(self.config)
                if kick.others:
                    self._running.kick_users(kick)

    async def prepare(self, config: Config) -> Change:
        """Return the way to that configuration, prepared. Its ``commit`` cannot be undone.

        Raises   ConfigError naming the key of what cannot be used; nothing has changed then
        """
        change = Change(self, config)
        await change.prepare()
        return change

    async def reconfigure(self, config: Config) -> None:
        """Put another configuration in force while clients talk.

        Keys that need a restart (``docs/configuration.md``) have no effect.

        Raises   ConfigError naming the key of what cannot be used; nothing has changed then
        """
        change = await self.prepare(config)
        try:
            change.commit()
        except BaseException:
            await change.undo()
            raise
        await change.settle()

    async def _settle(self, kicks: list[Kick], moved: list[int], *, judge: bool) -> None:
        def work(running: binding.Core) -> None:
            for kick in kicks:
                running.kick_users(kick)
            for number in moved:
                running.remount(number)
            if judge:
                running.judge()

        task = asyncio.create_task(asyncio.to_thread(work, self._running))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        try:
            await asyncio.shield(task)
        except binding.CoreError as fault:
            log.error(
                "what is not allowed any more goes on until clients come anew: %s", fault
            )

    def _set_sys_interval(self, interval_s: int) -> None:
        if interval_s == self._sys_interval_s:
            return
        self._sys_interval_s = interval_s
        if self._sys_task is not None:
            self._sys_task.cancel()
            self._sys_task = None
        if interval_s > 0:
            self._sys_task = asyncio.create_task(self._sys_topics.run(interval_s))

    def listeners(self) -> dict[str, ListenerStats]:
        """Return what each listener has done so far, by its name."""
        self._running  # noqa: B018 - raises
        return self._listeners.stats()

    def hand_over(self, state: int | None = None) -> HandOver:
        """Return what a successor needs; it is the caller's.

        After :meth:`stop`, whoever connects waits in the listening sockets for the successor,
        and retained messages and kept sessions are in ``state``.

        state    a descriptor to keep them in; None: one is made
        Raises   OSError, and nothing has changed
        """
        self._state = os.memfd_create("nanomq-state") if state is None else state
        given = self._listeners.give_sockets()
        return HandOver(
            [(name, sock) for name, sock, _ in given],
            [name for name, _, foreign in given if not foreign],
            self._state,
        )

    async def stop(self, *, timeout_s: float = 1.5) -> None:
        """Tell every client Server shutting down, send what is queued, and free everything.

        Connections that take longer than ``timeout_s`` are cut.
        """
        running = self._core
        if running is None:
            return
        self._set_sys_interval(0)
        self._answers.close()
        await asyncio.to_thread(running.shutdown, int(timeout_s * 1000))
        await asyncio.gather(*self._settling, return_exceptions=True)  # it ends at once
        self._listeners.close()
        self._drain()
        if self._state is not None:
            await asyncio.to_thread(self._save, running, self._state)
        asyncio.get_running_loop().remove_reader(running.event_fd)
        for tap in list(self._taps.values()):
            tap.close()
        self._answers.close()
        self._core = None
        running.close()

    def _save(self, running: binding.Core, fd: int) -> None:
        try:
            running.save(fd)
        except binding.CoreError as fault:
            log.error("sessions are lost at this restart: %s", fault)
            os.ftruncate(fd, 0)

    async def __aenter__(self) -> Broker:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def publish(
        self, topic_name: str, payload: bytes | str, *, qos: int = 0, retain: bool = False
    ) -> int:
        """Route one message; return how many sessions took it.

        Raises   ValueError for a Topic Name, QoS or payload that MQTT does not allow
        """
        data = payload.encode() if isinstance(payload, str) else payload
        if qos not in (0, 1, 2):
            raise ValueError(f"qos={qos!r}: expected 0, 1 or 2")
        try:
            return self._running.publish(topic_name, data, qos=qos, retain=retain)
        except binding.CoreError as fault:
            raise ValueError(f"{topic_name!r}: {fault}") from None

    def subscribe(self, topic_filter: str, *, qos: int = 2) -> Tap:
        """Return the messages that match, from now on, retained ones first.

        Raises   ValueError for an invalid Topic Filter
        """
        try:
            number = self._running.open_tap(topic_filter, qos=qos)
        except binding.CoreError as fault:
            raise ValueError(f"{topic_filter!r}: {fault}") from None
        tap = self._taps[number] = Tap(number, self._close_tap)
        return tap

    def _close_tap(self, number: int) -> None:
        self._taps.pop(number, None)
        if self._core is not None:
            self._core.close_tap(number)

    def clients(self) -> list[Client]:
        """Return the clients that are connected or have a session, in order of arrival.

        It blocks the loop for some 15 us a client; :meth:`snapshot` does not.
        """
        snapshot = self._running.snapshot()
        return [
            Client(
                **vars(state),
                subscriptions=tuple(
                    snapshot.subscriptions(index, 0, snapshot.subscription_count(index))
                ),
            )
            for index, state in enumerate(snapshot.states(0, len(snapshot)))
        ]

    async def snapshot(self) -> Snapshot:
        """Return all clients and their subscriptions, to be read bit by bit.

        It is made in a thread of its own; others wait for the loop no longer than for a read.
        """
        return await asyncio.to_thread(self._running.snapshot)

    def subscriptions(self, client_id: str) -> tuple[Subscription, ...]:
        """Return the subscriptions of one client. Raises KeyError if there is none."""
        for client in self.clients():
            if client.client_id == client_id:
                return client.subscriptions
        raise KeyError(client_id)

    def stats(self) -> Stats:
        """Return counters since the start and what is there now."""
        return self._running.stats()

    def memory(self) -> Memory:
        """Return who holds how much. Looks at every client: for a call every few seconds."""
        return self._running.memory()

    def kick(
        self, client_id: str, reason_code: int = ReasonCode.ADMINISTRATIVE_ACTION
    ) -> None:
        """Close the client's connection. Raises KeyError when it is not connected."""
        try:
            self._running.kick(client_id, reason_code)
        except binding.CoreError:
            raise KeyError(client_id) from None

    def _decide(self, event: AuthEvent) -> Step:
        """Judge a CONNECT by its password, or by its method as one step of an exchange."""
        number = event.number
        if event.step == ReasonCode.CONTINUE_AUTHENTICATION:
            return self._exchanges.go_on(number, event.data)
        if event.method is not None:
            return self._exchanges.begin(number, event.method, event.client_id, event.data)
        code = self._users.decide(
            event.user_name,
            event.password,
            allow_anonymous=self._listeners.allow_anonymous(event.listener),
        )
        return Step(code, claims=event.user_name, listed=True)

    def _answer(self, event: AuthEvent) -> None:
        step = self._decide(event)
        has_credentials = (event.user_name, event.password, event.method) != (None,) * 3
        if step.reason_code == ReasonCode.CONTINUE_AUTHENTICATION or not has_credentials:
            self._give(event.number, step)
        else:
            self._answers.put(event.number, event.address, step.claims or "", step)

    def _give(self, number: int, step: Step) -> None:
        running = self._core
        if running is not None and not running.answer(
            number,
            step.reason_code,
            step.data,
            step.user_name,
            foreign=not step.listed,
        ):
            self._exchanges.end(number)  # its client has gone

    def _drain(self) -> None:
        # One batch a call: the loop calls again while more waits, others get their turn.
        for event in self._running.events():
            if isinstance(event, MessageEvent):
                self._on_message(event)
            elif isinstance(event, AuthEvent):
                self._answer(event)
            elif isinstance(event, DroppedEvent):
                log.warning(
                    "client %r: its queue is full, %d messages are lost so far",
                    event.client_id,
                    event.count,
                )
            elif isinstance(event, AuthEndEvent):
                self._exchanges.end(event.number)
                self._answers.forget(event.number)
            else:
                log.log(event.level, event.line)

    def _on_message(self, event: MessageEvent) -> None:
        tap = self._taps.get(event.tap)
        if tap is not None:
            tap.put(
                Message(
                    event.topic_name, event.payload, event.qos, event.retain, event.retained
                )
            )
