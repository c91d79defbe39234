"""Records of events as the classes of ``declared_events``, which ``csrc/events.def`` declares.

The layout is ``nmq_feed_event`` of ``route/feed_record.h``.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Any, NamedTuple

from nanomq_py.core.declared_events import KINDS, Event, Why
from nanomq_py.core.message import ListenerName, Message, identity

_HEAD = Struct("=IIq5IIIIHHH16sBBB7x")
_KINDS = {number: (made, kinds) for made, (number, kinds) in KINDS.items()}
_WHYS = (None, *Why)


class Head(NamedTuple):
    """``nmq_feed_event``, its numbers as one field."""

    size: int
    kind: int
    at_ms: int
    numbers: tuple[int, ...]
    listener_key: int
    text_len: int
    message_size: int
    client_id_len: int
    user_name_len: int
    port: int
    address: bytes
    address_len: int
    flags: int
    why: int


def read(record: bytes, listener_name: ListenerName) -> Event:
    """Return the event that a record holds."""
    raw = _HEAD.unpack_from(record)
    head = Head(raw[0], raw[1], raw[2], raw[3:8], *raw[8:])
    made, kinds = _KINDS[head.kind]
    return made(head.at_ms / 1000, *_values(record, head, kinds, listener_name))


def _values(
    record: bytes, head: Head, kinds: tuple[str, ...], listener_name: ListenerName
) -> Iterator[Any]:
    numbers = iter(head.numbers)
    text_at = _HEAD.size + head.client_id_len + head.user_name_len
    message_at = text_at + head.text_len
    for kind in kinds:
        match kind:
            case "client" | "client?":
                yield identity(record, _HEAD.size, head, listener_name)
            case "message":
                yield Message(record[message_at:], listener_name)
            case "text":
                yield record[text_at:message_at].decode(errors="replace")
            case "why":
                yield _WHYS[head.why]
            case "int":
                yield next(numbers)
            case _:
                yield bool(next(numbers))
