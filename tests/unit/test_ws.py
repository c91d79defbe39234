"""io/ws.h: the upgrade and the frames, in any pieces."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests._core_test import ffi, lib
from tests.frames import BINARY, CLOSE, PING, PONG, TEXT, frame
from tests.unit.clib import Exact, fail_each_allocation, nothing_leaks, slice_of

OK, MALFORMED, CLOSED, NOT_FOUND = 0, -2, -7, lib.NMQ_ENOENT
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455, 1.3


def buffered(buf: Any) -> bytes:
    return bytes(ffi.buffer(buf.at, buf.len)) if buf.len else b""


class Unframer:
    """A connection's buffer, fed piece by piece."""

    def __init__(self) -> None:
        self.ws = ffi.new("nmq_ws *")
        self.reply = ffi.new("nmq_buf *")
        self.raw = b""
        self.out = b""

    def feed(self, piece: bytes) -> int:
        self.raw += piece
        room = ffi.new("uint8_t[]", self.raw or b"\0")
        plain, size = ffi.new("size_t *"), ffi.new("size_t *", len(self.raw))
        rv = int(lib.nmq_ws_unframe(self.ws, room, plain, size, self.reply))
        self.out += bytes(ffi.buffer(room, plain[0]))
        self.raw = bytes(ffi.buffer(room, size[0]))[plain[0] :]
        return rv

    def free(self) -> None:
        lib.nmq_buf_free(self.reply)
        lib.nmq_ws_fini(self.ws)


@given(
    frames=st.lists(
        st.tuples(
            st.binary(max_size=300), st.booleans(), st.binary(min_size=4, max_size=4)
        ),
        max_size=8,
    ),
    cuts=st.lists(st.integers(0, 3000), max_size=8),
)
def test_frames_cut_anywhere_give_the_same_bytes(
    frames: list[tuple[bytes, bool, bytes]], cuts: list[int]
) -> None:
    stream, going_on = b"", False
    for data, fin, mask in frames:
        stream += frame(0 if going_on else BINARY, data, fin=fin, mask=mask)
        stream += frame(PONG, b"")  # control frames may come between
        going_on = not fin
    with nothing_leaks():
        u = Unframer()
        at = 0
        for cut in [*sorted(cuts), len(stream)]:
            assert u.feed(stream[at : max(at, cut)]) == OK
            at = max(at, cut)
        assert u.out == b"".join(data for data, _, _ in frames)
        assert (u.raw, buffered(u.reply)) == (b"", b"")
        u.free()


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_refused_or_wait_for_more(data: bytes) -> None:
    with nothing_leaks():
        u = Unframer()
        rv = u.feed(data)
        assert rv in (OK, MALFORMED, CLOSED)
        assert (rv == OK) == (lib.nmq_ws_close_code(u.ws) == 1000 and rv != CLOSED)
        u.free()


@pytest.mark.parametrize("size", [125, 126, 65535, 65536])
def test_every_form_of_the_length(size: int) -> None:
    u = Unframer()
    assert u.feed(frame(BINARY, b"x" * size)) == OK
    assert u.out == b"x" * size
    head = ffi.new("uint8_t[10]")
    end = lib.nmq_frame_head(head, size)
    assert end - head == lib.nmq_frame_head_size(size)
    whole = frame(BINARY, b"x" * size, mask=None)
    assert bytes(head)[: end - head] == whole[: len(whole) - size]
    u.free()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"x"), 1003),
        (frame(BINARY, b"x", mask=None), 1002),
        (frame(0, b"x"), 1002),  # goes on with nothing
        (frame(BINARY, b"x", fin=False) + frame(BINARY, b"y"), 1002),
        (frame(PING, b"x", fin=False), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(3, b""), 1002),
        (frame(11, b""), 1002),
        (bytes([0xC2]) + frame(BINARY, b"x")[1:], 1002),  # a reserved bit
        (b"\x82\xff" + b"\xff" * 8 + b"mask", 1002),  # a length over 2^63
    ],
)
def test_what_a_client_may_not_send(data: bytes, code: int) -> None:
    u = Unframer()
    assert u.feed(data) == MALFORMED
    assert lib.nmq_ws_close_code(u.ws) == code
    u.free()


def test_only_the_last_ping_is_answered() -> None:
    u = Unframer()
    assert u.feed(frame(PING, b"one") + frame(PING, b"two")) == OK
    assert buffered(u.reply) == frame(PONG, b"two", mask=None)
    u.free()


def test_bytes_before_a_close_frame_count() -> None:
    u = Unframer()
    assert u.feed(frame(BINARY, b"last") + frame(CLOSE, b"\x03\xe8bye") + b"??") == CLOSED
    assert u.out == b"last"
    u.free()


