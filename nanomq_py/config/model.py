"""The one declaration of a configuration: every key with type, unit, range, default and help.

The file reader, the shipped file, the documentation, ``nanomq conf``, reload and the HTTP API
are views of these dataclasses. Sections are in ``sections.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from nanomq_py.config.entries import Said
from nanomq_py.config.family import (
    NAME,
    NUMBER,
    Brought,
    family,
    section,
    sections_of,
)
from nanomq_py.config.key import Applies, Checked, key
from nanomq_py.config.sections import (
    RULE_LINE,
    U32,
    URL_ELSEWHERE,
    AclRule,
    Bridge,
    HttpAuth,
    HttpServer,
    Listener,
    Log,
    Proxy,
    Sqlite,
    Tls,
    User,
    WebHook,
    WebSocket,
)
from nanomq_py.config.units import (
    Choice,
    Duration,
    Flag,
    Optional,
    Size,
    Text,
    Thousandths,
    Url,
    Whole,
)

S = TypeVar("S")
MOST_PACKET_BYTES = 268_435_460  # that a packet can have


def _packet_bytes(kib: int) -> int:
    return min(kib * 1024, MOST_PACKET_BYTES)


@dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """A whole configuration. Every default is the documented one, but for ``websocket``.

    One that a program makes listens where the program says, and on no WebSocket besides.
    """

    url: str | None = key(
        "url",
        Optional(Url(("nmq-tcp",))),
        "nmq-tcp://0.0.0.0:1883",
        "Where to listen for MQTT over TCP; empty: nowhere.",
        heading="MQTT over TCP",
    )
    daemon: bool = key(
        "daemon",
        Flag(),
        False,
        "Run in the background, once it serves; a start that fails is told on the terminal.",
        applies=Applies.RESTART,
        heading="The process",
    )
    num_taskq_thread: int = key(
        "num_taskq_thread",
        Whole(0, 256),
        4,
        "Threads that move messages (and as many of nng for TLS); 0: one for each processor.",
        applies=Applies.RESTART,
    )
    max_taskq_thread: int = key(
        "max_taskq_thread",
        Whole(0, 256),
        4,
        "Most task threads; 0: no bound.",
        applies=Applies.RESTART,
    )
    parallel: int = key(
        "parallel",
        Whole(0, 65535),
        32,
        "NanoMQ's number of work contexts; kept for its API, this core needs none.",
        applies=Applies.NEVER,
    )
    property_size: int = key(
        "property_size",
        Whole(0, 65535),
        0,
        "Most user properties in a packet; 0: no bound but the packet's. Clients cannot be"
        " told of it, and one that sends more is disconnected.",
        heading="What a client may do",
        core="user_properties_max",
    )
    msq_len: int | None = key(
        "msq_len",
        Optional(Whole(1, 65535)),
        None,
        "Messages in flight to a client, and in its queue. Default: 1024 in flight, and 10000"
        " that wait.",
    )
    qos_duration: int = key(
        "qos_duration",
        Whole(0, 1_000_000, "s"),
        60,
        "Time after which unanswered QoS 1 and 2 messages go out again, before MQTT 5.0;"
        " 0: only when the client connects again.",
        core="retry_interval_s",
    )
    allow_anonymous: bool = key(
        "allow_anonymous",
        Flag(),
        True,
        "Let clients in that give no user name, or an empty one.",
    )
    max_packet_size: int = key(
        "max_packet_size",
        Whole(1, 266240, "KiB"),
        10240,
        "Largest packet from a client.",
        core="packet_max_bytes",
        to_core=_packet_bytes,
    )
    client_max_packet_size: int = key(
        "client_max_packet_size",
        Whole(1, 266240, "KiB"),
        10240,
        "Largest packet to a client.",
        core="send_packet_max_bytes",
        to_core=_packet_bytes,
    )
    keepalive_backoff: int = key(
        "keepalive_backoff",
        Thousandths(1000, 100_000),
        1250,
        "Of its keep alive, how long a client may be silent. Below 1500 it counts as 1500, the"
        " one and a half times that the specification grants.",
        core="keep_alive_permille",
    )
    acl_nomatch: str = key(
        "acl_nomatch",
        Choice(("allow", "deny")),
        "allow",
        "What applies when no rule does.",
        heading="Where no access rule applies, or one denies",
    )
    acl_deny_action: str = key(
        "acl_deny_action",
        Choice(("ignore", "disconnect")),
        "ignore",
        "What follows a denied publish or subscribe.",
    )
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
    max_topic_alias: int = key(
        "max_topic_alias",
        Whole(0, 65535),
        32,
        "Own key: topic aliases that an MQTT 5.0 client may set; 0: none.",
        heading="MQTT 5.0: told to clients in CONNACK, and enforced",
        core="topic_alias_max",
    )
    max_outgoing_topic_alias: int = key(
        "max_outgoing_topic_alias",
        Whole(0, 65535),
        32,
        "Own key: topic aliases that the broker sets for an MQTT 5.0 client that takes some;"
        " 0: none.",
        core="send_topic_alias_max",
    )
    receive_maximum: int = key(
        "receive_maximum",
        Whole(1, 65535),
        256,
        "Own key: messages of QoS 1 and 2 that an MQTT 5.0 client may have under way to the"
        " broker.",
        core="receive_maximum",
    )
    server_keepalive: int = key(
        "server_keepalive",
        Whole(0, 65535, "s"),
        0,
        "Own key: the same as max_keepalive, under the specification's name; of both the"
        " smaller counts.",
    )
    max_qos_allowed: int = key(
        "max_qos_allowed",
        Whole(0, 2),
        2,
        "Own key: highest QoS that clients may publish with, and that they are granted.",
        core="qos_max",
    )
    retain_available: bool = key(
        "retain_available",
        Flag(),
        True,
        "Own key: keep retained messages.",
        core="retain_available",
    )
    wildcard_subscription: bool = key(
        "wildcard_subscription",
        Flag(),
        True,
        "Own key: allow + and # in subscriptions.",
        core="wildcards_available",
    )
    shared_subscription: bool = key(
        "shared_subscription",
        Flag(),
        True,
        "Own key: allow $share subscriptions.",
        core="shared_available",
    )
    subscription_identifier: bool = key(
        "subscription_identifier",
        Flag(),
        True,
        "Own key: allow subscription identifiers.",
        core="subscription_ids_available",
    )
    strict_clientid: bool = key(
        "strict_clientid",
        Flag(),
        False,
        "Own key: allow only client identifiers of 1 to 23 letters and digits.",
        core="strict_client_ids",
    )
    allow_empty_clientid: bool = key(
        "allow_empty_clientid",
        Flag(),
        True,
        "Own key: assign a client identifier to clients that have none.",
        core="empty_client_ids",
    )
    response_information: str | None = key(
        "response_information",
        Optional(Text()),
        None,
        "Own key: told to MQTT 5.0 clients that ask for response information; by custom the"
        " topic below which they listen for responses.",
        core="response_information",
    )
    sys_interval: int = key(
        "sys_interval",
        Whole(0, 86400, "s"),
        10,
        "Own key: time between updates of the $SYS topics; 0: no $SYS topics.",
        heading="$SYS topics",
    )
    max_outgoing_size: int = key(
        "max_outgoing_size",
        Size(1024, 1 << 30),
        1 << 20,
        "Own key: bytes waiting for one client before those who publish to it wait.",
        heading="Slow clients and old sessions",
        core="outbox_max_bytes",
    )
    slow_consumer_time: int = key(
        "slow_consumer_time",
        Duration(1, 60_000),
        1000,
        "Own key: how long publishers wait for a slow client before it loses QoS 0 messages;"
        " and how long a client that sends may take none of the answers before it is closed.",
        core="hold_ms",
    )
    max_session_expiry: int = key(
        "max_session_expiry",
        Whole(0, U32, "s"),
        U32,
        "Own key: longest time a session is kept; 4294967295: for ever.",
        core="expiry_max_s",
    )
    pid_file: str | None = key(
        "pid_file",
        Optional(Text()),
        None,
        "Own key: where the process number is kept for nanomq stop: a file in a folder where"
        " only this user can write. Default: by the path of the configuration file, in the"
        " user's run-time folder.",
        applies=Applies.RESTART,
        heading="The process number",
    )
    core_dumps: bool = key(
        "core_dumps",
        Flag(),
        False,
        "Own key: leave the memory of a process that crashes in a core file, as far as the"
        " system is set to. Passwords and messages are in it. While it is false, only root can"
        " look into the process, with gdb or in /proc/PID/fd.",
        applies=Applies.RESTART,
    )
    tls: Tls = section("tls", Tls, "MQTT over TLS: see docs/listeners.md")
    websocket: WebSocket = section(
        "websocket",
        WebSocket,
        "MQTT over WebSocket",
        default=lambda: WebSocket(enable=False),
    )
    proxy: Proxy = section(
        "proxy", Proxy, "PROXY headers of load balancers: see docs/listeners.md"
    )
    http_server: HttpServer = section("http_server", HttpServer, "HTTP API")
    log: Log = section("log", Log, "Log")
    sqlite: Sqlite = section("sqlite", Sqlite, "Sessions on disk")
    auth_http: HttpAuth = section("auth.http", HttpAuth, "Clients judged by an HTTP server")
    web_hook: WebHook = section("web.hook", WebHook, "Web hooks")
    users: tuple[User, ...] = family(
        "auth",
        User,
        NUMBER,
        required=("login", "password"),
        unique="login",
        people="users",
    )
    acl_rules: tuple[AclRule, ...] = family(
        "acl.rule", AclRule, NUMBER, line=RULE_LINE, keeps_place=True
    )
    listeners: tuple[Listener, ...] = family(
        "listener",
        Listener,
        NAME,
        is_sparse=True,
        required=("url",),
        elsewhere=URL_ELSEWHERE,
    )
    bridges: tuple[Bridge, ...] = family("bridge.mqtt", Bridge, NAME)
    # Sections that parts have brought, with their values.
    brought: tuple[Brought, ...] = ()
    # What the file says besides; nothing of it is a value.
    said: Said = field(default_factory=Said, compare=False, repr=False)

    def of_part(self, kind: type[S]) -> S:
        """Return the values of a section that a part has brought: one of that dataclass."""
        for part, values in self.brought:
            if part.kind is kind and isinstance(values, kind):
                return values
        return kind()


# Sections of Config with their prefix in the file.
SECTIONS: dict[str, str] = {
    declared.name: f"{part.prefix}." for declared, part in sections_of(Config)
}
