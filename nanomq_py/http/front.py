"""What every request meets, whatever its path: refusals, headers of the answer, a log line.

Source  RFC 9112, 3.2.2 (whole URLs), 6 and 11.2 (smuggling); Fetch, 3.2 (CORS); RFC 9110
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from nanomq_py.config.keys.http_server import HttpServer
from nanomq_py.config.values.origins import ANY
from nanomq_py.config.values.texts import shown

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

access_log = logging.getLogger("nanomq.access")  # run/logs.py lets all of it out

Headers = list[tuple[bytes, bytes]]

# An answer that has one of them keeps its own, such as a page its policy.
SAFE: Headers = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]
METHODS = b"GET, HEAD, POST, PUT, DELETE"
REQUEST_HEADERS = b"Authorization, Content-Type, X-Token"
PREFLIGHT_AGE_S = b"600"
SECRETS = re.compile(
    r"((?:^|&)[^&=]*(?:token|password|passwd|secret|key)[^&=]*=)[^&]*", re.IGNORECASE
)
CLOSE = (b"connection", b"close")
_ORIGIN = re.compile(rb"https?://[^/]*", re.IGNORECASE)


@dataclass(frozen=True)
class Manners:
    """What the configuration says of all answers.

    origins     web pages that may call; ``*``: all
    access_log  a line for each request
    """

    origins: frozenset[bytes] = frozenset()
    access_log: bool = False

    @staticmethod
    def of(http: HttpServer) -> Manners:
        origins = frozenset(origin.encode() for origin in http.cors_origins)
        return Manners(origins, http.access_log)


def _of(headers: Headers, name: bytes) -> bytes | None:
    return next((value for each, value in headers if each == name), None)


def _is_smuggled(scope: Scope) -> bool:
    """Return whether two servers could disagree on where the request ends."""
    names = {name for name, _ in scope["headers"]}
    if b"transfer-encoding" not in names:
        return False
    return b"content-length" in names or scope["http_version"] != "1.1"


def _by_path(scope: Scope) -> Scope:
    """Return the request with its path alone where it names the whole URL."""
    raw: bytes = scope.get("raw_path", b"")
    origin = _ORIGIN.match(raw)
    if origin is None:
        return scope
    raw = raw[origin.end() :] or b"/"
    return {**scope, "raw_path": raw, "path": unquote(raw.decode("ascii"))}


class _Reply:
    """The answer to one request, on its way out."""

    def __init__(self, send: Send, more: Headers) -> None:
        self.status = 500  # where nothing else is answered
        self.sent_bytes = 0  # of bodies
        self._send = send
        self._more = more

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [(name.lower(), value) for name, value in message.get("headers", ())]
            given = {name for name, _ in headers}
            headers += [each for each in SAFE if each[0] not in given]
            message = {**message, "headers": headers + self._more}
        elif message["type"] == "http.response.body":
            self.sent_bytes += len(message.get("body", b""))
        await self._send(message)

    async def answer(self, status: int, text: bytes, *headers: tuple[bytes, bytes]) -> None:
        """Give a whole answer."""
        sized = [*headers]
        if status != 204:
            sized += [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", str(len(text)).encode()),
            ]
        await self.send({"type": "http.response.start", "status": status, "headers": sized})
        await self.send({"type": "http.response.body", "body": text})


class Front:
    """The application that the server calls: it hands requests on to another one."""

    def __init__(self, app: ASGIApp, manners: Manners | None = None) -> None:
        self._app = app
        self._manners = manners or Manners()

    def use(self, app: ASGIApp, manners: Manners) -> None:
        """Hand requests on to another one from the next on."""
        self._app = app
        self._manners = manners

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun_s = time.perf_counter()
        manners = self._manners
        reply = _Reply(send, _sharing(manners.origins, scope["headers"]))
        try:
            if _is_smuggled(scope):
                await reply.answer(400, b"Content-Length and Transfer-Encoding.", CLOSE)
            elif manners.origins and _is_preflight(scope):
                await reply.answer(204, b"", *_permits(manners.origins, scope["headers"]))
            else:
                await self._app(_by_path(scope), receive, reply.send)
        finally:
            if manners.access_log:
                access_log.info("%s", line_of(scope, reply, time.perf_counter() - begun_s))

    def refused(self, client: tuple[str, int] | None, sent_bytes: int) -> None:
        """Log what was no request, and got no further than the connection."""
        if self._manners.access_log:
            address, port = client or ("nowhere", 0)
            access_log.info("%s:%s - - - 400 %s 0.0 ms", address, port, sent_bytes)


# --- CORS


def _admits(origins: frozenset[bytes], origin: bytes | None) -> bool:
    return origin is not None and (ANY.encode() in origins or origin in origins)


def _sharing(origins: frozenset[bytes], headers: Headers) -> Headers:
    """Return the headers that let a page of these origins read the answer."""
    if not origins:
        return []
    if ANY.encode() in origins:
        return [(b"access-control-allow-origin", b"*")]
    made = [(b"vary", b"Origin")]
    origin = _of(headers, b"origin")
    if origin is not None and origin in origins:
        made += [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-credentials", b"true"),
        ]
    return made


def _is_preflight(scope: Scope) -> bool:
    names = {name for name, _ in scope["headers"]}
    asks = {b"origin", b"access-control-request-method"} <= names
    return asks and scope["method"] == "OPTIONS"


def _permits(origins: frozenset[bytes], headers: Headers) -> Headers:
    """Return what a page may send; to others nothing is said, and the browser refuses."""
    if not _admits(origins, _of(headers, b"origin")):
        return []
    return [
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", REQUEST_HEADERS),
        (b"access-control-max-age", PREFLIGHT_AGE_S),
    ]


# --- the log


def line_of(scope: Scope, reply: _Reply, took_s: float) -> str:
    """Return address, caller, method, path, status, bytes and milliseconds.

    What the peer wrote has no spaces, no control characters and no secrets there.
    """
    address, port = scope.get("client") or ("nowhere", 0)
    caller = quote(scope.get("state", {}).get("caller", "-"), safe="@:+")
    path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
    if scope["query_string"]:
        path += "?" + SECRETS.sub(r"\1***", scope["query_string"].decode("latin-1"))
    return (
        f"{address}:{port} {caller} {shown(scope['method'])} {shown(path)}"
        f" {reply.status} {reply.sent_bytes} {took_s * 1000:.1f} ms"
    )
