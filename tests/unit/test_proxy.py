"""io/proxy.h: PROXY headers of both versions."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests._core_test import ffi, lib
from tests.unit.clib import Exact

MALFORMED = -2
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(body)) + body


def tcp4(host: str, port: int) -> bytes:
    return (
        socket.inet_aton(host) + socket.inet_aton("10.0.0.1") + struct.pack(">HH", port, 1)
    )


def tcp6(host: str, port: int) -> bytes:
    other = socket.inet_pton(socket.AF_INET6, "::1")
    return socket.inet_pton(socket.AF_INET6, host) + other + struct.pack(">HH", port, 1)


def read(data: bytes) -> tuple[int, str]:
    """Return what was taken, and who the peer is then."""
    peer = ffi.new("nmq_peer *")
    exact = Exact(data)
    taken = lib.nmq_proxy_read(exact.slice, peer)
    name = lib.nmq_peer_name(peer)  # what text is part of
    return taken, ffi.string(name.text).decode()


GOOD = [
    (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 1883\r\n", "192.0.2.7:4711"),
    (b"PROXY TCP6 2001:db8::7 ::1 65535 1883\r\n", "[2001:db8::7]:65535"),
    (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 1883\r\n", "192.0.2.7:1"),
    (b"PROXY UNKNOWN\r\n", "local"),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "local"),
    (v2(0x21, 0x11, tcp4("192.0.2.7", 4711)), "192.0.2.7:4711"),
    (v2(0x21, 0x11, tcp4("192.0.2.7", 4711) + b"\x04\x00\x01x"), "192.0.2.7:4711"),
    (v2(0x21, 0x21, tcp6("2001:db8::7", 9)), "[2001:db8::7]:9"),
    (v2(0x20, 0x00, b""), "local"),
    (v2(0x20, 0x11, tcp4("192.0.2.7", 4711)), "local"),  # LOCAL: a health check
    (v2(0x21, 0x31, bytes(216)), "local"),
    (v2(0x21, 0x00, b"anything"), "local"),
]


@pytest.mark.parametrize(("header", "peer"), GOOD)
def test_header_names_the_peer(header: bytes, peer: str) -> None:
    assert read(header + b"MQTT") == (len(header), peer)
    assert [read(header[:n])[0] for n in range(len(header))] == [0] * len(header)


@pytest.mark.parametrize(
    "header",
    [
        b"\x10\x0c\x00\x04MQTT",
        b"PROXY\r\n",
        b"PROXY \r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 1883 5\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 1883\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 -1 1883\r\n",
        b"PROXY TCP4 192.0.2.700 10.0.0.1 1 1883\r\n",
        b"PROXY TCP4 ::1 10.0.0.1 1 1883\r\n",
        b"PROXY TCP5 192.0.2.7 10.0.0.1 1 1883\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 1883\n",
        b"PROXY TCP4 192.0.2.7\x00 10.0.0.1 4711 1883\r\n",
        b"PROXY " + b"x" * 101,
        v2(0x22, 0x11, tcp4("192.0.2.7", 1)),
        v2(0x11, 0x11, tcp4("192.0.2.7", 1)),
        v2(0x21, 0x11, b"short"),
        v2(0x21, 0x11, tcp4("192.0.2.7", 1) + bytes(5000)),
        v2(0x21, 0x21, tcp4("192.0.2.7", 1)),
    ],
)
def test_anything_else_is_malformed(header: bytes) -> None:
    assert read(header)[0] == MALFORMED


@given(
    st.one_of(st.binary(max_size=120), st.binary(max_size=120).map(lambda b: b"PROXY " + b))
)
def test_any_bytes_are_taken_refused_or_wait_for_more(data: bytes) -> None:
    taken, _ = read(data)
    assert taken == MALFORMED or 0 <= taken <= len(data)
