"""The client role of tests/c: what a server may do to it, by hand."""

from __future__ import annotations

import base64
import hashlib
import re
import select
import socket
from collections.abc import Callable

import pytest

from tests.conftest import Process
from tests.dialling import WITHIN_S, Client, Home, ffi, lib
from tests.frames import BINARY, CLOSE, PING, PONG, TEXT, frame
from tests.raw import (
    CONNACK,
    DISCONNECT,
    PINGREQ,
    PUBACK,
    PUBREL,
    SUBACK,
    ack,
    packet,
    publish,
)
from tests.transport.conftest import Serve, Server

both = pytest.mark.parametrize("version", [4, 5])
IN = {4: packet(CONNACK, b"\0\0"), 5: packet(CONNACK, b"\0\0\0")}


def read_packet(connection: socket.socket) -> tuple[int, bytes]:
    """Return the type and the body of a packet of less than 128 bytes."""
    head = connection.recv(2, socket.MSG_WAITALL)
    return head[0] >> 4, connection.recv(head[1], socket.MSG_WAITALL)


def lets_in(version: int, then: bytes = b"") -> Callable[[socket.socket], None]:
    def treat(connection: socket.socket) -> None:
        read_packet(connection)
        connection.sendall(IN[version] + then)

    return treat


def dialled(home: Home, server: Server, version: int, keep_alive_s: int = 60) -> Client:
    client = home.client()
    client.connect("127.0.0.1", server.port, version=version, keep_alive_s=keep_alive_s)
    return client


@both
@pytest.mark.parametrize(
    ("then", "code"),
    [
        (packet(CONNACK, b"\0\0\0"), 0x82),  # a second one [MQTT-3.2.0-2]
        (packet(1, b"\0"), 0x82),  # what only a client sends
        (packet(PINGREQ), 0x82),
        (packet(8, b"\0\1", 2), 0x82),
        (b"\x30\xff\xff\xff\xff\x01", 0x81),  # no length
        (b"\x36\x05\0\1a\0\1", 0x81),  # QoS 3
        (b"\x30\xff\xff\xff\x7f", 0x95),  # of 256 MiB
        (packet(SUBACK, b"\0\0\0\0"), 0x82),  # id 0
    ],
)
def test_a_server_that_breaks_the_protocol_is_left(
    home: Home, serve: Serve, then: bytes, code: int, version: int
) -> None:
    server = serve(lets_in(version, then))
    client = dialled(home, server, version)
    assert client.wait_for_end().number == code
    assert server.hung_up.wait(20)


@both
@pytest.mark.parametrize(
    "first", [publish("a", b"b"), packet(DISCONNECT), packet(15), b"\x16\x03\x01"]
)
def test_only_connack_may_be_the_first(
    home: Home, serve: Serve, first: bytes, version: int
) -> None:
    """[MQTT-3.2.0-1]; AUTH may come before it, but to who has asked for it."""

    def treat(connection: socket.socket) -> None:
        read_packet(connection)
        connection.sendall(first)

    server = serve(treat)
    client = home.client()
    client.dial("127.0.0.1", server.port, version=version)
    assert client.wait_for_end().number in (0x81, 0x82)
    assert not client.notes
    assert server.hung_up.wait(20)


@pytest.mark.parametrize("version", [5])
def test_the_server_is_told_what_was_wrong(home: Home, serve: Serve, version: int) -> None:
    heard = []

    def treat(connection: socket.socket) -> None:
        read_packet(connection)
        connection.sendall(IN[version] + packet(PINGREQ))
        heard.append(read_packet(connection))

    server = serve(treat)
    assert dialled(home, server, version).wait_for_end().number == 0x82
    assert server.hung_up.wait(20)
    assert heard == [(DISCONNECT, b"\x82")]


def test_who_never_answers_connect_is_left(home: Home, serve: Serve) -> None:
    server = serve(lambda connection: None)
    client = home.client()
    client.dial("127.0.0.1", server.port, timeout_ms=300)
    ended = client.wait_for_end()
    assert (ended.number, ended.text) == (0x8D, "the server is silent")
    assert server.hung_up.wait(20)


