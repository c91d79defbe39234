"""The columns that messages and events have in a statement, in words.

Source   EMQX 4.4, SQL Statement Fields, which NanoMQ's are among
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_EVENT = {
    "event": "which it is, such as `client.connected`",
    "timestamp": "when it was, in ms since 1970",
    "node": "the name of the broker",
}
_CLIENT = {
    "clientid": "the Client Identifier",
    "username": "the user name",
    "peerhost": "the address",
}
_MESSAGE = {
    "id": "an identifier, another one for each",
    "payload": "what it carries",
    "topic": "the Topic Name",
    "qos": "0, 1 or 2",
    "flags": "a map: `retain`, `dup`",
    "publish_received_at": "when the broker had it, in ms",
}
_FROM = {
    "from_clientid": "the Client Identifier of who has published",
    "from_username": "the user name of who has published",
}
_PEER = {"peername": "address and port"}
_BRIDGE = {"bridge": "its name", "peername": "the other broker's address, and its port"}
_SUBSCRIPTION = {"topic": "the Topic Filter", "qos": "0, 1 or 2"}


@dataclass(frozen=True)
class Event:
    """What a statement can be FROM.

    name     the value of its column ``event``
    words    when it happens
    columns  by name, with what they are; all others are undefined
    """

    name: str
    words: str
    columns: Mapping[str, str]


# By what FROM says; a message is any Topic Filter.
EVENTS: Mapping[str, Event] = {
    "": Event(
        "message.publish",
        "a message is published to a topic that matches",
        {
            **_EVENT,
            **_CLIENT,
            **_MESSAGE,
            "headers": "an empty map",
            "pub_props": "a map: the properties of PUBLISH of MQTT 5.0, by their names",
        },
    ),
    "$events/message_delivered": Event(
        "message.delivered",
        "a message has been sent to a subscriber: the client",
        {**_EVENT, **_CLIENT, **_FROM, **_MESSAGE},
    ),
    "$events/message_acked": Event(
        "message.acked",
        "a subscriber, the client, has acknowledged a message of QoS 1 or 2",
        {**_EVENT, **_CLIENT, **_FROM, **_MESSAGE, "reason_code": "of its answer"},
    ),
    "$events/message_dropped": Event(
        "message.dropped",
        "nobody gets a message that the client has published",
        {**_EVENT, **_CLIENT, **_MESSAGE, "reason": "why, such as `no_subscribers`"},
    ),
    "$events/delivery_dropped": Event(
        "delivery.dropped",
        "a message is lost for one subscriber: the client",
        {**_EVENT, **_CLIENT, **_FROM, **_MESSAGE, "reason": "why, such as `queue_full`"},
    ),
    "$events/client_connected": Event(
        "client.connected",
        "a client has connected",
        {
            **_EVENT,
            **_CLIENT,
            **_PEER,
            "mountpoint": "undefined",
            "listener": "the name of the listener",
            "proto_name": "`MQTT`, or `MQIsdp` of MQTT 3.1",
            "proto_ver": "3, 4 or 5",
            "keepalive": "in s",
            "clean_start": "true or false",
            "expiry_interval": "of its session, in s",
            "session_present": "true or false",
            "is_bridge": "false",
            "connected_at": "when, in ms",
        },
    ),
    "$events/client_disconnected": Event(
        "client.disconnected",
        "the connection of a client has ended",
        {
            **_EVENT,
            **_CLIENT,
            **_PEER,
            "reason": "why, such as `normal`, `kicked` or `keepalive_timeout`",
            "reason_code": "the Reason Code",
            "disconnected_at": "when, in ms",
        },
    ),
    "$events/session_subscribed": Event(
        "session.subscribed",
        "a client has subscribed",
        {**_EVENT, **_CLIENT, **_SUBSCRIPTION},
    ),
    "$events/session_unsubscribed": Event(
        "session.unsubscribed",
        "a client has unsubscribed",
        {**_EVENT, **_CLIENT, **_SUBSCRIPTION},
    ),
    "$events/bridge_up": Event(
        "bridge.up",
        "a bridge is connected to the other broker",
        {**_EVENT, **_BRIDGE, "session_present": "true or false"},
    ),
    "$events/bridge_down": Event(
        "bridge.down",
        "the connection of a bridge, which was up, has ended",
        {
            **_EVENT,
            **_BRIDGE,
            "ended_by": "`peer`, `network` or `broker`",
            "reason": "why, in words, or empty",
            "reason_code": "the Reason Code",
        },
    ),
    "$events/bridge_switched": Event(
        "bridge.switched",
        "a bridge was paused, or goes on",
        {**_EVENT, "bridge": _BRIDGE["bridge"], "is_on": "false: it was paused"},
    ),
}


def event_of(topic: str) -> Event | None:
    """Return the event that FROM names; that of messages for a Topic Filter."""
    return EVENTS.get(topic if topic.startswith("$events/") else "")
