"""One HTTP connection: uvicorn's, with bounds on what its peer can make it do.

::

    bytes ──> held ──a piece at its turn──> h11 ──> request ──> app
                                                     answer ──> as fast as the peer takes it

Source  RFC 9112; uvicorn's H11Protocol has no time for a header or a body, parses all that has
        come at once, and waits for ever for a peer that does not read
"""

from __future__ import annotations

import asyncio
import re
import time
from enum import IntEnum
from typing import Any, Protocol

import h11

from nanomq_py.http.asgi import Config, FlowControl, H11Protocol, ServerState
from nanomq_py.http.front import CLOSE, SAFE, Front

HEAD_S = 10.0  # for a header, after the connection or the last answer
BODY_S = 10.0
CLOSE_S = 5.0  # for the peer's part of closing TLS
WRITE_S = 10.0  # for each LEAST_PROGRESS of an answer, and for its last byte
LEAST_PROGRESS = 16 * 1024
UNSENT_BYTES = 64 * 1024  # of an answer, before its app waits; asyncio's for TLS is 512 KiB
HEAD_BYTES = 16 * 1024
HEAD_LINES = 100
PIECE = 256  # where a byte can cost much: headers, and bodies in chunks
LARGE_PIECE = 64 * 1024
_FOLDED = re.compile(rb"\n[ \t]")
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_OVER = (h11.MUST_CLOSE, h11.CLOSED, h11.ERROR)


class Login(IntEnum):
    """Whether somebody logged in on a connection; the lowest makes room first."""

    REFUSED = 0
    NONE = 1
    GOOD = 2


class Hub(Protocol):
    """What a connection calls of whoever accepted it."""

    def enqueue(self, connection: Connection) -> None:
        """Have :meth:`Connection.work` called when it is its turn."""

    def leave(self, connection: Connection) -> None:
        """Take note that the connection is gone."""


class _Flow(FlowControl):
    """uvicorn's pauses; besides, nothing is read while there are bytes to parse."""

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        super().__init__(transport)
        self._connection = connection

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self._connection.read_on()


