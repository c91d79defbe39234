"""WebSocket frames by hand (RFC 6455, 5.2)."""

from __future__ import annotations

import struct

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(
    op: int, data: bytes, *, fin: bool = True, mask: bytes | None = b"\1\2\3\4"
) -> bytes:
    """Return one frame; without a mask it is a server's."""
    size = len(data)
    bit = 0 if mask is None else 128
    if size < 126:
        head = bytes([bit | size])
    elif size < 65536:
        head = bytes([bit | 126]) + struct.pack(">H", size)
    else:
        head = bytes([bit | 127]) + struct.pack(">Q", size)
    if mask is not None:
        head += mask
        key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        data = (int.from_bytes(data, "big") ^ key).to_bytes(size, "big")
    return bytes([(128 if fin else 0) | op]) + head + data
