"""A subscriber that reads at a pace and acknowledges, and a publisher that hurries.

:func:`run` runs one such pair to its end and tells what arrived, over how many connections.
"""

from __future__ import annotations

import itertools
import os
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests import raw
from tests.certs import Certs
from tests.conftest import running_broker
from tests.frames import BINARY, frame
from tests.raw import Closed, Raw

IDLE_S = 6.0  # nothing came for so long after all was published: the rest never comes
IDLE_0_S = 2.0  # at QoS 0, where nothing is owed
LIMIT_S = 100.0  # a cell ends, whatever happens
CONNECTIONS = 60  # with a session that is kept: the client comes back so often at most
HURRY_BYTES_S = 50e6
ALL = 1 << 40
UPGRADE = (
    b"GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
)
_numbers = itertools.count()


@dataclass(frozen=True)
class Ports:
    """Where the broker listens."""

    tcp: int
    tls: int
    ws: int


@dataclass(frozen=True)
class Cell:
    """One place of the matrix."""

    size_bytes: int
    count: int
    pace_bytes_s: float
    qos: int
    transport: str  # tcp, tls or ws
    kept: bool
    leaves_half_way: bool = False  # drops its connection and comes back
    slow_bytes: int = ALL  # after so many it hurries, to come to an end

    def __str__(self) -> str:
        size = (
            f"{self.size_bytes >> 20} MiB"
            if self.size_bytes >> 20
            else f"{self.size_bytes >> 10} KiB"
        )
        kind = "kept" if self.kept else "clean"
        gone = ", leaves half way" if self.leaves_half_way else ""
        if self.slow_bytes < self.count * self.size_bytes:
            gone += f", {self.slow_bytes / 1e6:g} MB of it"
        return (
            f"{self.count} x {size}, {self.pace_bytes_s / 1e6:g} MB/s, QoS {self.qos}, "
            f"{self.transport}, {kind}{gone}"
        )


@dataclass
class Outcome:
    """What became of one cell."""

    cell: Cell
    acknowledged: int = 0  # to the publisher; at QoS 0 what it sent
    received: int = 0  # different messages
    doubled: int = 0
    disordered: int = 0
    connections: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        return self.acknowledged - self.received

    @property
    def faults(self) -> list[str]:
        """Return what the broker owed and did not do."""
        due = 2 if self.cell.leaves_half_way else 1
        found = list(self.notes)
        if self.cell.qos > 0 and self.lost > 0:
            found.append(f"{self.lost} of {self.acknowledged} acknowledged were lost")
        if self.acknowledged < self.cell.count:
            found.append(f"{self.acknowledged} of {self.cell.count} acknowledged")
        if self.connections != due:
            found.append(f"{self.connections} connections")
        if self.doubled > 0 and (self.cell.qos != 1 or due == 1):
            found.append(f"{self.doubled} came twice")
        if self.disordered > 0:
            found.append(f"{self.disordered} out of order")
        return found


class Wire:
    """A connection over any transport that reads at a pace."""

    def __init__(self, ports: Ports, cell: Cell) -> None:
        self._pace = cell.pace_bytes_s
        self._chunk = int(min(max(self._pace * 0.01, 1024), 65536))
        self._slow_bytes = cell.slow_bytes
        transport = cell.transport
        self._due = 0.0
        self._ws = transport == "ws"
        self._frames = bytearray()
        self.data = bytearray()  # MQTT
        self._due_bytes = 2  # of it, before there can be a whole packet
        sock = socket.socket()
        # As much as comes in some 10 ms: the rest waits with the broker.
        sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, min(max(self._chunk, 4096), 262144)
        )
        # Segments as on a network. Those of the loopback device are half of the largest window:
        # once the window is smaller than one, the kernel sends a probe in 200 ms and no more.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1448)
        sock.settimeout(20)
        sock.connect(("127.0.0.1", getattr(ports, transport)))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        if transport == "tls":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.sock = context.wrap_socket(sock)
        if self._ws:
            sock.sendall(UPGRADE)
            while b"\r\n\r\n" not in self._frames:
                self._frames += sock.recv(1)

    def send(self, data: bytes) -> None:
        self.sock.sendall(frame(BINARY, data) if self._ws else data)

    def fill(self, timeout_s: float) -> bool:
        """Read some, when the pace allows. Return False when nothing came; raise Closed."""
        now = time.perf_counter()
        if self._due > now:
            time.sleep(self._due - now)
        self.sock.settimeout(timeout_s)
        try:
            got = self.sock.recv(self._chunk)
        except (TimeoutError, ssl.SSLWantReadError):
            return False
        except OSError:
            raise Closed from None
        if not got:
            raise Closed
        self._due = max(self._due, time.perf_counter() - 0.05) + len(got) / self._pace
        self._slow_bytes -= len(got)
        if self._slow_bytes < 0:
            self._pace, self._chunk = HURRY_BYTES_S, 65536
        if self._ws:
            self._frames += got
            self._unwrap()
        else:
            self.data += got
        return True

    def _unwrap(self) -> None:
        """Take the whole frames out of what has come; the upgrade's answer is no frame."""
        buffer = self._frames
        if buffer.startswith(b"HTTP/"):
            end = buffer.find(b"\r\n\r\n")
            del buffer[: end + 4]
        while len(buffer) >= 2:
            size, at = buffer[1] & 127, 2
            if size > 125:
                at = 4 if size == 126 else 10
                if len(buffer) < at:
                    return
                size = int.from_bytes(buffer[2:at], "big")
            if len(buffer) < at + size:
                return
            if buffer[0] & 15 in (0, BINARY):
                self.data += buffer[at : at + size]
            del buffer[: at + size]

    def packets(self) -> list[tuple[int, memoryview]]:
        """Return the whole packets that have come: first byte and body."""
        if len(self.data) < self._due_bytes:
            return []
        found, at, data = [], 0, bytes(self.data)
        view, self._due_bytes = memoryview(data), 2
        while at + 2 <= len(data):
            size, shift, head = 0, 0, at + 1
            whole = False
            while head < len(data) and not whole:
                size |= (data[head] & 127) << shift
                shift += 7
                whole = data[head] < 128
                head += 1
            if not whole or head + size > len(data):
                self._due_bytes = head + size - at if whole else len(data) - at + 1
                break
            found.append((data[at], view[head : head + size]))
            at = head + size
        if at > 0:
            del self.data[:at]
        return found

    def close(self) -> None:
        self.sock.close()


