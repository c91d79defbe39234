"""Who comes in to the HTTP API: bounds in all and by address, and fair turns.

asyncio's own server accepts without a bound, and tries again every second, with a traceback
each, once the process is out of descriptors: nobody else gets one then.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nanomq_py import core
from nanomq_py.auth.throttle import network_of
from nanomq_py.config.sections import HttpServer
from nanomq_py.http.connection import Connection, Hub
from nanomq_py.logs import Repeats

log = logging.getLogger("nanomq.http.door")
log.addFilter(Repeats())

KEEP_DESCRIPTORS = 8  # for files, of the 16 that MQTT clients leave
PAUSE_S = 0.5  # where there is no descriptor or no memory
ACCEPTS_AT_ONCE = 4
TURN_S = 0.001  # of parsing, before others get theirs
YOUNG_S = 1.0  # a connection makes room for another one only after this
_STARVED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(frozen=True)
class Bounds:
    """How many connections there may be; 0: no bound."""

    in_all: int
    of_address: int

    @staticmethod
    def of(http: HttpServer) -> Bounds:
        return Bounds(http.max_connections, http.max_connections_per_address)


class Door:
    """Accepts on a socket that listens, and gives connections their turns.

    It stands where uvicorn has an ``asyncio.Server``.
    """

    def __init__(
        self,
        sock: socket.socket,
        bounds: Bounds,
        make: Callable[[Hub, str], Connection],
    ) -> None:
        """Make it closed. ``make`` gets the network of a peer."""
        self.bounds = bounds
        self.connections: set[Connection] = set()
        self._sock = sock
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._by_network: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._queue: deque[Connection] = deque()
        self._scheduled = False
        self._again: asyncio.TimerHandle | None = None
        self._closed = False

    # --- accept

    def open(self) -> None:
        """Accept from now on."""
        self._again = None
        self._sock.setblocking(False)
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more; the socket stays the caller's."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._sock.fileno())
        if self._again is not None:
            self._again.cancel()

    async def wait_closed(self) -> None:
        """Return when what was accepted is a connection or closed."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                if not core.has_descriptors(KEEP_DESCRIPTORS):
                    raise OSError(errno.EMFILE, "too few descriptors are left")
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as fault:
                if fault.errno in _STARVED:
                    self._pause(fault)
                    return
                continue  # the peer has gone already, and the like: the next one may do
            self._take(sock, str(address[0]))

    def _pause(self, fault: OSError) -> None:
        log.warning("http_server: connections wait: %s", fault.strerror)
        self._loop.remove_reader(self._sock.fileno())
        self._again = self._loop.call_later(PAUSE_S, self.open)

    def _refusal(self, network: str) -> str | None:
        """Return the key whose bound refuses another connection, or None."""
        bounds = self.bounds
        if bounds.of_address and self._by_network[network] >= bounds.of_address:
            here = [c for c in self.connections if c.network == network]
            return None if self._make_room(here) else "max_connections_per_address"
        if bounds.in_all and len(self.connections) >= bounds.in_all:
            return None if self._make_room(self.connections) else "max_connections"
        return None

    def _take(self, sock: socket.socket, address: str) -> None:
        network = network_of(address)
        if key := self._refusal(network):
            log.warning("http_server.%s: a connection of %s is refused", key, address)
            sock.close()
            return
        connection = self._make(self, network)
        self.connections.add(connection)
        self._by_network[network] += 1
        task = self._loop.create_task(self._adopt(sock, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _adopt(self, sock: socket.socket, connection: Connection) -> None:
        sock.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(lambda: connection, sock)
        except OSError:
            sock.close()
            self.leave(connection)

    def _make_room(self, among: Iterable[Connection]) -> bool:
        """Cut the connection that can be spared best; return whether there was one.

        It asks for nothing, and is one of the address that has the most.
        """
        now = time.monotonic()
        spare = [
            (self._by_network[connection.network], -since, connection)
            for connection in among
            if (since := connection.idle_since) is not None and now - since > YOUNG_S
        ]
        if not spare:
            return False
        victim = max(spare, key=lambda entry: entry[:2])[2]
        self.leave(victim)
        victim.abort()
        return True

    def leave(self, connection: Connection) -> None:
        """Take note that the connection is gone."""
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        self._by_network[connection.network] -= 1
        if self._by_network[connection.network] == 0:
            del self._by_network[connection.network]

    # --- turns

    def enqueue(self, connection: Connection) -> None:
        """Have the connection work when it is its turn."""
        if connection.queued:
            return
        connection.queued = True
        self._queue.append(connection)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._work)

    def _work(self) -> None:
        """Give turns, and then the loop to others: MQTT logins are among them."""
        until = time.perf_counter() + TURN_S
        while self._queue and time.perf_counter() < until:
            connection = self._queue.popleft()
            connection.queued = False
            try:
                connection.work()
            except Exception:
                log.exception("http_server: a connection failed")
                connection.abort()
        self._scheduled = bool(self._queue)
        if self._scheduled:
            self._loop.call_soon(self._work)

    def look(self) -> None:
        """Cut peers that are late; call it every second or so."""
        now = time.monotonic()
        for connection in list(self.connections):
            connection.look(now)

    def cut(self) -> None:
        """Cut all connections."""
        for connection in list(self.connections):
            connection.abort()
