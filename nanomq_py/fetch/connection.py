"""One connection to an HTTP server: a request, its answer, the next request.

::

    ask ──> sent ──bytes──> answer ──> idle ──> ask ...
                └─ too many, garbage, closed ──> FetchError, and the connection ends

Bytes that come while nothing is asked end the connection: they would be taken for the answer
to the next question, which is another client's.

Source   RFC 9112
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import h11

from nanomq_py.fetch.message import Answer, FetchError, Request

LONGEST_HEAD = 16 * 1024  # bytes of the status line and the headers
MOST_PIECES = 8192  # chunks of an answer, and what came of them at once: each takes time


class Gone(FetchError):
    """The server closed the connection before the first byte of an answer."""


class Connection(asyncio.Protocol):
    """A connection, from its first request to its end.

    Threads  belongs to its event loop
    """

    def __init__(self, authority: str, ended: Callable[[Connection], object]) -> None:
        """Make it; ``ended`` is called once it cannot be used any more, unless it is closed."""
        self._authority = authority.encode()
        self._ended = ended
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None  # None: nothing is asked
        self._head: h11.Response | None = None
        self._body = bytearray()
        self._received = 0  # bytes since the request
        self._pieces = 0
        self._most = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @property
    def is_usable(self) -> bool:
        """Whether another request can be sent."""
        return (
            self._answer is None
            and self._transport is not None
            and not self._transport.is_closing()
        )

    async def ask(self, request: Request, most_bytes: int) -> Answer:
        """Send the request and return its answer of up to that many bytes, all in all.

        Raises   FetchError; Gone where the request may be sent again. However else the call
                 ends, the connection is closed then.
        """
        if self._transport is None or not self.is_usable:
            raise Gone("it closed the connection")
        self._answer = asyncio.get_running_loop().create_future()
        self._head, self._most = None, most_bytes
        self._received = self._pieces = 0
        self._body.clear()
        try:
            self._transport.write(self._bytes_of(request))
            return await self._answer
        except BaseException:
            self.close()
            raise
        finally:
            self._answer = None

    def _bytes_of(self, request: Request) -> bytes:
        headers = [(b"Host", self._authority), *request.headers]
        if request.body is not None:
            headers.append((b"Content-Length", b"%d" % len(request.body)))
        try:
            head = h11.Request(
                method=request.method, target=request.target, headers=headers
            )
            sent = self._http.send(head) or b""
            if request.body:
                sent += self._http.send(h11.Data(data=request.body)) or b""
            return sent + (self._http.send(h11.EndOfMessage()) or b"")
        except h11.LocalProtocolError:
            # Its text would quote a header, which may be a secret.
            raise FetchError("the request cannot be sent as HTTP") from None

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.close()
            self._ended(self)
            return
        self._received += len(data)
        if self._received > self._most:
            self._fail(FetchError(f"its answer is over {self._most} bytes"))
            return
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        """Take bytes; empty: the server has closed its side."""
        try:
            self._http.receive_data(data)
            while (event := self._http.next_event()) is not h11.NEED_DATA:
                self._pieces += 1
                if self._pieces > MOST_PIECES:
                    self._fail(FetchError(f"its answer has over {MOST_PIECES} pieces"))
                    return
                if isinstance(event, h11.Response):
                    self._head = event
                elif isinstance(event, h11.Data):
                    self._body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    self._finish()
                    return
                elif not isinstance(event, h11.InformationalResponse):
                    return  # closed, or waiting for what does not come
        except h11.RemoteProtocolError:
            self._fail(FetchError("its answer is not HTTP"))

    def _finish(self) -> None:
        assert self._answer is not None
        assert self._head is not None
        headers = dict(self._head.headers)
        coding = headers.get(b"content-encoding", b"identity")
        if coding.lower() != b"identity":
            self._fail(FetchError("its answer is compressed, which was not asked for"))
            return
        self._answer.set_result(Answer(self._head.status_code, bytes(self._body), headers))
        states = (self._http.our_state, self._http.their_state)
        if states != (h11.DONE, h11.DONE) or self._http.trailing_data[0]:
            self.close()
        else:
            self._http.start_next_cycle()

    def _fail(self, fault: FetchError) -> None:
        self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(fault)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is None:
            self._ended(self)
            return
        if exc is None and self._received:
            self._feed(b"")  # an answer may end with its connection
        gone = FetchError if self._received else Gone
        self._fail(gone("it closed the connection without a complete answer"))

    def close(self) -> None:
        """End the connection at once. It may be called again."""
        if self._transport is not None:
            self._transport.abort()