@both
def test_it_pings_and_leaves_who_does_not_answer(
    home: Home, serve: Serve, version: int
) -> None:
    """[MQTT-3.1.2-20]"""
    heard = []

    def treat(connection: socket.socket) -> None:
        read_packet(connection)
        connection.sendall(IN[version])
        heard.append(read_packet(connection))

    server = serve(treat)
    ended = dialled(home, server, version, keep_alive_s=1).wait_for_end()
    assert ended.number == 0x8D
    assert server.hung_up.wait(20)
    assert heard == [(PINGREQ, b"")]


@pytest.mark.spec("MQTT-4.3.3-10")
@both
def test_a_message_of_qos_2_that_comes_twice_is_one(
    home: Home, serve: Serve, version: int
) -> None:
    def treat(connection: socket.socket) -> None:
        read_packet(connection)
        connection.sendall(IN[version])
        for dup in (False, True):
            connection.sendall(publish("a", b"b", version, qos=2, packet_id=7, dup=dup))
            assert read_packet(connection) == (5, b"\0\7")
        connection.sendall(ack(PUBREL, 7))
        assert read_packet(connection) == (7, b"\0\7")
        connection.sendall(publish("a", b"c", version, qos=1, packet_id=8))
        assert read_packet(connection) == (PUBACK, b"\0\x08")

    server = serve(treat)
    client = dialled(home, server, version)
    assert [client.wait("MESSAGE").payload for _ in range(2)] == [b"b", b"c"]


@both
def test_who_may_not_come_in_is_told(home: Home, serve: Serve, version: int) -> None:
    answer = packet(CONNACK, b"\0\5") if version == 4 else packet(CONNACK, b"\0\x87\0")

    def treat(connection: socket.socket) -> None:
        read_packet(connection)
        connection.sendall(answer)

    client = home.client()
    client.dial("127.0.0.1", serve(treat).port, version=version)
    note = client.next()
    assert (note.kind, note.number) == ("REFUSED", 0x87)
    assert client.next().kind == "CLOSED"


def test_our_broker_says_that_another_took_over(home: Home, process: Process) -> None:
    first, second = home.client(), home.client()
    first.connect("127.0.0.1", process.port, client_id="one")
    second.connect("127.0.0.1", process.port, client_id="one")
    ended = first.wait_for_end()
    assert (ended.number, ended.text) == (0x8E, "the server sent DISCONNECT")


