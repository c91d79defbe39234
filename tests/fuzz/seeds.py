"""The inputs that the fuzz targets start from, made of the golden packets of tests/vectors."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests import raw
from tests.vectors.packets import GOOD

ROOT = Path(__file__).resolve().parent.parent.parent
VERSIONS = {0: 0, 3: 1, 4: 2, 5: 3}  # as codec.c numbers them


def golden() -> Iterator[tuple[int, bytes]]:
    for version, text, _ in GOOD.values():
        yield version, bytes.fromhex(text.replace(" ", ""))


def codec() -> Iterator[bytes]:
    for version, packet in golden():
        yield bytes([VERSIONS[version]]) + packet


def props() -> Iterator[bytes]:
    yield bytes([3]) + raw.props(5, b"\x01\x01\x02\x00\x00\x00\x0a\x23\x00\x01")
    yield bytes([3]) + raw.props(5, (b"\x26" + raw.text("k") + raw.text("v")) * 3)
    yield bytes([3]) + raw.props(5, b"\x03" + raw.text("type") + b"\x08" + raw.text("r"))
    yield bytes([3]) + raw.props(5, b"\x0b\x05\x0b\x80\x01")
    yield bytes([1]) + raw.props(5, b"\x11\x00\x00\x00\x0a\x21\x00\x14\x27\x00\x00\x04\x00")
    yield bytes([2]) + raw.props(5, b"\x12" + raw.text("id") + b"\x24\x01\x13\x00\x0a")
    yield bytes([15]) + raw.props(5, b"\x15" + raw.text("SCRAM") + b"\x16" + raw.text("x"))
    yield bytes([0]) + raw.props(5, b"\x18\x00\x00\x00\x05")


def frame(op: int, payload: bytes, mask: bytes = b"mask") -> bytes:
    length = bytes([128 | len(payload)]) if len(payload) < 126 else b""
    length = length or b"\xfe" + struct.pack(">H", len(payload))
    body = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
    return bytes([op]) + length + mask + body


UPGRADE = (
    b"GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: a, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: chat, mqtt\r\n\r\n"
)


def ws() -> Iterator[bytes]:
    yield UPGRADE
    yield UPGRADE.replace(b"mqtt\r", b"mqttv3.1\r")
    for step in (0, 6, 30):
        yield bytes([step]) + frame(0x82, b"hello") + frame(0x89, b"p") + frame(0x88, b"")
        yield bytes([step]) + frame(0x02, b"a" * 130) + frame(0x80, b"b")
        of_server = b"\x02\x03abc\x89\x01p\x80\x7e\x00\x81" + b"d" * 129 + b"\x88\x00"
        yield bytes([32 | step]) + of_server
    nonce = base64.b64encode(bytes(16))
    digest = hashlib.sha1(nonce + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    yield (
        b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )
    yield b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    yield b"A\x09localhostmqtt?a=b"


def proxy() -> Iterator[bytes]:
    signature = b"\r\n\r\n\0\r\nQUIT\n"
    yield b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 1883\r\n"
    yield b"PROXY TCP6 2001:db8::1 2001:db8::2 4711 1883\r\n"
    yield b"PROXY UNKNOWN\r\n"
    yield signature + b"\x21\x11\x00\x0c" + bytes(range(12))
    yield signature + b"\x21\x21\x00\x24" + bytes(range(36))
    yield signature + b"\x20\x00\x00\x00"


def topic() -> Iterator[bytes]:
    for text in (
        "a/b",
        "+/a/#",
        "#",
        "$SYS/x",
        "$share/g/a/+",
        "$share//a",
        "$share/g",
        "ä/€",
    ):
        yield text.encode()


def trees() -> Iterator[bytes]:
    yield bytes(range(64)) * 2
    yield bytes((7 * n + n // 5) % 256 for n in range(200))


def handover() -> Iterator[bytes]:
    yield b"\0"
    yield b"\0" + struct.pack("<HB", 16, 1)
    yield b"\1"
    origin = struct.pack("<QIHI4sIII", 1, 0, 1, 4, bytes(4), 1, 0, 0)
    yield b"\1" + struct.pack("<IB", len(origin) + 1, 3) + origin


def replay() -> Iterator[bytes]:
    for how in range(4):
        yield bytes([how])
        # a sequence, a length, a payload, and a record of a commit
        for at in (24, 56, 200, 4096 + 70, 4096 * 3 + 64):
            yield bytes([how]) + struct.pack("<HB", at, 1)
        yield bytes([how]) + b"".join(struct.pack("<HB", at, 9) for at in range(0, 999, 37))


def feed(end: int, data: bytes) -> bytes:
    """The command of broker.c that has an end say something."""
    return bytes([end << 4]) + struct.pack(">H", len(data)) + data


def conversations() -> Iterator[bytes]:
    """Commands of broker.c, after the byte that chooses its options."""
    expires = b"\x11\x00\x00\x00\x0a"
    come = [
        raw.connect(
            "a", 5, properties=expires + b"\x22\x00\x05", will=("w", b"x", 1, True)
        ),
        raw.connect("b", 4, clean=False),
    ]
    talk = [
        raw.subscribe(1, ("#", 2), ("$share/g/t", 1), version=5),
        raw.publish("t", b"hi", 5, qos=1, packet_id=1, retain=True),
        raw.publish("t", b"x", 5, properties=b"\x23\x00\x01\x02\x00\x00\x00\x05"),
        raw.publish("", b"x", 5, properties=b"\x23\x00\x01"),
        raw.publish("t/u", b"hi", 5, qos=2, packet_id=2),
        raw.ack(raw.PUBREL, 2),
        raw.packet(raw.PINGREQ),
        raw.disconnect(5, 4),
    ]
    proxied = b"PROXY TCP4 192.0.2.9 198.51.100.2 4711 1883\r\n"
    for end in (0, 1):
        yield b"".join(feed(end, p) for p in [come[0], *talk])
    yield feed(2, UPGRADE) + feed(2, frame(0x82, come[0])) + b"\x04\0" + feed(2, talk[0])
    yield feed(3, proxied + come[1]) + feed(3, raw.subscribe(1, ("t", 1)))
    yield (
        feed(0, come[0] + talk[0]) + feed(1, come[1] + raw.publish("t", b"x")) + b"\x01\x05"
    )
    yield feed(0, come[0]) + b"\x03\x00" + feed(1, come[0]) + b"\x02\x7f" + feed(1, talk[0])
    method = b"\x15" + raw.text("m")
    enhanced = raw.connect("c", 5, properties=method + b"\x16" + raw.text("data"))
    goes_on = raw.packet(raw.AUTH, b"\x18" + raw.props(5, method))
    yield feed(0, enhanced) + b"\x04\x18" + feed(0, goes_on) + b"\x04\x00"
    # subscribers that take little or nothing, and a publisher that is to wait for them
    large = b"\x1c\x00\x22\x01"  # end 1 publishes 6,000 bytes to "t" at QoS 1
    for room in (b"\x00", b"\x08"):
        slow = feed(0, raw.connect("s") + raw.subscribe(1, ("t", 1))) + b"\x02" + room
        more = (large + b"\x01\x07") * 6
        yield slow + feed(1, raw.connect("p")) + more + b"\x02\xff\x01\x0b"
    groups = [(f"$share/g/{t}", 1) for t in ("t", "t/#")]
    yield (
        feed(0, come[0] + raw.subscribe(1, *groups, version=5))
        + feed(1, come[1] + raw.subscribe(1, *groups))
        + large
        + b"\x03\x01\x05\x00\x05\x20"
    )
    # a retained message that expires
    yield feed(0, come[0]) + b"\x0c\x80\x48\x01\x05\x01\x0d" + feed(0, talk[0])
    # rules that take rights away
    yield feed(0, come[0] + talk[0]) + b"\x05\xa6" + feed(0, talk[1]) + b"\x05\xb6"
    # little memory
    yield b"".join(
        b"\x06" + bytes([n]) + feed(0, p) for n, p in enumerate([come[0], *talk])
    )


def broker() -> Iterator[bytes]:
    for commands in conversations():
        for options in (b"\0", b"\xa2"):
            yield options + commands


def conf() -> Iterator[bytes]:
    yield (ROOT / "etc" / "nanomq.conf").read_bytes()
    yield b'mqtt {\n max_packet_size = 1KB\n}\nlisteners.tcp { bind = "0.0.0.0:1883" }\n'
    yield b"auth.1.login=u\nauth.1.password=p\nurl=nmq-tcp://127.0.0.1:1883\n"


SEEDS: Mapping[str, Callable[[], Iterator[bytes]]] = {
    made.__name__: made
    for made in (broker, codec, conf, handover, props, proxy, replay, topic, trees, ws)
}


def write(target: str, folder: Path) -> None:
    """Put the target's seeds into the folder."""
    for n, seed in enumerate(SEEDS[target]()):
        (folder / f"seed-{n}").write_bytes(seed)
