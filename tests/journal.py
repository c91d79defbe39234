"""The records of csrc/journal.def, read and written in Python: what a process leaves."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

DEF = Path(__file__).resolve().parent.parent / "csrc" / "journal.def"
NUMBERS = {"u8": "<B", "u16": "<H", "u32": "<I", "u64": "<Q", "i64": "<q"}
ABSENT = 0xFFFFFFFF
Value = int | bytes | None
Record = tuple[str, dict[str, Value]]


def _kinds() -> dict[int, tuple[str, list[tuple[str, str]]]]:
    text = "".join(
        line for line in DEF.read_text().splitlines(True) if not line.startswith("//")
    )
    return {
        int(number): (name, re.findall(r"FIELD\((\w+), (\w+)\)", fields))
        for number, name, fields in re.findall(
            r"RECORD\((\d+), \w+, (\w+),((?:[^()]|\([^()]*\))*)\)", text
        )
    }


KINDS = _kinds()


def _value(kind: str, data: bytes) -> tuple[Value, bytes]:
    if not data:  # left out
        return (0 if kind in NUMBERS else None), data
    if kind in NUMBERS:
        size = struct.calcsize(NUMBERS[kind])
        return struct.unpack(NUMBERS[kind], data[:size])[0], data[size:]
    length = int.from_bytes(data[:4], "little")
    data = data[4:]
    return (None, data) if length == ABSENT else (data[:length], data[length:])


def read(data: bytes) -> Iterator[Record]:
    """Yield each record as its name and its fields."""
    at = 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        name, fields = KINDS[data[at + 4]]
        body, at = data[at + 5 : end], end
        values = {}
        for kind, field in fields:
            values[field], body = _value(kind, body)
        yield name, values


def _bytes(kind: str, value: Value) -> bytes:
    if kind in NUMBERS:
        return struct.pack(NUMBERS[kind], value)
    if value is None:
        return struct.pack("<I", ABSENT)
    assert isinstance(value, bytes)
    return struct.pack("<I", len(value)) + value


def write(record: Record, more: bytes = b"") -> bytes:
    """Return the bytes of a record. more: fields that a later version has added."""
    name, values = record
    number = next(n for n, (its, _) in KINDS.items() if its == name)
    fields = b"".join(_bytes(kind, values[field]) for kind, field in KINDS[number][1])
    return struct.pack("<IB", 1 + len(fields + more), number) + fields + more
