"""An HTTP server for tests: it answers as it is told, and remembers what it was asked."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import parse_qs, urlsplit

WITHIN_S = 20.0


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {k: v[0] for k, v in parse_qs(urlsplit(self.target).query).items()}

    @property
    def form(self) -> dict[str, str]:
        return {k: v[0] for k, v in parse_qs(self.body.decode()).items()}


def status(code: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {code} X", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


OK = status(200)
NO = status(403)

# Makes the bytes of an answer; None: the connection is closed without one. It may block, and
# may send pieces of its own first.
Says = Callable[[Asked, socket.socket], bytes | None]


@dataclass
class Answering:
    """The server: ``says`` may be replaced while it runs."""

    says: Says
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    most_at_once: int = 0
    _at_once: int = 0
    _open: set[socket.socket] = field(default_factory=set)
    _listener: socket.socket | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Listen, on the port of before if there was one."""
        made = socket.create_server(("127.0.0.1", self.port), backlog=4096)
        self.port = made.getsockname()[1]
        self._listener = made
        threading.Thread(target=self._accept, args=(made,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections, and cut those that are open."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._changed:
            for sock in self._open:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def until(self, count: int) -> None:
        """Return when so many requests have come."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.asked) >= count, WITHIN_S)

    def until_closed(self) -> None:
        """Return when no connection is open."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._open, WITHIN_S)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with self._changed:
                self.connections += 1
                self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        sock = raw
        try:
            if self.tls is not None:
                sock = self.tls.wrap_socket(raw, server_side=True)
            with sock.makefile("rb") as stream:
                while (asked := _read(stream)) is not None and self._answer(asked, sock):
                    pass
        except (OSError, ValueError):
            pass
        finally:
            with self._changed:
                self._open.discard(raw)
                self._changed.notify_all()
            sock.close()

    def _answer(self, asked: Asked, sock: socket.socket) -> bool:
        with self._changed:
            self.asked.append(asked)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self._changed.notify_all()
        try:
            said = self.says(asked, sock)
        finally:
            with self._changed:
                self._at_once -= 1
        if said is not None:
            sock.sendall(said)
        return said is not None


def _read(stream: BinaryIO) -> Asked | None:
    line = stream.readline().decode()
    if not line:
        return None
    method, target, _ = line.split()
    headers = {}
    while (line := stream.readline().decode().strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))
    return Asked(method, target, headers, body)


def always(answer: bytes | None) -> Says:
    return lambda asked, sock: answer


@contextmanager
def answering(
    says: Says | bytes | None = OK, tls: ssl.SSLContext | None = None
) -> Iterator[Answering]:
    """Run a server."""
    made = Answering(says if callable(says) else always(says), tls)
    made.open()
    try:
        yield made
    finally:
        made.close()
