"""What several conformance tests do: versions, kept sessions, and the flows of a QoS."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests import raw
from tests.conftest import Process
from tests.raw import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Packet, Raw

versions = pytest.mark.parametrize("version", [3, 4, 5])
modern = pytest.mark.parametrize("version", [4, 5])
BAD = 0x80  # the first Reason Code that is an error


def u8(identifier: int, value: int) -> bytes:
    return bytes([identifier, value])


def u16(identifier: int, value: int) -> bytes:
    return bytes([identifier]) + struct.pack(">H", value)


def u32(identifier: int, value: int) -> bytes:
    return bytes([identifier]) + struct.pack(">I", value)


def text(identifier: int, value: str | bytes) -> bytes:
    return bytes([identifier]) + raw.text(value)


def pair(name: str, value: str) -> bytes:
    return b"\x26" + raw.text(name) + raw.text(value)


def expiry(seconds: int) -> bytes:
    """Session Expiry Interval."""
    return u32(0x11, seconds)


def kept(version: int, seconds: int = 300) -> dict[str, object]:
    """Options of a CONNECT whose session outlives its connection."""
    return {"clean": False, "properties": expiry(seconds) if version == 5 else b""}


def take(c: Raw) -> tuple[str, bytes, int]:
    """Receive one message and acknowledge it as its QoS asks."""
    got = c.expect(PUBLISH)
    if got.qos == 1:
        c.send(raw.ack(PUBACK, got.packet_id))
    elif got.qos == 2:
        c.send(raw.ack(PUBREC, got.packet_id))
        assert c.expect(PUBREL).packet_id == got.packet_id
        c.send(raw.ack(PUBCOMP, got.packet_id))
    return got.topic, got.payload, got.qos


def give(
    c: Raw, topic: str, payload: bytes, qos: int, packet_id: int = 1, **options: object
) -> int:
    """Publish and complete the flow of the QoS; return the first Reason Code."""
    c.publish(topic, payload, qos=qos, packet_id=packet_id, **options)
    if qos == 0:
        c.ping()
        return 0
    got = c.expect(PUBACK if qos == 1 else PUBREC)
    assert got.packet_id == packet_id
    if qos == 2 and got.reason < BAD:
        c.send(raw.ack(PUBREL, packet_id))
        assert c.expect(PUBCOMP).packet_id == packet_id
    return got.reason


def both(c: Raw, acknowledgement: int, kind: int) -> Packet:
    """Read an acknowledgement and another packet, in either order; return the other."""
    got = {p.kind: p for p in (c.read(), c.read())}
    assert got.keys() == {acknowledgement, kind}
    return got[kind]


@contextmanager
def clock(process: Process, name: str, seconds: int = 1) -> Iterator[Raw]:
    """Yield a connection that hears of a will when that many seconds have passed.

    They are seconds of the broker's own clock, so that what it is to do meanwhile is done.
    """
    topic = f"{name}/passed"
    with process.raw(5) as watcher, process.raw(5) as c:
        watcher.connect(f"{name}_watcher")
        watcher.subscribe((topic, 0))
        c.connect(
            f"{name}_clock",
            clean=False,
            properties=expiry(seconds + 60),
            will=(topic, b"", 0, False),
            will_properties=u32(0x18, seconds),
        )
        c.close()
        yield watcher


def pass_time(process: Process, name: str, seconds: int = 1) -> None:
    """Return when that many seconds have passed on the broker's clock."""
    with clock(process, name, seconds) as watcher:
        watcher.expect(PUBLISH)


def closed_with(c: Raw) -> int | None:
    """Read until the broker closes; return the Reason Code of its last packet, or None."""
    got = c.read_until_closed()
    return got[-1].reason if got else None
