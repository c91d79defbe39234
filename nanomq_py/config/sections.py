"""The sections of a configuration, each key with its type, unit, range, default and help.

Source  the keys and defaults of NanoMQ 0.6.8's nanomq.conf; those marked "Own key" are ours
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import msgspec

from nanomq_py.config.family import NUMBER, BadMember, Index, Line, family, section
from nanomq_py.config.key import Applies, Checked, Key, key
from nanomq_py.config.units import (
    Address,
    BadValue,
    Choice,
    Duration,
    Flag,
    List,
    Mount,
    Networks,
    Optional,
    Size,
    Text,
    Url,
    UrlPath,
    Whole,
    Words,
    network,
)

U32 = (1 << 32) - 1
# A key of a feature that this version reads and checks, but does not have yet.
planned = partial(key, applies=Applies.NEVER)
ISSUER_BY_KEYFILE = "%f"
DEFAULT_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
DEFAULT_HTTP_PASSWORD = "public"  # noqa: S105 - the documented default, warned about at start


@dataclass(frozen=True, kw_only=True)
class Tls(Checked):
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
    ciphers: str = key(
        "ciphers",
        Text(empty=False),
        DEFAULT_CIPHERS,
        "Own key: ciphers for TLS 1.2, in OpenSSL's words and in order of preference; those of"
        " TLS 1.3 are all allowed.",
    )


# Listeners that are declared by another key than their own url.
_BUILT_IN = {
    "tcp": "url",
    "tls": "tls.url",
    "ws": "websocket.url",
    "wss": "websocket.tls_url",
}
URL_ELSEWHERE = {
    name: f"{key} to say where the listener {name} listens"
    for name, key in _BUILT_IN.items()
}


@dataclass(frozen=True, kw_only=True)
class Listener(Checked):
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
        "Let clients in that give no user name, or an empty one. Default: as"
        " `allow_anonymous` says.",
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
        "Expect a PROXY header, version 1 or 2, from a load balancer. Not with TLS. See"
        " `proxy.trusted`.",
    )
    path: str | None = key(
        "websocket.path",
        Optional(UrlPath()),
        None,
        "The path that WebSocket clients ask for; `*`: any. Default: the one in the URL, and"
        " for ws and wss `websocket.path`.",
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
    ciphers: str | None = key("tls.ciphers", Optional(Text()), None, "")


@dataclass(frozen=True, kw_only=True)
class WebSocket(Checked):
    enable: bool = key("enable", Flag(), True, "Listen for MQTT over WebSocket.")
    url: str | None = key(
        "url",
        Optional(Url(("nmq-ws",))),
        "nmq-ws://0.0.0.0:8083/mqtt",
        "Where to listen; empty: not without TLS.",
    )
    tls_url: str | None = key(
        "tls_url",
        Optional(Url(("nmq-wss",))),
        None,
        "Where to listen with TLS: when `tls.enable` is true, or there is a certificate.",
    )
    path: str | None = key(
        "path",
        Optional(UrlPath()),
        None,
        "Own key: the path that clients ask for, in place of the one in `websocket.url` and"
        " `websocket.tls_url`; `*`: any.",
    )


@dataclass(frozen=True, kw_only=True)
class Proxy:
    trusted: tuple[str, ...] = key(
        "trusted",
        Networks(),
        (),
        "Own key: addresses and networks that may send PROXY headers, to listeners that expect"
        " them; who connects there from elsewhere is refused. Empty: anybody may.",
    )


@dataclass(frozen=True, kw_only=True)
class HttpServer(Checked):
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
    max_connections: int = key(
        "max_connections",
        Whole(0, 65535),
        64,
        "Own key: most connections to the API at once; 0: no bound. One that asks for nothing"
        " makes room for a new one, or that one waits.",
    )
    max_connections_per_address: int = key(
        "max_connections_per_address",
        Whole(0, 65535),
        32,
        "Own key: most connections to the API at once from one address; 0: no bound. One that"
        " asks for nothing makes room here too.",
    )
    username: str = key("username", Text(empty=False), "admin", "Who may call the API.")
    password: str = key(
        "password", Text(empty=False), DEFAULT_HTTP_PASSWORD, "Password for the API.", secret=True
    )
    mask_secrets: str = key(
        "mask_secrets",
        Choice(("auto", "always", "never")),
        "auto",
        "Own key: whether request 11 answers ****** for passwords and the private key. auto:"
        " where the answer would cross the network in clear, to another machine without TLS.",
    )
    tls_enable: bool = key(
        "tls.enable", Flag(), False, "Own key: serve the API over TLS, and nothing else."
    )
    tls_keyfile: str | None = key(
        "tls.keyfile",
        Optional(Text()),
        None,
        "Own key: PEM file of the private key. Default: `tls.keyfile`; so for `key_password`,"
        " `certfile`, `cacertfile` and `min_version`.",
    )
    tls_key_password: str | None = key(
        "tls.key_password", Optional(Text()), None, "Password of the key.", secret=True
    )
    tls_certfile: str | None = key(
        "tls.certfile", Optional(Text()), None, "PEM file of the chain."
    )
    tls_cacertfile: str | None = key(
        "tls.cacertfile", Optional(Text()), None, "PEM file of the CAs of callers."
    )
    tls_verify_peer: bool = key(
        "tls.verify_peer", Flag(), False, "Own key: check callers' certificates."
    )
    tls_fail_if_no_peer_cert: bool = key(
        "tls.fail_if_no_peer_cert",
        Flag(),
        False,
        "Own key: refuse callers that have no certificate. They log in all the same.",
    )
    tls_min_version: str | None = key(
        "tls.min_version",
        Optional(Choice(("1.2", "1.3"))),
        None,
        "The oldest TLS that is spoken.",
    )
    auth_type: str = key(
        "auth_type", Choice(("basic", "jwt")), "basic", "How callers log in."
    )
    jwt_public_keyfile: str | None = key(
        "jwt.public.keyfile",
        Optional(Text()),
        None,
        "PEM file of the public key that RS256 tokens are checked with.",
    )
    jwt_private_keyfile: str | None = key(
        "jwt.private.keyfile",
        Optional(Text()),
        None,
        "NanoMQ's PEM file that tokens are signed with; the broker needs none.",
        applies=Applies.NEVER,
    )
    jwt_secret: str | None = key(
        "jwt.secret",
        Optional(Text()),
        None,
        "Own key: the secret that HS256 tokens are checked with, of 32 bytes or more.",
        secret=True,
    )
    jwt_issuer: str = key(
        "jwt.iss",
        Text(),
        ISSUER_BY_KEYFILE,
        "Own key: who must have issued a token (`iss`). %f: as in NanoMQ, an RS256 token that"
        " names one must name the file name of the public key. Empty: anybody.",
    )
    jwt_audience: str | None = key(
        "jwt.aud",
        Optional(Text()),
        None,
        "Own key: whom a token must be meant for (`aud`). Default: anybody.",
    )
    jwt_max_life_s: int = key(
        "jwt.max_life",
        Whole(0, U32, "s"),
        0,
        "Own key: longest life of a token, from `iat` (without one: from now) to `exp`; one"
        " that lives longer is refused. 0: no bound.",
    )


_LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")


@dataclass(frozen=True, kw_only=True)
class Log(Checked):
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
class Sqlite(Checked):
    enable: bool = planned("enable", Flag(), False, "Keep sessions on disk.")
    disk_cache_size: int = planned(
        "disk_cache_size", Whole(0, U32), 102400, "Messages on disk."
    )
    mounted_file_path: str = planned(
        "mounted_file_path",
        Text(),
        "/tmp/",  # noqa: S108 - the documented default
        "Folder of the database.",
    )
    flush_mem_threshold: int = planned(
        "flush_mem_threshold", Whole(1, U32), 100, "Messages gathered before a write."
    )
    resend_interval: int = planned(
        "resend_interval", Whole(1, U32, "ms"), 5000, "Time between attempts to send."
    )


@dataclass(frozen=True)
class Header(Checked):
    """One ``headers.NAME``: a header line. It is secret: a token may be in it."""

    name: str = ""
    value: str = planned("", Text(), "", "A header line.", secret=True)


_HEADER = Index("NAME", "[A-Za-z0-9-]{1,64}", "name")


@dataclass(frozen=True, kw_only=True)
class HttpAuthRequest(Checked):
    url: str | None = planned("url", Optional(Url(("http", "https"))), None, "Whom to ask.")
    method: str = planned("method", Choice(("get", "post")), "post", "How to ask.")
    params: tuple[str, ...] = planned(
        "params", List(), (), "Name=value pairs to send.", secret=True
    )
    headers: tuple[Header, ...] = family("headers", Header, _HEADER)


@dataclass(frozen=True, kw_only=True)
class HttpAuth(Checked):
    enable: bool = planned("enable", Flag(), False, "Ask an HTTP server about clients.")
    timeout: int = planned(
        "timeout", Duration(1, 3_600_000), 5000, "Longest wait for an answer."
    )
    connect_timeout: int = planned(
        "connect_timeout", Duration(1, 3_600_000), 5000, "Longest wait for a connection."
    )
    pool_size: int = planned("pool_size", Whole(1, 1024), 32, "Connections at once.")
    auth_req: HttpAuthRequest = section("auth_req", HttpAuthRequest, alike="REQ")
    super_req: HttpAuthRequest = section("super_req", HttpAuthRequest, alike="REQ")
    acl_req: HttpAuthRequest = section("acl_req", HttpAuthRequest, alike="REQ")


@dataclass(frozen=True, kw_only=True)
class WebHookRule:
    event: str
    action: str
    topic: str | None = None


class _HookJson(msgspec.Struct, forbid_unknown_fields=True):
    action: str
    topic: str | None = None


_EVENT = Index("EVENT.N", r"[a-z]{1,20}\.[a-z]{1,20}", "event", is_numbered=True)
_HOOK = Key(
    name="",
    kind=Line(_HookJson, '{"action":"on_client_connect"}'),
    help="What is told of: an action, and a topic filter.",
    applies=Applies.NEVER,
)


@dataclass(frozen=True, kw_only=True)
class WebHook(Checked):
    enable: bool = planned("enable", Flag(), False, "Tell an HTTP server what happens.")
    url: str | None = planned(
        "url", Optional(Url(("http", "https"))), None, "Whom to tell."
    )
    encoding: str = planned(
        "body.encoding_of_payload_field",
        Choice(("plain", "base64", "base62")),
        "plain",
        "How payloads are written.",
    )
    pool_size: int = planned("pool_size", Whole(1, 1024), 32, "Connections at once.")
    headers: tuple[Header, ...] = family("headers", Header, _HEADER)
    rules: tuple[WebHookRule, ...] = family("rule", WebHookRule, _EVENT, line=_HOOK)


@dataclass(frozen=True, kw_only=True)
class User(Checked):
    """One ``auth.N``: a client that may log in."""

    login: str = key("login", Text(empty=False), "", "User name.")
    password: str = key("password", Text(empty=False), "", "Password.", secret=True)


class BadRule(BadMember):
    """An access rule that cannot be: the text says what was expected."""

    def __str__(self) -> str:
        return f"acl.rule: expected {self.args[0]}"


class _RuleJson(msgspec.Struct, forbid_unknown_fields=True):
    permit: Literal["allow", "deny"]
    username: str | None = None
    clientid: str | None = None
    ipaddr: str | None = None
    action: Literal["publish", "subscribe", "pubsub"] = "pubsub"
    topics: tuple[str, ...] = ("#",)


RULE_LINE = Key(
    name="",
    kind=Line(
        _RuleJson,
        '{"permit":"allow","username":"u","action":"publish","topics":["a/#"]}',
    ),
    help="An access rule.",
)
_PERMITS = ("allow", "deny")
_ACTIONS = ("publish", "subscribe", "pubsub")


def _check_network(text: str) -> None:
    try:
        network(text)
    except BadValue as bad:
        usually = "an ipaddr such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"
        raise BadRule(bad.expected(usually)) from None


def _is_filter(text: str) -> bool:
    """Say whether the text is a Topic Filter (MQTT 5.0, 4.7)."""
    levels = text.split("/")
    return (
        bool(text)
        and all(level in ("+", "#") or not set(level) & set("+#") for level in levels)
        and "#" not in levels[:-1]
    )


@dataclass(frozen=True, kw_only=True)
class AclRule:
    """One ``acl.rule.N``; an absent field matches everyone."""

    permit: str
    username: str | None = None
    clientid: str | None = None
    ipaddr: str | None = None
    action: str = "pubsub"
    topics: tuple[str, ...] = ("#",)
    where: str = field(default="", compare=False)  # FILE:LINE: acl.rule.N, for errors

    def __post_init__(self) -> None:
        """Raise BadRule saying what was expected."""
        for words, given in ((_PERMITS, self.permit), (_ACTIONS, self.action)):
            if given not in words:
                raise BadRule(f"{' or '.join(words)}, not {given!r}")
        texts = (self.username or "", self.clientid or "", *self.topics)
        if not all(map(str.isprintable, texts)):
            raise BadRule("names and topics of printable characters")
        if self.ipaddr is not None:
            _check_network(self.ipaddr)
        for topic in self.topics:
            if not _is_filter(topic):
                raise BadRule(f"topics that are topic filters, not {topic!r}")


@dataclass(frozen=True, kw_only=True)
class BridgeSubscription(Checked):
    topic: str = planned("topic", Text(empty=False), "", "Topic filter to subscribe to.")
    qos: int = planned("qos", Whole(0, 2), 0, "QoS to subscribe with.")


@dataclass(frozen=True, kw_only=True)
class Bridge(Checked):
    """One ``bridge.mqtt.NAME``."""

    name: str = ""
    bridge_mode: bool = planned("bridge_mode", Flag(), False, "Whether the bridge runs.")
    address: str = planned(
        "address",
        Url(("mqtt-tcp", "tls+mqtt-tcp", "mqtt-quic", "nmq-tcp", "tls+nmq-tcp")),
        "mqtt-tcp://127.0.0.1:1883",
        "The other broker.",
    )
    proto_ver: int = planned("proto_ver", Whole(3, 5), 4, "Protocol level: 3, 4 or 5.")
    clientid: str | None = planned(
        "clientid", Optional(Text()), None, "Client identifier there."
    )
    keepalive: int = planned("keepalive", Whole(0, 65535, "s"), 60, "Keep alive.")
    clean_start: bool = planned(
        "clean_start", Flag(), True, "Begin without the old session."
    )
    username: str | None = planned("username", Optional(Text()), None, "User name there.")
    password: str | None = planned(
        "password", Optional(Text()), None, "Password there.", secret=True
    )
    parallel: int = planned("parallel", Whole(1, 255), 2, "Messages handled at once.")
    forwards: tuple[str, ...] = planned(
        "forwards", List(), (), "Filters of what is forwarded."
    )
    subscription: tuple[BridgeSubscription, ...] = family(
        "subscription", BridgeSubscription, NUMBER, required=("topic",)
    )