@pytest.mark.spec("MQTT-3.2.2-8")
def test_who_is_judged_while_its_listener_closes_is_told_in_words_of_connack(
    home: Home,
) -> None:
    """DISCONNECT has a code for it, and CONNACK has not."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        options = ffi.new("nmq_listener_options *", {"ask_auth": True})
        options.endpoint.fd = listening.detach()
    number, port = ffi.new("uint32_t *"), ffi.new("uint32_t *")
    assert lib.nmq_broker_listen(home.broker, options, number, port) == 0
    assert lib.nmq_broker_accept(home.broker, number[0]) == 0
    client = home.client()
    client.dial("127.0.0.1", port[0], version=5)
    question = ffi.new("nmq_note *")
    asked = False
    while not asked:
        select.select([lib.nmq_broker_note_fd(home.broker)], [], [], WITHIN_S)
        assert lib.nmq_broker_notes(home.broker, question, 1) == 1
        asked = question.kind == lib.NMQ_NOTE_AUTH
        lib.nmq_broker_note_done(question)
    lib.nmq_broker_disconnect(home.broker, number[0], 0x8B)
    note = client.next()
    assert (note.kind, note.number) == ("REFUSED", 0x88)
    assert client.next().kind == "CLOSED"


@pytest.fixture
def process(broker: Process) -> Process:
    return broker


# --- WebSocket, by hand


def upgrades(then: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    def treat(connection: socket.socket) -> None:
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += connection.recv(4096)
        assert asked.startswith(b"GET /mqtt HTTP/1.1\r\n")
        found = re.search(rb"Sec-WebSocket-Key: (\S+)", asked)
        assert found
        assert b"Sec-WebSocket-Protocol: mqtt\r\n" in asked
        digest = hashlib.sha1(found[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n"
            b"connection: keep-alive, upgrade\r\nSec-WebSocket-Protocol: mqtt\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )
        then(connection)

    return treat


def read_frame(connection: socket.socket) -> tuple[int, bytes, bytes]:
    """Return opcode, mask and payload of a short frame, which must be masked."""
    op, size = connection.recv(2, socket.MSG_WAITALL)
    assert size & 128
    mask = connection.recv(4, socket.MSG_WAITALL)
    data = connection.recv(size & 127, socket.MSG_WAITALL)
    return op & 15, mask, bytes(b ^ mask[i % 4] for i, b in enumerate(data))


def test_frames_in_any_pieces_are_one_stream(home: Home, serve: Serve) -> None:
    """Each frame of ours has a mask of its own; pings are answered, also one before CONNACK."""
    masks, pongs = [], []
    stream = IN[5] + publish("a", b"x" * 70_000, 5) + publish("a", b"end", 5)

    def then(connection: socket.socket) -> None:
        connection.sendall(frame(PING, b"before", mask=None))
        _, mask, data = read_frame(connection)
        assert data[:1] == b"\x10"
        masks.append(mask)
        out = b"".join(
            frame(BINARY if at == 0 else 0, stream[at : at + 997], mask=None, fin=False)
            + (frame(PING, b"%d" % at, mask=None) if at == 997 else b"")
            for at in range(0, len(stream), 997)
        )
        for at in range(0, len(out), 1500):
            connection.sendall(out[at : at + 1500])
        while b"997" not in pongs:
            op, mask, data = read_frame(connection)
            assert op == PONG
            masks.append(mask)
            pongs.append(data)
        connection.sendall(frame(CLOSE, b"\x03\xe8", mask=None))

    server = serve(upgrades(then))
    client = home.client()
    client.connect("127.0.0.1", server.port, path="/mqtt")
    assert client.wait("MESSAGE").payload_len == 70_000
    assert client.wait("MESSAGE").payload == b"end"
    assert client.wait_for_end().number == 0
    assert server.hung_up.wait(20)
    # Only the last of pings that come together wants an answer (RFC 6455, 5.5.3).
    assert pongs in ([b"before", b"997"], [b"997"])
    assert len(set(masks)) == len(masks)


@pytest.mark.parametrize(
    "bad",
    [
        frame(BINARY, IN[5]),  # a server masks nothing
        frame(TEXT, IN[5], mask=None),  # [MQTT-6.0.0-1]
        frame(0, IN[5], mask=None),  # goes on with nothing
        frame(PING, b"x" * 126, mask=None),
        b"\xff\xff\xff\xff",
    ],
)
def test_frames_that_a_server_may_not_send(home: Home, serve: Serve, bad: bytes) -> None:
    server = serve(upgrades(lambda connection: connection.sendall(bad)))
    client = home.client()
    client.dial("127.0.0.1", server.port, path="/mqtt")
    client.wait_for_end()
    assert not client.notes
    assert server.hung_up.wait(20)


def test_a_flood_of_pings_gathers_nothing(home: Home, serve: Serve) -> None:
    def then(connection: socket.socket) -> None:
        read_frame(connection)
        connection.sendall(frame(BINARY, IN[5], mask=None))
        connection.sendall(frame(PING, b"x" * 100, mask=None) * 100_000)
        connection.sendall(frame(BINARY, publish("a", b"after", 5), mask=None))

    server = serve(upgrades(then))
    client = home.client()
    client.connect("127.0.0.1", server.port, path="/mqtt")
    assert client.wait("MESSAGE").payload == b"after"
    assert lib.test_client_live() < 1000  # of 100,000; some answers are on their way
