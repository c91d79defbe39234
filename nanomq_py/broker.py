"""Broker: the asyncio face of the core, and the library's public API.

::

    async with Broker(Config(url="nmq-tcp://127.0.0.1:1883")) as broker:
        async with broker.subscribe("sensors/#") as messages:
            async for message in messages:
                print(message.topic_name, message.payload)
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from nanomq_py import commands
from nanomq_py.admission import Admission
from nanomq_py.auth.chain import Authenticator
from nanomq_py.auth.enhanced import Method
from nanomq_py.config import Config
from nanomq_py.consumers import MAX_BYTES, MAX_MESSAGES, Batch, Consumer
from nanomq_py.core import binding
from nanomq_py.core.message import Identity, Message
from nanomq_py.core.records import ListenerStats, Memory, Stats
from nanomq_py.kernel.part import Change, Part, put_in_force
from nanomq_py.kernel.parts import Changes
from nanomq_py.listen.inherited import Inherited
from nanomq_py.listen.listener import Listening
from nanomq_py.permissions import Permission
from nanomq_py.queries import Queries
from nanomq_py.running import Running
from nanomq_py.steering import CachedAccess, Steering
from nanomq_py.store.place import places_of, tell
from nanomq_py.taps import Tap, open_tap

if TYPE_CHECKING:
    from nanomq_py.alarms import Alarms
    from nanomq_py.bridges.bridge import Status
    from nanomq_py.core.declared_events import Event
    from nanomq_py.delivery.deliveries import Deliveries
    from nanomq_py.events import Events
    from nanomq_py.metrics.durability import DurabilityState
    from nanomq_py.store.store import Store

__all__ = ["Batch", "Broker", "CachedAccess", "Consumer", "HandOver"]
__all__ += ["Identity", "Message", "Permission", "Tap"]


E = TypeVar("E", bound="Event")


@dataclass(frozen=True)
class HandOver:
    """What the next process gets: listening sockets by listener, and which of them we made."""

    sockets: list[tuple[str, socket.socket]]
    ours: list[str]
    state: int  # descriptor of what :meth:`Broker.stop` saved; the caller's


class BrokerChange(Changes):
    """A broker on its way to another configuration, or to its start."""

    def __init__(
        self, broker: Broker, config: Config, changes: Changes, *, is_start: bool
    ) -> None:
        super().__init__(changes.all)
        self._broker = broker
        self._config = config
        self._is_start = is_start

    def commit(self) -> None:
        super().commit()
        self._broker.config = self._config

    async def undo(self) -> None:
        """Leave everything as it was. Not after a commit that succeeded."""
        await super().undo()
        if self._is_start:
            await self._broker.stop()


class Broker(Admission, Queries, Steering):
    """One MQTT broker in this process.

    Threads  belongs to the event loop that started it; messages between MQTT clients move on
             the core's own threads and never wait for Python
    """

    def __init__(
        self,
        config: Config | None = None,
        methods: Iterable[Method] = (),
        conf: Path | None = None,
    ) -> None:
        """Make a broker that is not running yet.

        methods  of enhanced authentication, besides SCRAM-SHA-256 for the users of the
                 configuration
        conf     the configuration file, by which the store has its place unless
                 ``store.path`` says where; without both it is in memory
        """
        self._conf = conf
        self.config = config if config is not None else Config()
        self._methods = list(methods)
        self._authenticators: dict[str, Authenticator] = {}
        self._beside: Sequence[Part] = ()
        self._live: Running | None = None
        self._state: int | None = None  # where the next process finds what it takes over

    def add_authenticator(self, authenticator: Authenticator) -> None:
        """Ask one more about logins: ``auth.chain`` calls it ``plugin:`` and its name.

        Without that key it comes after the broker's own, before anonymous clients. It counts
        from the next start or change of the configuration on.

        Raises   ValueError for a name that is taken
        """
        if self._authenticators.setdefault(authenticator.name, authenticator) is not (
            authenticator
        ):
            raise ValueError(f"{authenticator.name!r}: there is one of that name")

    def watch(self, *parts: Part) -> None:
        """Ask these parts of the process, too, for troubles. Before the start."""
        self._beside = parts

    @property
    def alarms(self) -> Alarms:
        """What is wrong with this broker now, and what was."""
        return self._running.alarms.alarms

    @property
    def store(self) -> Store:
        """Its store, for parts and plugins: their tables come with ``store.schema.bring``."""
        return self._running.store.store

    @property
    def deliveries(self) -> Deliveries:
        """What tells HTTP servers, from queues in the store."""
        return self._running.deliveries

    @property
    def _running(self) -> Running:
        if self._live is None:
            raise RuntimeError("the broker is not running")
        return self._live

    @property
    def _core(self) -> binding.Core:
        return self._running.core

    @property
    def ports(self) -> dict[str, int]:
        """The ports in use, by the key that says where to listen."""
        return {} if self._live is None else self._live.listeners.ports

    @property
    def places(self) -> dict[str, tuple[int, str]]:
        """The ports in use, 0 where there is none, and the URLs, by the key that says where."""
        return {} if self._live is None else self._live.listeners.places

    async def start(
        self, inherited: Inherited | None = None, state: binding.Buffer | None = None
    ) -> None:
        """Listen and serve. Raises ConfigError naming the key of what cannot be used.

        inherited  listening sockets to use instead of new ones
        state      retained messages and sessions that a broker before this one saved
        """
        if self._live is not None:
            raise RuntimeError("the broker is running")
        change = await self.prepare(self.config, inherited, state)
        await put_in_force(change)

    async def prepare(
        self,
        config: Config,
        inherited: Inherited | None = None,
        state: binding.Buffer | None = None,
    ) -> Change:
        """Return the prepared change to that configuration. Its ``commit`` cannot be undone.

        For a broker that does not run it is its start: it listens, but lets nobody in yet.

        inherited, state   as for :meth:`start`, if it does not run yet
        Raises   ConfigError naming the key of what cannot be used; nothing has changed then
        """
        is_start = self._live is None
        if self._live is None:
            keys = config.store.path, config.kept.location, self._conf
            tell(*keys)
            self._live = Running(
                config,
                self._methods,
                self._authenticators,
                inherited,
                places_of(*keys),
                self._beside,
            )
        try:
            if is_start:
                await self._live.begin(config, state)
            changes = await self._live.parts.prepare(config)
        except BaseException:
            if is_start:
                await self.stop()
            raise
        return BrokerChange(self, config, changes, is_start=is_start)

    async def reconfigure(self, config: Config) -> None:
        """Put another configuration in force while clients talk.

        Keys that need a restart (``docs/configuration.md``) have no effect.

        Raises   ConfigError naming the key of what cannot be used; nothing has changed then
        """
        self._running  # noqa: B018 - raises
        change = await self.prepare(config)
        await put_in_force(change)
        await change.settle()

    def listeners(self) -> dict[str, ListenerStats]:
        """Return what each listener has done so far, by its name."""
        return self._running.listeners.stats()

    def listening(self) -> dict[str, Listening]:
        """Return where each listener listens, and what it has done, by its name."""
        return self._running.listeners.listening()

    def listener_name(self, key: int) -> str:
        """Return the name of a listener by ``ClientDetail.listener_key``; empty: none."""
        return self._running.listeners.name_of(key)

    def restart_listener(self, name: str) -> None:
        """Disconnect the clients that came through that listener; others come in meanwhile.

        Raises   KeyError where there is none
        """
        self._running.listeners.restart(name)

    def hand_over(self, state: int | None = None) -> HandOver:
        """Return what the next process needs; the caller owns it.

        After :meth:`stop`, new connections wait in the listening sockets for the next process,
        and retained messages and kept sessions are in ``state``.

        state    a descriptor to keep them in; None: one is made
        Raises   OSError, and nothing has changed
        """
        self._state = os.memfd_create("nanomq-state") if state is None else state
        given = self._running.listeners.give_sockets()
        return HandOver(
            [(name, sock) for name, sock, _ in given],
            [name for name, _, foreign in given if not foreign],
            self._state,
        )

    async def stop(self, *, timeout_s: float = 1.5) -> None:
        """Tell every client Server shutting down, send what is queued, and free everything.

        Connections that take longer than ``timeout_s`` are cut.
        """
        if self._live is not None:
            await self._live.stop(int(timeout_s * 1000), self._state)
            self._live = None

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
        self,
        topic_name: str,
        payload: bytes | str,
        *,
        qos: int = 0,
        retain: bool = False,
        message_expiry_interval: int | None = None,
        payload_format_indicator: int | None = None,
        content_type: str | None = None,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
        user_properties: Iterable[tuple[str, str]] = (),
    ) -> int:
        """Route one message; return how many sessions took it.

        message_expiry_interval  seconds
        Raises   ValueError for what MQTT does not allow; RuntimeError where it is to be kept
                 on a disk that is full or has failed (durability)
        """
        return commands.publish(
            self._running.core,
            topic_name,
            payload,
            qos=qos,
            retain=retain,
            message_expiry_interval=message_expiry_interval,
            properties=commands.properties_of(
                payload_format_indicator,
                content_type,
                response_topic,
                correlation_data,
                user_properties,
            ),
        )

    def subscribe(self, topic_filter: str, *, qos: int = 2) -> Tap:
        """Return a tap: the messages that match from now on, retained ones first.

        Raises   ValueError for an invalid Topic Filter, OSError out of descriptors
        """
        running = self._running
        tap = open_tap(running.core, running.listeners.name_of, topic_filter, qos)
        return running.readers.add(tap)

    def consume(
        self,
        name: str,
        topic_filters: Iterable[str],
        *,
        qos: int = 2,
        max_messages: int = MAX_MESSAGES,
        max_bytes: int = MAX_BYTES,
        patience_s: float = 0.0,
    ) -> Consumer:
        """Return the consumer of that name: messages that are kept until acknowledged.

        The broker makes it if there is none, and keeps it, its filters and its messages until
        :meth:`end_consumer`. Topic filters may be shared ones, ``$share/GROUP/FILTER``.

        topic_filters  take the place of those that it had; retained messages come for new ones
        max_messages   that are not acknowledged: 1 to 4294967295. Of clients, which wait
                       then, some more come: to 65536 more, and twice the bytes
        max_bytes      of those messages; 0: no bound
        patience_s     publishers wait so long while it acknowledges nothing; 0: as for any
                       slow subscriber (``slow_consumer_time``)
        Raises         ValueError for what cannot be, RuntimeError if it is open, OSError
                       out of descriptors
        """
        if isinstance(topic_filters, str):  # it is an iterable of filters of one character
            raise ValueError(f"topic_filters={topic_filters!r}: expected a list of filters")
        return self._running.consumers.open(
            name, tuple(topic_filters), qos, max_messages, max_bytes, patience_s
        )

    def end_consumer(self, name: str) -> None:
        """Forget the consumer of that name, and what it keeps. Raises KeyError."""
        self._running.consumers.end(name)

    def events(self, kinds: Iterable[type[E]]) -> Events[E]:
        """Return what happens from now on, of those kinds: classes of ``nanomq_py.events``.

        Several may be open at once, each with kinds of its own. What nobody asks for is not
        recorded.

        Raises   ValueError for what is no kind of event, or for none; OSError out of
                 descriptors
        """
        from nanomq_py.events import open_events  # who asks for none does not load them

        running = self._running
        events = open_events(running.core, running.listeners.name_of, kinds)
        return running.readers.add(events)

    def stats(self) -> Stats:
        """Return counters since the start, and gauges as of now."""
        return self._running.core.stats()

    def durability(self) -> DurabilityState | None:
        """Return what becomes of what is to outlive the process; None: nothing is."""
        watch = self._running.durability
        return None if watch is None else watch.state()

    def bridges(self) -> list[Status]:
        """Return what the bridges that run are like."""
        return list(self._running.bridges.statuses())

    def memory(self) -> Memory:
        """Return who holds how much memory."""
        return self._running.core.memory()
