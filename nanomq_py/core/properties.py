"""The properties that travel with an Application Message, as bytes and as values.

Source  MQTT 5.0, 2.2.2 Properties, 3.3.2.3 PUBLISH Properties
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PAYLOAD_FORMAT_INDICATOR, CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION_DATA = 1, 3, 8, 9
USER_PROPERTY = 38
MOST = 65_535  # bytes of a text or of binary data

UserProperties = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Properties:
    """Those that are there; the Message Expiry Interval is kept beside them."""

    payload_format_indicator: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    user_properties: UserProperties = ()

    def encoded(self) -> bytes:
        """Return them as in a packet, their length in front; empty where there are none.

        Raises   ValueError naming the one that MQTT does not allow
        """
        block = b"".join(self._pieces())
        return _varint(len(block)) + block if block else b""

    def _pieces(self) -> Iterator[bytes]:
        indicator = self.payload_format_indicator
        if indicator is not None:
            if indicator not in (0, 1):
                raise ValueError(f"payload_format_indicator={indicator!r}: expected 0 or 1")
            yield bytes((PAYLOAD_FORMAT_INDICATOR, indicator))
        if self.content_type is not None:
            yield b"\x03" + _text("content_type", self.content_type)
        if self.response_topic is not None:
            if not self.response_topic or set("+#") & set(self.response_topic):
                raise ValueError(
                    f"response_topic={self.response_topic!r}: expected a topic name"
                )
            yield b"\x08" + _text("response_topic", self.response_topic)
        if self.correlation_data is not None:
            yield b"\x09" + _binary("correlation_data", self.correlation_data)
        for name, value in self.user_properties:
            yield b"\x26" + _text("user_properties", name) + _text("user_properties", value)


def pairs(given: Iterable[tuple[str, str]]) -> UserProperties:
    """Return User Properties in their order. Raises ValueError for what is no pair of str."""
    made = []
    for pair in given:
        if not (
            isinstance(pair, tuple)
            and len(pair) == 2
            and all(isinstance(t, str) for t in pair)
        ):
            raise ValueError(f"user_properties: {pair!r}: expected a pair of texts")
        made.append(pair)
    return tuple(made)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _binary(name: str, value: bytes) -> bytes:
    if len(value) > MOST:
        raise ValueError(f"{name}: {len(value)} bytes: expected at most {MOST}")
    return len(value).to_bytes(2, "big") + value


def _text(name: str, value: str) -> bytes:
    if "\0" in value:
        raise ValueError(f"{name}={value!r}: U+0000 is not allowed")
    return _binary(name, value.encode())


def decoded(block: bytes) -> Properties:
    """Return the properties of a block that the core has checked, without its length."""
    numbers: dict[int, int] = {}
    texts: dict[int, bytes] = {}
    users = []
    at = 0

    def piece() -> bytes:
        nonlocal at
        end = at + 2 + int.from_bytes(block[at : at + 2], "big")
        found = block[at + 2 : end]
        at = end
        return found

    while at < len(block):
        kind = block[at]
        at += 1
        if kind == PAYLOAD_FORMAT_INDICATOR:
            numbers[kind] = block[at]
            at += 1
        elif kind == USER_PROPERTY:
            users.append((piece().decode(), piece().decode()))
        else:
            texts[kind] = piece()
    return Properties(
        numbers.get(PAYLOAD_FORMAT_INDICATOR),
        texts[CONTENT_TYPE].decode() if CONTENT_TYPE in texts else None,
        texts[RESPONSE_TOPIC].decode() if RESPONSE_TOPIC in texts else None,
        texts.get(CORRELATION_DATA),
        tuple(users),
    )
