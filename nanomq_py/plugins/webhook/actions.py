"""What is told of each event: the JSON of NanoMQ, and of EMQX 4 where NanoMQ tells nothing.

::

    message of a consumer ──> message_publish
    Connected             ──> client_connect, client_connack, client_connected
    AuthFailed            ──> client_connect, client_connack
    Disconnected          ──> client_disconnected
    Subscribed            ──> client_subscribe, session_subscribed
    Unsubscribed          ──> client_unsubscribe, session_unsubscribed
    SessionEnded          ──> session_terminated
    Delivered, Acked      ──> message_delivered, message_acked
    BridgeUp, BridgeDown  ──> bridge_up, bridge_down
    BridgeSwitched        ──> bridge_switched

Source   NanoMQ 0.8 to 0.24, webhook_post.c: client_connack, client_disconnected and
         message_publish, field by field in its order; EMQX 4, emqx_web_hook.erl: the others
         but those of bridges
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from nanomq_py.core.message import Identity, Message
from nanomq_py.events import (
    Acked,
    AuthFailed,
    BridgeDown,
    BridgeSwitched,
    BridgeUp,
    Connected,
    Delivered,
    Disconnected,
    Event,
    SessionEnded,
    Subscribed,
    Unsubscribed,
    Why,
)
from nanomq_py.plugins.topics import matcher
from nanomq_py.plugins.webhook.payloads import Written

Fields = dict[str, Any]
Write = Callable[[bytes], Written]


class Told(NamedTuple):
    """Something to tell.

    key    what has the same one is told in its order
    topic  what a topic filter of the rule is matched with; None: it has none
    """

    key: str
    topic: str | None
    fields: Fields


def _name_of(user_name: str | None) -> str:
    return "undefined" if user_name is None else user_name


def _host_of(address: str) -> str:
    """Return the host of an address.

    >>> _host_of("127.0.0.1:5"), _host_of("[::1]:5"), _host_of("local")
    ('127.0.0.1', '::1', 'local')
    """
    host, colon, _ = address.rpartition(":")
    return host.strip("[]") if colon else address


def message_publish(message: Message, write: Write) -> Fields:
    """Return what is told of a message that was published."""
    publisher = message.publisher
    payload, written = write(message.payload)
    fields: Fields = {
        "ts": int(message.time * 1000),
        "topic": message.topic_name,
        "retain": message.retain,
        "qos": message.qos,
        "action": "message_publish",
        "from_username": _name_of(publisher.user_name if publisher else None),
        "from_client_id": publisher.client_id if publisher else None,
        "payload": payload,
    }
    if written:
        fields["payload_encoding"] = written
    return fields


# --- of clients and their sessions


def _of(action: str, client: Identity) -> Fields:
    return {
        "action": action,
        "clientid": client.client_id,
        "username": _name_of(client.user_name),
    }


def _told(client: Identity, fields: Fields, topic: str | None = None) -> Told:
    return Told(client.client_id, topic, fields)


def _client_connect(event: Connected | AuthFailed, write: Write) -> Told:
    client = event.client
    return _told(
        client,
        {
            **_of("client_connect", client),
            "ipaddress": _host_of(client.address),
            "keepalive": event.keep_alive_s,
            "proto_ver": event.version,
        },
    )


def _client_connack(event: Connected | AuthFailed, write: Write) -> Told:
    client = event.client
    return _told(
        client,
        {
            "proto_ver": event.version,
            "keepalive": event.keep_alive_s,
            "conn_ack": "success" if isinstance(event, Connected) else "fail",
            "username": _name_of(client.user_name),
            "clientid": client.client_id,
            "action": "client_connack",
        },
    )


def _client_connected(event: Connected, write: Write) -> Told:
    client = event.client
    return _told(
        client,
        {
            **_of("client_connected", client),
            "ipaddress": _host_of(client.address),
            "keepalive": event.keep_alive_s,
            "proto_ver": event.version,
            "connected_at": int(event.time * 1000),
        },
    )


def _client_disconnected(event: Disconnected, write: Write) -> Told:
    client = event.client
    is_normal = event.ended_by is Why.CLIENT and event.reason_code == 0
    return _told(
        client,
        {
            "reason": "normal" if is_normal else "abnormal",
            "username": _name_of(client.user_name),
            "clientid": client.client_id,
            "action": "client_disconnected",
        },
    )


def _subscribed(action: str) -> Callable[[Subscribed, Write], Told]:
    def made(event: Subscribed, write: Write) -> Told:
        opts = {
            "qos": event.qos,
            "nl": int(event.no_local),
            "rap": int(event.retain_as_published),
            "rh": event.retain_handling,
        }
        topic = event.topic_filter
        fields = {**_of(action, event.client), "topic": topic, "opts": opts}
        return _told(event.client, fields, topic)

    return made


def _client_unsubscribe(event: Unsubscribed, write: Write) -> Told | None:
    if event.why is not Why.CLIENT:
        return None
    topic = event.topic_filter
    fields = {**_of("client_unsubscribe", event.client), "topic": topic, "opts": {}}
    return _told(event.client, fields, topic)


def _session_unsubscribed(event: Unsubscribed, write: Write) -> Told | None:
    if event.why is Why.SESSION_ENDED:
        return None  # session_terminated tells it
    topic = event.topic_filter
    fields = {**_of("session_unsubscribed", event.client), "topic": topic}
    return _told(event.client, fields, topic)


def _session_terminated(event: SessionEnded, write: Write) -> Told:
    fields = {**_of("session_terminated", event.client), "reason": event.reason}
    return _told(event.client, fields)


def _of_message(action: str) -> Callable[[Delivered | Acked, Write], Told | None]:
    def made(event: Delivered | Acked, write: Write) -> Told | None:
        message = event.message
        if message.topic_name.startswith("$SYS/"):
            return None  # each message that is told of would bring more
        about = message_publish(message, write)
        fields = {
            **_of(action, event.client),
            "from_client_id": about["from_client_id"],
            "from_username": about["from_username"],
            "topic": about["topic"],
            "qos": about["qos"],
            "retain": about["retain"],
            "payload": about["payload"],
            "ts": about["ts"],
        }
        if "payload_encoding" in about:
            fields["payload_encoding"] = about["payload_encoding"]
        return _told(event.client, fields, message.topic_name)

    return made


# --- of bridges


def _of_bridge(action: str, event: BridgeUp | BridgeDown | BridgeSwitched) -> Fields:
    return {
        "action": action,
        "bridge": event.client.client_id,
        "ts": int(event.time * 1000),
    }


def _bridge_up(event: BridgeUp, write: Write) -> Told:
    more = {"address": event.client.address, "session_present": event.session_present}
    return _told(event.client, {**_of_bridge("bridge_up", event), **more})


def _bridge_down(event: BridgeDown, write: Write) -> Told:
    more = {
        "address": event.client.address,
        "ended_by": event.ended_by.value,
        "reason_code": event.reason_code,
        "reason": event.reason,
    }
    return _told(event.client, {**_of_bridge("bridge_down", event), **more})


def _bridge_switched(event: BridgeSwitched, write: Write) -> Told:
    return _told(
        event.client, {**_of_bridge("bridge_switched", event), "is_on": event.is_on}
    )


# An event of web.hook.rule.EVENT -> the kinds of event that it is made of, and how.
Maker = Callable[[Any, Write], Told | None]
MAKERS: Mapping[str, tuple[tuple[type[Event], ...], Maker]] = {
    "client.connect": ((Connected, AuthFailed), _client_connect),
    "client.connack": ((Connected, AuthFailed), _client_connack),
    "client.connected": ((Connected,), _client_connected),
    "client.disconnected": ((Disconnected,), _client_disconnected),
    "client.subscribe": ((Subscribed,), _subscribed("client_subscribe")),
    "client.unsubscribe": ((Unsubscribed,), _client_unsubscribe),
    "session.subscribed": ((Subscribed,), _subscribed("session_subscribed")),
    "session.unsubscribed": ((Unsubscribed,), _session_unsubscribed),
    "session.terminated": ((SessionEnded,), _session_terminated),
    "message.delivered": ((Delivered,), _of_message("message_delivered")),
    "message.acked": ((Acked,), _of_message("message_acked")),
    "bridge.up": ((BridgeUp,), _bridge_up),
    "bridge.down": ((BridgeDown,), _bridge_down),
    "bridge.switched": ((BridgeSwitched,), _bridge_switched),
}


class Actions:
    """What rules have told of an event."""

    def __init__(self, events: Mapping[str, tuple[str, ...]], write: Write) -> None:
        """Take the topic filters of each event that is told; none: all of them are."""
        self._write = write
        self._by_kind: dict[type[Event], list[tuple[Maker, tuple[str, ...]]]] = {}
        for name, (kinds, maker) in MAKERS.items():
            for kind in kinds if name in events else ():
                self._by_kind.setdefault(kind, []).append((maker, events[name]))

    @property
    def kinds(self) -> list[type[Event]]:
        """The kinds of event that something is told of."""
        return list(self._by_kind)

    def of(self, event: Event) -> Iterator[Told]:
        """Yield what is told of it, once for each name of an event."""
        if isinstance(event, AuthFailed) and not event.version:
            return  # a client that is in has proved itself wrongly
        for maker, filters in self._by_kind.get(type(event), ()):
            told = maker(event, self._write)
            if told is not None and (not filters or _matches(told.topic, filters)):
                yield told


def _matches(topic: str | None, filters: tuple[str, ...]) -> bool:
    return topic is None or any(matcher(each)(topic) for each in filters)
