"""Keys of the HTTP servers that the broker asks and tells: auth.http, web.hook."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from nanomq_py.config.declare.family import Index, Line, family
from nanomq_py.config.declare.key import Applies, Checked, Key, planned
from nanomq_py.config.declare.section import section
from nanomq_py.config.values.kind import Optional
from nanomq_py.config.values.numbers import Duration, Whole
from nanomq_py.config.values.texts import List, Text
from nanomq_py.config.values.urls import Url
from nanomq_py.config.values.words import Choice, Flag


@dataclass(frozen=True)
class Header(Checked):
    """One ``headers.NAME``: a header line. It is secret: a token may be in it."""

    name: str = ""
    value: str = planned("", Text(), "", "A header line.", secret=True)


_HEADER = Index("NAME", "[A-Za-z0-9-]{1,64}", "name")


@dataclass(frozen=True, kw_only=True)
class HttpAuthRequest(Checked):
    url: str | None = planned(
        "url", Optional(Url(("http", "https"))), None, "The server to ask."
    )
    method: str = planned("method", Choice(("get", "post")), "post", "How to ask.")
    params: tuple[str, ...] = planned(
        "params", List(), (), "Name=value pairs to send.", secret=True
    )
    headers: tuple[Header, ...] = family("headers", Header, _HEADER)


_REQUEST = "Requests to an HTTP server that judges clients"


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
    auth_req: HttpAuthRequest = section("auth_req", HttpAuthRequest, _REQUEST, alike="REQ")
    super_req: HttpAuthRequest = section(
        "super_req", HttpAuthRequest, _REQUEST, alike="REQ"
    )
    acl_req: HttpAuthRequest = section("acl_req", HttpAuthRequest, _REQUEST, alike="REQ")


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
    help="An event that is told: its action, and a topic filter.",
    applies=Applies.NEVER,
)


@dataclass(frozen=True, kw_only=True)
class WebHook(Checked):
    enable: bool = planned("enable", Flag(), False, "Tell an HTTP server what happens.")
    url: str | None = planned(
        "url", Optional(Url(("http", "https"))), None, "The server to tell."
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
