"""Keys of the HTTP servers that the broker asks and tells: auth.http, web.hook."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from nanomq_py.config.declare.family import BadMember, Index, Line, family
from nanomq_py.config.declare.key import Checked, Key, key
from nanomq_py.config.declare.section import section
from nanomq_py.config.keys.access import is_filter
from nanomq_py.config.values.kind import Optional
from nanomq_py.config.values.numbers import Duration, Size, Whole
from nanomq_py.config.values.texts import List, Text
from nanomq_py.config.values.urls import Url
from nanomq_py.config.values.words import Choice, Flag


@dataclass(frozen=True)
class Header(Checked):
    """One ``headers.NAME``: a header line. It is secret: a token may be in it."""

    name: str = ""
    value: str = key("", Text(), "", "A header line.", secret=True)


_HEADER = Index("NAME", "[A-Za-z0-9-]{1,64}", "name")


@dataclass(frozen=True, kw_only=True)
class HttpAuthRequest(Checked):
    url: str | None = key(
        "url", Optional(Url(("http", "https"))), None, "The server to ask; none: not asked."
    )
    method: str = key("method", Choice(("get", "post", "put")), "post", "How to ask.")
    params: tuple[str, ...] = key(
        "params", List(), (), "Name=value pairs to send, with placeholders.", secret=True
    )
    headers: tuple[Header, ...] = family("headers", Header, _HEADER)


_REQUEST = "Requests to an HTTP server that judges clients"


@dataclass(frozen=True, kw_only=True)
class HttpAuth(Checked):
    enable: bool = key("enable", Flag(), False, "Ask an HTTP server about clients.")
    timeout: int = key(
        "timeout",
        Duration(1, 3_600_000),
        5000,
        "Longest wait for an answer, from the question on; nine tenths of answer_timeout at"
        " most.",
    )
    connect_timeout: int = key(
        "connect_timeout", Duration(1, 3_600_000), 5000, "Of it, longest wait to connect."
    )
    pool_size: int = key("pool_size", Whole(1, 1024), 32, "Connections at once.")
    cache_ttl: int = key(
        "cache_ttl",
        Duration(0, 86_400_000),
        10_000,
        "Own key: how long an answer counts, for logins and for topics; 0: each is asked.",
    )
    on_failure: str = key(
        "on_failure",
        Choice(("deny", "allow", "pass")),
        "deny",
        "Own key: what holds while a server does not answer; pass leaves it to the next"
        " authenticator, and to acl_nomatch.",
    )
    cacertfile: str | None = key(
        "ssl.cacertfile",
        Optional(Text()),
        None,
        "PEM file of the CAs of https servers; none: the system's.",
    )
    certfile: str | None = key(
        "ssl.certfile", Optional(Text()), None, "PEM file of the chain shown to them."
    )
    keyfile: str | None = key(
        "ssl.keyfile", Optional(Text()), None, "PEM file of its key, without a password."
    )
    auth_req: HttpAuthRequest = section("auth_req", HttpAuthRequest, _REQUEST, alike="REQ")
    super_req: HttpAuthRequest = section(
        "super_req", HttpAuthRequest, _REQUEST, alike="REQ"
    )
    acl_req: HttpAuthRequest = section("acl_req", HttpAuthRequest, _REQUEST, alike="REQ")

    @property
    def asks_logins(self) -> bool:
        """Whether a server is asked who may come in."""
        return self.enable and self.auth_req.url is not None

    @property
    def asks_access(self) -> bool:
        """Whether a server is asked what clients may do."""
        return self.enable and self.acl_req.url is not None


# What may be told, as the name of its rule says it: NanoMQ's, which are EMQX 4's, and ours of
# bridges.
HOOK_EVENTS = (
    *("client.connect", "client.connack", "client.connected", "client.disconnected"),
    *("client.subscribe", "client.unsubscribe"),
    *("session.subscribed", "session.unsubscribed", "session.terminated"),
    *("message.publish", "message.delivered", "message.acked"),
    *("bridge.up", "bridge.down", "bridge.switched"),
)


@dataclass(frozen=True, kw_only=True)
class WebHookRule:
    """An event that is told.

    event   one of HOOK_EVENTS
    action  what a file says besides; NanoMQ goes by the name of the rule, too
    topic   a Topic Filter; None: whatever its topic is
    """

    event: str
    action: str
    topic: str | None = None

    def __post_init__(self) -> None:
        """Raise BadMember saying what was expected."""
        if self.topic is None:
            return
        if not is_filter(self.topic) or self.topic.startswith("$share/"):
            raise BadMember(f"a topic that is a topic filter, not {self.topic!r}")


class _HookJson(msgspec.Struct, forbid_unknown_fields=True):
    action: str
    topic: str | None = None


_EVENT = Index(
    "EVENT.N",
    f"(?:{'|'.join(map(re.escape, HOOK_EVENTS))})",
    "event",
    is_numbered=True,
)

_HOOK = Key(
    name="",
    kind=Line(_HookJson, '{"action":"on_client_connect"}'),
    help="An event that is told; the topic filter is for those that have a topic: see"
    " docs/webhooks.md.",
)


@dataclass(frozen=True, kw_only=True)
class WebHook(Checked):
    enable: bool = key("enable", Flag(), False, "Tell an HTTP server what happens.")
    url: str | None = key(
        "url", Optional(Url(("http", "https"))), None, "The server to tell."
    )
    encoding: str = key(
        "body.encoding_of_payload_field",
        Choice(("plain", "base64", "base62")),
        "plain",
        "How payloads are written; what is not UTF-8 is written as base64.",
    )
    pool_size: int = key("pool_size", Whole(1, 1024), 32, "Connections at once.")
    secret: str = key(
        "secret",
        Text(),
        "",
        "Own key: requests are signed with it, as Standard Webhooks has it; empty: they are"
        " not.",
        secret=True,
    )
    allow: tuple[str, ...] = key(
        "allow",
        List(),
        (),
        "Own key: the hosts and networks that may be told; none: any, but link-local"
        " addresses.",
    )
    timeout: int = key(
        "timeout", Duration(1, 3_600_000), 15_000, "Own key: longest wait for an answer."
    )
    max_attempts: int = key(
        "max_attempts",
        Whole(1, 1000),
        12,
        "Own key: attempts, before a request is put aside as a dead letter.",
    )
    max_waiting: int = key(
        "max_waiting",
        Whole(1, 10_000_000),
        1_000_000,
        "Own key: most requests that wait, in the store.",
    )
    max_waiting_size: int = key(
        "max_waiting_size",
        Size(1 << 20, 1 << 30),
        256 << 20,
        "Own key: most bytes of them.",
    )
    cacertfile: str | None = key(
        "ssl.cacertfile",
        Optional(Text()),
        None,
        "PEM file of the CAs of an https server; none: the system's.",
    )
    certfile: str | None = key(
        "ssl.certfile", Optional(Text()), None, "PEM file of the chain shown to it."
    )
    keyfile: str | None = key(
        "ssl.keyfile",
        Optional(Text()),
        None,
        "PEM file of its key, without a password.",
        private_file=True,
    )
    headers: tuple[Header, ...] = family("headers", Header, _HEADER)
    rules: tuple[WebHookRule, ...] = family("rule", WebHookRule, _EVENT, line=_HOOK)
