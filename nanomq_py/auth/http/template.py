"""Requests with placeholders: what an HTTP server is told of a client.

::

    clientid=%c,token=x-%u   {"%c": b"pump", "%u": b"ann"}   ──>   clientid=pump&token=x-ann

A parameter with a placeholder that has no value (no user name) is left out, as NanoMQ does
it. Values are encoded, so that no client can add a parameter by what it is called.

Source   NanoMQ's auth.http.*_req, EMQX 4's auth.http.*_req
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote_plus

import msgspec

from nanomq_py.config.faults import ConfigError, Faults
from nanomq_py.config.keys.http_client import HttpAuth, HttpAuthRequest
from nanomq_py.fetch.message import Origin, Request, request_target

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
# What NanoMQ reads, and has no value for: protocol, port, certificate, mount point.
_VALUELESS = frozenset({"%r", "%p", "%C", "%d", "%m"})
_OF_LOGIN = frozenset({"%u", "%c", "%a", "%P"}) | _VALUELESS
_OF_ACCESS = frozenset({"%u", "%c", "%a", "%A", "%t"}) | _VALUELESS
_OURS = ("host", "content-length", "transfer-encoding", "connection", "accept-encoding")
_PLACEHOLDER = re.compile("(%[A-Za-z])")

# Placeholder -> what it stands for; one that is absent has no value.
Values = Mapping[str, bytes]


class NotText(ValueError):
    """A value is not UTF-8, and JSON holds only texts."""


class Template:
    """One request of the configuration."""

    def __init__(self, request: HttpAuthRequest) -> None:
        """Make it of a request with a URL that :func:`check_requests` has found right."""
        assert request.url is not None
        self.origin = Origin.of(request.url)
        self._method = request.method.upper()
        self._target = request_target(request.url)
        kind = FORM
        headers = []
        for header in request.headers:
            if header.name.lower() != "content-type":
                headers.append((header.name.encode(), header.value.strip().encode()))
            else:
                kind = header.value.strip()
        self._is_json = kind.partition(";")[0].strip().lower() == JSON
        if self._method != "GET":
            headers.append((b"Content-Type", kind.encode()))
        self._headers = tuple(headers)
        self._params = [
            (name, _PLACEHOLDER.split(value)) for name, value in _pairs(request)
        ]

    def request(self, values: Values) -> Request:
        """Return the request for these values. Raises NotText."""
        filled = list(self._filled(values))
        if self._method == "GET":
            joint = "&" if "?" in self._target else "?"
            query = f"{joint}{_form(filled)}" if filled else ""
            return Request("GET", self._target + query, self._headers)
        body = _json(filled) if self._is_json else _form(filled).encode()
        return Request(self._method, self._target, self._headers, body)

    def _filled(self, values: Values) -> Iterator[tuple[str, bytes]]:
        for name, pieces in self._params:
            # literals have even places, placeholders odd ones
            found = [
                values.get(piece) if place % 2 else piece.encode()
                for place, piece in enumerate(pieces)
            ]
            if None not in found:
                yield name, b"".join(piece for piece in found if piece is not None)


def _pairs(request: HttpAuthRequest) -> Iterator[tuple[str, str]]:
    for param in request.params:
        name, _, value = param.partition("=")
        yield name.strip(), value.strip()


def _form(filled: list[tuple[str, bytes]]) -> str:
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in filled)


def _json(filled: list[tuple[str, bytes]]) -> bytes:
    try:
        texts = {name: value.decode() for name, value in filled}
    except UnicodeDecodeError:
        raise NotText from None
    return msgspec.json.encode(texts)


def check_requests(http: HttpAuth) -> None:
    """Check what is asked, and where, if ``auth.http`` is on.

    Raises   ConfigError naming the keys, without what is secret
    """
    faults = Faults()
    if not http.asks_logins and not http.asks_access:
        faults.add(
            ConfigError(
                "auth.http.enable: no server to ask: expected auth.http.auth_req.url or"
                " auth.http.acl_req.url"
            )
        )
    elif http.super_req.url is not None and not http.asks_logins:
        faults.add(
            ConfigError(
                "auth.http.super_req.url: is asked about clients that auth.http.auth_req.url"
                " lets in: expected that key"
            )
        )
    for name, request, known in (
        ("auth.http.auth_req", http.auth_req, _OF_LOGIN),
        ("auth.http.super_req", http.super_req, _OF_LOGIN),
        ("auth.http.acl_req", http.acl_req, _OF_ACCESS),
    ):
        if request.url is not None:
            with faults.gathered():
                _check_request(name, request, known)
    faults.check()


def _check_request(name: str, request: HttpAuthRequest, known: frozenset[str]) -> None:
    try:
        Origin.of(request.url or "")
    except ValueError:  # UnicodeError too: no such host name
        raise ConfigError(f"{name}.url: expected a host name that DNS can hold") from None
    for text, value in _pairs(request):
        if not text:
            raise ConfigError(f"{name}.params: expected NAME=VALUE")
        for placeholder in _PLACEHOLDER.findall(value):
            if placeholder not in known:
                raise ConfigError(
                    f"{name}.params: {text}: {placeholder} has no meaning there: expected"
                    f" {' '.join(sorted(known - _VALUELESS))}"
                )
    for header in request.headers:
        if header.name.lower() in _OURS:
            raise ConfigError(f"{name}.headers.{header.name}: the broker itself says that")
