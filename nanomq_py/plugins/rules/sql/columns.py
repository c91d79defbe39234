"""The columns that messages and events have in a statement.

Source   EMQX 4.4, SQL Statement Fields; NanoMQ's rule engine for qos, id, topic, clientid,
         username, password, timestamp and payload of a message
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_MESSAGE = {
    "id": "the message's identifier, a text",
    "payload": "what it carries",
    "topic": "its Topic Name",
    "qos": "0, 1 or 2",
    "flags": "a map: dup, retain",
    "pub_props": "a map of the properties of PUBLISH (MQTT 5.0)",
    "publish_received_at": "when the broker had it, in ms",
}
_EVENT = {
    "event": "which it is, such as `client.connected`",
    "timestamp": "when it was, in ms since 1970",
    "node": "the name of the broker",
}
_CLIENT = {
    "clientid": "the Client Identifier",
    "username": "its user name",
}
_FROM = {
    "from_clientid": "the Client Identifier of who published",
    "from_username": "and its user name",
    "clientid": "the Client Identifier of who receives",
    "username": "and its user name",
    "peerhost": "the address of who receives",
}
_HOST = {"peerhost": "its address"}
_ENDS = {
    "peername": "its address and port",
    "sockname": "address and port of the listener",
}
_SUBSCRIPTION = {"topic": "the Topic Filter", "qos": "0, 1 or 2"}


@dataclass(frozen=True)
class Event:
    """What a statement can be FROM.

    name     the value of its column ``event``
    columns  by name, with what they are; those of a statement that asks for an event that has
             none of them are undefined
    """

    name: str
    words: str
    columns: Mapping[str, str]


# By what FROM says; a message is any Topic Filter.
EVENTS: Mapping[str, Event] = {
    "": Event(
        "message.publish",
        "a message is published to a topic that matches",
        {**_EVENT, **_CLIENT, **_HOST, **_MESSAGE, "headers": "a map, empty"},
    ),
    "$events/message_delivered": Event(
        "message.delivered",
        "a message was sent to a subscriber",
        {**_EVENT, **_FROM, **_MESSAGE},
    ),
    "$events/message_acked": Event(
        "message.acked",
        "a subscriber has acknowledged a message (QoS 1 and 2)",
        {
            **_EVENT,
            **_FROM,
            **_MESSAGE,
            "puback_props": "a map of the properties of PUBACK (MQTT 5.0)",
        },
    ),
    "$events/message_dropped": Event(
        "message.dropped",
        "nobody gets a message",
        {
            **_EVENT,
            **_CLIENT,
            **_HOST,
            **_MESSAGE,
            "reason": "why, such as `no_subscribers`",
        },
    ),
    "$events/delivery_dropped": Event(
        "delivery.dropped",
        "a message is lost for a subscriber",
        {**_EVENT, **_FROM, **_MESSAGE, "reason": "why, such as `queue_full`"},
    ),
    "$events/client_connected": Event(
        "client.connected",
        "a client has connected",
        {
            **_EVENT,
            **_CLIENT,
            **_ENDS,
            "mountpoint": "undefined",
            "proto_name": "MQTT",
            "proto_ver": "3, 4 or 5",
            "keepalive": "in s",
            "clean_start": "true or false",
            "expiry_interval": "of its session, in s",
            "is_bridge": "true or false",
            "connected_at": "when, in ms",
            "conn_props": "a map of the properties of CONNECT (MQTT 5.0)",
        },
    ),
    "$events/client_disconnected": Event(
        "client.disconnected",
        "a client's connection has ended",
        {
            **_EVENT,
            **_CLIENT,
            **_ENDS,
            "reason": "why, such as `normal`, `kicked` or `keepalive_timeout`",
            "disconnected_at": "when, in ms",
            "disconn_props": "a map of the properties of DISCONNECT (MQTT 5.0)",
        },
    ),
    "$events/session_subscribed": Event(
        "session.subscribed",
        "a client has subscribed",
        {
            **_EVENT,
            **_CLIENT,
            **_HOST,
            **_SUBSCRIPTION,
            "sub_props": "a map of the properties of SUBSCRIBE (MQTT 5.0)",
        },
    ),
    "$events/session_unsubscribed": Event(
        "session.unsubscribed",
        "a client has unsubscribed",
        {
            **_EVENT,
            **_CLIENT,
            **_HOST,
            **_SUBSCRIPTION,
            "unsub_props": "a map of the properties of UNSUBSCRIBE (MQTT 5.0)",
        },
    ),
}


def event_of(topic: str) -> Event | None:
    """Return the event that FROM names; that of messages for a Topic Filter."""
    return EVENTS.get(topic if topic.startswith("$events/") else "")
