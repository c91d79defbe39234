"""Who comes in to the HTTP API: a bound for all and one for each address, and fair turns.

asyncio's own server accepts without a bound. Once it has taken all descriptors of the process
it tries again every second, with a traceback each time, and no other part gets one.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nanomq_py.auth.throttle import network_of
from nanomq_py.core.process import has_descriptors
from nanomq_py.http.connection import Connection, Hub, Login
from nanomq_py.http.terms import Bounds
from nanomq_py.run.log_lines import Repeats

log = logging.getLogger("nanomq.http.door")
log.addFilter(Repeats())

KEEP_DESCRIPTORS = 8  # for files, of the 16 that MQTT clients leave
PAUSE_S = 0.5  # where there is no descriptor or no memory
ACCEPTS_AT_ONCE = 4
TURN_S = 0.001  # of parsing, before others get theirs
YOUNG_S = 1.0  # a connection makes room for another one only after this
LINE = 64  # connections that wait for a place
LINE_OF_ADDRESS = 32
LINE_S = 5.0
HANDSHAKE_S = 10.0  # for TLS, once it has its place
BETWEEN_HANDSHAKES_S = 0.002  # others have the loop then
_STARVED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(frozen=True, eq=False)
class _Guest:
    """A connection that waits for a place."""

    sock: socket.socket
    address: str
    network: str
    since: float


class Door:
    """Accepts on a socket that listens, and gives connections their turns.

    It takes the place of uvicorn's ``asyncio.Server``. When all places are taken, a connection
    waits in a line: places become free quickly, and to connect again and again does not help.
    """

    def __init__(
        self,
        sock: socket.socket,
        bounds: Bounds,
        tls: ssl.SSLContext | None,
        make: Callable[[Hub, str], Connection],
    ) -> None:
        """Make it closed. ``make`` makes a connection, given the network of its peer."""
        self.bounds = bounds
        self.tls = tls
        self.connections: set[Connection] = set()
        self._sock = sock
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._by_network: Counter[str] = Counter()
        self._line: list[_Guest] = []
        self._seating: asyncio.Handle | None = None
        self._adopting: dict[Connection, asyncio.Task[None]] = {}
        self._handshakes = asyncio.Lock()
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
        """Accept no more; drop peers that wait or shake hands. The socket stays open."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._sock.fileno())
        for handle in (self._again, self._seating):
            if handle is not None:
                handle.cancel()
        for guest in self._line:
            guest.sock.close()
        self._line.clear()
        if self.tls is not None:
            for task in self._adopting.values():
                task.cancel()

    async def wait_closed(self) -> None:
        """Return when all that was accepted has become a connection or is closed."""
        await asyncio.gather(*self._adopting.values(), return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                if not has_descriptors(KEEP_DESCRIPTORS):
                    raise OSError(errno.EMFILE, "too few descriptors are left")
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as fault:
                if fault.errno in _STARVED:
                    self._pause(fault)
                    return
                continue  # such as a peer that has gone already: the next one may do
            sock.setblocking(False)
            self._receive(sock, str(address[0]))

    def _pause(self, fault: OSError) -> None:
        log.warning("http_server: connections wait: %s", fault.strerror)
        self._loop.remove_reader(self._sock.fileno())
        self._again = self._loop.call_later(PAUSE_S, self.open)

    # --- places

    def _receive(self, sock: socket.socket, address: str) -> None:
        """Let it wait behind the others. If the line is too long, refuse one.

        It refuses the newest of the network that has most in the line.
        """
        guest = _Guest(sock, address, network_of(address), time.monotonic())
        self._line.append(guest)
        self._seat()
        if guest not in self._line:
            return
        counts = Counter(other.network for other in self._line)
        if counts[guest.network] > LINE_OF_ADDRESS:
            self._refuse(guest)
        elif len(self._line) > LINE:
            most = max(
                counts, key=lambda network: (counts[network], network == guest.network)
            )
            self._refuse([other for other in self._line if other.network == most][-1])

    def _seat(self) -> None:
        """Give free places to those that wait, in their order."""
        self._seating = None
        full: set[str] = set()
        for guest in list(self._line):
            if guest.network in full:
                continue
            if self._has_place(guest.network):
                self._line.remove(guest)
                self._take(guest)
            else:
                full.add(guest.network)

    def _has_place(self, network: str) -> bool:
        """Return whether one more of that network may come in; make room for it if need be."""
        bounds = self.bounds
        if bounds.of_address and self._by_network[network] >= bounds.of_address:
            return self._make_room([c for c in self.connections if c.network == network])
        if bounds.in_all and len(self.connections) >= bounds.in_all:
            return self._make_room(self.connections)
        return True

    def _refuse(self, guest: _Guest) -> None:
        full = self.bounds.of_address and (
            self._by_network[guest.network] >= self.bounds.of_address
        )
        key = "max_connections_per_address" if full else "max_connections"
        log.warning("http_server.%s: a connection of %s is refused", key, guest.address)
        self._line.remove(guest)
        guest.sock.close()

    def _take(self, guest: _Guest) -> None:
        connection = self._make(self, guest.network)
        self.connections.add(connection)
        self._by_network[guest.network] += 1
        task = self._loop.create_task(self._adopt(guest.sock, connection))
        self._adopting[connection] = task
        task.add_done_callback(lambda done: self._adopted(guest, connection, done))

    async def _adopt(self, sock: socket.socket, connection: Connection) -> None:
        if self.tls is None:
            await self._loop.connect_accepted_socket(lambda: connection, sock)
        else:
            await asyncio.wait_for(
                self._shake_hands(sock, connection, self.tls), HANDSHAKE_S
            )

    async def _shake_hands(
        self, sock: socket.socket, connection: Connection, tls: ssl.SSLContext
    ) -> None:
        """Begin after the peer. Handshakes begin one by one: each costs about a millisecond."""
        await _readable(sock)
        async with self._handshakes:
            await asyncio.sleep(BETWEEN_HANDSHAKES_S)
        await self._loop.connect_accepted_socket(
            lambda: connection, sock, ssl=tls, ssl_handshake_timeout=HANDSHAKE_S
        )

    def _adopted(
        self, guest: _Guest, connection: Connection, done: asyncio.Task[None]
    ) -> None:
        del self._adopting[connection]
        fault = None if done.cancelled() else done.exception()
        if connection.transport is not None and fault is None and not done.cancelled():
            return
        if isinstance(fault, ssl.SSLError):
            why = getattr(fault, "verify_message", "") or fault.reason or fault
            log.info("http_server.tls: no handshake with %s: %s", guest.address, why)
        elif fault is not None and not isinstance(fault, OSError | asyncio.TimeoutError):
            log.error("http_server: a connection failed", exc_info=fault)
        connection.abort()
        guest.sock.close()
        self.leave(connection)

    def _make_room(self, among: Iterable[Connection]) -> bool:
        """Cut the connection that can be spared best; return whether there was one.

        Only one without a request under way can be spared. One on which nobody has logged in
        goes first, and then one of the address that has the most. One that has logged in stays
        while the login of another is judged: that may be the one to go.
        """
        now = time.monotonic()
        among = list(among)
        spare = [
            (-connection.login, self._by_network[connection.network], -since, connection)
            for connection in among
            if (since := connection.spare_since) is not None and now - since > YOUNG_S
        ]
        if not spare:
            return False
        victim = max(spare, key=lambda entry: entry[:3])[3]
        if victim.login is Login.GOOD and any(each.is_judged for each in among):
            return False
        self.leave(victim)
        self._cut(victim)
        return True

    def leave(self, connection: Connection) -> None:
        """Take note that the connection is gone."""
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        self._by_network[connection.network] -= 1
        if self._by_network[connection.network] == 0:
            del self._by_network[connection.network]
        if self._line and self._seating is None:
            self._seating = self._loop.call_soon(self._seat)

    # --- turns

    def enqueue(self, connection: Connection) -> None:
        """Let the connection work when it is its turn."""
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
        self._seat()
        for guest in [g for g in self._line if now - g.since > LINE_S]:
            self._refuse(guest)

    def cut(self) -> None:
        """Cut all connections."""
        for connection in list(self.connections):
            self._cut(connection)

    def _cut(self, connection: Connection) -> None:
        if (task := self._adopting.get(connection)) is not None:
            task.cancel()
        connection.abort()


async def _readable(sock: socket.socket) -> None:
    """Return when bytes have come, or the peer has gone."""
    loop = asyncio.get_running_loop()
    come: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not come.done():
            come.set_result(None)

    loop.add_reader(sock.fileno(), wake)
    try:
        await come
    finally:
        loop.remove_reader(sock.fileno())