def request(**given: str | None) -> bytes:
    headers = {
        "Host": "h",
        "Upgrade": "websocket",
        "Connection": "keep-alive, Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "mqtt",
    }
    line = given.pop("line", "GET /mqtt HTTP/1.1")
    for name, value in given.items():
        headers[name.replace("_", "-")] = value or ""
    lines = [f"{k}: {v}" for k, v in headers.items() if v]
    return "\r\n".join([str(line), *lines, "", ""]).encode()


def upgrade(data: bytes, path: bytes = b"/mqtt") -> tuple[int, bytes]:
    ws, reply = ffi.new("nmq_ws *"), ffi.new("nmq_buf *")
    exact = Exact(data)
    rv = lib.nmq_ws_upgrade(ws, exact.slice, slice_of(path), reply)
    answer = buffered(reply)
    lib.nmq_buf_free(reply)
    return rv, answer


def test_upgrade_is_answered_as_the_rfc_says() -> None:
    rv, answer = upgrade(request() + b"frame")
    assert rv == len(request())
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ("mqtt", b"mqtt"),
        ("mqttv3.1", b"mqttv3.1"),
        ("mqtt, mqttv3.1", b"mqtt"),
        ("mqttv3.1,mqtt", b"mqttv3.1"),
        ("amqp , mqtt", b"mqtt"),
    ],
)
def test_one_subprotocol_is_chosen(offered: str, chosen: bytes) -> None:
    rv, answer = upgrade(request(Sec_WebSocket_Protocol=offered))
    assert rv > 0
    assert b"Sec-WebSocket-Protocol: " + chosen + b"\r\n" in answer


def test_subprotocols_in_several_headers_are_one_list() -> None:
    data = request(Sec_WebSocket_Protocol="amqp").replace(
        b"\r\n\r\n", b"\r\nsec-websocket-protocol: mqtt\r\n\r\n"
    )
    assert upgrade(data)[0] > 0


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(Sec_WebSocket_Protocol="MQTT5"), b"400"),
        (request(Sec_WebSocket_Key="short"), b"400"),
        (request(Sec_WebSocket_Version="8"), b"426"),
        (request(Upgrade=None), b"426"),
        (request(Connection="close"), b"426"),
        (request(line="GET /other HTTP/1.1"), b"404"),
        (request(line="POST /mqtt HTTP/1.1"), b"405"),
        (request(line="GET /mqtt HTTP/1.0"), b"505"),
        (b"\r\n\r\n", b"400"),
        (b"GET /mqtt HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"x" * 8192, b"431"),
    ],
)
def test_other_requests_are_refused(data: bytes, status: bytes) -> None:
    rv, answer = upgrade(data)
    assert rv == (NOT_FOUND if status == b"404" else MALFORMED)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"Connection: close" in answer


def test_client_without_a_subprotocol_gets_none() -> None:
    rv, answer = upgrade(request(Sec_WebSocket_Protocol=None))
    assert rv > 0
    assert b"Sec-WebSocket-Protocol" not in answer


def test_any_path_may_be_allowed() -> None:
    assert upgrade(request(line="GET /other HTTP/1.1"), b"*")[0] > 0


def test_path_may_have_a_query() -> None:
    assert upgrade(request(line="GET /mqtt?token=1 HTTP/1.1"))[0] > 0


@given(st.binary(max_size=400))
def test_any_request_is_answered_or_waits(data: bytes) -> None:
    with nothing_leaks():
        rv, answer = upgrade(data)
        assert rv in (0, MALFORMED, NOT_FOUND) or rv > 0
        assert bool(answer) == (rv != 0)


@given(st.integers(0, len(request()) - 1))
def test_part_of_a_request_waits(end: int) -> None:
    assert upgrade(request()[:end]) == (0, b"")


def test_answers_out_of_memory() -> None:
    ws, reply = ffi.new("nmq_ws *"), ffi.new("nmq_buf *")
    data = request()

    def act() -> int:
        lib.nmq_buf_free(reply)
        return int(lib.nmq_ws_upgrade(ws, slice_of(data), slice_of(b"/mqtt"), reply))

    assert fail_each_allocation(act, lambda: lib.nmq_buf_free(reply)) == len(data)
    lib.nmq_buf_free(reply)


@given(st.binary(max_size=200))
def test_sha1_and_base64_are_those_of_python(data: bytes) -> None:
    digest = ffi.new("uint8_t[20]")
    lib.nmq_sha1(slice_of(data) if data else slice_of(ffi.new("uint8_t[0]")), digest)
    assert bytes(digest) == hashlib.sha1(data).digest()
    text = ffi.new("char[400]")
    lib.nmq_base64(slice_of(data) if data else slice_of(ffi.new("uint8_t[0]")), text)
    assert ffi.string(text) == base64.b64encode(data)
