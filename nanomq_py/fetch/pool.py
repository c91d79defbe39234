"""Connections to one HTTP server, shared by those who ask it.

::

    ask ──> waits for its turn ──> an idle connection, or a new one ──> answer
       └─ too many wait: Busy    └───────── timeout_s for all of it ──────┘

A server that does not answer costs a waiting task for each request, never a thread and never
another request's turn for longer than timeout_s. Redirections are not followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from nanomq_py.fetch.connection import Connection, Gone
from nanomq_py.fetch.message import Answer, Busy, FetchError, Origin, Request, Unreached

IDLE_S = 4.0  # servers close idle connections after 5 s or more

# Returns why there must be no connection to this address of a host; empty: there may be.
Refuses = Callable[[str, str], str]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What asking one server may cost.

    timeout_s          from the call to the end of the answer
    connect_timeout_s  of it, for name, connection and TLS
    connections        at once
    waiting            requests that wait for one of them
    answer_bytes       of one answer, head and framing included
    """

    timeout_s: float
    connect_timeout_s: float
    connections: int
    waiting: int
    answer_bytes: int


class Pool:
    """The connections to one server.

    Threads  belongs to the event loop that first asks
    """

    def __init__(
        self,
        origin: Origin,
        bounds: Bounds,
        tls: ssl.SSLContext | None,
        refuses: Refuses | None = None,
    ) -> None:
        """Make it without a connection; ``tls`` is for an https server."""
        self._refuses = refuses
        self._origin = origin
        self._bounds = bounds
        self._tls = tls if origin.scheme == "https" else None
        self._idle: dict[Connection, asyncio.TimerHandle] = {}  # the last used at the end
        self._turns = asyncio.Semaphore(bounds.connections)
        self._resolving = (
            asyncio.Lock()
        )  # a hanging resolver holds a thread or two, not all
        self._asking = 0
        self._is_closed = False

    async def ask(self, request: Request) -> Answer:
        """Return the server's answer.

        A request is sent a second time when a connection that was idle turns out to be closed
        by the server, so it has to mean the same when it comes twice.

        Raises   FetchError
        """
        most = self._bounds.connections + self._bounds.waiting
        if self._asking >= most:
            raise Busy(f"{most} requests are under way already")
        self._asking += 1
        try:
            return await asyncio.wait_for(self._in_turn(request), self._bounds.timeout_s)
        except asyncio.TimeoutError:
            raise FetchError(f"no answer within {self._bounds.timeout_s:g} s") from None
        finally:
            self._asking -= 1

    async def _in_turn(self, request: Request) -> Answer:
        async with self._turns:
            return await self._send(request)

    async def _send(self, request: Request) -> Answer:
        used = self._take()
        if used is not None:
            with contextlib.suppress(Gone):
                return await self._ask_over(used, request)
        return await self._ask_over(await self._connect(), request)

    async def _ask_over(self, connection: Connection, request: Request) -> Answer:
        answer = await connection.ask(request, self._bounds.answer_bytes)
        self._put(connection)
        return answer

    def _take(self) -> Connection | None:
        while self._idle:
            connection, timer = self._idle.popitem()
            timer.cancel()
            if connection.is_usable:
                return connection
        return None

    def _put(self, connection: Connection) -> None:
        if self._is_closed or not connection.is_usable:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        self._idle[connection] = loop.call_later(IDLE_S, self._drop, connection)

    def _drop(self, connection: Connection) -> None:
        timer = self._idle.pop(connection, None)
        if timer is not None:
            timer.cancel()
        connection.close()

    async def _connect(self) -> Connection:
        bound = self._bounds.connect_timeout_s
        try:
            # Not wait_for: it would take a connection made just now for the answer to a
            # cancellation, which nobody would hear of then (before Python 3.12).
            opening = asyncio.ensure_future(self._open())
            try:
                await asyncio.wait({opening}, timeout=bound)
            except asyncio.CancelledError:
                opening.add_done_callback(_discard)
                opening.cancel()
                raise
            if not opening.done():
                opening.add_done_callback(_discard)
                opening.cancel()
                raise Unreached(f"no connection within {bound:g} s")
            return opening.result()
        except ssl.SSLCertVerificationError as fault:
            raise Unreached(f"its certificate: {fault.verify_message}") from None
        except (OSError, ssl.SSLError) as fault:
            reason = fault.strerror or type(fault).__name__
            raise Unreached(f"cannot connect: {reason}") from None

    async def _open(self) -> Connection:
        """Connect to the first of the server's addresses that takes it. Raises OSError."""
        *others, last = await self._addresses()
        for address in others:
            with contextlib.suppress(OSError):
                return await self._open_to(address)
        return await self._open_to(last)

    async def _open_to(self, address: str) -> Connection:
        origin = self._origin
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(origin.authority, self._drop),
            address,
            origin.port,
            ssl=self._tls,
            server_hostname=origin.host if self._tls is not None else None,
        )
        return connection

    async def _addresses(self) -> list[str]:
        """Return the addresses of the server that may be used, one or more.

        Raises   OSError, Unreached
        """
        host = self._origin.host
        if _is_address(host):  # no thread of the few is needed, which names may hold
            addresses = [host]
        else:
            async with self._resolving:
                found = await asyncio.get_running_loop().getaddrinfo(
                    host, self._origin.port, type=socket.SOCK_STREAM
                )
            addresses = [str(address[0]) for *_, address in found]
        if self._refuses is None:
            return addresses
        refused = {each: self._refuses(host, each) for each in addresses}
        if all(refused.values()):
            raise Unreached(next(iter(refused.values())))
        return [each for each in addresses if not refused[each]]

    def close(self) -> None:
        """Close what is idle, now and later; requests under way get their answers."""
        self._is_closed = True
        for connection in list(self._idle):
            self._drop(connection)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return "%" not in host  # else an interface has to be looked up


def _discard(opening: asyncio.Future[Connection]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