class Connection(H11Protocol):
    """A connection of one address, which ``network`` counts against."""

    def __init__(self, hub: Hub, config: Config, state: ServerState, network: str):
        self.gone = asyncio.Event()  # the peer has left; requests find it in their scope
        notes = {"login": self._note_login, "awaits": self._note_awaits}
        super().__init__(config, state, {"gone": self.gone, **notes})
        self.network = network
        self.login = Login.NONE
        self._awaits_stranger = False  # the body of somebody who need not log in
        self.queued = False  # the hub's
        self._hub = hub
        self._held = bytearray()  # bytes that have come and are not parsed yet
        self._answered = False  # the next request may be parsed
        self._head_lines = 0
        self._head_tail = b""  # the last bytes of the head so far
        self._body_left = 0  # of Content-Length
        self._read_state: Any = h11.IDLE
        self._read_since = time.monotonic()
        self._unsent = 0
        self._drained = False
        self._write_since = 0.0
        self._close_since: float | None = None
        self._refused_since = 0.0

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _Flow(transport, self)
        transport.set_write_buffer_limits(high=UNSENT_BYTES)
        self._read_since = time.monotonic()

    def data_received(self, data: bytes) -> None:
        self._held += data
        self.transport.pause_reading()
        self._hub.enqueue(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._held.clear()
        self.gone.set()
        self._hub.leave(self)
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        self._drained = True
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Parse the next of several requests that came at once when it is its turn."""
        self._answered = True
        self._hub.enqueue(self)

    # --- work

    def work(self) -> None:
        """Parse one piece, or begin with the next request."""
        if self.transport.is_closing():
            self._held.clear()
            return
        if self._answered:
            self._answered = False
            if self._is_folded(self.conn.trailing_data[0]):  # behind a body in chunks
                self.transport.close()
                return
            super().on_response_complete()
            if self.conn.their_state is not h11.IDLE:
                self._head_tail = b""
        elif self.conn.their_state in _OVER:
            self._held.clear()  # it said that nothing would follow
        elif self._held and not self.flow.read_paused:
            self._parse_piece()
        self._note()
        self.read_on()

    def _parse_piece(self) -> None:
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self.flow.pause_reading()  # the next request waits here, not in h11's buffer
            return
        head = self.conn.their_state is h11.IDLE
        chunked = not head and self._header(b"transfer-encoding") is not None
        if chunked and self.cycle.response_complete:
            self.transport.close()  # the rest of the body costs too much to skip
            return
        piece = self._take(
            PIECE if chunked else self._head_left() if head else self._body_left
        )
        if head and self._is_folded(piece):
            self.send_400_response("Folded header line.")
            return
        self._head_lines += piece.count(b"\n") if head else 0
        if self._head_lines > HEAD_LINES:
            self.send_400_response("Too many header lines.")
            return
        super().data_received(piece)
        if self.conn.their_state is not h11.IDLE:
            if head and self.conn.their_state is h11.SEND_BODY:
                self._body_left = int(self._header(b"content-length") or 0)
            self._head_lines = 0
            self._head_tail = b""

    def _header(self, name: bytes) -> bytes | None:
        return next((value for each, value in self.headers if each == name), None)

    def _head_left(self) -> int:
        """Return how many of the bytes that are held to parse at once, of a header only."""
        end = _END_OF_HEAD.search(self._head_tail + self._held[:PIECE])
        return PIECE if end is None else end.end() - len(self._head_tail)

    def _take(self, most: int) -> bytes:
        size = min(most, LARGE_PIECE)
        piece = bytes(self._held[:size])
        del self._held[:size]
        self._body_left -= len(piece)
        return piece

    def _is_folded(self, piece: bytes) -> bool:
        """Return whether a header line goes on in the next one.

        Servers disagree on what such a line means, and h11 takes it. Source: RFC 9112, 5.2
        """
        text = self._head_tail + piece
        self._head_tail = text[-2:]
        end = _END_OF_HEAD.search(text)
        return _FOLDED.search(text, 0, end.start() + 1 if end else len(text)) is not None

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, and close; in the middle of an answer there is no refusal."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = msg.encode("ascii")
            headers = [
                *SAFE,
                CLOSE,
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", str(len(body)).encode()),
            ]
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
            if isinstance(self.app, Front):
                self.app.refused(self.client, len(body))
        self.transport.close()

    def read_on(self) -> None:
        """Go on with what is held, or read more, unless the app is to take some first."""
        if self.flow.read_paused or self.transport.is_closing():
            return
        if self._held:
            self._hub.enqueue(self)
        else:
            self.transport.resume_reading()

    def _note(self) -> None:
        """Take note of when the peer began with a header or a body."""
        state = self.conn.their_state
        if state is not self._read_state:
            self._read_state = state
            self._read_since = time.monotonic()

    # --- time

    def _note_login(self, good: bool) -> None:
        if not good:
            self._refused_since = time.monotonic()
        self.login = Login.GOOD if good else Login.REFUSED

    def _note_awaits(self, awaits: bool) -> None:
        self._awaits_stranger = awaits

    @property
    def is_judged(self) -> bool:
        """Whether its first login is under way, which may end as a refused one."""
        is_first = (
            self.login is Login.NONE
            and self.cycle is not None
            and not self._awaits_stranger
        )
        return is_first and not self.cycle.response_complete

    @property
    def spare_since(self) -> float | None:
        """Since when it can be cut to make room for another; None: a request is under way.

        After a refused login it only takes its answer. Before any login its request may still
        be on the way: nothing is lost when it is cut.
        """
        if self.login is Login.REFUSED:
            return self._refused_since
        if self.login is Login.NONE:
            busy = self.is_judged or (self._read_state is h11.IDLE and bool(self._held))
        else:
            busy = self._read_state is not h11.IDLE or bool(self._held) or self._answered
        return None if busy else self._read_since

    def look(self, now: float) -> None:
        """Cut the connection of a peer that lets others wait."""
        if self.transport is None:
            return
        if self._reads_late(now) or self._writes_late(now) or self._closes_late(now):
            self.abort()

    def abort(self) -> None:
        """Cut it; what is not sent yet is lost."""
        if self.transport is not None:
            self.transport.abort()

    def _reads_late(self, now: float) -> bool:
        if self._held or self.flow.read_paused or self._answered:
            self._read_since = now  # it is not the peer that is late
            return False
        bound = {h11.IDLE: HEAD_S, h11.SEND_BODY: BODY_S}.get(self._read_state)
        return bound is not None and now - self._read_since > bound

    def _writes_late(self, now: float) -> bool:
        unsent = self.transport.get_write_buffer_size()
        fewer = unsent <= self._unsent - LEAST_PROGRESS
        if unsent == 0 or self._unsent == 0 or self._drained or fewer:
            self._drained = False
            self._unsent = unsent
            self._write_since = now
            return False
        self._unsent = max(self._unsent, unsent)
        return now - self._write_since > WRITE_S

    def _closes_late(self, now: float) -> bool:
        if not self.transport.is_closing() or self.transport.get_write_buffer_size() > 0:
            return False
        self._close_since = self._close_since or now
        return now - self._close_since > CLOSE_S
