"""The one declaration of every configuration key: its type, unit, range, default and help.

A field made with :func:`key` is a key of the flat ``nanomq.conf``; the file reader, and later
the documentation and reload, are views of these dataclasses.

Source  the keys and defaults of NanoMQ 0.6.8's nanomq.conf; those marked "own" are ours
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any

from nanomq_py.config.units import (
    Address,
    Choice,
    Duration,
    Flag,
    Kind,
    List,
    Mount,
    Optional,
    Size,
    Text,
    Url,
    Whole,
    Words,
)

U32 = (1 << 32) - 1
DEFAULT_HTTP_PASSWORD = "public"  # noqa: S105 - the documented default, warned about at start


@dataclass(frozen=True)
class Key:
    """What a key is: its name below its section, how it is written, what it does."""

    name: str
    kind: Kind[Any]
    help: str
    hot: bool  # a reload can change it; otherwise it waits for a restart
    secret: bool  # never logged


def key(
    name: str,
    kind: Kind[Any],
    default: Any,
    help: str,
    *,
    hot: bool = True,
    secret: bool = False,
) -> Any:
    """Declare a field that is read from ``name`` in the file."""
    declared = Key(name, kind, help, hot, secret)
    return field(default=default, repr=not secret, metadata={"key": declared})


@dataclass(frozen=True, kw_only=True)
class Tls:
    enable: bool = key("enable", Flag(), False, "Listen for MQTT over TLS.")
    url: str = key(
        "url", Url(("tls+nmq-tcp",)), "tls+nmq-tcp://0.0.0.0:8883", "Where to listen."
    )
    keyfile: str | None = key(
        "keyfile", Optional(Text()), None, "PEM file of the private key."
    )
    key_password: str | None = key(
        "key_password", Optional(Text()), None, "Password of the private key.", secret=True
    )
    certfile: str | None = key("certfile", Optional(Text()), None, "PEM file of the chain.")
    cacertfile: str | None = key(
        "cacertfile", Optional(Text()), None, "PEM file of the CAs that clients must have."
    )
    verify_peer: bool = key("verify_peer", Flag(), False, "Check clients' certificates.")
    fail_if_no_peer_cert: bool = key(
        "fail_if_no_peer_cert", Flag(), False, "Refuse clients that have no certificate."
    )
    min_version: str = key(
        "min_version",
        Choice(("1.2", "1.3")),
        "1.2",
        "Own key: the oldest TLS that is spoken.",
    )


@dataclass(frozen=True, kw_only=True)
class Listener:
    """One ``listener.NAME``: a place where clients come in.

    The names tcp, tls, ws and wss stand for ``url``, ``tls.url``, ``websocket.url`` and
    ``websocket.tls_url``, which say where those listen; they take the other keys.
    """

    name: str = ""
    url: str | None = key(
        "url",
        Optional(Url(("nmq-tcp", "tls+nmq-tcp", "nmq-ws", "nmq-wss", "nmq-ipc"))),
        None,
        "Where to listen.",
    )
    max_connections: int = key(
        "max_connections", Whole(0, U32), 0, "Most connections at once; 0: no bound."
    )
    allow_anonymous: bool | None = key(
        "allow_anonymous",
        Optional(Flag()),
        None,
        "Let clients in that give no user name. Default: as `allow_anonymous` says.",
    )
    mountpoint: str | None = key(
        "mountpoint",
        Optional(Mount()),
        None,
        "Put before the topics of these clients, who do not see it. `%c` and `%u` in it stand"
        " for client identifier and user name.",
    )
    cn_as_username: bool = key(
        "cn_as_username",
        Flag(),
        False,
        "Take the Common Name of a verified certificate as user name; no password is asked"
        " then.",
    )
    proxy_protocol: bool = key(
        "proxy_protocol",
        Flag(),
        False,
        "Expect a PROXY header, version 1 or 2, from a load balancer. Not with TLS.",
    )
    keyfile: str | None = key(
        "tls.keyfile", Optional(Text()), None, "Default: `tls.keyfile`, and so on."
    )
    key_password: str | None = key(
        "tls.key_password", Optional(Text()), None, "Password of the key.", secret=True
    )
    certfile: str | None = key("tls.certfile", Optional(Text()), None, "PEM file.")
    cacertfile: str | None = key("tls.cacertfile", Optional(Text()), None, "PEM file.")
    verify_peer: bool | None = key("tls.verify_peer", Optional(Flag()), None, "")
    fail_if_no_peer_cert: bool | None = key(
        "tls.fail_if_no_peer_cert", Optional(Flag()), None, ""
    )
    min_version: str | None = key(
        "tls.min_version", Optional(Choice(("1.2", "1.3"))), None, ""
    )


@dataclass(frozen=True, kw_only=True)
class WebSocket:
    enable: bool = key("enable", Flag(), True, "Listen for MQTT over WebSocket.")
    url: str = key(
        "url", Url(("nmq-ws",)), "nmq-ws://0.0.0.0:8083/mqtt", "Where to listen."
    )
    tls_url: str | None = key(
        "tls_url", Optional(Url(("nmq-wss",))), None, "Where to listen with TLS."
    )


@dataclass(frozen=True, kw_only=True)
class HttpServer:
    enable: bool = key("enable", Flag(), True, "Serve the HTTP API.")
    host: str = key(
        "host",
        Address(),
        "",
        "Own key: the address to serve on. Empty: 127.0.0.1 while the password is the default"
        " one, otherwise every address.",
    )
    port: int = key(
        "port", Whole(0, 65535), 8081, "The port to serve on; 0 takes a free one."
    )
    username: str = key("username", Text(empty=False), "admin", "Who may call the API.")
    password: str = key(
        "password", Text(), DEFAULT_HTTP_PASSWORD, "Password for the API.", secret=True
    )
    auth_type: str = key(
        "auth_type", Choice(("basic", "jwt")), "basic", "How callers log in."
    )
    jwt_public_keyfile: str | None = key(
        "jwt.public.keyfile",
        Optional(Text()),
        None,
        "PEM file that tokens are checked with.",
    )
    jwt_private_keyfile: str | None = key(
        "jwt.private.keyfile",
        Optional(Text()),
        None,
        "PEM file that tokens are signed with.",
    )


_LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")


@dataclass(frozen=True, kw_only=True)
class Log:
    to: tuple[str, ...] = key(
        "to", Words(("file", "console", "syslog")), ("console",), "Where log lines go."
    )
    level: str = key("level", Choice(_LEVELS), "warn", "The least level that is logged.")
    dir: str = key("dir", Text(empty=False), "/tmp", "Folder of the log file.")  # noqa: S108
    file: str = key("file", Text(empty=False), "nanomq.log", "Name of the log file.")
    rotation_size: int = key(
        "rotation.size", Size(1024, U32), 10 << 20, "Size at which a new file is begun."
    )
    rotation_count: int = key(
        "rotation.count", Whole(1, 1000), 5, "Old files that are kept."
    )


@dataclass(frozen=True, kw_only=True)
class Sqlite:
    enable: bool = key("enable", Flag(), False, "Keep sessions on disk.")
    disk_cache_size: int = key(
        "disk_cache_size", Whole(1, U32), 102400, "Messages on disk."
    )
    mounted_file_path: str = key(
        "mounted_file_path",
        Text(),
        "/tmp/",  # noqa: S108 - the documented default
        "Folder of the database.",
    )
    flush_mem_threshold: int = key(
        "flush_mem_threshold", Whole(1, U32), 100, "Messages gathered before a write."
    )
    resend_interval: int = key(
        "resend_interval", Whole(1, U32, "ms"), 5000, "Time between attempts to send."
    )


@dataclass(frozen=True, kw_only=True)
class HttpAuthRequest:
    url: str | None = key("url", Optional(Url(("http", "https"))), None, "Whom to ask.")
    method: str = key("method", Choice(("get", "post")), "post", "How to ask.")
    params: tuple[str, ...] = key("params", List(), (), "Name=value pairs to send.")
    headers: tuple[tuple[str, str], ...] = ()  # NAME, value: auth.http.REQ.headers.NAME


@dataclass(frozen=True, kw_only=True)
class HttpAuth:
    enable: bool = key("enable", Flag(), False, "Ask an HTTP server about clients.")
    timeout: int = key(
        "timeout", Duration(1, 3_600_000), 5000, "Longest wait for an answer."
    )
    connect_timeout: int = key(
        "connect_timeout", Duration(1, 3_600_000), 5000, "Longest wait for a connection."
    )
    pool_size: int = key("pool_size", Whole(1, 1024), 32, "Connections at once.")
    auth_req: HttpAuthRequest = field(default_factory=HttpAuthRequest)
    super_req: HttpAuthRequest = field(default_factory=HttpAuthRequest)
    acl_req: HttpAuthRequest = field(default_factory=HttpAuthRequest)


@dataclass(frozen=True, kw_only=True)
class WebHookRule:
    event: str
    action: str
    topic: str | None = None


@dataclass(frozen=True, kw_only=True)
class WebHook:
    enable: bool = key("enable", Flag(), False, "Tell an HTTP server what happens.")
    url: str | None = key("url", Optional(Url(("http", "https"))), None, "Whom to tell.")
    encoding: str = key(
        "body.encoding_of_payload_field",
        Choice(("plain", "base64", "base62")),
        "plain",
        "How payloads are written.",
    )
    pool_size: int = key("pool_size", Whole(1, 1024), 32, "Connections at once.")
    headers: tuple[tuple[str, str], ...] = ()  # NAME, value: web.hook.headers.NAME
    rules: tuple[WebHookRule, ...] = ()  # web.hook.rule.EVENT.N


@dataclass(frozen=True, kw_only=True)
class User:
    """One ``auth.N``: a client that may log in."""

    login: str = key("login", Text(empty=False), "", "User name.")
    password: str = key("password", Text(), "", "Password.", secret=True)


@dataclass(frozen=True, kw_only=True)
class AclRule:
    """One ``acl.rule.N``; an absent field matches everyone."""

    permit: str
    username: str | None = None
    clientid: str | None = None
    ipaddr: str | None = None
    action: str = "pubsub"
    topics: tuple[str, ...] = ("#",)


@dataclass(frozen=True, kw_only=True)
class BridgeSubscription:
    topic: str = key("topic", Text(empty=False), "", "Topic filter to subscribe to.")
    qos: int = key("qos", Whole(0, 2), 0, "QoS to subscribe with.")


@dataclass(frozen=True, kw_only=True)
class Bridge:
    """One ``bridge.mqtt.NAME``."""

    name: str = ""
    bridge_mode: bool = key("bridge_mode", Flag(), False, "Whether the bridge runs.")
    address: str = key(
        "address",
        Url(("mqtt-tcp", "tls+mqtt-tcp", "nmq-tcp", "tls+nmq-tcp")),
        "mqtt-tcp://127.0.0.1:1883",
        "The other broker.",
    )
    proto_ver: int = key("proto_ver", Whole(3, 5), 4, "Protocol level: 3, 4 or 5.")
    clientid: str | None = key(
        "clientid", Optional(Text()), None, "Client identifier there."
    )
    keepalive: int = key("keepalive", Whole(0, 65535, "s"), 60, "Keep alive.")
    clean_start: bool = key("clean_start", Flag(), True, "Begin without the old session.")
    username: str | None = key("username", Optional(Text()), None, "User name there.")
    password: str | None = key(
        "password", Optional(Text()), None, "Password there.", secret=True
    )
    parallel: int = key("parallel", Whole(1, 255), 2, "Messages handled at once.")
    forwards: tuple[str, ...] = key("forwards", List(), (), "Filters of what is forwarded.")
    subscription: tuple[BridgeSubscription, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole configuration. Every default is the documented one."""

    url: str | None = key(
        "url",
        Optional(Url(("nmq-tcp",))),
        "nmq-tcp://0.0.0.0:1883",
        "Where to listen for MQTT over TCP; empty: nowhere.",
    )
    daemon: bool = key("daemon", Flag(), False, "Run in the background.", hot=False)
    num_taskq_thread: int = key(
        "num_taskq_thread",
        Whole(0, 256),
        4,
        "Task threads that move messages; 0: one for each processor.",
        hot=False,
    )
    max_taskq_thread: int = key(
        "max_taskq_thread", Whole(0, 256), 4, "Most task threads; 0: no bound.", hot=False
    )
    parallel: int = key(
        "parallel",
        Whole(1, 65535),
        32,
        "NanoMQ's number of work contexts; kept for its API, this core needs none.",
        hot=False,
    )
    property_size: int = key(
        "property_size",
        Whole(0, 65535),
        32,
        "Most user properties in a packet; 0: no bound.",
    )
    msq_len: int = key(
        "msq_len", Whole(1, 65535), 256, "Messages in flight to a client, and in its queue."
    )
    qos_duration: int = key(
        "qos_duration",
        Whole(0, 1_000_000, "s"),
        60,
        "Time after which unanswered QoS 1 and 2 messages go out again, before MQTT 5.0;"
        " 0: only when the client connects again.",
    )
    allow_anonymous: bool = key(
        "allow_anonymous", Flag(), True, "Let clients in that give no user name."
    )
    max_packet_size: int = key(
        "max_packet_size", Whole(1, 262144, "KiB"), 10240, "Largest packet from a client."
    )
    client_max_packet_size: int = key(
        "client_max_packet_size",
        Whole(1, 262144, "KiB"),
        10240,
        "Largest packet to a client.",
    )
    keepalive_backoff: int = key(
        "keepalive_backoff",
        Whole(1000, 100_000, "thousandths"),
        1250,
        "Of its keep alive, how long a client may be silent. Below 1500 it counts as 1500, the"
        " one and a half times that the specification grants.",
    )
    acl_nomatch: str = key(
        "acl_nomatch", Choice(("allow", "deny")), "allow", "What applies when no rule does."
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
        " have descriptors.",
    )
    max_connections_per_address: int = key(
        "max_connections_per_address",
        Whole(0, U32),
        0,
        "Own key: most connections at once from one address; 0: no bound.",
    )
    max_subscriptions: int = key(
        "max_subscriptions",
        Whole(0, U32),
        65536,
        "Own key: most subscriptions of one client; 0: no bound.",
    )
    max_queue_size: int = key(
        "max_queue_size",
        Size(0, 1 << 40),
        64 << 20,
        "Own key: most bytes of messages that wait for one client; 0: no bound.",
    )
    max_message_rate: int = key(
        "max_message_rate",
        Whole(0, U32),
        0,
        "Own key: messages a second that one client may publish; a faster one is slowed down."
        " 0: no bound.",
    )
    max_byte_rate: int = key(
        "max_byte_rate",
        Size(0, U32),
        0,
        "Own key: bytes a second that one client may send; a faster one is slowed down. 0: no"
        " bound.",
    )
    max_memory: int = key(
        "max_memory",
        Size(0, 1 << 50),
        0,
        "Own key: memory that messages, sessions and connections may take together. Past it"
        " the client that holds the most is disconnected, and its session is dropped. 0: three"
        " quarters of what the machine, or this process's control group, has.",
    )
    connect_timeout: int = key(
        "connect_timeout",
        Duration(100, 3_600_000),
        10_000,
        "Own key: time from opening a connection to its CONNECT packet.",
    )
    max_topic_levels: int = key(
        "max_topic_levels", Whole(1, 65535), 128, "Own key: most levels of a topic."
    )
    max_topic_alias: int = key(
        "max_topic_alias",
        Whole(0, 65535),
        32,
        "Own key: topic aliases that an MQTT 5.0 client may set; 0: none.",
    )
    max_outgoing_topic_alias: int = key(
        "max_outgoing_topic_alias",
        Whole(0, 65535),
        32,
        "Own key: topic aliases that the broker sets for an MQTT 5.0 client that takes some;"
        " 0: none.",
    )
    receive_maximum: int = key(
        "receive_maximum",
        Whole(1, 65535),
        256,
        "Own key: messages of QoS 1 and 2 that an MQTT 5.0 client may have under way to the"
        " broker.",
    )
    server_keepalive: int = key(
        "server_keepalive",
        Whole(0, 65535, "s"),
        0,
        "Own key: the keep alive that MQTT 5.0 clients are told to use; 0: the one they ask"
        " for.",
    )
    max_qos_allowed: int = key(
        "max_qos_allowed",
        Whole(0, 2),
        2,
        "Own key: highest QoS that clients may publish with, and that they are granted.",
    )
    retain_available: bool = key(
        "retain_available", Flag(), True, "Own key: keep retained messages."
    )
    wildcard_subscription: bool = key(
        "wildcard_subscription", Flag(), True, "Own key: allow + and # in subscriptions."
    )
    shared_subscription: bool = key(
        "shared_subscription", Flag(), True, "Own key: allow $share subscriptions."
    )
    subscription_identifier: bool = key(
        "subscription_identifier", Flag(), True, "Own key: allow subscription identifiers."
    )
    strict_clientid: bool = key(
        "strict_clientid",
        Flag(),
        False,
        "Own key: allow only client identifiers of 1 to 23 letters and digits.",
    )
    allow_empty_clientid: bool = key(
        "allow_empty_clientid",
        Flag(),
        True,
        "Own key: assign a client identifier to clients that have none.",
    )
    response_information: str | None = key(
        "response_information",
        Optional(Text()),
        None,
        "Own key: told to MQTT 5.0 clients that ask for response information; by custom the"
        " topic below which they listen for responses.",
    )
    sys_interval: int = key(
        "sys_interval",
        Whole(0, 86400, "s"),
        10,
        "Own key: time between updates of the $SYS topics; 0: no $SYS topics.",
    )
    max_outgoing_size: int = key(
        "max_outgoing_size",
        Size(1024, 1 << 30),
        1 << 20,
        "Own key: bytes waiting for one client before those who publish to it wait.",
    )
    slow_consumer_time: int = key(
        "slow_consumer_time",
        Duration(1, 60_000),
        1000,
        "Own key: how long publishers wait for a slow client before it loses QoS 0 messages.",
    )
    max_session_expiry: int = key(
        "max_session_expiry",
        Whole(0, U32, "s"),
        U32,
        "Own key: longest time a session is kept; 4294967295: for ever.",
    )
    pid_file: str | None = key(
        "pid_file",
        Optional(Text()),
        None,
        "Own key: where the process number is kept for nanomq stop. Default: by the path of"
        " the configuration file, in the user's run-time folder.",
        hot=False,
    )
    tls: Tls = field(default_factory=Tls)
    websocket: WebSocket = field(default_factory=WebSocket)
    http_server: HttpServer = field(default_factory=HttpServer)
    log: Log = field(default_factory=Log)
    sqlite: Sqlite = field(default_factory=Sqlite)
    auth_http: HttpAuth = field(default_factory=HttpAuth)
    web_hook: WebHook = field(default_factory=WebHook)
    users: tuple[User, ...] = ()  # auth.N.login, auth.N.password
    acl_rules: tuple[AclRule, ...] = ()  # acl.rule.N
    bridges: tuple[Bridge, ...] = ()  # bridge.mqtt.NAME.KEY
    listeners: tuple[Listener, ...] = ()  # listener.NAME.KEY


# Sections of Config with their prefix in the file.
SECTIONS: dict[str, str] = {
    "tls": "tls.",
    "websocket": "websocket.",
    "http_server": "http_server.",
    "log": "log.",
    "sqlite": "sqlite.",
    "auth_http": "auth.http.",
    "web_hook": "web.hook.",
}
HTTP_AUTH_REQUESTS = ("auth_req", "super_req", "acl_req")


def keys_of(section: type[Any]) -> Iterator[tuple[Field[Any], Key]]:
    """Yield the fields of a section that are keys of the file."""
    for declared in fields(section):
        if "key" in declared.metadata:
            yield declared, declared.metadata["key"]