class _Publisher:
    """Sends as fast as it can and reads its answers meanwhile, all from one thread."""

    def __init__(self, cell: Cell, port: int, topic: str, until: float) -> None:
        self._cell = cell
        self._until = until
        self._raw = Raw(port, 4, timeout=20)
        self._raw.connect(topic.replace("/", "-") + "-pub", keep_alive=0)
        self._head = raw.text(topic)
        self.acknowledged = 0
        self.done = threading.Event()

    def _packet(self, number: int) -> bytes:
        packet_id = struct.pack(">H", number + 1) if self._cell.qos else b""
        body = self._head + packet_id + struct.pack(">I", number)
        body += bytes(self._cell.size_bytes - 4)
        return raw.packet(raw.PUBLISH, body, self._cell.qos << 1)

    def run(self) -> None:
        try:
            self._run()
        except (OSError, Closed):
            pass  # the outcome tells how many were acknowledged
        finally:
            self.done.set()
            self._raw.close()

    def _run(self) -> None:
        sock, sent, out, answers = self._raw.sock, 0, b"", bytearray()
        sock.setblocking(False)
        pending = memoryview(b"")
        count, qos, asked = self._cell.count, self._cell.qos, False
        while self.acknowledged < count and time.monotonic() < self._until:
            if not pending:
                whole = [out]
                taken = len(out)
                while sent < count and taken < 65536:
                    whole.append(self._packet(sent))
                    taken += len(whole[-1])
                    sent += 1
                pending, out = memoryview(b"".join(whole)), b""
                if qos == 0 and sent == count and not asked:
                    pending, asked = memoryview(bytes(pending) + b"\xc0\0"), True
            writers = [sock] if pending else []
            readable, writable, _ = select.select([sock], writers, [], 1.0)
            if writable:
                pending = pending[sock.send(pending) :]
            if readable:
                got = sock.recv(65536)
                if not got:
                    raise Closed
                answers += got
                if qos == 0:  # of the ping: all before it was handled
                    self.acknowledged = count
                else:
                    out += self._answered(answers)

    def _answered(self, answers: bytearray) -> bytes:
        """Take what was answered, 4 bytes each; return what to send for it."""
        out = []
        for at in range(0, len(answers) - 3, 4):
            kind, packet_id = answers[at] >> 4, answers[at + 2 : at + 4]
            if kind in (raw.PUBACK, raw.PUBCOMP):
                self.acknowledged += 1
            elif kind == raw.PUBREC:
                out.append(b"\x62\x02" + packet_id)
        del answers[: len(answers) // 4 * 4]
        return b"".join(out)


class _Subscriber:
    def __init__(self, cell: Cell, ports: Ports, topic: str, outcome: Outcome) -> None:
        self._cell = cell
        self._ports = ports
        self._topic = topic
        self._outcome = outcome
        self._seen = bytearray(cell.count)
        self._last = -1
        self._unreleased: set[int] = set()
        self._wire: Wire | None = None

    def open(self) -> None:
        cell = self._cell
        wire = self._wire = Wire(self._ports, cell)
        expiry = b"\x11" + struct.pack(">I", 300) if cell.kept else b""
        first = self._outcome.connections == 0
        name = self._topic.replace("/", "-") + "-sub"
        wire.send(
            raw.connect(
                name,
                5,
                clean=first or not cell.kept,
                keep_alive=0,
                properties=expiry,
            )
        )
        self._outcome.connections += 1
        if first:
            wire.send(raw.subscribe(1, (self._topic, cell.qos), version=5))
            while not any(head >> 4 == raw.SUBACK for head, _ in wire.packets()):
                wire.fill(20)

    def _publish(self, head: int, body: memoryview) -> bytes:
        at = 2 + (body[0] << 8 | body[1])
        qos, answer = head >> 1 & 3, b""
        if qos:
            packet_id = body[at] << 8 | body[at + 1]
            at += 2
            answer = raw.ack(raw.PUBACK if qos == 1 else raw.PUBREC, packet_id)
            if qos == 2:
                if packet_id in self._unreleased:
                    return answer  # sent again, and known
                self._unreleased.add(packet_id)
        at += 1 + body[at]
        (number,) = struct.unpack_from(">I", body, at)
        outcome = self._outcome
        if len(body) - at != self._cell.size_bytes:
            outcome.notes.append(f"a message of {len(body) - at} bytes")
        if self._seen[number]:
            outcome.doubled += 1
        else:
            outcome.received += 1
            outcome.disordered += number < self._last
            self._last = number
        self._seen[number] = 1
        return answer

    def _take(self, wire: Wire) -> bool:
        """Handle what has come, answer it; return whether that was a message."""
        answers, was_message = [], False
        for head, body in wire.packets():
            if head >> 4 == raw.PUBLISH:
                was_message = True
                answers.append(self._publish(head, body))
            elif head >> 4 == raw.PUBREL:
                self._unreleased.discard(body[0] << 8 | body[1])
                answers.append(raw.ack(raw.PUBCOMP, body[0] << 8 | body[1]))
            elif head >> 4 == raw.DISCONNECT:
                self._outcome.notes.append(f"disconnected with {body[0]:#x}")
        out = b"".join(answers)
        if out:
            try:
                wire.send(out)
            except OSError:
                raise Closed from None
        return was_message

    def run(self, publisher: _Publisher, until: float) -> None:
        idle_s = IDLE_S if self._cell.qos else IDLE_0_S
        latest = time.monotonic()
        may_leave = self._cell.leaves_half_way
        while time.monotonic() < until:
            done = publisher.done.is_set()
            if done and self._outcome.received >= publisher.acknowledged:
                break
            if done and time.monotonic() - latest > idle_s:
                break
            assert self._wire is not None
            try:
                if self._wire.fill(0.5):
                    latest = time.monotonic()
                    self._take(self._wire)
                if may_leave and self._outcome.received >= self._cell.count // 2:
                    may_leave = False
                    raise Closed
            except Closed:
                self._wire.close()
                if not self._cell.kept or self._outcome.connections >= CONNECTIONS:
                    self._outcome.notes.append("cut off")
                    break
                self.open()
        self._finish()

    def _finish(self) -> None:
        """Hear what may come twice, and end the session."""
        assert self._wire is not None
        try:
            self._wire.fill(0.2)
            self._take(self._wire)
            self._wire.send(raw.disconnect(5, 0, b"\x11\0\0\0\0"))
        except (Closed, OSError):
            pass
        self._wire.close()


@contextmanager
def serving(folder: Path, made: Certs) -> Iterator[Ports]:
    """Run a broker with the defaults and all three transports."""
    with running_broker(
        folder,
        tls__enable="true",
        tls__url="tls+nmq-tcp://127.0.0.1:0",
        tls__certfile=str(made.server.certfile),
        tls__keyfile=str(made.server.keyfile),
        websocket__enable="true",
        websocket__url="nmq-ws://127.0.0.1:0/mqtt",
    ) as process:
        yield Ports(*(process.ports[k] for k in ("url", "tls.url", "websocket.url")))


def run(cell: Cell, ports: Ports, limit_s: float = LIMIT_S) -> Outcome:
    """Run one cell to its end, on a topic of its own."""
    outcome = Outcome(cell)
    topic = f"slow/{os.getpid()}/{next(_numbers)}"
    subscriber = _Subscriber(cell, ports, topic, outcome)
    begun = time.monotonic()
    try:
        subscriber.open()
        publisher = _Publisher(cell, ports.tcp, topic, begun + limit_s)
        thread = threading.Thread(target=publisher.run, daemon=True)
        thread.start()
        subscriber.run(publisher, begun + limit_s)
        thread.join(limit_s)
        outcome.acknowledged = publisher.acknowledged
    except (OSError, Closed) as fault:
        outcome.notes.append(f"not run: {fault!r}")
    outcome.seconds = time.monotonic() - begun
    return outcome
