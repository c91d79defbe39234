"""MQTT over WebSocket (MQTT 5.0, 6), with frames made by hand."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import struct

import pytest

from tests import raw
from tests.certs import Certs
from tests.conformance.flows import modern, take
from tests.conftest import Process, StartBroker
from tests.frames import BINARY, CLOSE, PING, PONG, TEXT, frame


@pytest.fixture
def process(start_broker: StartBroker) -> Process:
    return start_broker(
        websocket__enable="true", websocket__url="nmq-ws://127.0.0.1:0/mqtt"
    )


def ws_port(process: Process) -> int:
    return process.ports["websocket.url"]


class WebSocket(raw.Raw):
    """A socket whose packets travel in frames of at most ``frame_bytes``."""

    def __init__(
        self,
        place: int | socket.socket,
        version: int,
        frame_bytes: int = 1 << 20,
        protocol: str | None = "mqtt",
        path: str = "/mqtt",
    ) -> None:
        super().__init__(place, version)
        self.frame_bytes = frame_bytes
        self.pongs: list[bytes] = []
        self.frames: list[bytes] = []  # payloads of those that came
        key = base64.b64encode(os.urandom(16)).decode()
        offer = "" if protocol is None else f"Sec-WebSocket-Protocol: {protocol}\r\n"
        self.sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            f"Sec-WebSocket-Version: 13\r\n{offer}\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.sock.recv(1)
        self.head = head.decode()
        self.closed_with: int | None = None

    def send_frame(self, kind: int, data: bytes) -> None:
        self.sock.sendall(frame(kind, data, mask=os.urandom(4)))

    def send(self, *packets: bytes) -> None:
        data = b"".join(packets)
        for at in range(0, len(data), self.frame_bytes):
            self.send_frame(BINARY, data[at : at + self.frame_bytes])

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
        if size >= 126:
            size = int.from_bytes(self._exact(2 if size == 126 else 8), "big")
        data = self._exact(size)
        if head[0] & 15 == CLOSE:
            self.closed_with = struct.unpack(">H", data[:2])[0]
            raise raw.Closed
        if head[0] & 15 == PONG:
            self.pongs.append(data)
            return
        assert head[0] & 15 == BINARY or head[0] & 15 == 0
        self.frames.append(data)
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
@pytest.mark.parametrize("size", [1, 3, 1 << 20])
def test_packets_span_frames_and_frames_hold_packets(
    process: Process, version: int, size: int
) -> None:
    with WebSocket(ws_port(process), version, size) as c:
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
        assert c.closed_with == 1003  # Unsupported Data


@pytest.mark.spec("MQTT-6.0.0-4")
@modern
@pytest.mark.parametrize(
    ("offered", "chosen"),
    [("mqttv3.1", "mqttv3.1"), ("mqtt, mqttv3.1", "mqtt"), ("amqp,mqtt", "mqtt")],
)
def test_one_of_the_subprotocols_offered_is_chosen(
    process: Process, version: int, offered: str, chosen: str
) -> None:
    with WebSocket(ws_port(process), version, protocol=offered) as c:
        assert f"sec-websocket-protocol: {chosen}\r\n" in c.head.lower()
        assert c.connect("c").reason == 0


@pytest.mark.spec("MQTT-6.0.0-3")
@pytest.mark.parametrize("offered", ["amqp", "MQTT"])
def test_other_subprotocols_are_refused(process: Process, offered: str) -> None:
    with WebSocket(ws_port(process), 5, protocol=offered) as c:
        assert c.head.startswith("HTTP/1.1 400 ")
        with pytest.raises(raw.Closed):
            c._exact(1)


@modern
@pytest.mark.parametrize("offered", [None, ""])
def test_client_that_offers_no_subprotocol_is_let_in(
    process: Process, version: int, offered: str | None
) -> None:
    with WebSocket(ws_port(process), version, protocol=offered) as c:
        assert c.head.startswith("HTTP/1.1 101 ")
        assert "sec-websocket-protocol" not in c.head.lower()
        assert c.connect("c").reason == 0


def test_other_paths_are_refused_and_logged(process: Process) -> None:
    for _ in range(3):
        with raw.Raw(ws_port(process)) as c:
            c.sock.sendall(b"GET /oth\x1ber?x HTTP/1.1\r\nHost: x\r\n\r\n")
            assert c.sock.recv(100).startswith(b"HTTP/1.1 404 ")
            assert c.sock.recv(1) == b""
    says = "refused: WebSocket path '/oth\\x1ber', expected '/mqtt'"
    process.waits_for(says)
    lines = [line for line in process.lines if says in line]
    assert sum(" warning " in line for line in lines) == 1


def test_path_of_the_configuration_counts(start_broker: StartBroker) -> None:
    process = start_broker(
        websocket__enable="true",
        websocket__url="nmq-ws://127.0.0.1:0/mqtt",
        websocket__path="/own",
        listener__any__url="nmq-ws://127.0.0.1:0/mqtt",
        listener__any__websocket__path="*",
    )
    with WebSocket(ws_port(process), 5, path="/mqtt") as c:
        assert c.head.startswith("HTTP/1.1 404 ")
    with WebSocket(ws_port(process), 5, path="/own") as c:
        assert c.connect("c").reason == 0
    for path in ("/", "/what/ever?x=1", "/mqtt"):
        with WebSocket(process.ports["listener.any.url"], 5, path=path) as c:
            assert c.connect("c").reason == 0
    process.reload(websocket__path="*")
    with WebSocket(ws_port(process), 5, path="/any") as c:
        assert c.connect("c").reason == 0


def packets_in(frame: bytes) -> int:
    """Return how many whole packets the frame holds; 0 if it does not end with one."""
    count, at = 0, 0
    while at < len(frame):
        size, at = raw.read_varint(frame, at + 1)
        at, count = at + size, count + 1
    return count if at == len(frame) else 0


@pytest.mark.spec("MQTT-6.0.0-2")
@modern
@pytest.mark.parametrize("over", ["ws", "wss"])
def test_each_packet_comes_in_a_frame_of_its_own(
    start_broker: StartBroker, certs: Certs, version: int, over: str
) -> None:
    process = start_broker(
        websocket__enable="true",
        websocket__url="nmq-ws://127.0.0.1:0/mqtt",
        websocket__tls_url="nmq-wss://127.0.0.1:0/mqtt",
        tls__certfile=str(certs.server.certfile),
        tls__keyfile=str(certs.server.keyfile),
    )
    sizes = [0, 1, 116, 117, 125, 4000, 4096, 5000, 65_500, 65_600, 300_000, 3] * 3
    key = "websocket.url" if over == "ws" else "websocket.tls_url"
    sock = socket.create_connection(("127.0.0.1", process.ports[key]), 20)
    if over == "wss":
        context = ssl.create_default_context(cafile=str(certs.ca.certfile))
        sock = context.wrap_socket(sock, server_hostname="localhost")
    with WebSocket(sock, version) as c, process.raw(version) as pub:
        c.connect("c")
        c.subscribe(("t/0", 0), ("t/1", 1), ("t/2", 2))
        pub.connect("pub")
        pub.send(
            *(
                raw.publish(f"t/{n % 3}", bytes(size), version, qos=n % 3, packet_id=n + 1)
                for n, size in enumerate(sizes)
            )
        )
        got = []
        while len(got) < len(sizes):
            p = c.read()
            if p.kind == raw.PUBLISH:
                got.append(len(p.payload))
                if p.qos:
                    c.send(raw.ack(raw.PUBACK if p.qos == 1 else raw.PUBREC, p.packet_id))
        assert got == sizes
        c.send(raw.packet(raw.PINGREQ))
        while c.read().kind != raw.PINGRESP:
            pass
        assert [packets_in(frame) for frame in c.frames] == [1] * len(c.frames)


def ping_until_closed(c: WebSocket) -> None:
    c.sock.settimeout(0.1)
    for n in range(100):
        c.send_frame(PING, b"%d" % n)
        with contextlib.suppress(TimeoutError):
            while True:
                c.read()


@pytest.mark.spec("MQTT-3.1.2-22")
@pytest.mark.parametrize("begun", [b"", b"\x30\x10"])
def test_pings_of_websocket_are_no_sign_of_life(process: Process, begun: bytes) -> None:
    with WebSocket(ws_port(process), 5) as c:
        c.connect("silent", keep_alive=1)
        c.send_frame(BINARY, begun)
        with pytest.raises((raw.Closed, ConnectionError)):
            ping_until_closed(c)


@modern
def test_pings_are_answered_between_messages(process: Process, version: int) -> None:
    with WebSocket(ws_port(process), version) as c:
        c.send_frame(PING, b"before")
        c.connect("c")
        c.subscribe(("t", 0))
        for n in range(20):
            c.publish("t", b"%d" % n)
            c.send_frame(PING, b"%d" % n)
        c.send_frame(PONG, b"unasked")
        assert [c.read().payload for _ in range(20)] == [b"%d" % n for n in range(20)]
        c.ping()
        assert c.pongs[0] == b"before"
        assert c.pongs[-1] == b"19"


@modern
def test_close_frame_ends_the_connection_without_a_disconnect(
    process: Process, version: int
) -> None:
    with process.raw(version) as sub, WebSocket(ws_port(process), version) as c:
        sub.connect("sub")
        sub.subscribe(("will", 0))
        c.connect("c", will=("will", b"gone", 0, False))
        c.send_frame(CLOSE, struct.pack(">H", 1000))
        assert c.read_until_closed() == []
        assert c.closed_with == 1000
        assert sub.expect(raw.PUBLISH).payload == b"gone"


@modern
def test_disconnect_and_close_frame_in_one_go_send_no_will(
    process: Process, version: int
) -> None:
    with process.raw(version) as sub, WebSocket(ws_port(process), version) as c:
        sub.connect("sub")
        sub.subscribe(("will", 0))
        c.connect("c", will=("will", b"gone", 0, False))
        c.sock.sendall(frame(BINARY, raw.disconnect(version)) + frame(CLOSE, b"\x03\xe8"))
        assert c.read_until_closed() == []
        sub.assert_silent()


@modern
def test_large_messages_travel_in_one_frame_or_many(process: Process, version: int) -> None:
    payload = os.urandom(300_000)
    for size in (1000, 70_000, 1 << 20):
        with WebSocket(ws_port(process), version, size) as c:
            c.connect("c")
            c.subscribe(("t", 0))
            c.publish("t", payload)
            assert c.expect(raw.PUBLISH).payload == payload


def test_server_closes_with_a_close_frame(process: Process) -> None:
    with WebSocket(ws_port(process), 5) as c:
        c.connect("c")
        c.send(raw.packet(raw.CONNECT, b""))
        assert c.read_until_closed()[-1].kind == raw.DISCONNECT
        assert c.closed_with == 1000


def test_upgrade_that_never_ends_is_closed(start_broker: StartBroker) -> None:
    process = start_broker(
        websocket__enable="true",
        websocket__url="nmq-ws://127.0.0.1:0/mqtt",
        connect_timeout="300ms",
    )
    with raw.Raw(ws_port(process), timeout=10) as c:
        c.sock.sendall(b"GET /mqtt HTTP/1.1\r\n")
        assert c.sock.recv(1) == b""


@modern
def test_websocket_over_tls(start_broker: StartBroker, certs: Certs, version: int) -> None:
    process = start_broker(
        websocket__enable="true",
        websocket__url="nmq-ws://127.0.0.1:0/mqtt",
        websocket__tls_url="nmq-wss://127.0.0.1:0/mqtt",
        tls__certfile=str(certs.server.certfile),
        tls__keyfile=str(certs.server.keyfile),
    )
    context = ssl.create_default_context(cafile=str(certs.ca.certfile))
    plain = socket.create_connection(("127.0.0.1", process.ports["websocket.tls_url"]), 20)
    with WebSocket(
        context.wrap_socket(plain, server_hostname="localhost"), version, 5000
    ) as c:
        c.connect("c")
        c.subscribe(("t", 1))
        c.publish("t", b"x" * 100_000)
        assert take(c)[1] == b"x" * 100_000
        c.send_frame(PING, b"hello")
        c.ping()
        assert c.pongs == [b"hello"]


def test_websocket_behind_a_balancer(start_broker: StartBroker) -> None:
    process = start_broker(
        websocket__enable="true",
        websocket__url="nmq-ws://127.0.0.1:0/mqtt",
        listener__ws__proxy_protocol="true",
    )
    sock = socket.create_connection(("127.0.0.1", ws_port(process)), 20)
    sock.sendall(b"PROXY TCP4 192.0.2.5 10.0.0.1 5 80\r\n")
    with WebSocket(sock, 5) as c:
        assert c.connect("c").reason == 0
