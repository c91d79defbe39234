"""Keys of limits: the most of anything that clients may take. NanoMQ has none of them."""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.config.declare.key import Checked, key
from nanomq_py.config.values.numbers import U32, Duration, Size, Whole


@dataclass(frozen=True, kw_only=True)
class Limits(Checked):
    max_connections: int = key(
        "max_connections",
        Whole(0, U32),
        0,
        "Own key: most connections at once, over all listeners; 0: as many as the process may"
        " have descriptors. The last 16 descriptors are left to the rest of the process in any"
        " case.",
        heading="Limits; 0 is no bound, but for max_memory",
        core="connections_max",
    )
    max_connections_per_address: int = key(
        "max_connections_per_address",
        Whole(0, U32),
        0,
        "Own key: most connections at once from one address; 0: no bound.",
        core="address_connections_max",
    )
    max_subscriptions: int = key(
        "max_subscriptions",
        Whole(0, U32),
        65536,
        "Own key: most subscriptions of one client; 0: no bound.",
        core="subscriptions_max",
    )
    max_queue_size: int = key(
        "max_queue_size",
        Size(0, 1 << 40),
        64 << 20,
        "Own key: most bytes of messages that wait for one client, or are in flight to it;"
        " 0: no bound.",
        core="queue_max_bytes",
    )
    max_message_rate: int = key(
        "max_message_rate",
        Whole(0, U32),
        0,
        "Own key: messages a second that one client may publish; a faster one is slowed down."
        " 0: no bound.",
        core="message_rate",
    )
    max_byte_rate: int = key(
        "max_byte_rate",
        Size(0, U32),
        0,
        "Own key: bytes a second that one client may send; a faster one is slowed down. 0: no"
        " bound.",
        core="byte_rate",
    )
    max_memory: int = key(
        "max_memory",
        Size(0, 1 << 50),
        0,
        "Own key: memory that the process may take. At the bound growth is refused: new"
        " sessions and subscriptions, and messages that would have to wait for a client or be"
        " retained; what was acknowledged stays. 5 % over it connections are closed that hold"
        " much themselves. 0: three quarters of what the machine, or this process's control"
        " group, has.",
    )
    max_sessions: int = key(
        "max_sessions",
        Whole(0, U32),
        1_000_000,
        "Own key: most sessions, of clients that are connected or away; a client that would be"
        " one more is refused. 0: no bound.",
        core="sessions_max",
    )
    max_retained_messages: int = key(
        "max_retained_messages",
        Whole(0, U32),
        1_000_000,
        "Own key: most retained messages. One more is not kept; 0: no bound.",
        core="retained_max",
    )
    max_retained_bytes: int = key(
        "max_retained_bytes",
        Size(0, 1 << 50),
        1 << 30,
        "Own key: most bytes of retained messages, with their topics and properties. What would"
        " go over it is not kept; 0: no bound.",
        core="retained_max_bytes",
    )
    max_groups_per_client: int = key(
        "max_groups_per_client",
        Whole(0, U32),
        1000,
        "Own key: most $share subscriptions of one client; 0: no bound.",
        core="groups_max",
    )
    max_filters_per_packet: int = key(
        "max_filters_per_packet",
        Whole(0, U32),
        10_000,
        "Own key: most topic filters in one SUBSCRIBE or UNSUBSCRIBE; a client that sends more"
        " is disconnected. 0: no bound.",
        core="filters_max",
    )
    max_clientid_length: int = key(
        "max_clientid_length",
        Whole(0, 65535, "bytes"),
        1024,
        "Own key: longest client identifier; 0: no bound.",
        core="client_id_max_bytes",
    )
    max_connect_size: int = key(
        "max_connect_size",
        Size(0, 1 << 28),
        64 << 10,
        "Own key: largest CONNECT packet, not counting its will (topic, payload, properties),"
        " which may take 256 KiB more. 0: max_packet_size alone.",
        core="connect_max_bytes",
    )
    max_keepalive: int = key(
        "max_keepalive",
        Whole(0, 65535, "s"),
        0,
        "Own key: longest keep alive of MQTT 5.0 clients: one that asks for more, or for none,"
        " is told this one. Before 5.0 there is no way to tell, and a client keeps what it"
        " asks for. 0: no bound.",
    )
    connect_timeout: int = key(
        "connect_timeout",
        Duration(100, 3_600_000),
        10_000,
        "Own key: time from opening a connection to its CONNECT packet.",
        core="connect_timeout_ms",
    )
    answer_timeout: int = key(
        "answer_timeout",
        Duration(100, 3_600_000),
        5000,
        "Own key: how long a client waits for Python's answer to its CONNECT or AUTH; then it"
        " is refused.",
        core="answer_timeout_ms",
    )
    max_topic_levels: int = key(
        "max_topic_levels",
        Whole(1, 65535),
        128,
        "Own key: most levels of a topic.",
        core="topic_levels_max",
    )
