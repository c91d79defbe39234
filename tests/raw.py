"""MQTT by hand: packets as bytes, and a socket that speaks them. No client library."""

from __future__ import annotations

import select
import socket
import ssl
import struct
from dataclasses import dataclass, field

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = range(1, 8)
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(8, 16)


def varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 127
        out.append(low | (128 if value else 0))
        if not value:
            return bytes(out)


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(raw)) + raw


def packet(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


def props(version: int, raw: bytes = b"") -> bytes:
    return varint(len(raw)) + raw if version == 5 else b""


def connect(
    client_id: str = "",
    version: int = 4,
    *,
    clean: bool = True,
    keep_alive: int = 60,
    properties: bytes = b"",
    will: tuple[str, bytes, int, bool] | None = None,
    will_properties: bytes = b"",
    user: str | None = None,
    password: bytes | None = None,
) -> bytes:
    flags = 2 if clean else 0
    payload = text(client_id)
    if will is not None:
        topic, data, qos, retain = will
        flags |= 4 | qos << 3 | (32 if retain else 0)
        payload += props(version, will_properties) + text(topic) + text(data)
    if user is not None:
        flags |= 128
        payload += text(user)
    if password is not None:
        flags |= 64
        payload += text(password)
    name = text("MQIsdp" if version == 3 else "MQTT")
    head = name + bytes([version, flags]) + struct.pack(">H", keep_alive)
    return packet(CONNECT, head + props(version, properties) + payload)


def publish(
    topic: str | bytes,
    payload: bytes = b"",
    version: int = 4,
    *,
    qos: int = 0,
    packet_id: int = 0,
    retain: bool = False,
    dup: bool = False,
    properties: bytes = b"",
) -> bytes:
    body = text(topic)
    if qos:
        body += struct.pack(">H", packet_id)
    body += props(version, properties) + payload
    return packet(PUBLISH, body, (8 if dup else 0) | qos << 1 | int(retain))


def subscribe(
    packet_id: int, *filters: tuple[str, int], version: int = 4, properties: bytes = b""
) -> bytes:
    body = struct.pack(">H", packet_id) + props(version, properties)
    return packet(SUBSCRIBE, body + b"".join(text(f) + bytes([o]) for f, o in filters), 2)


def unsubscribe(packet_id: int, *filters: str, version: int = 4) -> bytes:
    body = struct.pack(">H", packet_id) + props(version)
    return packet(UNSUBSCRIBE, body + b"".join(text(f) for f in filters), 2)


def ack(kind: int, packet_id: int, reason: int | None = None) -> bytes:
    body = struct.pack(">H", packet_id) + (b"" if reason is None else bytes([reason]))
    return packet(kind, body, 2 if kind == PUBREL else 0)


def disconnect(version: int = 4, reason: int = 0, properties: bytes = b"") -> bytes:
    if version != 5 or (reason == 0 and not properties):
        return packet(DISCONNECT)
    return packet(DISCONNECT, bytes([reason]) + props(5, properties))


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


@dataclass
class Packet:
    """One packet from the server, its parts cut where its type says."""

    kind: int
    flags: int
    body: bytes
    version: int
    topic: str = ""
    packet_id: int = 0
    reason: int = 0
    payload: bytes = b""
    properties: bytes = b""
    codes: list[int] = field(default_factory=list)

    @property
    def qos(self) -> int:
        return self.flags >> 1 & 3

    @property
    def retain(self) -> bool:
        return bool(self.flags & 1)

    @property
    def dup(self) -> bool:
        return bool(self.flags & 8)


def cut(kind: int, flags: int, body: bytes, version: int) -> Packet:
    p = Packet(kind, flags, body, version)
    at = 0
    if kind == PUBLISH:
        size = struct.unpack_from(">H", body)[0]
        p.topic = body[2 : 2 + size].decode()
        at = 2 + size
    if kind in (PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK) or (
        kind == PUBLISH and p.qos
    ):
        p.packet_id = struct.unpack_from(">H", body, at)[0]
        at += 2
    if kind == CONNACK:
        p.flags, p.reason = body[0], body[1]
        at = 2
    elif kind in (PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT, AUTH) and len(body) > at:
        p.reason = body[at]
        at += 1
    if version == 5 and len(body) > at:
        size, at = read_varint(body, at)
        p.properties = body[at : at + size]
        at += size
    p.payload = body[at:]
    p.codes = list(p.payload)
    return p


class Closed(Exception):
    """The server closed the connection."""


class Raw:
    """A socket to the broker. Every wait ends after ``timeout`` seconds with an error."""

    def __init__(
        self, place: int | socket.socket, version: int = 4, timeout: float = 20.0
    ) -> None:
        """Connect to a port of this machine, or use a connected socket."""
        self.version = version
        if isinstance(place, int):
            self.sock = socket.create_connection(("127.0.0.1", place), timeout)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.sock = place
            self.sock.settimeout(timeout)
        self._in = bytearray()

    def send(self, *packets: bytes) -> None:
        self.sock.sendall(b"".join(packets))

    def _fill(self) -> None:
        try:
            data = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLEOFError):
            raise Closed from None
        if not data:
            raise Closed
        self._in += data

    def read(self) -> Packet:
        """Return the next packet. Raises Closed, or TimeoutError."""
        while True:
            if len(self._in) >= 2:
                at, size, shift, whole = 1, 0, 0, False
                while at < len(self._in) and at <= 4 and not whole:
                    size |= (self._in[at] & 127) << shift
                    shift += 7
                    whole = self._in[at] < 128
                    at += 1
                if whole and len(self._in) >= at + size:
                    head, body = self._in[0], bytes(self._in[at : at + size])
                    del self._in[: at + size]
                    return cut(head >> 4, head & 15, body, self.version)
            self._fill()

    def hears_within(self, seconds: float) -> bool:
        """Return whether something has come, of which nothing is read yet."""
        if self._in:
            return True
        readable, _, _ = select.select([self.sock], [], [], seconds)
        return bool(readable)

    def expect(self, kind: int) -> Packet:
        got = self.read()
        assert got.kind == kind, f"expected packet type {kind}, got {got}"
        return got

    def connect(self, client_id: str = "", **options: object) -> Packet:
        self.send(connect(client_id, self.version, **options))  # type: ignore[arg-type]
        return self.expect(CONNACK)

    def subscribe(self, *filters: tuple[str, int], properties: bytes = b"") -> list[int]:
        self.send(subscribe(10, *filters, version=self.version, properties=properties))
        return self.expect(SUBACK).codes

    def publish(self, topic: str, payload: bytes = b"", **options: object) -> None:
        self.send(publish(topic, payload, self.version, **options))  # type: ignore[arg-type]

    def ping(self) -> None:
        """Return when everything sent before has been handled."""
        self.send(packet(PINGREQ))
        self.expect(PINGRESP)

    def assert_silent(self) -> None:
        """Nothing but the answer to a ping comes."""
        self.ping()

    def read_until_closed(self) -> list[Packet]:
        packets = []
        try:
            while True:
                packets.append(self.read())
        except Closed:
            return packets

    def leave(self) -> None:
        """Disconnect, and return when the broker knows of it."""
        self.send(disconnect(self.version))
        self.read_until_closed()
        self.close()

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
