"""Records of the ring as events: the kinds are those of ``csrc/events.def``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from nanomq_py.core.declared import EventKind
from nanomq_py.core.native import ffi, lib, optional_bytes, optional_text, text_of
from nanomq_py.core.records import (
    AccessEvent,
    AuthEndEvent,
    AuthEvent,
    DroppedEvent,
    Event,
    LogEvent,
    MessageEvent,
)

if TYPE_CHECKING:
    from nanomq_py._core import nmq_broker, nmq_event, nmq_wish

BATCH = 256  # events that are taken at once


class Events:
    """Takes the events of a broker."""

    def __init__(self) -> None:
        self._taken = ffi.new("nmq_event[]", BATCH)

    def take(self, broker: nmq_broker) -> list[Event]:
        """Return up to 256 events, the oldest first."""
        count = lib.nmq_broker_events(broker, self._taken, BATCH)
        return [_read(self._taken[i]) for i in range(count)]


def _read(event: nmq_event) -> Event:
    made = _READERS[event.kind](event)
    lib.nmq_broker_event_done(ffi.addressof(event))
    return made


def _read_log(event: nmq_event) -> LogEvent:
    return LogEvent(
        event.code, text_of(event.text, event.text_len) if event.text_len else ""
    )


def _read_message(event: nmq_event) -> MessageEvent:
    view = ffi.new("nmq_message_view *")
    lib.nmq_event_message(ffi.addressof(event), view)
    return MessageEvent(
        tap=event.number,
        topic_name=text_of(view.topic_name, view.topic_len),
        payload=bytes(ffi.buffer(view.payload, view.payload_len)),
        qos=view.qos,
        retain=view.retain,
        retained=event.code == 1,
    )


def _read_dropped(event: nmq_event) -> DroppedEvent:
    return DroppedEvent(text_of(event.text, event.text_len), event.number)


def _read_auth(event: nmq_event) -> AuthEvent:
    raw = ffi.new("nmq_credentials *")
    lib.nmq_event_auth(ffi.addressof(event), raw)
    return AuthEvent(
        number=event.number,
        step=event.code,
        listener=raw.listener,
        address=text_of(raw.address, raw.address_len),
        client_id=text_of(raw.client_id, raw.client_id_len),
        user_name=optional_text(raw.user_name, raw.user_name_len),
        password=optional_bytes(raw.password, raw.password_len),
        method=optional_text(raw.method, raw.method_len),
        data=optional_bytes(raw.data, raw.data_len),
    )


def _read_access(event: nmq_event) -> AccessEvent:
    raw = ffi.new("nmq_wish *")
    lib.nmq_event_access(ffi.addressof(event), raw)
    return AccessEvent(
        number=event.number,
        question=event.code,
        publish=raw.publish,
        listener=raw.listener,
        address=text_of(raw.address, raw.address_len),
        client_id=text_of(raw.client_id, raw.client_id_len),
        user_name=optional_text(raw.user_name, raw.user_name_len),
        topics=tuple(_topics(raw)),
    )


def _topics(wish: nmq_wish) -> Iterator[str]:
    while lib.nmq_wish_topic(wish):
        yield text_of(wish.topic, wish.topic_len)


def _read_auth_end(event: nmq_event) -> AuthEndEvent:
    return AuthEndEvent(event.number)


_READERS: dict[int, Callable[[nmq_event], Event]] = {
    EventKind.LOG: _read_log,
    EventKind.MESSAGE: _read_message,
    EventKind.AUTH: _read_auth,
    EventKind.DROPPED: _read_dropped,
    EventKind.AUTH_END: _read_auth_end,
    EventKind.ACCESS: _read_access,
}
