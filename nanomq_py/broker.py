"""Broker: the asyncio face of the core, and the library's public API.

::

    async with Broker(Config(url="nmq-tcp://127.0.0.1:1883")) as broker:
        async with broker.subscribe("sensors/#") as messages:
            async for message in messages:
                print(message.topic_name, message.payload)
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import TracebackType

from nanomq_py import core
from nanomq_py.auth.acl import rule_of
from nanomq_py.auth.enhanced import CONTINUE_AUTHENTICATION, Exchanges, Method, Step
from nanomq_py.auth.password import Users
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.model import User
from nanomq_py.listeners import Inherited, Place, bind, options_of, places_of, unlink_ipc
from nanomq_py.memory import memory_share
from nanomq_py.records import (
    AuthEvent,
    Client,
    CoreOptions,
    ListenerStats,
    MessageEvent,
    Stats,
    Subscription,
)
from nanomq_py.sys_topics import SysTopics

log = logging.getLogger("nanomq")

LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}
ADMINISTRATIVE_ACTION = 0x98
TAP_QUEUE = 65536  # messages that wait in one tap


@dataclass(frozen=True, slots=True)
class Message:
    """One Application Message as a tap sees it."""

    topic_name: str
    payload: bytes
    qos: int  # as published
    retain: bool  # as published
    retained: bool  # kept from before the subscription


class Tap:
    """Messages that match a filter, as an asynchronous iterator.

    It listens from its making on until :meth:`close`, or the end of ``async with``. When more
    than 65,536 messages wait, the oldest is dropped and ``dropped`` counts it.
    """

    def __init__(self, broker: Broker, topic_filter: str, qos: int) -> None:
        self._broker = broker
        self._waiting: deque[Message] = deque(maxlen=TAP_QUEUE)
        self._arrived = asyncio.Event()
        self._closed = False
        self.dropped = 0
        self._number = broker._open_tap(self, topic_filter, qos)

    def _put(self, message: Message) -> None:
        self.dropped += len(self._waiting) == TAP_QUEUE
        self._waiting.append(message)
        self._arrived.set()

    def __aiter__(self) -> Tap:
        return self

    async def __anext__(self) -> Message:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()

    def close(self) -> None:
        """Stop listening. What waits can still be read; then the iteration ends."""
        if not self._closed:
            self._closed = True
            self._broker._close_tap(self._number)
            self._arrived.set()

    async def __aenter__(self) -> Tap:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def task_threads(config: Config) -> int:
    """Return how many task threads nng shall have, 2 to 256."""
    wanted = config.num_taskq_thread or os.cpu_count() or 2
    if config.max_taskq_thread:
        wanted = min(wanted, config.max_taskq_thread)
    return max(2, wanted)


def core_options(config: Config) -> CoreOptions:
    """Return what the core needs of a configuration."""
    return CoreOptions(
        window=config.msq_len,
        queue_max=config.msq_len,
        queue_max_bytes=config.max_queue_size,
        subscriptions_max=config.max_subscriptions,
        message_rate=config.max_message_rate,
        byte_rate=config.max_byte_rate,
        connections_max=config.max_connections,
        address_connections_max=config.max_connections_per_address,
        memory_max_bytes=config.max_memory or memory_share(),
        packet_max_bytes=min(config.max_packet_size * 1024, 268_435_460),
        send_packet_max_bytes=min(config.client_max_packet_size * 1024, 268_435_460),
        user_properties_max=config.property_size,
        topic_levels_max=config.max_topic_levels,
        topic_alias_max=config.max_topic_alias,
        send_topic_alias_max=config.max_outgoing_topic_alias,
        receive_maximum=config.receive_maximum,
        server_keep_alive_s=config.server_keepalive,
        qos_max=config.max_qos_allowed,
        retain_available=config.retain_available,
        wildcards_available=config.wildcard_subscription,
        shared_available=config.shared_subscription,
        subscription_ids_available=config.subscription_identifier,
        strict_client_ids=config.strict_clientid,
        empty_client_ids=config.allow_empty_clientid,
        response_information=config.response_information,
        outbox_max_bytes=config.max_outgoing_size,
        hold_ms=config.slow_consumer_time,
        connect_timeout_ms=config.connect_timeout,
        keep_alive_permille=config.keepalive_backoff,
        retry_interval_s=config.qos_duration,
        expiry_max_s=config.max_session_expiry,
        log_level=LEVELS[config.log.level],
    )


def _methods_for(users: tuple[User, ...]) -> list[Method]:
    if not users:
        return []
    # A broker without users does without its library.
    from nanomq_py.auth.scram import Scram

    return [Scram(users)]


_LISTEN_FAULTS = {
    core.EADDRINUSE: "the port is taken by another program",
    core.EADDR: "the address cannot be used on this machine",
    core.EACCESS: "the system does not let this user listen there",
    core.ECRYPTO: "nng's TLS cannot use this certificate and key",
}


@dataclass(frozen=True)
class _Listening:
    """A listener that accepts clients."""

    place: Place
    number: int  # the core's name for it
    sock: socket.socket | None  # our hold on it, to hand over; None: nng's own
    foreign: bool  # the socket is systemd's: its file stays
    allow_anonymous: bool


@dataclass(frozen=True)
class HandOver:
    """What a successor gets: listening sockets by listener, and which of them we made."""

    sockets: list[tuple[str, socket.socket]]
    ours: list[str]


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
        self.ports: dict[str, int] = {}  # key of the listener -> port in use
        self._core: core.Core | None = None
        self._taps: dict[int, Tap] = {}
        self._listening: dict[int, _Listening] = {}
        self._handed_over = False
        self._users = Users(self.config.users)
        self._exchanges = Exchanges([*_methods_for(self.config.users), *methods])
        self._sys_topics: asyncio.Task[None] | None = None

    @property
    def _running(self) -> core.Core:
        if self._core is None:
            raise RuntimeError("the broker is not running")
        return self._core

    async def start(self, inherited: Inherited | None = None) -> None:
        """Listen and serve. Raises ConfigError naming the key of what cannot be used.

        inherited  listening sockets to use instead of new ones
        """
        if self._core is not None:
            raise RuntimeError("the broker is running")
        places = places_of(self.config)
        core.set_task_threads(task_threads(self.config))
        self._core = core.Core(core_options(self.config))
        self._core.set_rules(
            [rule_of(rule) for rule in self.config.acl_rules],
            otherwise=self.config.acl_nomatch == "allow",
            deny_disconnects=self.config.acl_deny_action == "disconnect",
        )
        asyncio.get_running_loop().add_reader(self._core.event_fd, self._drain)
        try:
            for place in places:
                await self._listen(place, inherited or Inherited())
        except ConfigError:
            await self.stop()
            raise
        if self.config.sys_interval > 0:
            topics = SysTopics(self._core, self.config.sys_interval)
            self._sys_topics = asyncio.create_task(topics.run())

    async def _listen(self, place: Place, inherited: Inherited) -> None:
        anonymous = place.allows_anonymous(self.config)
        options = options_of(
            place, self.config, ask_auth=self._users.must_ask(allow_anonymous=anonymous)
        )
        given = inherited.take(place)
        sock = given if given is not None or place.has_tls else await bind(place)
        # The core closes its descriptor when it stops; ours keeps the socket for a successor.
        fd = -1 if sock is None else os.dup(sock.fileno())
        try:
            number, port = self._running.listen(options, fd)
        except core.CoreError as fault:
            if sock is not None:
                os.close(fd)
                sock.close()
            raise place.error(
                f"cannot listen: {_LISTEN_FAULTS.get(fault.status, str(fault))}"
            ) from None
        foreign = given is not None and place.name not in inherited.ours
        self._listening[number] = _Listening(place, number, sock, foreign, anonymous)
        self.ports[place.key] = port

    def listeners(self) -> dict[str, ListenerStats]:
        """Return what each listener has done so far, by its name."""
        return {
            listening.place.name: self._running.listener_stats(number)
            for number, listening in self._listening.items()
        }

    def reload_certificates(self) -> None:
        """Read certificates and keys again; connections keep theirs, new ones get these.

        Raises   ConfigError naming the key of what cannot be used; then nothing has changed
        """
        fresh = {
            number: options_of(listening.place, self.config, ask_auth=False).tls
            for number, listening in self._listening.items()
            if listening.place.has_tls
        }
        for number, tls in fresh.items():
            assert tls is not None
            try:
                self._running.set_tls(number, tls)
            except core.CoreError as fault:
                raise self._listening[number].place.error(
                    f"certificates not replaced: {_LISTEN_FAULTS.get(fault.status, fault)}"
                ) from None

    def hand_over(self) -> HandOver:
        """Return the listening sockets, for a successor; they are the caller's.

        After :meth:`stop`, whoever connects waits in them for the successor.
        """
        self._handed_over = True
        sockets, ours = [], []
        for number, listening in self._listening.items():
            if listening.sock is not None:
                sockets.append((listening.place.name, listening.sock))
                ours += [] if listening.foreign else [listening.place.name]
                self._listening[number] = replace(listening, sock=None)
        return HandOver(sockets, ours)

    async def stop(self, *, timeout_s: float = 1.5) -> None:
        """Tell every client Server shutting down, send what is queued, and free everything.

        Connections that take longer than ``timeout_s`` are cut.
        """
        running = self._core
        if running is None:
            return
        if self._sys_topics is not None:
            self._sys_topics.cancel()
        await asyncio.to_thread(running.shutdown, int(timeout_s * 1000))
        for listening in self._listening.values():
            if listening.sock is not None:
                listening.sock.close()
            if not listening.foreign and not self._handed_over:
                unlink_ipc(listening.place)
        self._listening.clear()
        self._drain()
        asyncio.get_running_loop().remove_reader(running.event_fd)
        for tap in list(self._taps.values()):
            tap.close()
        self._core = None
        running.close()

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
        except core.CoreError as fault:
            raise ValueError(f"{topic_name!r}: {fault}") from None

    def subscribe(self, topic_filter: str, *, qos: int = 2) -> Tap:
        """Return the messages that match, from now on, retained ones first.

        Raises   ValueError for an invalid Topic Filter
        """
        return Tap(self, topic_filter, qos)

    def _open_tap(self, tap: Tap, topic_filter: str, qos: int) -> int:
        try:
            number = self._running.open_tap(topic_filter, qos=qos)
        except core.CoreError as fault:
            raise ValueError(f"{topic_filter!r}: {fault}") from None
        self._taps[number] = tap
        return number

    def _close_tap(self, number: int) -> None:
        self._taps.pop(number, None)
        if self._core is not None:
            self._core.close_tap(number)

    def clients(self) -> list[Client]:
        """Return the clients that are connected or have a session, in order of arrival."""
        return self._running.clients()

    def subscriptions(self, client_id: str) -> tuple[Subscription, ...]:
        """Return the subscriptions of one client. Raises KeyError if there is none."""
        for client in self.clients():
            if client.client_id == client_id:
                return client.subscriptions
        raise KeyError(client_id)

    def stats(self) -> Stats:
        """Return counters since the start and what is there now."""
        return self._running.stats()

    def kick(self, client_id: str, reason_code: int = ADMINISTRATIVE_ACTION) -> None:
        """Close the client's connection. Raises KeyError when it is not connected."""
        try:
            self._running.kick(client_id, reason_code)
        except core.CoreError:
            raise KeyError(client_id) from None

    def _answer(self, event: AuthEvent) -> None:
        """Answer a CONNECT by its password, or by its method as one step of an exchange."""
        number = event.number
        if event.step == CONTINUE_AUTHENTICATION:
            step = self._exchanges.go_on(number, event.data)
        elif event.method is not None:
            step = self._exchanges.begin(number, event.method, event.client_id, event.data)
        else:
            listening = self._listening.get(event.listener)
            allowed = listening is not None and listening.allow_anonymous
            code = self._users.decide(
                event.user_name, event.password, allow_anonymous=allowed
            )
            step = Step(code)
        self._running.answer(number, step.reason_code, step.data, step.user_name)

    def _drain(self) -> None:
        # One batch a call: the loop calls again while more waits, others get their turn.
        for event in self._running.events():
            if isinstance(event, MessageEvent):
                self._on_message(event)
            elif isinstance(event, AuthEvent):
                self._answer(event)
            else:
                log.log(event.level, event.line)

    def _on_message(self, event: MessageEvent) -> None:
        tap = self._taps.get(event.tap)
        if tap is not None:
            tap._put(
                Message(
                    event.topic_name, event.payload, event.qos, event.retain, event.retained
                )
            )
