"""What every dialect does with a request first: who asks, and what is in its body."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Address, ip_address
from typing import Protocol

from starlette.requests import Request

from nanomq_py.auth.callers import Caller
from nanomq_py.config.keys.http_server import HttpServer
from nanomq_py.http.errors import BadRequest, Forbidden, HttpError

MAX_BODY_BYTES = 1 << 20
OPEN_BODY_BYTES = 16 << 10  # of somebody who need not log in: JSON takes 30 times as much
SKIP_BYTES = 64 << 10  # of the body of a request that is not let in


class Admits(Protocol):
    """Who lets callers in: the gate of all APIs, or that of one with a login of its own."""

    async def admit(
        self, address: str, authorization: str | None, gone: asyncio.Event | None = None
    ) -> Caller:
        """Return who asks. Raises HttpError."""


async def log_in(
    request: Request, gate: Admits, authorization: str | None = None
) -> Caller:
    """Return who asks, and from where.

    authorization  what the caller shows; None: the header of that name
    Raises   HttpError; the connection then ends with the answer, since others wait for its
             place
    """
    address, port = request.client or ("nowhere", 0)
    state = request.scope.get("state", {})
    note: Callable[[bool], None] = state.get("login", lambda good: None)
    shown = authorization or request.headers.get("authorization")
    try:
        caller = await gate.admit(address, shown, state.get("gone"))
    except HttpError as error:
        note(False)
        error.headers["Connection"] = "close"
        await _skip(request)
        raise
    note(True)
    state["caller"] = caller.name  # for the access log
    return replace(caller, place=f"{address}:{port}")


def check_may_change(caller: Caller) -> None:
    """Raise Forbidden for a caller who may only read."""
    if not caller.may_change:
        raise Forbidden(f"{caller.name} may read, and change nothing")


def is_masked(http: HttpServer, caller: Caller | None, *, is_private: bool) -> bool:
    """Return whether the caller is shown no secrets.

    is_private  nobody on the network can read the answer
    """
    # With a password of the configuration a viewer could be somebody else.
    if caller is None or not caller.may_change:
        return True
    return http.mask_secrets == "always" or (http.mask_secrets == "auto" and not is_private)


async def read_stranger_s_body(request: Request) -> bytes:
    """Return the body of somebody who need not log in. Raises BadRequest.

    Until it is there the connection may go where others have no place.
    """
    state = request.scope.get("state", {})
    note: Callable[[bool], None] = state.get("awaits", lambda awaits: None)
    note(True)
    try:
        return await read_body(request, OPEN_BODY_BYTES)
    finally:
        note(False)


async def _skip(request: Request) -> None:
    """Read a short body: if bytes were left, some peers would lose the answer at the close."""
    if "expect" in request.headers:
        return  # the peer sends no body before it is told to
    left = SKIP_BYTES
    async for chunk in request.stream():
        left -= len(chunk)
        if left < 0:
            return


async def read_body(request: Request, most: int = MAX_BODY_BYTES) -> bytes:
    """Return the body, of so many bytes, whatever its Content-Type says. Raises BadRequest."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            size = f"{most >> 10} KiB" if most < 1 << 20 else f"{most >> 20} MiB"
            raise BadRequest(f"the body is larger than {size}")
    return bytes(body)


def is_private(request: Request) -> bool:
    """Return whether the answer goes over TLS, or does not leave the machine."""
    if request.url.scheme == "https":
        return True
    try:
        address = ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return address.is_loopback
