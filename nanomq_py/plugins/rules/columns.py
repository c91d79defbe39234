"""Messages and events as the columns that the SQL of a rule selects from.

::

    FROM "t/#"                         topic, payload, clientid, qos, flags.retain, ...
    FROM "$events/client_connected"    clientid, username, keepalive, ...

What nobody looks at is not made of a message: its columns are read when they are asked for.

Source  EMQX 4.4, emqx_rule_events: names of columns and of events, and of reasons; those of
        bridges are our own
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nanomq_py.core.message import Identity, Message
from nanomq_py.events import (
    Acked,
    BridgeDown,
    BridgeSwitched,
    BridgeUp,
    Connected,
    Delivered,
    Disconnected,
    Dropped,
    Event,
    Expired,
    Subscribed,
    Unsubscribed,
    Why,
)
from nanomq_py.plugins.rules.faults import RuleFault
from nanomq_py.store.moment import wall_s

PREFIX = "$events/"
Columns = Mapping[str, Any]


def _ms(time_s: float) -> int:
    return round(time_s * 1000)


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]") or address


def _publisher(message: Message) -> Identity | None:
    return message.publisher


_OF_MESSAGE: dict[str, Callable[[Message], Any]] = {
    "id": lambda message: secrets.token_hex(16).upper(),
    "clientid": lambda message: message.client_id,
    "username": lambda message: (who := _publisher(message)) and who.user_name,
    "payload": lambda message: message.payload,
    "peerhost": lambda message: (who := _publisher(message)) and _host(who.address),
    "topic": lambda message: message.topic_name,
    "qos": lambda message: message.qos,
    "flags": lambda message: {"retain": message.retain, "dup": message.again},
    "headers": lambda message: {},
    "pub_props": lambda message: _properties(message),
    "publish_received_at": lambda message: _ms(message.time),
    "timestamp": lambda message: _ms(message.time),
}


def _properties(message: Message) -> dict[str, Any]:
    """Return the properties of MQTT 5.0, by their names there."""
    properties = message.properties
    told = {
        "Payload-Format-Indicator": properties.payload_format_indicator,
        "Message-Expiry-Interval": message.message_expiry_interval,
        "Content-Type": properties.content_type,
        "Response-Topic": properties.response_topic,
        "Correlation-Data": properties.correlation_data,
        "User-Property": dict(properties.user_properties) or None,
    }
    return {name: value for name, value in told.items() if value is not None}


class MessageColumns(dict[str, Any]):
    """The columns of a message: those that are wanted, and others once they are asked for."""

    __slots__ = ("message",)

    def __init__(self, message: Message, node: str, wanted: Iterable[str]) -> None:
        """Make it. wanted: names of columns, as :func:`wanted_of` returns them."""
        super().__init__(event="message.publish", node=node)
        self.message = message
        for name in wanted:
            self[name] = _OF_MESSAGE[name](message)

    def __missing__(self, name: str) -> Any:
        make = _OF_MESSAGE.get(name)
        if make is None:
            raise KeyError(name)
        value = self[name] = make(self.message)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default


# What a function of SQL reads that has no name of a column.
_READ_BY = {"clientip": "peerhost", "msgid": "id", "flag": "flags"}
_WORD = re.compile(r"\w+")


def wanted_of(rawsql: str) -> tuple[str, ...]:
    """Return the columns of a message that a statement may look at: by the words in it.

    >>> wanted_of('SELECT payload.x AS x, topic FROM "t/#"')
    ('payload', 'topic')
    """
    words = {word.lower() for word in _WORD.findall(rawsql)}  # so are names of functions
    if "*" in rawsql or "foreach" in words:
        return tuple(_OF_MESSAGE)
    words |= {column for name, column in _READ_BY.items() if name in words}
    return tuple(name for name in _OF_MESSAGE if name in words)


# --- events


def _client(who: Identity) -> dict[str, Any]:
    return {"clientid": who.client_id, "username": who.user_name}


def _message(message: Message) -> dict[str, Any]:
    names = ("id", "payload", "topic", "qos", "flags", "publish_received_at")
    return {name: _OF_MESSAGE[name](message) for name in names}


def _from(message: Message) -> dict[str, Any]:
    who = message.publisher
    return {
        "from_clientid": who and who.client_id,
        "from_username": who and who.user_name,
    }


def _connected(event: Connected) -> dict[str, Any]:
    return {
        **_client(event.client),
        "mountpoint": None,
        "peername": event.client.address,
        "peerhost": _host(event.client.address),
        "listener": event.client.listener,
        "proto_name": "MQIsdp" if event.version == 3 else "MQTT",
        "proto_ver": event.version,
        "keepalive": event.keep_alive_s,
        "clean_start": event.clean_start,
        "expiry_interval": event.expiry_interval_s,
        "session_present": event.session_present,
        "is_bridge": False,
        "connected_at": _ms(event.time),
    }


def _disconnected(event: Disconnected) -> dict[str, Any]:
    is_normal = event.ended_by is Why.CLIENT and event.reason_code == 0
    return {
        "reason": "normal" if is_normal else event.reason,
        "reason_code": event.reason_code,
        **_client(event.client),
        "peername": event.client.address,
        "peerhost": _host(event.client.address),
        "disconnected_at": _ms(event.time),
    }


def _subscribed(event: Subscribed) -> dict[str, Any]:
    return {
        **_client(event.client),
        "peerhost": _host(event.client.address),
        "topic": event.topic_filter,
        "qos": event.qos,
    }


def _unsubscribed(event: Unsubscribed) -> dict[str, Any]:
    return {
        **_client(event.client),
        "peerhost": _host(event.client.address),
        "topic": event.topic_filter,
    }


def _delivered(event: Delivered) -> dict[str, Any]:
    return {
        **_message(event.message),
        **_from(event.message),
        **_client(event.client),
        "peerhost": _host(event.client.address),
    }


def _acked(event: Acked) -> dict[str, Any]:
    return {
        **_message(event.message),
        **_from(event.message),
        **_client(event.client),
        "peerhost": _host(event.client.address),
        "reason_code": event.reason_code,
    }


_REASONS = {
    Why.NO_SUBSCRIBER: "no_subscribers",
    Why.SLOW_READER: "qos0_msg",
    Why.AWAY: "qos0_msg",
}  # the others are told by our word, which is EMQX's where it has one


def _dropped(event: Dropped) -> dict[str, Any] | None:
    """Return a message that nobody gets; None: it is lost for one client."""
    if event.client is not None:
        return None
    message = MessageColumns(event.message, "", ())
    return {
        "reason": _REASONS.get(event.why, event.why.value),
        **_message(event.message),
        **{name: message[name] for name in ("clientid", "username", "peerhost")},
    }


def _not_delivered(event: Dropped | Expired) -> dict[str, Any] | None:
    if event.client is None:
        return None
    why = _REASONS.get(event.why, event.why.value) if isinstance(event, Dropped) else ""
    return {
        "reason": why or "expired",
        **_message(event.message),
        **_from(event.message),
        **_client(event.client),
        "peerhost": _host(event.client.address),
    }


def _bridge_up(event: BridgeUp) -> dict[str, Any]:
    return {
        "bridge": event.client.client_id,
        "peername": event.client.address,
        "session_present": event.session_present,
    }


def _bridge_down(event: BridgeDown) -> dict[str, Any]:
    return {
        "bridge": event.client.client_id,
        "peername": event.client.address,
        "ended_by": event.ended_by.value,
        "reason": event.reason,
        "reason_code": event.reason_code,
    }


def _bridge_switched(event: BridgeSwitched) -> dict[str, Any]:
    return {"bridge": event.client.client_id, "is_on": event.is_on}


_Make = Callable[[Any], dict[str, Any] | None]

# By EMQX's name: the kinds that it is made of, and how; None: that one is none of it.
EVENTS: Mapping[str, tuple[tuple[type[Event], ...], _Make]] = {
    "client_connected": ((Connected,), _connected),
    "client_disconnected": ((Disconnected,), _disconnected),
    "session_subscribed": ((Subscribed,), _subscribed),
    "session_unsubscribed": ((Unsubscribed,), _unsubscribed),
    "message_delivered": ((Delivered,), _delivered),
    "message_acked": ((Acked,), _acked),
    "message_dropped": ((Dropped,), _dropped),
    "delivery_dropped": ((Dropped, Expired), _not_delivered),
    "bridge_up": ((BridgeUp,), _bridge_up),
    "bridge_down": ((BridgeDown,), _bridge_down),
    "bridge_switched": ((BridgeSwitched,), _bridge_switched),
}


def event_name(topic: str) -> str | None:
    """Return which event a topic of FROM is; None: it is a Topic Filter. Raises RuleFault.

    >>> event_name("$events/client_connected"), event_name("t/#")
    ('client_connected', None)
    """
    if not topic.startswith(PREFIX):
        return None
    name = topic.removeprefix(PREFIX)
    if name not in EVENTS:
        there = ", ".join(f"{PREFIX}{each}" for each in EVENTS)
        raise RuleFault(f"FROM {topic[:100]!r}: no such event: expected one of {there}")
    return name


def columns_of(name: str, event: Event, node: str) -> Columns | None:
    """Return the columns of an event of that name; None: it is none of them."""
    made = EVENTS[name][1](event)
    if made is None:
        return None
    common = {"timestamp": _ms(event.time), "node": node}
    return {"event": name.replace("_", ".", 1), **made, **common}


# --- examples, for who tries a rule out

_NOW = ("timestamp", "publish_received_at", "connected_at", "disconnected_at")
_MESSAGE = {
    "clientid": "c_emqx",
    "username": "u_emqx",
    "payload": '{"msg": "hello"}',
    "topic": "t/a",
    "qos": 1,
}
_TO = {"from_clientid": "c_emqx_1", "from_username": "u_emqx_1"}
_RECEIVED = {**_MESSAGE, **_TO, "clientid": "c_emqx_2", "username": "u_emqx_2"}
_SUBSCRIBED = {"clientid": "c_emqx", "username": "u_emqx", "topic": "t/a", "qos": 1}

_BRIDGE = {"bridge": "cloud", "peername": "192.168.0.10:1883"}

# What who tries a rule out may fill in: the columns of an event, and what stands in them.
TEST_COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "message_publish": _MESSAGE,
    "message_delivered": _RECEIVED,
    "message_acked": _RECEIVED,
    "message_dropped": {"reason": "no_subscribers", **_MESSAGE},
    "delivery_dropped": {"reason": "queue_full", **_RECEIVED},
    "client_connected": {
        "clientid": "c_emqx",
        "username": "u_emqx",
        "peername": "127.0.0.1:52918",
    },
    "client_disconnected": {
        "clientid": "c_emqx",
        "username": "u_emqx",
        "reason": "normal",
    },
    "session_subscribed": _SUBSCRIBED,
    "session_unsubscribed": _SUBSCRIBED,
    "bridge_up": _BRIDGE,
    "bridge_down": {**_BRIDGE, "reason": "ended: server shutting down"},
    "bridge_switched": {"bridge": "cloud", "is_on": False},
}

_ALWAYS: Mapping[str, Mapping[str, Any]] = {
    "message": {
        "id": "0005F8F84FFFAFB9F44200000D810002",
        "peerhost": "192.168.0.10",
        "flags": {"retain": False, "dup": False},
        "publish_received_at": 0,
    },
    "client_connected": {
        "mountpoint": None,
        "peerhost": "192.168.0.10",
        "listener": "tcp",
        "proto_name": "MQTT",
        "proto_ver": 5,
        "keepalive": 60,
        "clean_start": True,
        "expiry_interval": 3600,
        "session_present": False,
        "is_bridge": False,
        "connected_at": 0,
    },
    "client_disconnected": {
        "reason_code": 0,
        "peername": "192.168.0.10:56431",
        "peerhost": "192.168.0.10",
        "disconnected_at": 0,
    },
    "session_subscribed": {"peerhost": "192.168.0.10"},
    "session_unsubscribed": {"peerhost": "192.168.0.10"},
    "bridge_up": {"session_present": True},
    "bridge_down": {"ended_by": "peer", "reason_code": 0x8B},
    "bridge_switched": {},
}


def example(name: str, node: str) -> dict[str, Any]:
    """Return all columns of an event, with something in each.

    name   ``message_publish`` is a message
    """
    kind = "message" if name.startswith(("message", "delivery")) else name
    now = _ms(wall_s())
    of_message: dict[str, Any] = {}
    if name == "message_publish":
        of_message = {"headers": {}, "pub_props": {}}
    filled = {**_ALWAYS[kind], **of_message, **TEST_COLUMNS[name]}
    made = {"event": name.replace("_", ".", 1), **filled, "timestamp": now, "node": node}
    return {at: now if at in _NOW else value for at, value in made.items()}
