"""What a program changes of clients while they talk, as methods of :class:`nanomq_py.Broker`.

::

    broker.set_keep_alive("pump-7", 30)
    broker.set_rate("pump-7", messages_per_s=10)
    for answer in broker.access_cache("pump-7"):
        print(answer.access, answer.topic, answer.result)
    await broker.discard("pump-7")
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from nanomq_py.commands import (
    U32,
    check_range,
    properties_of,
    publish,
    subscribe,
    subscription_options,
    unsubscribe,
)
from nanomq_py.config import Config
from nanomq_py.core.binding import CoreError
from nanomq_py.core.declared import ReasonCode
from nanomq_py.core.records import Trial
from nanomq_py.core.rules import Access
from nanomq_py.permissions import Permission, permission
from nanomq_py.running import Running

if TYPE_CHECKING:
    from nanomq_py.topic_metrics import TopicMetrics

U16 = 0xFFFF
_RESULTS = {Access.ALLOW: "allow", Access.DENY: "deny", Access.PASS: "pass"}


@dataclass(frozen=True)
class CachedAccess:
    """One answer that the broker gives by itself for a while."""

    access: str  # publish
    topic: str  # as the client knows it
    result: str  # allow, deny, or pass: what holds where nobody decides
    updated_at: float  # Unix time in seconds
    expires_in_s: float


class Steering:
    """Changes what is true of one client of a running broker.

    Threads: belongs to its event loop
    """

    config: Config

    @property
    def _running(self) -> Running:
        raise NotImplementedError

    @property
    def topic_metrics(self) -> TopicMetrics:
        """The topics whose messages are counted, each by itself."""
        return self._running.topic_metrics

    async def count_topic(self, topic: str) -> None:
        """Count the messages of a topic from now on, also after a restart: the store keeps it.

        One that is counted already goes on.

        Raises   ValueError for what is no Topic Name, RuntimeError for one too many, StoreError
        """
        running, metrics = self._running, self.topic_metrics
        is_new = topic not in metrics
        if is_new:
            metrics.register(topic)
        try:
            await running.store.topics.add(topic)
        except BaseException:
            if is_new and topic in metrics:
                metrics.unregister(topic)
            raise

    async def uncount_topic(self, topic: str) -> None:
        """Count it no longer. Raises KeyError where it is not counted, StoreError."""
        if topic not in self.topic_metrics:
            raise KeyError(topic)
        await self._running.store.topics.delete(topic)
        if topic in self.topic_metrics:
            self.topic_metrics.unregister(topic)

    async def publish_as(
        self,
        client_id: str,
        topic_name: str,
        payload: bytes | str,
        *,
        check_access: bool = False,
        qos: int = 0,
        retain: bool = False,
        message_expiry_interval: int | None = None,
        payload_format_indicator: int | None = None,
        content_type: str | None = None,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
        user_properties: Iterable[tuple[str, str]] = (),
    ) -> int:
        """Route one message of that client, connected or not; return how many sessions took it.

        Who gets it sees the client as its publisher, with user name and address as far as
        there is such a session, and its own subscriptions with No Local do not get it. The
        topic is the broker's: it is not put below the client's mount point.

        check_access  ask first whether the client may publish that; a topic that is not below
                      its mount point is none that it may
        Raises        ValueError for what MQTT does not allow, PermissionError naming the rule
        """
        _check_name("client_id", client_id)
        properties = properties_of(
            payload_format_indicator,
            content_type,
            response_topic,
            correlation_data,
            user_properties,
        )
        exempt = True
        if check_access:
            check_range("qos", qos, 2)
            _check_name("topic_name", topic_name)
            trial = Trial(
                topic=topic_name, client_id=client_id, publish=True, qos=qos, retain=retain
            )
            said = await permission(
                self._running, self.config.auth.superusers, trial, mounted=True
            )
            if not said.is_allowed:
                raise PermissionError(f"{topic_name!r}: denied by {said.decided_by}")
            exempt = said.is_exempt
        return publish(
            self._running.core,
            topic_name,
            payload,
            qos=qos,
            retain=retain,
            message_expiry_interval=message_expiry_interval,
            properties=properties,
            client_id=client_id,
            exempt=exempt,
        )

    async def may(
        self,
        action: str,
        topic: str,
        *,
        client_id: str = "",
        user_name: str | None = None,
        address: IPv4Address | IPv6Address | None = None,
        qos: int = 0,
        retain: bool = False,
    ) -> Permission:
        """Say whether a client may do that by the rules in force, and which of them decides.

        A client of that identifier with a session counts as it is, unless a user name or an
        address is given: then there need be none.

        action   publish or subscribe
        topic    Topic Name or Topic Filter, as the client writes it
        Raises   ValueError for what is no such thing
        """
        if action not in ("publish", "subscribe"):
            raise ValueError(f"action={action!r}: expected publish or subscribe")
        check_range("qos", qos, 2)
        for name, text in (("topic", topic), ("client_id", client_id)):
            _check_name(name, text)
        _check_name("user_name", user_name or "")
        trial = Trial(
            topic=topic,
            client_id=client_id,
            user_name=user_name or None,
            address=address,
            publish=action == "publish",
            qos=qos,
            retain=retain,
        )
        return await permission(self._running, self.config.auth.superusers, trial)

    def set_keep_alive(self, client_id: str, seconds: int) -> None:
        """Give a connected client another Keep Alive, from now to the end of its connection.

        The client is not told: MQTT lets a server say so in CONNACK alone (5.0, 3.2.2.3.14),
        so that one that goes on as before may be taken for gone (3.1.2.10).

        seconds  0 to 65535; 0: it may be silent for ever
        Raises   KeyError where it is not connected, ValueError
        """
        check_range("seconds", seconds, U16)
        try:
            self._running.core.set_keep_alive(client_id, seconds)
        except CoreError:
            raise KeyError(client_id) from None

    def set_rate(
        self,
        client_id: str,
        messages_per_s: int | None = None,
        bytes_per_s: int | None = None,
    ) -> None:
        """Bound what a connected client may send, from now to the end of its connection.

        A client that is over it is not read for a while. Up to one second's worth may come
        at once.

        messages_per_s  PUBLISH packets; 0: no bound, None: what the configuration says
        bytes_per_s     of all packets; likewise
        Raises          KeyError where it is not connected, ValueError
        """
        for name, rate in (
            ("messages_per_s", messages_per_s),
            ("bytes_per_s", bytes_per_s),
        ):
            check_range(name, 0 if rate is None else rate, U32)
        try:
            self._running.core.set_rates(client_id, messages_per_s, bytes_per_s)
        except CoreError:
            raise KeyError(client_id) from None

    def access_cache(self, client_id: str) -> list[CachedAccess]:
        """Return which answers of ``auth.http`` the broker keeps of a connected client.

        They are about topics that it publishes to: 32 at most, of 256 bytes. What access
        rules decide is looked up each time, and nothing of it is kept.

        Raises   KeyError where it is not connected
        """
        try:
            kept = self._running.core.kept_answers(client_id)
        except CoreError:
            raise KeyError(client_id) from None
        return [
            CachedAccess(
                "publish",
                answer.topic_name,
                _RESULTS[answer.access],
                answer.answered_at_ms / 1000,
                answer.left_ms / 1000,
            )
            for answer in kept
        ]

    async def drop_access_cache(self, client_id: str | None = None) -> None:
        """Forget the answers of a connected client; None: of all.

        What ``auth.http`` remembers of its servers' answers about topics goes for all clients
        in either case: it does not know whose they were.

        Raises   KeyError where it is not connected
        """
        running = self._running
        try:
            await asyncio.to_thread(running.core.forget_answers, client_id)
        except CoreError:
            raise KeyError(client_id) from None
        if running.http.judge is not None:
            running.http.judge.forget_topics()

    async def discard(
        self, client_id: str, reason_code: int = ReasonCode.ADMINISTRATIVE_ACTION
    ) -> None:
        """End a client's session, and its connection if it has one.

        Its subscriptions and what waits for it are gone. Its will is sent, as at each end of
        a session but by DISCONNECT (MQTT 5.0, 3.1.2.5).

        Raises   KeyError where there is no such session
        """
        try:
            await asyncio.to_thread(self._running.core.discard, client_id, reason_code)
        except CoreError:
            raise KeyError(client_id) from None

    async def subscribe_client(
        self,
        client_id: str,
        *topic_filters: str,
        qos: int = 0,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
        identifier: int = 0,
    ) -> list[int]:
        """Subscribe that client, connected or away, as if it had sent SUBSCRIBE.

        Its rules, bounds and mount point count; it is sent retained messages, and no SUBACK.
        The filters are taken one after the other: those before one that fails stay.

        Returns  the QoS that was granted for each
        Raises   KeyError for no such client, ValueError for what MQTT does not allow,
                 PermissionError where an access rule denies it, RuntimeError over a bound
        """
        options = subscription_options(
            qos,
            no_local=no_local,
            retain_as_published=retain_as_published,
            retain_handling=retain_handling,
        )
        core, granted = self._running.core, list[int]()
        for topic_filter in topic_filters:
            if self._running.http.judge is not None:
                await self._check_asked(client_id, topic_filter, qos)
            granted += await asyncio.to_thread(
                subscribe, core, client_id, (topic_filter,), options, identifier
            )
        return granted

    async def _check_asked(self, client_id: str, topic_filter: str, qos: int) -> None:
        """Raise PermissionError where a server does not allow what no rule decides.

        The core, which judges what the rules say, cannot ask while it subscribes a client.
        """
        if self._running.core.client(client_id) is None:
            raise KeyError(client_id)
        trial = Trial(topic=topic_filter, client_id=client_id, qos=qos)
        said = await permission(self._running, self.config.auth.superusers, trial)
        if not said.is_allowed:
            raise PermissionError(f"{topic_filter!r}: denied by {said.decided_by}")

    async def unsubscribe_client(self, client_id: str, *topic_filters: str) -> list[bool]:
        """Unsubscribe that client, connected or away, as if it had sent UNSUBSCRIBE.

        Returns  for each filter whether there was such a subscription
        Raises   KeyError for no such client, ValueError for what is no Topic Filter
        """
        return await asyncio.to_thread(
            unsubscribe, self._running.core, client_id, topic_filters
        )

    def kick(
        self, client_id: str, reason_code: int = ReasonCode.ADMINISTRATIVE_ACTION
    ) -> None:
        """Close the client's connection. Raises KeyError when it is not connected."""
        try:
            self._running.core.kick(client_id, reason_code)
        except CoreError:
            raise KeyError(client_id) from None


def _check_name(name: str, text: str) -> None:
    """Raise ValueError unless MQTT can carry the text."""
    try:
        fits = "\0" not in text and len(text.encode()) <= U16
    except UnicodeEncodeError:
        fits = False
    if not fits:
        raise ValueError(f"{name}={text[:100]!r}: expected at most {U16} bytes of UTF-8")
