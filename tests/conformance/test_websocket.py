"""MQTT over WebSocket (MQTT 5.0, 6), with frames made by hand."""

from __future__ import annotations

import base64
import os
import re
import struct

import pytest

from tests import raw
from tests.conformance.flows import modern
from tests.conftest import Process, StartBroker

TEXT, BINARY, CLOSE = 1, 2, 8


@pytest.fixture
def process(start_broker: StartBroker) -> Process:
    return start_broker(
        websocket__enable="true", websocket__url="nmq-ws://127.0.0.1:0/mqtt"
    )


def ws_port(process: Process) -> int:
    return int(re.search(r"websocket\.url on port (\d+)", "".join(process.lines))[1])  # type: ignore[index]


class WebSocket(raw.Raw):
    """A socket whose packets travel in frames of at most ``frame`` bytes."""

    def __init__(self, port: int, version: int, frame: int = 1 << 20) -> None:
        super().__init__(port, version)
        self.frame = frame
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(
            f"GET /mqtt HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.sock.recv(1)
        self.head = head.decode()
        self.closed_with: int | None = None

    def _frame(self, kind: int, data: bytes) -> bytes:
        mask = os.urandom(4)
        size = len(data)
        if size < 126:
            length = bytes([128 | size])
        else:
            length = bytes([128 | 126]) + struct.pack(">H", size)
        masked = bytes(b ^ mask[n % 4] for n, b in enumerate(data))
        return bytes([128 | kind]) + length + mask + masked

    def send_frame(self, kind: int, data: bytes) -> None:
        self.sock.sendall(self._frame(kind, data))

    def send(self, *packets: bytes) -> None:
        data = b"".join(packets)
        for at in range(0, len(data), self.frame):
            self.send_frame(BINARY, data[at : at + self.frame])

    def _exact(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                part = self.sock.recv(count - len(data))
            except ConnectionResetError:
                raise raw.Closed from None
            if not part:
                raise raw.Closed
            data += part
        return data

    def _fill(self) -> None:
        head = self._exact(2)
        size = head[1] & 127
        if size == 126:
            size = struct.unpack(">H", self._exact(2))[0]
        data = self._exact(size)
        if head[0] & 15 == CLOSE:
            self.closed_with = struct.unpack(">H", data[:2])[0]
            raise raw.Closed
        assert head[0] & 15 == BINARY or head[0] & 15 == 0
        self._in += data


@pytest.mark.spec("MQTT-6.0.0-4", "MQTT-6.0.0-3")
@modern
def test_subprotocol_is_mqtt(process: Process, version: int) -> None:
    with WebSocket(ws_port(process), version) as c:
        assert c.head.startswith("HTTP/1.1 101 ")
        assert "sec-websocket-protocol: mqtt\r\n" in c.head.lower()
        assert c.connect("c").reason == 0


@pytest.mark.spec("MQTT-6.0.0-2")
@modern
@pytest.mark.parametrize("frame", [1, 3, 1 << 20])
def test_packets_span_frames_and_frames_hold_packets(
    process: Process, version: int, frame: int
) -> None:
    with WebSocket(ws_port(process), version, frame) as c:
        c.send(
            raw.connect("c", version),
            raw.subscribe(1, ("t", 1), version=version),
            raw.publish("t", b"x" * 300, version),
            raw.packet(raw.PINGREQ),
        )
        kinds = [c.read().kind for _ in range(4)]
        assert kinds == [raw.CONNACK, raw.SUBACK, raw.PUBLISH, raw.PINGRESP]


@pytest.mark.spec("MQTT-6.0.0-1")
@modern
def test_text_frame_closes_the_connection(process: Process, version: int) -> None:
    with WebSocket(ws_port(process), version) as c:
        c.connect("c")
        c.send_frame(TEXT, raw.packet(raw.PINGREQ))
        assert c.read_until_closed() == []
        assert c.closed_with in (1003, None)  # Unsupported Data
